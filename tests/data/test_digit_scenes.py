import pickle
import random

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader

from captum_cluster.data import DigitScenes, collate_scenes, digit_scenes

COUNT = 300


@pytest.fixture(scope="module")
def scenes():
    return list(DigitScenes(COUNT))


def same(first, second):
    parts = ("image", "labels", "masks")
    return first.name == second.name and all(
        torch.equal(getattr(first, part), getattr(second, part)) for part in parts
    )


def boxes_of(scene):
    return [box for label in scene.present for box in scene.boxes_of(label)]


def ground_of(seed, split, number, size):
    # The ground is the first thing a scene draws.
    rng = np.random.default_rng([seed, digit_scenes.SPLITS.index(split), number])
    return digit_scenes._ground(rng, size)


@pytest.mark.parametrize("size", [48, 64, 101])
def test_masks_are_exactly_the_pixels_that_the_digits_changed(size):
    dataset = DigitScenes(20, split="test", size=size, seed=3)
    for number, scene in enumerate(dataset):
        changed = (scene.image != ground_of(3, "test", number, size)).any(dim=0)
        assert torch.equal(scene.masks.any(dim=0), changed)


def test_each_mask_is_one_digit_scaled_to_its_box(scenes):
    # The mask, shrunk to the size of the original's ink, is an 8 x 8 digit of that class.
    source = load_digits()
    stretched = torch.stack([_stretched(ink) for ink in torch.from_numpy(source.images / 16)])
    nearest = []
    for scene in scenes[:60]:
        for label in scene.present:
            ((x0, y0, x1, y1),) = scene.boxes_of(label)
            crop = scene.masks[label, y0:y1, x0:x1].float()[None, None]
            small = torch.nn.functional.interpolate(crop, size=(8, 8), mode="area")[0, 0]
            distance = (stretched - small).square().sum(dim=(1, 2))
            nearest.append(int(source.target[int(distance.argmin())]) == label)
    assert np.mean(nearest) > 0.9


def _stretched(digit):
    rows, columns = torch.nonzero(digit > 0.3).T
    cut = digit[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    shape = {"size": (8, 8), "mode": "bilinear", "align_corners": False}
    return torch.nn.functional.interpolate(cut[None, None], **shape)[0, 0]


def test_digits_do_not_overlap_or_touch(scenes):
    for scene in scenes:
        boxes = torch.zeros(64, 64, dtype=torch.long)
        for x0, y0, x1, y1 in boxes_of(scene):
            boxes[max(y0 - 1, 0) : y1 + 1, max(x0 - 1, 0) : x1 + 1] += 1
        assert int(boxes.max()) == 1


def test_labels_are_those_with_pixels(scenes):
    for scene in scenes:
        assert torch.equal(scene.labels, scene.masks.flatten(1).any(dim=1))
        assert scene.masks[scene.labels].flatten(1).sum(dim=1).min() >= 20


def test_statistics(scenes):
    labels = torch.stack([scene.labels for scene in scenes]).float()
    counts = labels.sum(dim=1)
    assert set(counts.tolist()) == {1, 2, 3, 4}
    assert abs(float(counts.mean()) - 2.5) < 0.25
    assert float((labels.mean(dim=0) - 0.25).abs().max()) < 0.1
    heights = torch.tensor([y1 - y0 for scene in scenes for _, y0, _, y1 in boxes_of(scene)])
    assert 12 <= int(heights.min()) < 20 < 26 < int(heights.max()) <= 64 // 2
    middles = [((x0 + x1) / 2, (y0 + y1) / 2) for s in scenes for x0, y0, x1, y1 in boxes_of(s)]
    assert (torch.tensor(middles).mean(dim=0) - 32).abs().max() < 3


def test_digits_stand_out_from_the_ground(scenes):
    for number, scene in enumerate(scenes):
        ground = digit_scenes._luminance(ground_of(0, "train", number, 64)).mean()
        luminance = digit_scenes._luminance(scene.image)
        for label in scene.present:
            # The median: pixels at the border of the ink are a blend.
            assert abs(float(luminance[scene.masks[label]].median() - ground)) > 0.2


def test_splits_share_no_digit_and_are_stratified():
    train, test = (digit_scenes._digits(split) for split in digit_scenes.SPLITS)
    numbers = torch.cat([train[2], test[2]])
    assert torch.equal(numbers.sort().values, torch.arange(1797))
    shares = test[1].bincount() / (train[1].bincount() + test[1].bincount())
    assert float((shares - 1 / 3).abs().max()) < 0.01
    source = load_digits()
    for ink, classes, chosen in (train, test):
        np.testing.assert_array_equal(classes.numpy(), source.target[chosen.numpy()])
        np.testing.assert_allclose(ink.numpy() * 16, source.images[chosen.numpy()])


@pytest.mark.parametrize("split", digit_scenes.SPLITS)
def test_scenes_use_the_digits_of_their_split_alone(split, monkeypatch):
    used = []
    enlarge = digit_scenes._enlarge
    monkeypatch.setattr(digit_scenes, "_enlarge", lambda *a: used.append(a[0]) or enlarge(*a))
    list(DigitScenes(30, split=split))
    allowed = {tuple(ink.flatten().tolist()) for ink in digit_scenes._digits(split)[0]}
    assert used
    assert all(tuple(ink.flatten().tolist()) in allowed for ink in used)


def test_a_scene_depends_on_its_number_alone():
    dataset = DigitScenes(6, seed=5)
    forwards = [dataset[number] for number in range(6)]
    torch.manual_seed(1)
    np.random.seed(1)
    other = DigitScenes(100, seed=5)
    for number in reversed(range(6)):
        assert same(other[number], forwards[number])
    assert same(dataset[-1], forwards[5])


def test_seed_split_and_number_each_change_the_scene():
    first = DigitScenes(2)[0]
    for other in (DigitScenes(2)[1], DigitScenes(2, seed=1)[0], DigitScenes(2, split="test")[0]):
        assert not torch.equal(first.image, other.image)
        assert first.name != other.name


def test_global_random_state_is_untouched():
    digit_scenes._digits.cache_clear()
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    list(DigitScenes(5))
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])
    assert random.getstate() == before[2]


