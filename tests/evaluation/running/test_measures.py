"""Each metric of a run against the functional definition and a slow loop."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from captum_cluster.data import Scene
from captum_cluster.evaluation.running.cases import Case
from captum_cluster.evaluation.running.measures import METRICS, choose_metrics, plain_metrics
from captum_cluster.evaluation.running.passes import COMPLEMENT, CURVES, MASKED, Answers
from captum_cluster.evaluation.running.records import encode_sums
from captum_cluster.functional import metrics as maths
from tests.helpers import localization_references as place
from tests.helpers import metric_references as ref

LABELS, SIZE, STEPS = 6, (12, 10), (0, 80, 120)


def rectangle(x0, y0, x1, y1):
    mask = torch.zeros(SIZE, dtype=torch.bool)
    mask[y0:y1, x0:x1] = True
    return mask


MASKS = {1: rectangle(1, 1, 5, 6), 3: rectangle(3, 4, 9, 11), 4: rectangle(6, 0, 10, 3)}


def presence(labels):
    return torch.tensor([label in labels for label in range(LABELS)])


def scene(masks=MASKS, **given):
    """An image with labels 1, 3 and 4; the masks of 1 and 3 overlap."""
    generator = torch.Generator().manual_seed(0)
    labels = given.pop("labels", presence({1, 3, 4}))
    return Scene(torch.rand(3, *SIZE, generator=generator), labels, masks, **given)


def blobs(count, seed=0):
    """Saliency maps (P,H,W) from 0 to 1, smooth, of several parts."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 1, 4, 4, generator=generator).relu()
    large = torch.nn.functional.interpolate(coarse, SIZE, mode="bicubic")[:, 0].relu()
    return large / large.amax(dim=(1, 2), keepdim=True)


def random_case(truth=None, targets=(1, 3, 4), present=None, seed=0):
    """A case with random probabilities and maps."""
    generator = torch.Generator().manual_seed(seed)
    pairs = len(targets)

    def draw(*shape):
        return torch.rand(*shape, generator=generator)

    whole = draw(LABELS)
    curves = draw(2, pairs, len(STEPS))
    answers = Answers(draw(pairs, LABELS), draw(pairs, LABELS), curves[0], curves[1])
    return Case(
        scene() if truth is None else truth,
        blobs(pairs, seed),
        torch.tensor(targets, dtype=torch.long),
        presence(set(targets)) if present is None else present,
        whole,
        answers,
        STEPS,
    )


CASES = [
    random_case(seed=1),
    random_case(targets=(3,), seed=2),
    random_case(targets=(1, 4), seed=3),
    random_case(targets=(1, 3), seed=4, truth=scene({1: MASKS[1], 3: MASKS[3]})),
]


def values(name, cases):
    """What a metric says of several cases together, in the order of its values."""
    metric = METRICS[name]
    sums = [found for found in map(metric.update, cases) if found is not None]
    total = {key: torch.stack([one[key] for one in sums]).sum(dim=0) for key in sums[0]}
    found = metric.compute({key: value[None] for key, value in total.items()})
    assert [value.shape for value in found] == [(1,)] * len(metric.values)
    return [float(value) for value in found]


def mean(numbers):
    return sum(numbers) / len(numbers)


# What there is

CHECKED_IN = {
    "average-drop": (["average-drop"], [False], {MASKED}),
    "increase": (["increase"], [True], {MASKED}),
    "confidence-drop": (["confidence-drop"], [False], {MASKED}),
    "deletion": (["deletion"], [False], {CURVES}),
    "insertion": (["insertion"], [True], {CURVES}),
    "overall": (["overall"], [True], {CURVES}),
    "energy": (["energy"], [True], set()),
    "pointing-game": (["pointing-game"], [True], set()),
    "localization-error": (["localization-error"], [False], set()),
    "object-iou": (["object-iou"], [True], set()),
    "object-recall": (["object-recall"], [True], set()),
    "object-precision": (["object-precision"], [True], set()),
    "segmentation": (["mean-iou", "pixel-f-score"], [True, True], set()),
    "multi-label": (
        [
            "multi-label-ic",
            "multi-label-ad",
            "multi-label-ado",
            "multi-label-ar",
            "multi-label-aro",
            "multi-label-f1-minus",
            "multi-label-f1-plus",
        ],
        [True, False, True, True, False, False, True],
        {MASKED, COMPLEMENT},
    ),
    "best-object": (["best-object-iou", "best-object-energy"], [True, True], set()),
}


