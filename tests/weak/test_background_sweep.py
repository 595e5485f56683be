"""The best background, against each background alone."""

import numpy as np
import pytest
import torch

from captum_cluster.functional.metrics import (
    background_sweep_update,
    best_threshold,
    mean_iou_compute,
)
from captum_cluster.functional.metrics.segmentation import confusion
from captum_cluster.weak import background_sweep
from captum_cluster.weak.background_sweep import (
    BACKGROUNDS,
    background_counts,
    best_background,
)
from captum_cluster.weak.pseudo_masks import pseudo_masks
from captum_cluster.weak.refinement import RandomWalk
from tests.weak.test_pseudo_masks import SIZE, case

LEVELS = [0.0, 0.1, 0.15, 0.4, 0.8]
POWERS = [0.5, 2.0, 8.0]


def truth(seed=0, images=3, labels=4, size=SIZE):
    """True masks with ignored pixels."""
    generator = torch.Generator().manual_seed(seed)
    masks = torch.randint(0, labels + 1, (images, *size), generator=generator)
    masks[torch.rand(masks.shape, generator=generator) < 0.2] = 255
    return masks


class Sharper:
    """A refinement that mixes the channels, as the CRF does."""

    def refine(self, image, scores, features=None):
        return (3 * scores + image.mean(dim=0)).softmax(dim=0) * scores.sum(dim=0)


STEPS = {
    "none": (),
    "walk": (RandomWalk(stride=2, log_steps=3),),
    "two walks": (RandomWalk(stride=3, log_steps=2), RandomWalk(stride=2, log_steps=1)),
    "mixing": (Sharper(),),
    "walk and mixing": (RandomWalk(stride=2, log_steps=3), Sharper()),
}


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("kind", ["backgrounds", "powers"])
def test_the_counts_are_those_of_each_background_alone(name, kind):
    (images, maps, present), masks = case(20), truth()
    present[1] = False
    features = torch.rand(3, 5, 4, 4, generator=torch.Generator().manual_seed(0))
    levels = LEVELS if kind == "backgrounds" else POWERS
    options = {"refine": STEPS[name], "features": features}
    sums = background_counts(images, maps, present, masks, **{kind: levels}, **options)
    for row, level in enumerate(levels):
        alone = {"background" if kind == "backgrounds" else "power": level}
        found = pseudo_masks(images, maps, present, **alone, **options).labels
        for key, count in confusion(found, masks, masks != 255, 5).items():
            assert torch.equal(sums[key][row], count), key


def test_without_refinement_it_is_the_sweep_of_the_metrics():
    (images, maps, present), masks = case(21), truth(1)
    sums = background_counts(images, maps, present, masks, backgrounds=LEVELS)
    same = background_sweep_update(maps, present, masks, LEVELS)
    for name, count in same.items():
        assert torch.equal(sums[name], count)


@pytest.mark.parametrize("name", ["none", "walk", "mixing"])
def test_the_best_background(name):
    (images, maps, present), masks = case(22), truth(2)
    best, value = best_background(images, maps, present, masks, refine=STEPS[name])
    values = []
    for level in BACKGROUNDS:
        found = pseudo_masks(images, maps, present, background=level, refine=STEPS[name]).labels
        values.append(float(mean_iou_compute(confusion(found, masks, masks != 255, 5))))
    assert best == BACKGROUNDS[int(np.argmax(values))]
    assert value == pytest.approx(max(values))
    assert len(set(values)) > 3


def test_the_best_power_and_the_score_that_it_amounts_to():
    (images, maps, present), masks = case(23), truth(3)
    scores = [0.3, 0.6]
    # t = (1 - t) ** alpha
    powers = [np.log(score) / np.log(1 - score) for score in scores]
    by_score = background_counts(images, maps, present, masks, backgrounds=scores)
    by_power = background_counts(images, maps, present, masks, powers=powers)
    for name, count in by_score.items():
        assert torch.equal(by_power[name], count)
    best = best_background(images, maps, present, masks, powers=powers)
    assert best == best_threshold(by_power, powers)


def test_batches_are_added():
    (images, maps, present), masks = case(24), truth(4)
    whole = background_counts(images, maps, present, masks, backgrounds=LEVELS)
    parts = [
        background_counts(images[rows], maps[rows], present[rows], masks[rows], backgrounds=LEVELS)
        for rows in (slice(0, 1), slice(1, 3))
    ]
    for name, count in whole.items():
        assert torch.equal(parts[0][name] + parts[1][name], count)