def test_changing_a_scene_leaves_the_next_as_it_was():
    dataset = DigitScenes(2)
    first = dataset[0]
    expected = first.image.clone()
    first.image.zero_()
    assert torch.equal(dataset[0].image, expected)


def test_pickles_small_and_loads_in_workers():
    dataset = DigitScenes(9, split="test", seed=2)
    text = pickle.dumps(dataset)
    assert len(text) < 1000
    assert same(pickle.loads(text)[4], dataset[4])
    loader = DataLoader(dataset, 4, collate_fn=collate_scenes, num_workers=2)
    images = torch.cat([images for images, _, _ in loader])
    assert torch.equal(images, torch.stack([scene.image for scene in dataset]))


@pytest.mark.parametrize("most", [1, 2])
def test_max_digits(most):
    counts = {len(scene.present) for scene in DigitScenes(30, max_digits=most)}
    assert counts == set(range(1, most + 1))


def test_length_and_the_end_of_iteration():
    assert len(DigitScenes(3)) == len(list(DigitScenes(3))) == 3
    assert list(DigitScenes(0)) == []
    for index in (3, -4):
        with pytest.raises(IndexError, match=f"within the 3 scenes, but got {index}"):
            DigitScenes(3)[index]
    with pytest.raises(IndexError, match="but got 0"):
        DigitScenes(0)[0]
    for index in ("0", 1.0, True):
        with pytest.raises(TypeError, match="Expected index to be an integer"):
            DigitScenes(3)[index]
    assert same(DigitScenes(3)[np.int64(1)], DigitScenes(3)[1])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"length": -1}, ValueError, "length to be an integer of at least 0, but got -1"),
        ({"length": 2.0}, TypeError, "length to be an integer"),
        ({"size": 47}, ValueError, "size to be an integer of at least 48, but got 47"),
        ({"max_digits": 0}, ValueError, "max_digits to be an integer from 1 to 4, but got 0"),
        ({"max_digits": 5}, ValueError, "max_digits to be an integer from 1 to 4, but got 5"),
        ({"seed": -1}, ValueError, "seed to be an integer of at least 0, but got -1"),
        ({"split": "val"}, ValueError, "split to be one of 'train', 'test', but got 'val'"),
        ({"split": 1}, TypeError, "split to be one of"),
    ],
)
def test_bad_arguments(options, error, message):
    with pytest.raises(error, match=message):
        DigitScenes(**({"length": 4} | options))