def test_names_directions_and_wants_are_those_checked_in():
    assert list(METRICS) == list(CHECKED_IN)
    for name, (names, higher, wants) in CHECKED_IN.items():
        metric = METRICS[name]
        assert [value.name for value in metric.values] == names
        assert [value.higher for value in metric.values] == higher
        assert metric.wants == wants


def test_no_two_values_share_a_name_or_a_title():
    found = [value for metric in METRICS.values() for value in metric.values]
    assert len({value.name for value in found}) == len(found)
    assert len({value.title for value in found}) == len(found)


def test_choosing_metrics():
    assert choose_metrics("all") == METRICS
    assert list(choose_metrics("energy")) == ["energy"]
    assert list(choose_metrics(("overall", "average-drop"))) == ["average-drop", "overall"]
    assert list(choose_metrics(["energy", "energy"])) == ["energy"]
    assert choose_metrics(["energy"])["energy"] is METRICS["energy"]


@pytest.mark.parametrize(
    ("metrics", "got"),
    [
        (3, "3"),
        (None, "None (NoneType)"),
        ({"energy"}, "{'energy'} (set)"),
    ],
)
def test_metrics_that_are_no_names(metrics, got):
    with pytest.raises(TypeError) as raised:
        choose_metrics(metrics)
    assert str(raised.value) == f"Expected metrics to be a list of names, but got {got}."


@pytest.mark.parametrize(
    ("metrics", "got"),
    [([], "none"), ("drop", "'drop'"), (["energy", "all"], "'all'"), ("", "''")],
)
def test_metrics_that_are_not_there(metrics, got):
    with pytest.raises(ValueError, match="metrics") as raised:
        choose_metrics(metrics)
    assert str(raised.value) == (
        f"Expected metrics to be 'all' or among {', '.join(METRICS)}, but got {got}."
    )


# Faithfulness


def pairs_of(cases):
    """The target's probability before and after of every pair."""
    return [
        (float(case.whole[target]), float(case.answers.masked[row, target]))
        for case in cases
        for row, target in enumerate(case.targets.tolist())
    ]


def test_drop_and_increase():
    pairs = pairs_of(CASES)
    assert len(pairs) == 8
    before, after = torch.tensor(pairs).double().T
    drop = mean([max(0.0, y - o) / y for y, o in pairs])
    signed = mean([(y - o) / y for y, o in pairs])
    increase = mean([float(o > y) for y, o in pairs])
    assert values("average-drop", CASES) == pytest.approx([drop])
    assert values("confidence-drop", CASES) == pytest.approx([signed])
    assert values("increase", CASES) == pytest.approx([increase])
    assert drop == pytest.approx(float(maths.average_drop(before, after)))
    assert signed == pytest.approx(float(maths.average_drop(before, after, signed=True)))
    assert increase == pytest.approx(float(maths.average_increase(before, after)))
    assert signed < drop
    assert 0 < increase < 1


def test_deletion_insertion_and_overall():
    shares = [step / STEPS[-1] for step in STEPS]
    areas = {
        kind: mean(
            [
                ref.area(shares, curve.tolist())
                for case in CASES
                for curve in getattr(case.answers, kind)
            ]
        )
        for kind in ("deletion", "insertion")
    }
    assert values("deletion", CASES) == pytest.approx([areas["deletion"]])
    assert values("insertion", CASES) == pytest.approx([areas["insertion"]])
    overall = areas["insertion"] - areas["deletion"]
    assert values("overall", CASES) == pytest.approx([overall])
    curves = [torch.cat([getattr(one.answers, k) for one in CASES]) for k in areas]
    direct = maths.overall_compute(maths.overall_update(*curves, steps=STEPS))
    assert float(direct) == pytest.approx(overall)


def test_several_labels():
    rows = [
        (
            case.whole.tolist(),
            case.answers.masked[row].tolist(),
            case.answers.complement[row].tolist(),
            target,
            case.present.nonzero().flatten().tolist(),
        )
        for case in CASES
        for row, target in enumerate(case.targets.tolist())
    ]
    expected = ref.multi_label(rows, "macro", "zero")
    assert values("multi-label", CASES) == pytest.approx(list(expected.values()), abs=1e-6)
    assert list(expected) == ["ic", "ad", "ado", "ar", "aro", "f1_minus", "f1_plus"]


# Localisation


