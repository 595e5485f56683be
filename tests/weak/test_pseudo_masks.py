"""Pseudo masks against a reference pixel by pixel, and what the refinements are given."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from captum_cluster.functional.metrics import label_maps
from captum_cluster.weak.pseudo_masks import Background, default_background, pseudo_masks
from captum_cluster.weak.refinement import DenseCRF, RandomWalk

SIZE = (9, 12)


def case(seed=0, images=3, labels=4, grid=(3, 4), size=SIZE):
    """Images, maps of any sign and presence; each image has at least one label."""
    generator = torch.Generator().manual_seed(seed)
    pictures = torch.rand(images, 3, *size, generator=generator)
    maps = torch.randn(images, labels, *grid, generator=generator)
    present = torch.rand(images, labels, generator=generator) < 0.4
    present[torch.arange(images), torch.arange(images) % labels] = True
    return pictures, maps, present


def reference(maps, present, size, score_of_background):
    """The masks (N,H,W) of section 4 of the paper, pixel by pixel."""
    found = np.zeros((len(maps), *size), dtype=int)
    for image, (own, here) in enumerate(zip(maps.double(), present, strict=True)):
        raised = F.interpolate(own.clamp(min=0)[None], size=size, mode="bilinear")[0].numpy()
        for y, x in np.ndindex(*size):
            scores = {}
            for label in np.flatnonzero(here):
                low, high = raised[label].min(), raised[label].max()
                spread = high - low
                scores[label] = (raised[label, y, x] - low) / spread if spread > 0 else 0.0
            best, winner = max([(value, -label) for label, value in scores.items()])
            if best > score_of_background(best):
                found[image, y, x] = 1 - winner
    return torch.from_numpy(found)


class Recorder:
    """A refinement that adds to one channel, and keeps what it was given."""

    def __init__(self, channel, amount):
        self.channel, self.amount, self.given = channel, amount, []

    def refine(self, image, scores, features=None):
        self.given.append((image, scores.clone(), features))
        better = scores.clone()
        better[self.channel] += self.amount
        return better


@pytest.mark.parametrize("background", [0.0, 0.15, 0.6, 1.0])
def test_a_constant_background(background):
    images, maps, present = case()
    maps = maps.double()  # two of these maps are equal but for rounding in single precision
    found = pseudo_masks(images, maps, present, background=background).labels
    assert found.dtype == torch.int64
    assert torch.equal(found, reference(maps, present, SIZE, lambda best: background))
    assert torch.equal(found, label_maps(maps, present, background=background, size=SIZE))


@pytest.mark.parametrize("power", [0.5, 4, 16.0])
def test_a_power_of_what_is_left(power):
    images, maps, present = case(1)
    found = pseudo_masks(images, maps, present, power=power).labels
    assert torch.equal(found, reference(maps, present, SIZE, lambda best: (1 - best) ** power))
    assert len(found.unique()) > 2


@pytest.mark.parametrize(
    ("first", "second"),
    [({"background": 0.1}, {"background": 0.5}), ({"power": 4.0}, {"power": 32.0})],
    ids=["scores", "powers"],
)
def test_pixels_on_which_two_backgrounds_disagree_are_uncertain(first, second):
    images, maps, present = case(2)
    one, other = (pseudo_masks(images, maps, present, **part).labels for part in (first, second))
    (uncertain,) = second.values()
    both = pseudo_masks(images, maps, present, **first, uncertain=uncertain).labels
    assert torch.equal(both, torch.where(one == other, one, 255))
    assert 0 < int((both == 255).sum()) < both.numel() / 2
    marked = pseudo_masks(images, maps, present, **first, uncertain=uncertain, ignore_index=-1)
    assert torch.equal(marked.labels == -1, both == 255)


@pytest.mark.parametrize(("labels", "number"), [(254, 255), (255, -1), (300, -1)])
def test_uncertain_pixels_have_a_number_that_no_label_has(labels, number):
    maps = torch.zeros(1, labels, 1, 3)
    maps[0, -1], maps[0, 0] = torch.tensor([0.0, 0.3, 1.0]), torch.tensor([1.0, 0.0, 0.0])
    present = torch.zeros(1, labels, dtype=torch.bool)
    present[0, [0, -1]] = True
    given = (torch.rand(1, 3, 1, 3), maps, present)
    assert pseudo_masks(*given, uncertain=0.5).labels.tolist() == [[[1, number, labels]]]
    assert pseudo_masks(*given).labels.tolist() == [[[1, labels, labels]]]


def test_a_label_with_the_number_255():
    """Label 254 of 300: with 255 for uncertain pixels nobody could tell which they are."""
    images, maps = torch.rand(1, 3, 1, 2), torch.zeros(1, 300, 1, 2)
    present = torch.zeros(1, 300, dtype=torch.bool)
    maps[0, 254, 0, 1], present[0, 254] = 1.0, True
    assert pseudo_masks(images, maps, present).labels.tolist() == [[[0, 255]]]
    with pytest.raises(ValueError, match=r"outside 0 to the number of labels \(300\), but got 255"):
        pseudo_masks(images, maps, present, ignore_index=255)


def test_images_of_several_sizes_and_grids():
    first, second = case(3, images=1), case(4, images=1, grid=(5, 2), size=(7, 5))
    alone = [pseudo_masks(*one, scores=True) for one in (first, second)]
    images, maps = ([one[part][0] for one in (first, second)] for part in (0, 1))
    present = torch.cat([first[2], second[2]])
    together = pseudo_masks(images, maps, present, scores=True)
    assert isinstance(together.labels, list)
    assert isinstance(together.scores, list)
    for number in range(2):
        assert torch.equal(together.labels[number], alone[number].labels[0])
        assert torch.equal(together.scores[number], alone[number].scores[0])
    same = pseudo_masks(list(case(3)[0]), list(case(3)[1]), case(3)[2]).labels
    assert torch.equal(same, pseudo_masks(*case(3)).labels)


def test_the_scores_of_all_labels():
    images, maps, present = case(5)
    result = pseudo_masks(images, maps, present, scores=True)
    assert result.scores.shape == (3, 5, *SIZE)
    assert torch.equal(result.scores.argmax(dim=1), result.labels)
    assert torch.equal(result.scores[:, 0], torch.full((3, *SIZE), 0.15))
    highest = result.scores[:, 1:].amax(dim=(2, 3))
    assert torch.equal(highest, present.float())
    assert pseudo_masks(images, maps, present).scores is None


@pytest.mark.parametrize(
    "options", [{}, {"refine": "random-walk"}, {"refine": ("random-walk", "crf")}]
)
def test_an_image_without_a_label_is_background(options):
    images, maps, present = case(6, images=2)
    present[0] = False
    maps[0] = torch.nan  # never read
    levels = {"background": 0.15, "uncertain": 0.3}
    result = pseudo_masks(images, maps, present, scores=True, **levels, **options)
    assert not result.labels[0].any()
    assert not result.scores[0, 1:].any()
    assert torch.equal(result.scores[0, 0], torch.full(SIZE, 0.15))
    assert result.labels[1].any()
    powers = pseudo_masks(images, maps, present, power=4, scores=True, **options)
    assert torch.equal(powers.scores[0, 0], torch.ones(SIZE))


@pytest.mark.parametrize("options", [{}, {"refine": "random-walk"}, {"refine": "crf"}])
@pytest.mark.parametrize("value", [0.0, -3.0, 2.0])
@pytest.mark.parametrize("power", [None, 16.0])
def test_a_map_without_saliency_is_background(options, value, power):
    images, _, _ = case(7, images=1)
    flat = torch.full((1, 1, 3, 4), value)
    found = pseudo_masks(images, flat, torch.tensor([[True]]), power=power, **options).labels
    assert torch.equal(found, torch.zeros(1, *SIZE, dtype=torch.long))


def test_an_object_of_one_pixel():
    images, maps = torch.rand(1, 3, *SIZE), torch.zeros(1, 2, *SIZE)
    maps[0, 1, 4, 5] = 1e-3
    found = pseudo_masks(images, maps, torch.tensor([[True, True]])).labels
    expected = torch.zeros(1, *SIZE, dtype=torch.long)
    expected[0, 4, 5] = 2
    assert torch.equal(found, expected)


@pytest.mark.parametrize("refine", ["random-walk", "crf", ("random-walk", "crf")], ids=str)
@pytest.mark.parametrize("level", [{"background": 0.15}, {"power": 16}], ids=str)
@pytest.mark.parametrize("size", [SIZE, (40, 30)], ids=str)
def test_a_refinement_keeps_an_object_of_one_pixel(refine, level, size):
    """White on black, so that nothing around it is like it."""
    images, maps = torch.zeros(1, 3, *size), torch.zeros(1, 2, *size)
    images[..., 4, 5], maps[0, 1, 4, 5] = 1.0, 1e-3
    present = torch.tensor([[True, True]])
    found = pseudo_masks(images, maps, present, refine=refine, **level).labels
    expected = torch.zeros(1, *size, dtype=torch.long)
    expected[0, 4, 5] = 2
    assert torch.equal(found, expected)


def test_the_steps_come_in_order_and_see_the_present_labels():
    images, maps, present = case(8, images=1)
    present[0] = torch.tensor([False, True, False, True])
    features = torch.rand(1, 6, 2, 2)
    first, second = Recorder(0, 0.5), Recorder(2, 5.0)
    result = pseudo_masks(images, maps, present, refine=[first, second], features=features)
    (image, scores, seen), (_, after, _) = first.given[0], second.given[0]
    assert torch.equal(image, images[0])
    assert torch.equal(seen, features[0])
    plain = pseudo_masks(images, maps, present, power=2, scores=True).scores[0]
    assert torch.equal(scores, plain[[0, 2, 4]])
    assert torch.equal(after[0], scores[0] + 0.5)
    assert torch.equal(result.labels, torch.full((1, *SIZE), 4))


@pytest.mark.parametrize("name", [(), "random-walk", "crf"], ids=str)
def test_grey_images_have_one_channel_or_three_equal_ones(name):
    images, maps, present = case(16)
    grey = images[:, :1]
    found = pseudo_masks(grey, maps, present, refine=name, scores=True)
    same = pseudo_masks(grey.expand(-1, 3, -1, -1), maps, present, refine=name, scores=True)
    assert torch.equal(found.labels, same.labels)
    torch.testing.assert_close(found.scores, same.scores)
    step = Recorder(0, 0.0)
    pseudo_masks(list(grey), maps, present, refine=step, features=lambda image: image * 2)
    for (image, _, seen), one in zip(step.given, grey, strict=True):
        assert torch.equal(image, one.expand(3, -1, -1))
        assert torch.equal(seen, 2 * image)


def test_features_are_made_of_an_image_when_its_turn_comes():
    images, maps, present = case(9)
    made = []

    def features(image):
        made.append(image)
        return image[:, ::2, ::2]

    step = Recorder(0, 0.0)
    pseudo_masks(images, maps, present, refine=step, features=features)
    assert len(made) == 3
    for number, (_, _, seen) in enumerate(step.given):
        assert torch.equal(seen, images[number, :, ::2, ::2])
    pseudo_masks(images, maps, present, features=features)
    assert len(made) == 3
    several = [torch.rand(4, 2, 2), torch.rand(4, 3, 3), torch.rand(4, 5, 5)]
    step = Recorder(0, 0.0)
    pseudo_masks(images, maps, present, refine=[step], features=several)
    assert all(torch.equal(given[2], one) for given, one in zip(step.given, several, strict=True))


def test_an_uncertain_background_goes_through_the_steps_too():
    images, maps, present = case(10, images=1)
    step = Recorder(0, 0.0)
    pseudo_masks(images, maps, present, background=0.15, refine=step, uncertain=0.4)
    backgrounds = [float(scores[0, 0, 0]) for _, scores, _ in step.given]
    assert backgrounds == pytest.approx([0.15, 0.4])


@pytest.mark.parametrize(
    ("name", "step"),
    [("random-walk", RandomWalk()), ("crf", DenseCRF())],
    ids=["random-walk", "crf"],
)
@pytest.mark.parametrize("level", [{"background": 0.15}, {"power": 16.0}], ids=str)
def test_the_refinements_by_name(name, step, level):
    images, maps, present = case(11, images=2, size=(16, 24))
    features = torch.rand(2, 5, 2, 3)
    found = pseudo_masks(images, maps, present, refine=name, features=features, **level)
    plain = pseudo_masks(images, maps, present, scores=True, **level).scores
    for number in range(2):
        own = torch.cat([torch.tensor([0]), present[number].nonzero().flatten() + 1])
        scores = step.refine(images[number], plain[number][own], features[number])
        assert torch.equal(found.labels[number], own[scores.argmax(dim=0)])


def test_the_refinements_find_the_edge():
    """A bright square on the dark; the map has its place but not its outline."""
    image = torch.zeros(1, 3, 48, 48)
    image[..., 16:32, 16:32] = 1.0
    truth = (image[:, 0] > 0.5).long()
    maps = torch.zeros(1, 1, 6, 6)
    maps[..., 2:4, 2:4] = 1.0
    shares = {}
    for name in ("alone", "random-walk", "crf"):
        step = RandomWalk(stride=2) if name == "random-walk" else name
        refine = () if name == "alone" else (step,)
        found = pseudo_masks(image, maps, torch.tensor([[True]]), power=4, refine=refine).labels
        shares[name] = float((found & truth).sum() / (found | truth).sum())
    assert shares["alone"] < 0.8
    assert shares["random-walk"] > 0.95
    assert shares["crf"] > 0.95


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(kind):
    images, maps, present = case(12)
    exact = maps.to(kind)
    found = pseudo_masks(images.to(kind), exact, present, refine="random-walk").labels
    assert found.shape == (3, *SIZE)
    assert torch.equal(
        pseudo_masks(images, exact, present).labels,
        label_maps(exact.double() if kind == torch.float64 else exact.float(), present, size=SIZE),
    )


def test_nothing_given_is_changed():
    images, maps, present = case(13)
    maps.requires_grad_()
    features = torch.rand(3, 4, 2, 2)
    before = [one.detach().clone() for one in (images, maps, present, features)]
    state = torch.random.get_rng_state()
    result = pseudo_masks(images, maps, present, refine=("random-walk", "crf"), features=features)
    for one, copy in zip((images, maps, present, features), before, strict=True):
        assert torch.equal(one, copy)
    assert torch.equal(state, torch.random.get_rng_state())
    assert not result.labels.requires_grad


IMAGES, MAPS, PRESENT = case(14)
MANY = "one for each of the 3 images of present, but got 2."
STEPS = "Expected refine to be 'random-walk' or 'crf', or objects with a method refine, but got "
UNIT = "Expected images to be in [0,1] (not normalised for a model), but got values from "
ONES = torch.ones(3, 4, 2, 2)


def wrong(changes, kind, text, **options):
    arguments = {"images": IMAGES, "maps": MAPS, "present": PRESENT, **options, **changes}
    return arguments, kind, text


WRONG = {
    "present as numbers": wrong(
        {"present": PRESENT.float()},
        TypeError,
        "Expected present to be a boolean tensor (N,L), but got a tensor of shape (3, 4) and dtype "
        "torch.float32.",
    ),
    "present of one image": wrong(
        {"present": PRESENT[0]},
        ValueError,
        "Expected present to be of shape (N,L) with at least one image, but got (4,).",
    ),
    "no image": wrong(
        {"images": IMAGES[:0], "maps": MAPS[:0], "present": PRESENT[:0]},
        ValueError,
        "Expected present to be of shape (N,L) with at least one image, but got (0, 4).",
    ),
    "images": wrong({"images": IMAGES[:2]}, ValueError, f"Expected images to be {MANY}"),
    "maps": wrong({"maps": MAPS[:2]}, ValueError, f"Expected maps to be {MANY}"),
    "features": wrong(
        {"features": ONES[:2], "refine": "crf"}, ValueError, f"Expected features to be {MANY}"
    ),
    "a name as maps": wrong(
        {"maps": "cam"},
        TypeError,
        "Expected maps to be a tensor or a list of tensors, but got 'cam' (str).",
    ),
    "bytes": wrong(
        {"images": (255 * IMAGES).to(torch.uint8)},
        TypeError,
        "Expected images to be float tensors (3,H,W), but got a tensor of shape (3, 9, 12) and "
        "dtype torch.uint8.",
    ),
    "two channels": wrong(
        {"images": IMAGES[:, :2]},
        ValueError,
        "Expected images to be of shape (3,H,W) or (1,H,W), but got (2, 9, 12).",
    ),
    "features of which nothing is made": wrong(
        {"features": 3},
        TypeError,
        "Expected features to be a tensor or a list of tensors, but got 3.",
    ),
    "a feature of which nothing is made": wrong(
        {"features": [ONES[0], ONES[1], ONES[2].long()]},
        TypeError,
        "Expected features to be float tensors (D,h,w), but got a tensor of shape (4, 2, 2) and "
        "dtype torch.int64.",
    ),
    "features of two images of which nothing is made": wrong(
        {"features": ONES[:2]}, ValueError, f"Expected features to be {MANY}"
    ),
    "normalised": wrong({"images": 0 * IMAGES + 1.5}, ValueError, UNIT + "1.5 to 1.5."),
    "negative": wrong({"images": 0 * IMAGES - 0.5}, ValueError, UNIT + "-0.5 to -0.5."),
    "another number of maps": wrong(
        {"maps": MAPS[:, :3]},
        ValueError,
        "Expected maps to be of shape (L,h,w) with L = 4 as in present, but got (3, 3, 4).",
    ),
    "flat maps": wrong(
        {"maps": MAPS[:, 0]}, ValueError, "Expected maps to be of shape (L,h,w), but got (3, 4)."
    ),
    "NaN": wrong(
        {"maps": MAPS * torch.nan}, ValueError, "Expected maps to be finite, but got NaN at index "
    ),
    "flat features": wrong(
        {"features": ONES[0], "refine": "crf"},
        ValueError,
        "Expected features to be one for each of the 3 images of present, but got 4.",
    ),
    "a background": wrong(
        {"background": 1.5},
        ValueError,
        "Expected background to be a number from 0 to 1, but got 1.5.",
    ),
    "a power": wrong({"power": 0}, ValueError, "Expected power to be a number above 0, but got 0."),
    "a background and a power": wrong(
        {"background": 0.3, "power": 4},
        ValueError,
        "Expected the background to be either a score or a power, but got both.",
    ),
    "a second background": wrong(
        {"uncertain": 2}, ValueError, "Expected uncertain to be a number from 0 to 1, but got 2."
    ),
    "a second power": wrong(
        {"uncertain": 0, "power": 4},
        ValueError,
        "Expected uncertain to be a number above 0, but got 0.",
    ),
    "a label as ignore_index": wrong(
        {"uncertain": 0.3, "ignore_index": 4},
        ValueError,
        "Expected ignore_index to be outside 0 to the number of labels (4), but got 4.",
    ),
    "a label as ignore_index with nothing uncertain": wrong(
        {"ignore_index": 0},
        ValueError,
        "Expected ignore_index to be outside 0 to the number of labels (4), but got 0.",
    ),
    "a name": wrong({"refine": "walk"}, ValueError, f"{STEPS}'walk'."),
    "a class": wrong({"refine": [RandomWalk]}, TypeError, f"{STEPS}<class"),
    "a number": wrong({"refine": 3}, TypeError, f"{STEPS}3."),
    "a list of numbers": wrong({"refine": ["crf", 3]}, TypeError, f"{STEPS}3."),
    "scores": wrong({"scores": 1}, TypeError, "Expected scores to be True or False, but got 1."),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(name):
    arguments, kind, text = WRONG[name]
    with pytest.raises(kind, match="^Expected") as raised:
        pseudo_masks(**arguments)
    assert str(raised.value).startswith(text)


@pytest.mark.parametrize(
    ("made", "kind", "text"),
    [
        (None, TypeError, "Expected the scores of Broken to be a tensor (C,H,W), but got None"),
        (torch.ones(1, 2, 2), ValueError, "Expected the scores of Broken to be of shape ("),
    ],
    ids=["nothing", "another shape"],
)
def test_a_refinement_that_gives_something_else(made, kind, text):
    class Broken:
        def refine(self, image, scores, features=None):
            return made

    with pytest.raises(kind, match="^Expected the scores of Broken") as raised:
        pseudo_masks(IMAGES, MAPS, PRESENT, refine=Broken())
    assert str(raised.value).startswith(text)


@pytest.mark.parametrize("refine", [(), "crf", ["random-walk", DenseCRF()]], ids=str)
def test_the_default_background(refine):
    images, maps, present = case(15)
    found = pseudo_masks(images, maps, present, refine=refine, scores=True)
    level = default_background(refine)
    named = {"background": level.score, "power": level.power}
    same = pseudo_masks(images, maps, present, refine=refine, scores=True, **named)
    assert torch.equal(found.labels, same.labels)
    assert torch.equal(found.scores, same.scores)


def test_a_background_is_a_score_or_a_power():
    with pytest.raises(ValueError, match="^Expected the background to be either .* got neither.$"):
        Background()
    assert default_background() == Background(0.15)
    assert default_background(["crf"]) == Background(power=2.0)


def test_the_background_of_no_label():
    none = torch.zeros(0, 2, 3)
    assert torch.equal(Background(0.4).scores(none), torch.full((1, 2, 3), 0.4))
    assert torch.equal(Background(power=3).scores(none), torch.ones(1, 2, 3))
