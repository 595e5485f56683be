"""Early stopping that begins later."""

import pytest

from captum_cluster.training.callbacks import EarlyStoppingAfterHead
from tests.helpers.trainings import BATCHES, Counting, trainer


@pytest.mark.parametrize(("start", "epochs"), [(0, 4), (3, 6), (6, 8)])
def test_the_first_epochs_do_not_count(start, epochs):
    # no smaller loss after epoch 1
    module = Counting([3.0, 2.0, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5])
    callback = EarlyStoppingAfterHead("val_loss", start=start, patience=2)
    trainer(8, callback).fit(module, BATCHES, BATCHES)
    assert module.weight.item() == epochs


def test_a_bad_start():
    with pytest.raises(ValueError, match="Expected start to be an integer of at least 0"):
        EarlyStoppingAfterHead(start=-1)