def places(cases):
    """Map, target and region of every pair with a region."""
    return [
        (saliency, target, case.scene.region(target))
        for case in cases
        for saliency, target in zip(case.saliency, case.targets.tolist(), strict=True)
        if case.scene.region(target) is not None
    ]


BOXES = ((1, 1.2, 0.4, 5.0, 6.6), (1, 6.0, 6.0, 9.0, 9.9), (4, 6.0, 0.0, 10.0, 3.0))
BOXED = random_case(truth=scene(None, boxes=BOXES), seed=5)
MIXED = random_case(truth=scene({3: MASKS[3]}, boxes=BOXES), seed=6)
PLACED = [*CASES, BOXED, MIXED]


OBJECTS = {
    "object-iou": place.object_iou,
    "object-recall": place.object_recall,
    "object-precision": place.object_precision,
}


def test_energy_and_pointing_game():
    found = places(PLACED)
    assert len(found) == 8 + 2 + 3
    energy = mean([ref.proportion(saliency, region) for saliency, _, region in found])
    hits = mean([place.pointing(saliency, region) for saliency, _, region in found])
    assert values("energy", PLACED) == pytest.approx([energy], abs=1e-6)
    assert values("pointing-game", PLACED) == pytest.approx([hits])
    assert 0 < hits < 1


def test_regions_are_masks_or_unions_of_boxes():
    energies = [
        ref.proportion(BOXED.saliency[0], ref.boxes_mask([box[1:] for box in BOXES[:2]], SIZE)),
        ref.proportion(BOXED.saliency[2], ref.boxes_mask([BOXES[2][1:]], SIZE)),
    ]
    assert values("energy", [BOXED]) == pytest.approx([mean(energies)], abs=1e-6)
    assert METRICS["energy"].update(BOXED)["pairs"] == 2  # label 3 has neither


def test_localization_error():
    right = torch.stack([CASES[0].saliency[0], MASKS[3].float(), MASKS[4].float()])
    cases = [*PLACED, dataclasses.replace(CASES[0], saliency=right)]
    errors, labels = [], []
    for case in cases:
        for saliency, target in zip(case.saliency, case.targets.tolist(), strict=True):
            errors.append(place.localization_error(saliency, case.scene.boxes_of(target)))
            labels.append(target)
    assert errors.count(None) == 1
    assert {0.0, 1.0} <= set(errors)
    expected = place.mean_of_classes(errors, labels)
    assert values("localization-error", cases) == pytest.approx([expected])


@pytest.mark.parametrize("name", OBJECTS)
def test_objects_are_masks_alone(name):
    found = [(s, t, case.scene.mask(t)) for case in PLACED for s, t, _ in places([case])]
    found = [(s, t, mask) for s, t, mask in found if mask.any()]
    assert len(found) == 8 + 0 + 1
    each = [OBJECTS[name](saliency, mask) for saliency, _, mask in found]
    expected = place.mean_of_classes(each, [target for _, target, _ in found])
    assert 0 < expected < 1
    assert values(name, PLACED) == pytest.approx([expected])
    assert METRICS[name].update(BOXED) is None


def test_a_map_that_covers_too_little_and_one_that_covers_too_much():
    truth = scene({1: MASKS[1]}, labels=presence({1}))
    found = []
    for marked in (rectangle(1, 1, 5, 2), rectangle(0, 0, 10, 6)):
        case = dataclasses.replace(random_case(truth, targets=(1,)), saliency=marked[None].float())
        found.append([values(name, [case])[0] for name in OBJECTS])
    assert found == [[4 / 20, 4 / 20, 1], [20 / 60, 1, 20 / 60]]


@pytest.mark.parametrize("name", OBJECTS)
def test_the_threshold_of_the_cut(name):
    case, reference = CASES[1], OBJECTS[name]
    for threshold in (0.15, 0.7):
        metric = choose_metrics([{"metric": name, "options": {"threshold": threshold}}])[name]
        expected = reference(case.saliency[0], MASKS[3], threshold)
        found = metric.compute({key: one[None] for key, one in metric.update(case).items()})
        assert float(found[0]) == pytest.approx(expected)
    assert values(name, [case])[0] != pytest.approx(expected)


