"""Names, numbers, sizes and sums of which runs are made."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from captum_cluster.evaluation import read_masks
from captum_cluster.evaluation.running.records import decode_sum, encode_sums
from captum_cluster.evaluation.weak_outputs.explaining import different
from captum_cluster.evaluation.weak_outputs.label_boxes import enlarged
from captum_cluster.evaluation.weak_outputs.label_masks import (
    UNCERTAIN,
    MaskSettings,
    limited,
    mask_sums,
    resized,
)
from captum_cluster.evaluation.weak_outputs.numbering import Numbers, mask_file
from captum_cluster.weak import Proposal
from tests.evaluation.weak_outputs.tiny import masks, scene


def test_imagenets_names_become_different():
    from captum_cluster.data import imagenet_names

    names = different(imagenet_names())
    assert len(set(names)) == 1000
    assert names[134], names[517] == ("crane (134)", "crane (517)")
    assert names[0] == "tench"
    assert different(["a (0)", "a", "a (0)"]) != ["a (0)", "a", "a (0)"]
    assert len(set(different(["a", "a", "a (0)"]))) == 3


def test_few_labels_keep_their_numbers():
    numbers = Numbers(["a"] * 254)
    assert not numbers.add([253, 0])
    assert numbers.of(torch.tensor([[0, 1, 254, UNCERTAIN]])).tolist() == [[0, 1, 254, 255]]


def test_the_numbers_of_many_labels_go_on_where_they_were():
    numbers = Numbers(["a"] * 255)
    assert numbers.add([254, 7])
    again = Numbers(["a"] * 255)
    again.add([254, 7])
    again.add([0])
    assert again.labels == [254, 7, 0]
    assert again.of(torch.tensor([[255, 8, 1, 2]])).tolist() == [[1, 2, 3, 0]]


def test_files_of_masks():
    assert mask_file(Path("d"), "a.png") == Path("d/masks/a.png.png")
    assert mask_file(Path("d"), "x/y z") == Path("d/masks/x/y z.png")


@pytest.mark.parametrize(
    ("size", "longest", "found"),
    [
        ((10, 20), 20, (10, 20)),
        ((20, 10), 5, (5, 2)),
        ((1, 1000), 10, (1, 10)),
        ((3, 2), 1, (1, 1)),
    ],
)
def test_limited_sizes(size, longest, found):
    assert limited(size, longest) == found


def test_refinement_alone_makes_pictures_smaller():
    large = (3000, 4000)
    assert MaskSettings().size(large) == large
    assert MaskSettings(refine="crf").size(large) == (384, 512)
    assert MaskSettings(refine="crf", longest=5000).size(large) == large
    assert MaskSettings(longest=400).size(large) == (300, 400)


def test_resized_pictures_stay_in_range():
    image = torch.zeros(3, 8, 8)
    image[:, ::2] = 1.0
    small = resized(image, (4, 4))
    assert small.shape == (3, 4, 4)
    assert float(small.min()) >= 0
    assert float(small.max()) <= 1
    assert resized(image, (8, 8)) is image


def test_boxes_hold_all_that_they_touch_in_the_larger_picture():
    one = Proposal(3, (0, 0, 3, 3), 0.5, peak=(1, 1))
    assert enlarged(one, (3, 3), (3, 3)) is one
    assert enlarged(one, (3, 3), (10, 8)) == Proposal(3, (0, 0, 8, 10), 0.5, peak=(5, 4))
    assert enlarged(Proposal(3, (1, 2, 2, 3), 0.5), (3, 3), (10, 8)).box == (2, 6, 6, 10)


def test_sums_survive_their_encoding():
    sums = {"a": torch.tensor([0, 3, 0]), "b": torch.zeros(2, dtype=torch.int64)}
    sums |= {"c": torch.tensor(2), "d": torch.tensor([0.5, 0.0], dtype=torch.float64)}
    text = json.loads(json.dumps(encode_sums(sums)))
    for name, value in sums.items():
        assert decode_sum(text[name]).tolist() == value.tolist()


def test_true_pixels_that_are_ignored_or_not_known():
    one = scene("a", [1])
    mask = torch.zeros(one.size, dtype=torch.int64)
    mask[0] = UNCERTAIN
    (sums,) = mask_sums(one, [mask], 5)
    assert (int(sums["true"].sum()), int(sums["predicted"].sum())) == (20 * 30, 19 * 30)
    assert sums["true"].tolist() == [16 * 30, 0, 4 * 30, 0, 0, 0]
    assert sums["intersection"].tolist() == [15 * 30, 0, 0, 0, 0, 0]
    ignored = torch.zeros(one.size, dtype=torch.bool)
    ignored[:2] = True
    (known,) = mask_sums(dataclasses.replace(one, ignore=ignored), [mask], 5)
    assert (int(known["true"].sum()), int(known["predicted"].sum())) == (18 * 30, 18 * 30)
    assert mask_sums(one, [mask], 4) == []
    assert mask_sums(type(one)(one.image, one.labels), [mask], 5) == []


def test_a_directory_without_masks(tmp_path):
    with pytest.raises(FileNotFoundError, match="one that captum-cluster masks wrote PNG files to"):
        read_masks(tmp_path)
    (tmp_path / "classes.json").write_text('{"classes": 3}')
    with pytest.raises(ValueError, match=r"classes\.json to be a table of classes, but got"):
        read_masks(tmp_path)


def test_masks_that_are_read(tmp_path):
    masks(tmp_path)
    found = read_masks(str(tmp_path))
    assert found.config is None  # of the command alone
    assert found.uncertain == 255
    mask = found.mask_of("folder/b")
    assert (mask.dtype, tuple(mask.shape)) == (torch.int64, (9, 7))
    assert found.mask_of("b") is None
    with pytest.raises(ValueError, match="relative path, which can name the scene's mask"):
        found.mask_of("../a")
    (tmp_path / "masks" / "a.png").write_bytes(b"torn")
    with pytest.raises(ValueError, match=r"a\.png"):
        found.mask_of("a")
