"""Segmentations against true masks: counts, means, intervals, the CRF, and the report of them."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from captum_cluster.data import DigitScenes, Preparation, Scene, SceneDataset
from captum_cluster.evaluation.recipes.segmentation_report import NOTHING, SegmentationReport
from captum_cluster.evaluation.recipes.segmentation_scores import (
    SegmentationScore,
    segment,
    segmentation_scores,
)
from captum_cluster.evaluation.reporting.resampling import Estimate
from captum_cluster.training import SegmentationNetwork
from captum_cluster.weak import DenseCRF
from tests.helpers.trainings import PLAIN


class Stripes(SceneDataset):
    """Grey images, or halves of two colours, whose right half is label 1 of two."""

    classes = ("left", "right")

    def __init__(self, length=3, *, grey=False, truth=True):
        self.length, self.grey, self.truth = length, grey, truth

    def __len__(self):
        return self.length

    def _scene(self, index):
        image = torch.full((3, 8, 8), 0.5)
        if not self.grey:
            image[:, :, 4:] = 1.0
        mask = torch.zeros(8, 8, dtype=torch.bool)
        mask[:, 4:] = True
        masks = {1: mask} if self.truth else None
        return Scene(image, torch.tensor([False, True]), masks, name=f"stripes-{index}")


class Brightness(nn.Module):
    """Says label 1 where the image is bright, and at some pixels by mistake."""

    def forward(self, images):
        bright = (images[:, :1] - 0.75) * 8
        bright[:, :, 2, 1] = 1.0  # not in the truth
        return torch.cat([torch.zeros_like(bright), bright - 9, bright], dim=1)


@pytest.fixture
def net():
    made = SegmentationNetwork(nn.Conv2d(3, 3, 1).requires_grad_(False), Brightness()).eval()
    with torch.no_grad():
        made.body.weight.copy_(torch.eye(3)[:, :, None, None])
        made.body.bias.zero_()
    return made


def test_counts_and_means_worked_out_by_hand(net):
    found = segment(net, Stripes(2), PLAIN)
    # Of 64 pixels 32 are right of the middle; one on the left is said to be, too.
    assert found.counts["network"][0]["intersection"].tolist() == [31, 0, 32]
    assert found.counts["network"][0]["predicted"].tolist() == [31, 0, 33]
    score = found.scores["network"]
    assert score.ious[0] == pytest.approx(31 / 32)
    assert math.isnan(score.ious[1])
    assert score.ious[2] == pytest.approx(32 / 33)
    assert score.mean_iou.estimate == pytest.approx((31 / 32 + 32 / 33) / 2)
    assert (score.mean_iou.low, score.mean_iou.high) == (score.mean_iou.estimate,) * 2


def test_the_crf_follows_the_edges_of_the_image(net):
    found = segment(net, Stripes(2), PLAIN, refine=DenseCRF(bilateral=(80.0, 3.0, 10.0)))
    refined = found.scores["network + CRF"]
    assert refined.mean_iou.estimate == 1
    assert refined.mean_iou.difference == pytest.approx(1 - (31 / 32 + 32 / 33) / 2)


@pytest.mark.parametrize("backend", ["torch", "auto"])
def test_the_crf_changes_nothing_on_a_constant_image(backend):
    net = SegmentationNetwork(nn.Identity(), nn.Conv2d(3, 3, 1))
    with torch.no_grad():
        for bias in ((1.0, 0.0, 0.0), (0.0, 0.0, 0.3)):
            net.parent_head.weight.zero_()
            net.parent_head.bias.copy_(torch.tensor(bias))
            found = segment(net, Stripes(1, grey=True), PLAIN, refine=DenseCRF(backend=backend))
            plain, refined = (found.masks[name][0] for name in ("network", "network + CRF"))
            assert torch.equal(plain, refined)
            assert plain.unique().tolist() == [int(np.argmax(bias))]


def test_uncertain_pixels_of_the_truth_do_not_count(net):
    class Uncertain(Stripes):
        def _scene(self, index):
            scene = super()._scene(index)
            ignore = torch.zeros(8, 8, dtype=torch.bool)
            ignore[2, 1] = True
            return Scene(scene.image, scene.labels, scene.masks, scene.name, ignore=ignore)

    assert segment(net, Uncertain(1), PLAIN).scores["network"].mean_iou.estimate == 1


def test_images_are_prepared(net):
    found = segment(net, Stripes(1), Preparation(16, mean=(0.0,) * 3, std=(1.0,) * 3))
    assert int(found.counts["network"][0]["true"].sum()) == 256
    assert found.scenes[0].size == (16, 16)
    assert found.masks["network"][0].shape == (16, 16)


def test_without_true_masks_there_is_something_to_see(net):
    found = segment(net, Stripes(9, truth=False), PLAIN, shown=2)
    assert found.images == 0
    assert found.scores == {}
    assert len(found.scenes) == len(found.masks["network"]) == 2


def test_images_with_true_masks_are_judged_and_shown(net):
    class Some(Stripes):
        def _scene(self, index):
            self.truth = index % 2 == 1
            return super()._scene(index)

    found = segment(net, Some(6), PLAIN, shown=2)
    assert found.images == 3
    assert [scene.name for scene in found.scenes] == ["stripes-1", "stripes-3"]


def test_the_mode_is_put_back(net):
    net.train()
    segment(net, Stripes(1), PLAIN)
    assert net.training


def sums(both, found, true):
    parts = {"intersection": both, "predicted": found, "true": true}
    return {name: torch.tensor(one) for name, one in parts.items()}


def test_intervals_and_differences_are_of_the_same_resamples():
    generator = torch.Generator().manual_seed(0)
    images = [
        sums([90, one], [100, one + 5], [95, 10])
        for one in torch.randint(0, 10, (40,), generator=generator).tolist()
    ]
    same = segmentation_scores({"network": images, "network + CRF": images})
    plain, refined = (score.mean_iou for score in same.values())
    assert plain.low < plain.estimate < plain.high
    assert math.isnan(plain.difference)
    assert (refined.difference, refined.difference_low, refined.difference_high) == (0, 0, 0)
    assert refined.p == 1
    better = [sums([95, 10], [95, 10], [95, 10])] * 40
    one = segmentation_scores({"network": images, "network + CRF": better})["network + CRF"]
    assert one.mean_iou.estimate == 1
    assert one.mean_iou.p < 0.01


def report(difference, *, images=30, p=0.001, **options):
    plain = Estimate(0.5, 0.45, 0.55, images)
    ends = difference - 0.01, difference + 0.01
    refined = Estimate(0.5 + difference, 0.5, 0.6, images, difference, *ends, p)
    scores = {
        "network": SegmentationScore(plain, [0.75, 0.25, math.nan]),
        "network + CRF": SegmentationScore(refined, [0.8, 0.3, math.nan]),
    }
    return SegmentationReport([("Seed", "<0>")], ["cat", "dog|s"], scores, **options)


@pytest.mark.parametrize(
    ("difference", "options", "sentence"),
    [
        (0.05, {}, "With the CRF: better, +5.0 points of mIoU (+4.0 to +6.0)."),
        (-0.05, {}, "With the CRF: worse, -5.0 points of mIoU (-6.0 to -4.0)."),
        (0.05, {"p": 0.2}, "With the CRF: no clear difference, +5.0 points of mIoU"),
        (0.05, {"images": 19}, "With the CRF: too few images, +5.0 points of mIoU"),
    ],
)
def test_the_verdict(difference, options, sentence):
    assert report(difference, **options).verdict.startswith(sentence)


def test_the_files(tmp_path):
    made = report(0.05, config={"recipe": "segmentation"})
    page = made.save(tmp_path).read_text()
    assert "&lt;0&gt;" in page
    assert "55.0 (50.0 to 60.0)" in page
    assert "http" not in page.replace("http-equiv", "")
    words = (tmp_path / "report.md").read_text()
    assert "| mIoU | 50.0 (45.0 to 55.0) | 55.0 (50.0 to 60.0) |" in words
    assert "| dog\\|s | - | - |" in words
    saved = json.loads((tmp_path / "report.json").read_text())
    assert saved["segmentation"]["network"]["iou"] == {
        "background": 0.75,
        "cat": 0.25,
        "dog|s": None,
    }
    assert saved["segmentation"]["network"]["mean_iou"]["difference"] is None
    assert saved["segmentation"]["network + CRF"]["mean_iou"]["difference"] == 0.05


def test_the_table_for_a_terminal():
    lines = report(0.05).table().splitlines()
    assert lines[0].split() == ["network", "network", "+", "CRF"]
    assert lines[2].split() == ["background", "75.0", "80.0"]
    assert lines[-1].startswith("With the CRF: better")
    assert SegmentationReport([], ["cat"], {}).table() == NOTHING


def test_digit_scenes_have_true_masks():
    found = segment(SegmentationNetwork(nn.Identity(), nn.Conv2d(3, 11, 1)), DigitScenes(3), PLAIN)
    assert found.images == 3
    assert int(sum(one["true"].sum() for one in found.counts["network"])) == 3 * 64 * 64
