import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms._presets import ImageClassification
from torchvision.transforms.functional import to_tensor

from captum_cluster.data import Preparation, Scene

RED = torch.tensor([1.0, 0.0, 0.0])[:, None, None]


def coloured(height, width, sparse=False):
    """A black scene with a red rectangle, which everything that is annotated marks."""
    mask = torch.zeros(height, width, dtype=torch.bool)
    y0, y1, x0, x1 = height // 4, 3 * height // 4, width // 3, 2 * width // 3
    mask[y0:y1, x0:x1] = True
    masks = torch.stack([torch.zeros_like(mask), mask])
    return Scene(
        mask * RED,
        torch.tensor([False, True]),
        {1: mask} if sparse else masks,
        name="red",
        boxes=[(1, x0, y0, x1, y1)],
        ignore=~mask,
        objects=torch.stack([mask, mask]),
    )


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("size", [(60, 60), (90, 60), (61, 97), (30, 41), (200, 150)])
@pytest.mark.parametrize("mode", ["squash", "center-crop", "none"])
def test_image_and_ground_truth_stay_aligned(mode, size, sparse):
    preparation = Preparation(size=60, mode=mode, resize=70)
    scene = preparation.prepare(coloured(*size, sparse=sparse))
    assert scene.size == (size if mode == "none" else (60, 60))
    mask = scene.mask(1)
    assert torch.equal(scene.image[0] > 0.5, mask) or _differ_at_borders(scene.image[0], mask)
    assert torch.equal(scene.ignore, ~mask)
    assert torch.equal(scene.objects, torch.stack([mask, mask]))
    assert not scene.mask(0).any()
    (box,) = scene.boxes_of(1)
    x0, y0, x1, y1 = Scene(scene.image, scene.labels, scene.masks).boxes_of(1)[0]
    assert np.allclose(box, (x0, y0, x1, y1), atol=0.75 if mode != "none" else 0)
    assert scene.name == "red"


def _differ_at_borders(red, mask):
    """Whether red and mask differ only where the resized edge is half red."""
    different = (red > 0.5) != mask
    return bool(((red > 0.3) & (red < 0.7))[different].all())


@pytest.mark.parametrize("mode", ["squash", "center-crop", "none"])
def test_masks_are_resized_by_the_nearest_centre(mode):
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(9, 13, generator=generator) > 0.5
    scene = Scene(torch.zeros(3, 9, 13), torch.tensor([True]), mask[None])
    prepared = Preparation(size=8, mode=mode, resize=11).prepare(scene).mask(0)
    high, wide = {"squash": (8, 8), "center-crop": (11, 15), "none": (9, 13)}[mode]
    top, left = {"squash": (0, 0), "center-crop": (2, 4), "none": (0, 0)}[mode]
    for row in range(prepared.shape[0]):
        for column in range(prepared.shape[1]):
            y = int((row + top + 0.5) * 9 / high)
            x = int((column + left + 0.5) * 13 / wide)
            assert prepared[row, column] == mask[y, x]


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(300, 400), (41, 37), (33, 33), (40, 40), (32, 32), (500, 33)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_the_image_is_that_of_torchvisions_preset(size, interpolation):
    preset = ImageClassification(
        crop_size=32,
        resize_size=40,
        interpolation=InterpolationMode(interpolation),
        mean=(0.1, 0.2, 0.3),
        std=(0.4, 0.5, 0.6),
    )
    preparation = Preparation.from_transform(preset)
    picture = Image.fromarray(noise(*size))
    scene = Scene(to_tensor(picture), torch.tensor([True]))
    ours = preparation.normalize(preparation.prepare(scene).image)
    assert (ours - preset(picture)).abs().max() < 1e-5


def test_a_scene_of_the_right_size_is_not_touched():
    image = torch.rand(3, 32, 32)
    scene = Scene(image, torch.tensor([True]))
    assert Preparation(size=32).prepare(scene) is scene
    assert Preparation(mode="none").prepare(scene) is scene
    cut = Preparation(size=20, mode="center-crop", resize=32).prepare(scene)
    assert torch.equal(cut.image, image[:, 6:26, 6:26])


def test_values_between_8_bit_steps_are_rounded():
    image = torch.full((3, 8, 8), 100.6 / 255)
    resized = Preparation(size=4).prepare(Scene(image, torch.tensor([True]))).image
    assert torch.allclose(resized, torch.full((3, 4, 4), 101 / 255))