def test_perfect_and_worst_maps():
    truth = scene({1: MASKS[1], 4: MASKS[4]}, labels=presence({1, 4}))
    maps = torch.stack([MASKS[1], MASKS[4]]).float()
    names = ("energy", "pointing-game", *OBJECTS, "localization-error", "segmentation")
    perfect = dataclasses.replace(random_case(truth, targets=(1, 4)), saliency=maps)
    worst = dataclasses.replace(perfect, saliency=maps.flip(0))
    nothing = dataclasses.replace(perfect, saliency=torch.zeros_like(maps))
    assert [values(name, [perfect])[0] for name in names] == [1, 1, 1, 1, 1, 0, 1]
    assert [values(name, [worst])[0] for name in names[:6]] == [0, 0, 0, 0, 0, 1]
    assert [values(name, [nothing])[0] for name in names[:6]] == [0, 0, 0, 0, 0, 1]
    background = 1 - (MASKS[1] | MASKS[4]).float().mean().item()
    assert values("segmentation", [nothing])[0] == pytest.approx(background / 3)
    assert values("segmentation", [perfect]) == [1, 1]


# Segmentation


def drawn(truth, ignored):
    """The true label of each pixel: of several labels the one with the fewest pixels."""
    found = np.zeros(truth.size, dtype=int)
    for i, j in np.ndindex(*truth.size):
        here = [label for label in truth.present if truth.mask(label)[i, j]]
        if here:
            found[i, j] = min(here, key=lambda label: int(truth.mask(label).sum())) + 1
        if truth.ignore is not None and truth.ignore[i, j]:
            found[i, j] = ignored
    return found


def counts_of(cases):
    """Pixels of each class over all (L,H,W) maps: predicted and true, predicted, true."""
    found, truths = [], []
    for case in cases:
        maps = torch.full((LABELS, *SIZE), 0.9)  # not read where a label is not explained
        maps[case.targets] = case.saliency
        found.append(place.label_map(maps, case.targets.tolist(), SIZE))
        truths.append(drawn(case.scene, 255))
    return place.class_counts(found, truths, LABELS + 1)


IGNORED = rectangle(0, 3, 4, 9)
SEGMENTED = {
    "all explained": random_case(seed=1),
    "one of three explained": random_case(targets=(3,), seed=2),
    "explained and not present": random_case(targets=(0, 3, 5), seed=3),
    "none of the present explained": random_case(targets=(0, 2, 5), seed=4),
    "ignored pixels": random_case(truth=scene(ignore=IGNORED), seed=5),
    "all pixels ignored": random_case(truth=scene(ignore=torch.ones(SIZE).bool()), seed=5),
    "a dense tensor of masks": random_case(truth=scene(scene().dense_masks()), seed=6),
    "last label": random_case(targets=(5,), seed=7),
    "no pixel annotated": random_case(truth=scene({}), seed=8),
}


@pytest.mark.parametrize("case", SEGMENTED.values(), ids=SEGMENTED.keys())
def test_segmentation_of_a_few_labels_is_that_of_all(case):
    sums = METRICS["segmentation"].update(case)
    expected = np.array(counts_of([case])).T
    for name, one in zip(("intersection", "predicted", "true"), expected, strict=True):
        assert sums[name].dtype == torch.int64
        assert sums[name].tolist() == one.tolist(), name
    maps = torch.zeros(1, LABELS, *SIZE)
    maps[0, case.targets] = case.saliency
    explained = presence(set(case.targets.tolist()))[None]
    direct = maths.segmentation_update(maps, explained, case.scene.label_map(255)[None])
    assert all(torch.equal(sums[name], direct[name]) for name in direct)


def test_the_overlap_of_two_masks_goes_to_the_smaller():
    assert (MASKS[1] & MASKS[3]).sum() > 0
    sums = METRICS["segmentation"].update(SEGMENTED["all explained"])
    assert sums["true"][2] == MASKS[1].sum()
    assert sums["true"][4] == (MASKS[3] & ~MASKS[1]).sum()


def test_mean_iou_and_f_score_of_all_images_together():
    cases = [case for name, case in SEGMENTED.items() if name != "no pixel annotated"]
    counts = counts_of(cases)
    expected = [place.mean_iou(counts), place.mean_f_score(counts)]
    assert values("segmentation", cases) == pytest.approx(expected)


def test_the_order_of_targets_does_not_matter():
    case = random_case(seed=3)
    order = torch.tensor([2, 0, 1])
    turned = dataclasses.replace(
        case,
        targets=case.targets[order],
        saliency=case.saliency[order],
        answers=Answers(
            *(getattr(case.answers, f.name)[order] for f in dataclasses.fields(Answers))
        ),
    )
    for name in METRICS:
        assert values(name, [turned]) == pytest.approx(values(name, [case])), name