def test_images_of_several_sizes():
    first, second = case(25, images=1), case(26, images=1, size=(7, 5))
    masks = [truth(5, images=1)[0], truth(6, images=1, size=(7, 5))[0]]
    images, maps = ([one[part][0] for one in (first, second)] for part in (0, 1))
    together = background_counts(
        images, maps, torch.cat([first[2], second[2]]), masks, backgrounds=LEVELS
    )
    alone = [
        background_counts(*one, mask[None], backgrounds=LEVELS)
        for one, mask in zip((first, second), masks, strict=True)
    ]
    for name, count in together.items():
        assert torch.equal(alone[0][name] + alone[1][name], count)


def test_of_300_labels_that_with_the_number_255_counts():
    maps, present = torch.zeros(1, 300, 1, 3), torch.zeros(1, 300, dtype=torch.bool)
    maps[0, 254], present[0, 254] = torch.tensor([[0.0, 0.9, 1.0]]), True
    given = (torch.rand(1, 3, 1, 3), maps, present, torch.tensor([[[-1, 255, 255]]]))
    sums = background_counts(*given, backgrounds=[0.5, 0.95])
    assert sums["true"][:, 255].tolist() == [2, 2]
    assert sums["intersection"][:, 255].tolist() == [2, 1]
    assert int(sums["true"].sum()) == 4
    ignored = background_counts(*given, backgrounds=[0.5], ignore_index=-1)
    assert torch.equal(ignored["true"], sums["true"][:1])


def test_the_walk_is_walked_once(monkeypatch):
    walked = []
    whole = RandomWalk.refine

    def counted(self, image, scores, features=None):
        walked.append(len(scores))
        return whole(self, image, scores, features)

    monkeypatch.setattr(background_sweep.RandomWalk, "refine", counted)
    (images, maps, present), masks = case(27, images=1), truth(7, images=1)
    walk = RandomWalk(stride=2, log_steps=1)
    best_background(images, maps, present, masks, backgrounds=LEVELS, refine=walk)
    assert walked == [len(LEVELS) + int(present.sum())]


IMAGES, MAPS, PRESENT = case(28)
MASKS = truth(8)
WRONG = {
    "both": (
        {"backgrounds": LEVELS, "powers": POWERS},
        "Expected the backgrounds tried to be either scores or powers, but got both.",
    ),
    "no score": ({"backgrounds": []}, "Expected backgrounds to be at least one number, but got no"),
    "no power": ({"powers": ()}, "Expected powers to be at least one number, but got none."),
    "a score": (
        {"backgrounds": [0.5, 2.0]},
        "Expected background to be a number from 0 to 1, but got 2.",
    ),
    "a power": ({"powers": [-1.0]}, "Expected power to be a number above 0, but got -1."),
    "masks": (
        {"masks": MASKS[:2]},
        "Expected masks to be one for each of the 3 images, but got 2.",
    ),
    "size": (
        {"masks": MASKS[:, :5]},
        "Expected masks to be of the image's size (9, 12), but got (5, 12).",
    ),
    "class": (
        {"masks": MASKS.clamp(min=5)},
        "Expected masks to be numbers from 0 to the number of labels (4), or 255 for ignored",
    ),
    "no true pixel": (
        {"masks": torch.full_like(MASKS, 255)},
        "Expected sums to be of images with a true pixel, but got none.",
    ),
    "average": (
        {"average": "none"},
        "Expected average to be one of 'present', 'all', but got 'none'.",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(name):
    changes, text = WRONG[name]
    arguments = {"images": IMAGES, "maps": MAPS, "present": PRESENT, "masks": MASKS, **changes}
    with pytest.raises(ValueError, match="^Expected") as raised:
        best_background(**arguments)
    assert str(raised.value).startswith(text)


def test_features_of_which_nothing_is_made_are_checked():
    with pytest.raises(TypeError, match="^Expected features to be a tensor or a list of tensors"):
        background_counts(IMAGES, MAPS, PRESENT, MASKS, backgrounds=LEVELS, features=3)


def test_neither_scores_nor_powers():
    with pytest.raises(ValueError, match="either scores or powers, but got neither"):
        background_counts(IMAGES, MAPS, PRESENT, MASKS)
