"""A recipe on a CUDA device, watched while it trains."""

import csv

import pytest
import torch

from captum_cluster.data import DigitScenes
from captum_cluster.evaluation import CamImageCallback, CamMetricsCallback
from captum_cluster.evaluation.recipes import open_sources
from captum_cluster.evaluation.recipes.course import Course
from tests.evaluation.recipes.tiny import IMAGES, train_tiny

ACCELERATOR = "gpu"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_recipe_that_is_watched(tmp_path, monkeypatch):
    scenes, prepared = DigitScenes(2, split="test"), open_sources("digits", limit=1).preparation
    watchers = [
        CamMetricsCallback(scenes, ["cam", "gradcam"], ["energy"], limit=2, preparation=prepared),
        CamImageCallback(scenes, ["cam"], limit=1, preparation=prepared),
    ]
    fit = Course.fit

    def watched(self, name, module, *, callbacks=(), **options):
        fit(self, name, module, callbacks=[*callbacks, *watchers], **options)

    monkeypatch.setattr(Course, "fit", watched)
    run = train_tiny(
        "sub-category", tmp_path, rounds=1, n_sub_categories=2, accelerator=ACCELERATOR
    )
    (log,) = (tmp_path / "training" / "logs").rglob("metrics.csv")
    rows = list(csv.DictReader(log.open()))
    for method in ("cam", "gradcam"):
        found = [float(row[f"cam/{method}/energy"]) for row in rows if row[f"cam/{method}/energy"]]
        assert len(found) == 2  # one for each epoch
        assert all(0 < value < 1 for value in found)
    assert list(log.parent.rglob("*.png"))
    assert run.report.maps.images == 3
    assert {one(IMAGES).device.type for one in run.networks.values()} == {"cpu"}
