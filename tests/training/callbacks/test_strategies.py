"""Which strategies leave each process the whole network."""

from types import SimpleNamespace

import pytest
from lightning.pytorch.strategies import (
    DDPStrategy,
    FSDPStrategy,
    ModelParallelStrategy,
    SingleDeviceStrategy,
)

from captum_cluster.training.callbacks.strategies import check_whole_network


class OwnStrategy(FSDPStrategy):
    """A user's."""


class DeepSpeedStrategy:
    """Lightning's own wants DeepSpeed to be installed; it is known by its name."""


@pytest.mark.parametrize(
    "kind", [FSDPStrategy, ModelParallelStrategy, OwnStrategy, DeepSpeedStrategy]
)
def test_strategies_that_split_the_network(kind):
    with pytest.raises(ValueError, match="^Expected") as got:
        check_whole_network(SimpleNamespace(strategy=kind()), "where it is read")
    assert str(got.value) == (
        "Expected strategy to be one that keeps the network whole (ddp) where it is read, but got "
        f"{kind.__name__}."
    )


def test_strategies_that_keep_it_whole():
    for strategy in (DDPStrategy(), SingleDeviceStrategy()):
        check_whole_network(SimpleNamespace(strategy=strategy), "where it is read")
