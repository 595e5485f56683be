"""Masks of many images: what goes wrong, and what is refused."""

import pytest
import torch

from captum_cluster.data import DigitScenes
from captum_cluster.evaluation import read_masks
from tests.evaluation.weak_outputs.tiny import (
    masks,
    pictures,
    proposals,
    scene,
    sometimes,
)
from tests.helpers.trees import write_picture


def test_a_method_that_fails_at_once_stops_the_run(tmp_path):
    def broken(model, layer, image, target):
        raise RuntimeError("no svd")

    with pytest.raises(RuntimeError, match="^broken on a: no svd$"):
        masks(tmp_path, method=broken)


def test_a_method_that_fails_later_is_counted(tmp_path):
    run = masks(tmp_path, method=sometimes)
    assert (run.images, run.failed) == (2, ("c: RuntimeError: no svd",))
    assert read_masks(tmp_path).mask_of("c") is None
    with pytest.raises(RuntimeError, match="^sometimes on c: no svd$"):
        masks(tmp_path, method=sometimes, strict=True)


def not_finite(model, layer, image, target):
    """A map that is broken for two labels, in one pixel."""
    found = layer(image).mean(dim=1)
    found[:, 0, 0] = {3: torch.nan, 4: torch.inf}.get(target, 0.0)
    return found


def test_a_map_that_is_not_finite_is_a_failure(tmp_path):
    images = [scene("a", [1]), scene("b", [0, 3, 4]), scene("c", [4]), scene("d", [2])]
    run = masks(tmp_path / "out", images, method=not_finite)
    reason = "ValueError: Expected the map of each label to be finite, but got others for"
    assert run.failed == (f"b: {reason} 'elk' and 'emu'.", f"c: {reason} 'emu'.")
    assert (run.images, read_masks(tmp_path / "out").names()) == (2, ["a", "d"])
    with pytest.raises(ValueError, match="^not_finite on b: Expected the map of each label to be"):
        masks(tmp_path / "strict", images, method=not_finite, strict=True)
    found = proposals(tmp_path / "boxes", images, method=not_finite, boxes="component")
    assert found.failed == run.failed


def test_a_map_that_is_not_finite_at_once_stops_the_run(tmp_path):
    with pytest.raises(ValueError, match="^not_finite on a: .* finite, but got others for 'elk'"):
        masks(tmp_path, [scene("a", [3]), scene("b", [1])], method=not_finite)


def test_strict_stops_at_a_picture_that_cannot_be_read(tmp_path):
    with pytest.raises(ValueError, match="format that Pillow reads.*torn"):
        masks(tmp_path / "out", pictures(tmp_path / "in"), strict=True)


def test_two_scenes_of_one_name(tmp_path):
    with pytest.raises(ValueError, match="to have different names, but got 'a' for the images 0"):
        masks(tmp_path, [scene("a", [0]), scene("a", [1])])


@pytest.mark.parametrize("name", ["/a", "../a", "a//b", "a\\b", "a/../../b"])
def test_a_name_that_no_file_can_have(tmp_path, name):
    with pytest.raises(ValueError, match="name of a scene to be a relative path, which can name"):
        masks(tmp_path / "out", [scene(name, [0])])
    assert list(tmp_path.rglob("*.png")) == []


WRONG = {
    "format": ({"format": "jpg"}, ValueError, "format to be one of 'png', 'coco', but got 'jpg'"),
    "labels": ({"labels": "all"}, ValueError, "labels to be one of 'truth', 'predicted', 'top'"),
    "background": ({"background": 2}, ValueError, "background to be a number from 0 to 1, but g"),
    "power": ({"power": 0}, ValueError, "power to be a number above 0, but got 0"),
    "uncertain": ({"uncertain": 3}, ValueError, "uncertain to be a number from 0 to 1, but got 3"),
    "uncertain power": (
        {"power": 4, "uncertain": 0}, ValueError, "uncertain to be a number above 0, but got 0",
    ),
    "refine": ({"refine": "walk"}, ValueError, "refine to be 'random-walk' or 'crf', or objects"),
    "features": (
        {"walk_features": "all"}, ValueError, "walk_features to be one of 'none', 'layer', but",
    ),
    "features of nothing": (
        {"walk_features": "layer"}, ValueError, "walk_features to be 'none' where nothing is",
    ),
    "a function of nothing": (
        {"walk_features": len}, ValueError, "walk_features to be 'none' where nothing is refined",
    ),
    "no features": ({"walk_features": 3}, TypeError, "walk_features to be one of 'none', 'layer'"),
    "longest": ({"longest": 0}, ValueError, "longest to be an integer of at least 1, but got 0"),
    "limit": ({"limit": 0}, ValueError, "limit to be an integer of at least 1, but got 0"),
    "model": ({"model": "resnet18"}, TypeError, "model to be an nn.Module or a LoadedModel, but"),
    "classes": ({"classes": ["a"]}, ValueError, "classes to be the names of 5 labels, but got 1"),
    "no classes": ({"classes": "abcde"}, TypeError, "classes to be a list of names, but got 'abc"),
    "method": ({"method": "camm"}, ValueError, "method to be one of cluster-cam"),
    "images": ({"images": []}, ValueError, "the images to be at least one file or folder, but got"),
    "no images": ({"images": 3}, TypeError, "dataset to be a dataset with a length that gives"),
    "path": ({"images": "nowhere"}, FileNotFoundError, "IMAGE to be an existing file or folder"),
    "other labels": (
        {"images": DigitScenes(2)}, ValueError,
        "the dataset to have the model's 5 labels (or labels='top'), but got 10",
    ),
    "strict": ({"strict": 1}, TypeError, "strict to be True or False, but got 1"),
    "probability": (
        {"probability": "logit"}, ValueError, "probability to be one of 'probability', 'sigmoid'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(tmp_path, name):
    options, kind, message = WRONG[name]
    with pytest.raises(kind) as raised:
        masks(tmp_path / "out", **options)
    assert message in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_labels_of_pictures_are_not_known(tmp_path):
    write_picture(tmp_path / "a.png")
    with pytest.raises(ValueError, match="'predicted' or 'top' for pictures whose labels are not"):
        masks(tmp_path / "out", tmp_path / "a.png", labels="truth")


def test_a_model_that_gives_no_logits(tmp_path):
    with pytest.raises(ValueError, match=r"the model to give logits \(N,L\), but got a tensor of"):
        masks(tmp_path, model=torch.nn.Conv2d(3, 2, 1).eval())
