"""Copies of weights: complete, independent, in memory or files."""

import pytest
import torch
from torch import nn

from captum_cluster.training.callbacks.weights import WeightStore, state_copy
from tests.helpers.trainings import same


def test_a_copy_does_not_follow_the_module():
    net = nn.BatchNorm1d(3)
    kept = state_copy(net)
    assert same(kept, net.state_dict())
    net(torch.rand(4, 3))
    with torch.no_grad():
        net.weight.fill_(7)
    assert kept["weight"].tolist() == [1, 1, 1]
    assert kept["running_mean"].tolist() == [0, 0, 0]
    assert int(kept["num_batches_tracked"]) == 0


class Noted(nn.Module):
    def __init__(self):
        super().__init__()
        self.notes = []

    def get_extra_state(self):
        return self.notes

    def set_extra_state(self, state):
        self.notes = state


def test_extra_state_is_copied_too():
    net = Noted()
    kept = state_copy(net)
    net.notes.append(1)
    assert kept["_extra_state"] == []


@pytest.mark.parametrize("files", [False, True], ids=["memory", "files"])
def test_what_is_put_comes_back(files, tmp_path):
    store = WeightStore(tmp_path / "new" if files else None)
    state = {"weight": torch.rand(2, 2)}
    store.put("round-0", state)
    assert "round-0" in store
    assert "round-1" not in store
    assert same(store.get("round-0"), state)
    again = WeightStore(tmp_path / "new" if files else None)
    again.load_state_dict(store.state_dict())
    assert same(again.get("round-0"), state)
    store.clear()
    assert "round-0" not in store


def test_files_are_whole_and_keep_checkpoints_small(tmp_path):
    store = WeightStore(tmp_path)
    store.put("initial", {"weight": torch.rand(2)})
    store.put("initial", {"weight": torch.ones(2)})
    assert [path.name for path in tmp_path.iterdir()] == ["initial.pt"]
    assert store.get("initial")["weight"].tolist() == [1, 1]
    assert store.state_dict() == {"initial": None}


def test_one_process_writes_for_all(tmp_path):
    other, first = WeightStore(tmp_path), WeightStore(tmp_path)
    other.put("initial", {"weight": torch.ones(1)}, write=False)
    assert not list(tmp_path.iterdir())
    first.put("initial", {"weight": torch.ones(1)})
    assert other.get("initial")["weight"].tolist() == [1]


def test_a_checkpoint_that_held_weights_is_resumed_with_a_directory(tmp_path):
    memory, files = WeightStore(), WeightStore(tmp_path)
    memory.put("initial", {"weight": torch.ones(1)})
    files.load_state_dict(memory.state_dict())
    assert files.get("initial")["weight"].tolist() == [1]


def test_files_that_are_gone(tmp_path):
    store = WeightStore(tmp_path)
    store.put("round-1", {})
    (tmp_path / "round-1.pt").unlink()
    with pytest.raises(FileNotFoundError, match="but got no round-1.pt in it"):
        store.get("round-1")
    with pytest.raises(ValueError, match="Expected directory to be the one of the training that"):
        WeightStore().load_state_dict(store.state_dict())
