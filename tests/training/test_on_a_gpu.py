"""Trainings on a CUDA device: what is told apart by the epoch, the part or the device."""

import pytest
import torch

from captum_cluster import LayerMultiLevelCam, MinMaxTarget, MultiLevelCAM
from captum_cluster.training import MultiLevelNetwork, TrainingSettings, TwoBranch
from captum_cluster.training.callbacks import EpochSeed
from captum_cluster.training.modules import LitCamClassifier, LitTwoBranch
from tests.helpers.trainings import LABELS, Blobs, discovery, scene_data, tiny_network, trainer

ACCELERATOR, DEVICE = "gpu", "cuda"

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

# Not Adam, which divides by the gradients: those before a batch normalisation are rounding alone.
SETTINGS = {"optimizer": "sgd", "lr": 0.05, "schedule": "constant"}


def train(module, epochs, *callbacks, folder=None, checkpoint=None):
    made = trainer(epochs, EpochSeed(1), *callbacks, folder=folder, accelerator=ACCELERATOR)
    assert made.strategy.root_device.type == DEVICE
    made.fit(module, scene_data(), ckpt_path=checkpoint)
    return module


def assert_near(first, second):
    """Equal but for the order in which a GPU adds."""
    first, second = first.state_dict(), second.state_dict()
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=1e-3, atol=1e-4)


def test_sub_categories_and_their_resume(tmp_path):
    def run(**options):
        module, callback = LitCamClassifier(tiny_network(), TrainingSettings(**SETTINGS)), found()
        return train(module, 6, callback, **options), callback

    def found():
        return discovery(n_sub_categories=2)

    whole, callback = run(folder=tmp_path)
    resumed, second = run(checkpoint=tmp_path / "epoch=4.ckpt")
    for number in (1, 2):
        assignments = callback.round_assignments(number)
        assert assignments.max() == 1
        assert torch.equal(second.round_assignments(number), assignments)
    assert_near(resumed, whole)
    start = torch.load(tmp_path / "epoch=4.ckpt", map_location="cpu")["state_dict"]
    weight = "network.parent_head.weight"
    assert (start[weight] - whole.state_dict()[weight].cpu()).abs().max() > 1e-3


def test_the_head_first_and_the_best_weights_put_back(tmp_path):
    options = {"head_epochs": 2, "head_lr": 0.5, "top_share": 0.5, "momentum": 0.9}
    options |= {"restore_best": True, "patience": 1, "early_stop": 3}
    settings = TrainingSettings(**SETTINGS, epochs=4, **options)

    def run(**given):
        return train(LitCamClassifier(tiny_network(), settings), 4, **given)

    whole, before = run(folder=tmp_path), tiny_network().state_dict()
    changed = {
        name for name, value in whole.network.state_dict().items()
        if not torch.equal(value.cpu(), before[name])
    }  # fmt: skip
    assert changed == {f"{part}.{kind}" for part in ("body.3", "parent_head")
                       for kind in ("weight", "bias")}  # fmt: skip
    for epoch in (1, 2):
        assert_near(run(checkpoint=tmp_path / f"epoch={epoch}.ckpt"), whole)


def test_two_branches_and_multi_level_cam_in_both_faces():
    def branches(labels):
        seeds = iter((0, 1))
        return TwoBranch(lambda: tiny_network(labels, seed=next(seeds)), labels)

    base = train(LitTwoBranch(branches(LABELS), TrainingSettings(**SETTINGS)), 2).network
    network = MultiLevelNetwork(base, [branches(2)], [torch.tensor([0, 0, 1, 1])])
    network, present = network.double().eval(), [[0, 1], [0, 2]]
    images = torch.stack([Blobs()[number].image for number in (1, 2)]).double()
    maps = {}
    for device in ("cpu", DEVICE):
        network, images = network.to(device), images.to(device)
        cam = LayerMultiLevelCam(network, network.explained_layers)
        maps[device] = cam.attribute(images, 0, labels=present)
        assert maps[device].device.type == device
        other = MultiLevelCAM(network, network.explained_layers)
        other(images, [MinMaxTarget(0, labels) for labels in present])
        torch.testing.assert_close(other.results[0].maps, maps[device])
    assert maps["cpu"].amax(dim=(1, 2, 3)).tolist() == [1, 1]
    torch.testing.assert_close(maps[DEVICE].cpu(), maps["cpu"])