# The best object


def best_of(saliency, things):
    """IoU and energy of the thing with the greatest IoU, of equal ones the greatest energy."""
    found = [(place.object_iou(saliency, one), ref.proportion(saliency, one)) for one in things]
    return max(found)


@pytest.mark.parametrize(
    "truth",
    [
        scene(),
        scene(None, boxes=BOXES),
        scene(None, objects=torch.stack([rectangle(0, 0, 3, 3), rectangle(2, 2, 9, 9)])),
        scene(labels=torch.ones(80, dtype=torch.bool)),
    ],
    ids=["masks", "boxes", "objects", "labels the model does not have"],
)
def test_best_object(truth):
    case = random_case(truth, targets=(0, 5))
    found = [best_of(saliency, truth.things()) for saliency in case.saliency]
    expected = [mean([iou for iou, _ in found]), mean([energy for _, energy in found])]
    assert values("best-object", [case]) == pytest.approx(expected, abs=1e-6)
    other = random_case(truth, targets=(2,), seed=9)
    found.append(best_of(other.saliency[0], truth.things()))
    assert METRICS["best-object"].update(other)["pairs"] == 1
    assert values("best-object", [case, other])[0] == pytest.approx(mean([i for i, _ in found]))


# Missing ground truth

PLACE = ("energy", "pointing-game", "localization-error", *OBJECTS, "segmentation")
BARE = scene(None)


@pytest.mark.parametrize("name", [*PLACE, "best-object"])
def test_without_ground_truth_there_are_no_sums(name):
    assert METRICS[name].update(random_case(BARE)) is None
    empty = torch.zeros(0, *SIZE, dtype=torch.bool)
    assert METRICS["best-object"].update(random_case(scene(None, objects=empty))) is None


@pytest.mark.parametrize("name", [name for name in METRICS if not METRICS[name].wants])
def test_boxes_alone_are_no_masks(name):
    masked = name in (*OBJECTS, "segmentation")
    assert (METRICS[name].update(BOXED) is None) == masked


@pytest.mark.parametrize("name", PLACE[:-1])
def test_labels_without_a_place(name):
    """A label may be explained that is not there, or whose place is not annotated."""
    assert METRICS[name].update(random_case(targets=(0, 5))) is None
    some = METRICS[name].update(random_case(targets=(0, 3)))
    assert int(some["pairs"].sum()) == 1


@pytest.mark.parametrize("count", [4, 5, 7, 80])
@pytest.mark.parametrize("name", PLACE)
def test_a_dataset_with_other_labels_has_no_ground_truth_for_the_models(name, count):
    """Its label 3 is another thing than the model's, even where it is present."""
    labels = torch.zeros(count, dtype=torch.bool)
    labels[[1, 3]] = True
    truth = scene({1: MASKS[1], 3: MASKS[3]}, labels=labels, boxes=((3, 3, 4, 9, 11),))
    assert METRICS[name].update(random_case(truth, targets=(3,))) is None
    assert METRICS[name].update(random_case(truth, targets=(5,))) is None


def test_what_needs_no_ground_truth_does_not_look_at_it():
    for name, metric in METRICS.items():
        if metric.wants:
            assert metric.update(random_case(BARE)) is not None, name
            assert values(name, [random_case(BARE)]) == values(name, [random_case()])


# Sums


@pytest.mark.parametrize("name", METRICS)
def test_many_sums_are_computed_at_once(name):
    metric = METRICS[name]
    sums = [metric.update(case) for case in CASES]
    together = {key: torch.stack([one[key] for one in sums]) for key in sums[0]}
    found = metric.compute(together)
    for row, case in enumerate(CASES):
        expected = values(name, [case])
        assert [float(value[row]) for value in found] == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("name", METRICS)
def test_no_pair_is_no_number(name):
    sums = METRICS[name].update(CASES[0])
    zeros = {key: torch.zeros_like(value)[None] for key, value in sums.items()}
    assert all(math.isnan(float(value)) for value in METRICS[name].compute(zeros))


def decoded(found, like):
    """The tensor behind an encoded one."""
    if not isinstance(found, dict):
        return torch.tensor(found, dtype=like.dtype)
    dense = torch.zeros(found["size"], dtype=like.dtype)
    for place_, value in zip(found["at"], found["values"], strict=True):
        dense[place_] = value
    return dense


