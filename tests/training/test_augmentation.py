"""Random changes of images: what they do, how often, and that they are an image's own."""

import pytest
import torch
import torch.nn.functional as F

from captum_cluster.training import Augmentation


def drawn(seed):
    return torch.Generator().manual_seed(seed)


IMAGE = torch.rand(3, 12, 10, generator=drawn(99))


def test_without_options_nothing_is_changed_and_nothing_drawn():
    generator = drawn(0)
    before = generator.get_state()
    assert Augmentation()(IMAGE, generator) is IMAGE
    assert torch.equal(generator.get_state(), before)
    assert not Augmentation()


def test_half_of_the_images_are_mirrored():
    flip = Augmentation(flip=True)
    found = [flip(IMAGE, drawn(seed)) for seed in range(200)]
    mirrored = [torch.equal(image, IMAGE.flip(-1)) for image in found]
    same = [torch.equal(image, IMAGE) for image in found]
    assert all(one != other for one, other in zip(mirrored, same, strict=True))
    assert 70 < sum(mirrored) < 130


def test_a_window_is_one_of_the_image_enlarged():
    window = Augmentation(scale=(0.5, 0.5))
    found = window(IMAGE, drawn(3))
    crops = [
        F.interpolate(IMAGE[None, :, top : top + 6, left : left + 5], (12, 10), mode="bilinear")[0]
        for top in range(7)
        for left in range(6)
    ]
    assert sum(torch.allclose(found, crop) for crop in crops) == 1


def test_windows_lie_anywhere_and_have_any_size():
    window = Augmentation(scale=(0.3, 1.0))
    ramp = torch.arange(16.0).expand(3, 16, 16) / 15
    sizes = [window(ramp, drawn(seed)) for seed in range(60)]
    spans = torch.tensor([float(one.max() - one.min()) for one in sizes])
    assert spans.min() < 0.4
    assert spans.max() > 0.9
    assert {float(one.min()) > 0.3 for one in sizes} == {True, False}


def test_colours_change_within_their_range():
    grey = torch.full((3, 4, 4), 0.5)
    found = [float(Augmentation(jitter=0.2)(grey, drawn(seed)).mean()) for seed in range(100)]
    # contrast and saturation leave a grey image as it is
    assert 0.4 - 1e-6 <= min(found) < 0.42
    assert 0.58 < max(found) <= 0.6 + 1e-6


def test_contrast_and_saturation_are_changed_too():
    image = Augmentation(jitter=0.5)(IMAGE, drawn(2))
    ratio = image / IMAGE
    assert ratio.std() > 0.01
    assert (image.mean(0) - image).std() != pytest.approx(float((IMAGE.mean(0) - IMAGE).std()))
    assert image.min() >= 0
    assert image.max() <= 1


def test_equal_generators_give_equal_images_and_the_input_stays():
    changes, before = Augmentation(flip=True, scale=(0.4, 1), jitter=0.4), IMAGE.clone()
    first, second, other = (changes(IMAGE, drawn(seed)) for seed in (5, 5, 6))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(IMAGE, before)
    assert first.shape == IMAGE.shape


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"flip": 1}, TypeError, "Expected flip to be True or False, but got 1."),
        ({"jitter": 2}, ValueError, "Expected jitter to be a number from 0 to 1, but got 2."),
        ({"scale": 0.5}, TypeError, "Expected scale to be two numbers, but got 0.5."),
        ({"scale": (0, 1)}, ValueError, "scale[0] to be a number above 0 and at most 1"),
        ({"scale": (0.5, 2)}, ValueError, "scale[1] to be a number above 0 and at most 1"),
        ({"scale": (1, 0.5)}, ValueError, "the smaller share first, but got (1, 0.5)."),
    ],
    ids=["flip", "jitter", "scale", "low", "high", "order"],
)
def test_bad_options(options, error, message):
    with pytest.raises(error) as caught:
        Augmentation(**options)
    assert message in str(caught.value)


MASK = torch.randint(0, 5, (12, 10), generator=drawn(98))


def numbered(height, width):
    """Return an image whose colours are the places of its pixels, and these places as a mask."""
    places = torch.arange(height * width).reshape(height, width)
    y, x = places // width, places % width
    image = torch.stack([(y + 0.5) / height, (x + 0.5) / width, torch.zeros_like(y)]).float()
    return image, places


def test_a_mask_is_mirrored_as_its_image():
    flip = Augmentation(flip=True)
    for seed in range(20):
        image, mask = flip.with_mask(IMAGE, MASK, drawn(seed))
        mirrored = torch.equal(image, IMAGE.flip(-1))
        assert torch.equal(mask, MASK.flip(-1) if mirrored else MASK)
        assert torch.equal(image, flip(IMAGE, drawn(seed)))


@pytest.mark.parametrize("seed", range(20))
def test_each_pixel_of_a_mask_lies_where_the_image_shows_it(seed):
    """The image says of each pixel where it comes from, up to half of a pixel."""
    image, places = numbered(16, 12)
    changes = Augmentation(flip=True, scale=(0.3, 1.0))
    moved, mask = changes.with_mask(image, places, drawn(seed))
    assert torch.equal(moved, changes(image, drawn(seed)))
    y, x = mask // 12, mask % 12
    assert ((moved[0] * 16 - 0.5) - y).abs().max() <= 0.5 + 1e-4
    assert ((moved[1] * 12 - 0.5) - x).abs().max() <= 0.5 + 1e-4


def test_a_window_of_half_the_size_doubles_each_pixel_of_a_mask():
    found = Augmentation(scale=(0.5, 0.5)).with_mask(IMAGE, MASK, drawn(3))[1]
    small = found[::2, ::2]
    assert torch.equal(found, small.repeat_interleave(2, 0).repeat_interleave(2, 1))
    windows = [MASK[top : top + 6, left : left + 5] for top in range(7) for left in range(6)]
    assert any(torch.equal(small, window) for window in windows)


def test_colours_leave_a_mask_as_it_is():
    mask = MASK.clone()
    image, found = Augmentation(jitter=0.5).with_mask(IMAGE, mask, drawn(0))
    assert torch.equal(found, MASK)
    assert not torch.equal(image, IMAGE)
    assert Augmentation().with_mask(IMAGE, mask, drawn(0))[1] is mask


def test_a_mask_keeps_its_numbers_and_type():
    mask = torch.where(MASK == 0, 255, MASK)
    found = Augmentation(flip=True, scale=(0.4, 0.9)).with_mask(IMAGE, mask, drawn(1))[1]
    assert found.dtype == torch.int64
    assert set(found.unique().tolist()) <= {1, 2, 3, 4, 255}
    assert torch.equal(mask, torch.where(MASK == 0, 255, MASK))


def test_a_mask_of_another_size():
    with pytest.raises(ValueError, match=r"mask to be of the image's size \(12, 10\), but got \(1"):
        Augmentation().with_mask(IMAGE, MASK[:, :9], drawn(0))
