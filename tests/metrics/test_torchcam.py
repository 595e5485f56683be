"""Our classes against torchcam's metrics on the same maps, where the definitions agree.

torchcam adds 1e-7 to the probability it divides by. Its step of deletion and insertion is the
pixels over the number of steps, rounded up.
"""

import contextlib
import functools

import pytest
import torch

from captum_cluster.functional.attribution.masks import saliency
from captum_cluster.functional.metrics import deletion_insertion, perturbation_steps
from captum_cluster.metrics import AverageDrop, Deletion, IncreaseInConfidence, Insertion, Overall
from tests.helpers.nets import SmallNet, images

torchcam = pytest.importorskip("torchcam.metrics")

SOFTMAX = functools.partial(torch.softmax, dim=-1)
LABELS = [3, 0, 4, 1]


class Given:
    """Stands for one of torchcam's extractors; the maps are given."""

    def __init__(self, model, maps):
        self.model, self.maps = model, maps

    def __call__(self, class_idx=None, scores=None, normalized=True, **_):
        return [self.maps]

    def fuse_cams(self, cams):
        return cams[0]

    def _hooks_off(self):
        return contextlib.nullcontext()


@pytest.fixture
def net():
    return SmallNet().double().eval()


@pytest.fixture
def batches():
    """Two batches of images and saliency maps at their size."""
    pictures = images(8, size=(16, 12), seed=4)
    maps = saliency(images(8, 1, (5, 4), seed=9)[:, 0], (16, 12))
    return list(zip(pictures.split(4), maps.split(4), strict=True))


def test_average_drop_and_increase(net, batches):
    drop, increase = AverageDrop(), IncreaseInConfidence()
    theirs = torchcam.ClassificationMetric(Given(net, None), SOFTMAX)
    for pictures, maps in batches:
        theirs.cam_extractor.maps = maps
        theirs.update(pictures, LABELS)
        with torch.no_grad():
            original, masked = (
                net(shown).softmax(dim=1)[range(4), LABELS]
                for shown in (pictures, pictures * maps[:, None])
            )
        drop.update(original, masked)
        increase.update(original, masked)
    summary = theirs.summary()
    assert 0 < summary["conf_increase"] < 1
    assert float(drop.compute()) == pytest.approx(summary["avg_drop"], abs=1e-6)
    assert float(increase.compute()) == summary["conf_increase"]


@pytest.mark.parametrize("baseline", [None, 0.4])
def test_deletion_and_insertion(net, batches, baseline):
    steps = perturbation_steps(16, 12, step=28)  # a last, smaller step
    fill = None if baseline is None else torch.tensor(baseline, dtype=torch.float64)
    theirs = torchcam.DeletionInsertionMetric(Given(net, None), SOFTMAX, steps=7, baseline=fill)
    ours = Deletion(), Insertion(), Overall()
    for pictures, maps in batches:
        theirs.cam_extractor.maps = maps
        theirs.update(pictures, LABELS)
        curves = deletion_insertion(
            lambda shown: net(shown).softmax(dim=1), pictures, maps, LABELS, 28, baseline
        )
        for metric, shown in zip(ours, (curves[:1], curves[1:], curves), strict=True):
            metric.update(*shown, steps=steps)
    summary = theirs.summary()
    deletion, insertion, overall = (float(metric.compute()) for metric in ours)
    assert deletion == pytest.approx(summary["deletion_auc"], abs=1e-6)
    assert insertion == pytest.approx(summary["insertion_auc"], abs=1e-6)
    assert overall == pytest.approx(insertion - deletion, abs=1e-12)