@pytest.mark.parametrize("name", METRICS)
def test_sums_go_through_json_to_the_last_bit(name):
    for case in CASES:
        sums = METRICS[name].update(case)
        text = json.dumps(encode_sums(sums), allow_nan=False)
        back = json.loads(text)
        assert list(back) == list(sums)
        for key, value in sums.items():
            assert value.ndim <= 1
            assert torch.equal(decoded(back[key], value), value)


def test_updates_do_not_modify_a_case():
    case = random_case(seed=1)
    before = case.saliency.clone(), case.whole.clone(), case.answers.masked.clone()
    for metric in METRICS.values():
        metric.update(case)
    assert torch.equal(case.saliency, before[0])
    assert torch.equal(case.whole, before[1])
    assert torch.equal(case.answers.masked, before[2])
    assert case.before.tolist() == case.whole[case.targets].tolist()


# Options


def test_options_are_those_of_the_metrics():
    near = choose_metrics([{"metric": "pointing-game", "options": {"tolerance": 15}}])
    assert plain_metrics(near) == [{"metric": "pointing-game", "options": {"tolerance": 15}}]
    assert choose_metrics(plain_metrics(near))["pointing-game"].options == {"tolerance": 15}
    assert plain_metrics(choose_metrics(["energy"])) == ["energy"]
    scene = Scene(torch.rand(3, 4, 8), torch.tensor([True]), boxes=((0, 0, 0, 2, 4),))
    saliency = torch.zeros(1, 4, 8)
    saliency[0, 1, 4] = 1  # three pixels from the box
    whole = torch.tensor([0.5])
    case = Case(scene, saliency, torch.tensor([0]), scene.labels, whole, Answers(), [0, 32])
    for tolerance, hits in ((0, 0), (2, 0), (3, 1)):
        chosen = {"metric": "pointing-game", "options": {"tolerance": tolerance}}
        metric = choose_metrics([chosen])["pointing-game"]
        assert int(metric.update(case)["hits"]) == hits
    marked = saliency.clone()
    marked[0, :, :2] = 0.3
    case = dataclasses.replace(case, saliency=marked)
    for threshold, errors in ((0.15, 0), (0.5, 1)):
        chosen = {"metric": "localization-error", "options": {"threshold": threshold}}
        metric = choose_metrics([chosen])["localization-error"]
        assert int(metric.update(case)["errors"].sum()) == errors


def test_options_of_the_values():
    sums = {name: torch.tensor([[2.0, 0.0, 0.5]]) for name in ("ic", "ad", "ado", "ar", "aro")} | {
        "pairs": torch.tensor([[2, 0, 1]]),
        "shared": torch.tensor([[1, 0, 1]]),
    }
    macro, micro = (
        choose_metrics([{"metric": "multi-label", "options": {"average": average}}])["multi-label"]
        for average in ("macro", "micro")
    )
    assert float(macro.compute(sums)[0]) == pytest.approx((2 / 2 + 0.5) / 2)
    assert float(micro.compute(sums)[0]) == pytest.approx(2.5 / 3)


@pytest.mark.parametrize(
    ("metrics", "error", "message"),
    [
        ([{"metric": "energy", "options": {"tolerance": 3}}], ValueError, "to be none, but got"),
        (
            [{"metric": "pointing-game", "options": {"threshold": 3}}],
            ValueError,
            "the options of Pointing Game to be among tolerance, but got 'threshold'",
        ),
        ([{"options": {}}], TypeError, "mappings with 'metric' and 'options'"),
        ([{"metric": "energy", "option": {}}], TypeError, "mappings with 'metric' and 'options'"),
        ([{"metric": "energy", "options": [3]}], TypeError, "mappings with 'metric'"),
        ([{"metric": "enrgy"}], ValueError, "but got 'enrgy'"),
        (
            ["pointing-game", {"metric": "pointing-game", "options": {"tolerance": 3}}],
            ValueError,
            "different ones, but got pointing-game with different options",
        ),
        (["energy", None], TypeError, "metrics to be a list of names"),
        ([3], TypeError, "metrics to be a list of names"),
        ({"metric": "energy"}, TypeError, "metrics to be a list of names"),
    ],
)
def test_metrics_that_are_refused(metrics, error, message):
    with pytest.raises(error, match=message):
        choose_metrics(metrics)
