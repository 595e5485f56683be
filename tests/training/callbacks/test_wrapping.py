"""Methods that do more for a while."""

import inspect

from torch import nn

from captum_cluster.training.callbacks.wrapping import Wrapping


class Owner(nn.Module):
    def step(self, batch, batch_idx):
        return batch + batch_idx


def test_the_original_is_called_with_what_is_given():
    owner, wrapping = Owner(), Wrapping()
    wrapping.wrap(owner, "step", lambda who, original, *given: (who is owner, original(*given)))
    assert owner.step(1, 2) == (True, 3)
    assert [*inspect.signature(owner.step).parameters] == ["batch", "batch_idx"]
    wrapping.undo()
    assert owner.step(1, 2) == 3
    assert "step" not in vars(owner)


def test_layers_are_taken_off_down_to_what_the_object_had_itself():
    owner, wrapping = Owner(), Wrapping()
    owner.step = own = lambda batch, batch_idx: 7
    wrapping.wrap(owner, "step", lambda who, original, *given: original(*given) + 1)
    wrapping.wrap(owner, "step", lambda who, original, *given: original(*given) * 2)
    assert owner.step(0, 0) == 16
    wrapping.undo()
    assert owner.step is own
    wrapping.undo()
    assert owner.step is own