def test_boxes_are_scaled_shifted_and_clipped():
    boxes = [(0, 0, 0, 4, 20), (0, 5, 0, 20, 10), (0, 10, 5, 30, 15), (0, 36, 0, 40, 20)]
    scene = Scene(torch.zeros(3, 20, 40), torch.tensor([True]), boxes=boxes)
    squashed = Preparation(size=10).prepare(scene)
    assert squashed.boxes == (
        (0, 0.0, 0.0, 1.0, 10.0),
        (0, 1.25, 0.0, 5.0, 5.0),
        (0, 2.5, 2.5, 7.5, 7.5),
        (0, 9.0, 0.0, 10.0, 10.0),
    )
    # Resized to 10 x 20, of which columns 5 to 15 and all rows are kept: the first and the last
    # box (columns 0 to 2, 18 to 20) are gone.
    cut = Preparation(size=10, mode="center-crop", resize=10).prepare(scene)
    assert cut.boxes == ((0, 0.0, 0.0, 5.0, 5.0), (0, 0.0, 2.5, 10.0, 7.5))
    assert Preparation(size=10).prepare(Scene(scene.image, scene.labels)).boxes is None


def test_a_label_that_is_cut_away_stays_present_without_a_place():
    mask = torch.zeros(1, 10, 30, dtype=torch.bool)
    mask[0, :, :3] = True
    scene = Scene(
        torch.zeros(3, 10, 30), torch.tensor([True]), mask, boxes=[(0, 0, 0, 3, 10)], objects=mask
    )
    cut = Preparation(size=10, mode="center-crop", resize=10).prepare(scene)
    assert cut.present == [0]
    assert cut.region(0) is None
    assert cut.boxes == ()
    assert cut.objects.shape == (0, 10, 10)


def test_no_object_and_no_label_stay_none():
    none = torch.zeros(0, 10, 30, dtype=torch.bool)
    scene = Scene(torch.zeros(3, 10, 30), torch.zeros(0).bool(), none, objects=none)
    prepared = Preparation(size=5).prepare(scene)
    assert prepared.masks.shape == prepared.objects.shape == (0, 5, 5)


def test_the_scene_is_not_modified():
    scene = coloured(30, 40)
    before = scene.image.clone(), scene.masks.clone(), scene.boxes
    prepared = Preparation(size=20, mode="center-crop", resize=30).prepare(scene)
    prepared.image.zero_()
    prepared.masks.zero_()
    assert torch.equal(scene.image, before[0])
    assert torch.equal(scene.masks, before[1])
    assert scene.boxes == before[2]


def test_normalize_of_one_and_of_many():
    preparation = Preparation(mean=(0.5, 0.25, 0.0), std=(0.5, 1.0, 2.0))
    image = torch.ones(3, 2, 2, dtype=torch.float64)
    normal = preparation.normalize(image)
    assert normal[:, 0, 0].tolist() == [1.0, 0.75, 0.5]
    assert normal.dtype == torch.float64
    assert torch.equal(preparation.normalize(image[None])[0], normal)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"size": 0}, ValueError, "size to be an integer of at least 1, but got 0"),
        ({"size": 2.5}, TypeError, "size to be an integer"),
        ({"mode": "pad"}, ValueError, "mode to be one of 'squash', 'center-crop', 'none', but got"),
        (
            {"mode": "center-crop", "resize": 100},
            ValueError,
            r"resize to be at least the size \(224\), but got 100",
        ),
        ({"mean": (0, 0)}, ValueError, "mean to be three numbers, but got 2"),
        ({"mean": 0.5}, TypeError, "mean to be three numbers, but got 0.5"),
        ({"std": (1, 1, 0)}, ValueError, "std to be a number above 0, but got 0"),
        ({"interpolation": "nearest"}, ValueError, "one of 'bilinear', 'bicubic', but got 'near"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        Preparation(**options)


def test_bad_transforms():
    with pytest.raises(TypeError, match="an ImageClassification preset of torchvision, but got in"):
        Preparation.from_transform(3)
    preset = ImageClassification(crop_size=32, interpolation=InterpolationMode.LANCZOS)
    with pytest.raises(ValueError, match="'bilinear', 'bicubic', but got 'lanczos'"):
        Preparation.from_transform(preset)
    preset.crop_size = [32, 20]
    with pytest.raises(ValueError, match=r"to give a square, but got the size \[32, 20\]"):
        Preparation.from_transform(preset)
