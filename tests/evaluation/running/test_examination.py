"""One image of a run: each field of its records, and what they cost."""

import base64
import copy
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from captum_cluster._checks import LayerError
from captum_cluster.data import DigitScenes, Preparation, Scene
from captum_cluster.evaluation.registry import run_method
from captum_cluster.evaluation.running.cases import Case
from captum_cluster.evaluation.running.entries import Entry, method_entries
from captum_cluster.evaluation.running.examination import (
    Examiner,
    LabelsError,
    Settings,
    decode_thumbnail,
    thumbnail,
)
from captum_cluster.evaluation.running.measures import METRICS, Metric, choose_metrics
from captum_cluster.evaluation.running.passes import Answers
from captum_cluster.evaluation.running.records import decode_sum, encode_sums
from captum_cluster.functional.attribution import saliency
from captum_cluster.functional.metrics import (
    average_drop_update,
    deletion_insertion,
    energy_update,
    perturbation_steps,
)
from captum_cluster.hooks import count_forwards
from tests.helpers.nets import SmallNet, TokenNet

AS_IT_IS = Preparation(mode="none")
ALL = choose_metrics("all")
PER_MAP = 2 + 2 * (6 - 1)  # at 48x48: masked, complement, and the middles of two curves of 6 steps


@pytest.fixture
def net():
    return SmallNet(num_classes=10).float().eval()


@pytest.fixture(scope="module")
def scenes():
    """Four images, those of several labels first."""
    return sorted(DigitScenes(8, size=48), key=lambda scene: -len(scene.present))[::2]


def settings(*methods, **given):
    """What is done with an image; the layer is named."""
    return Settings(
        tuple(method_entries(methods or ["grad-cam"])),
        **{
            "metrics": ALL,
            "layer": "relu2",
            "preparation": AS_IT_IS,
            "probability": "sigmoid",
            **given,
        },
    )


def records(net, scene, *methods, position=0, **given):
    """The records of one image for all methods."""
    chosen = settings(*methods, **given)
    names = {entry.name for entry in chosen.entries}
    return list(Examiner(net, chosen).records_of(position, scene, names))


def prepared(scene, preparation=AS_IT_IS):
    """The model's input (1,3,H,W)."""
    return preparation.normalize(preparation.prepare(scene).image)[None]


def probabilities(net, image, read=torch.sigmoid):
    with torch.no_grad():
        return read(net(image))


def without_time(record):
    return {name: value for name, value in record.items() if name != "seconds"}


def with_labels(scene, labels):
    """A scene with other labels and no annotation."""
    present = torch.zeros(len(scene.labels), dtype=torch.bool)
    present[list(labels)] = True
    return Scene(scene.image, present, name=scene.name)


def constant(value):
    """A method that gives a map of one value."""

    def method(model, layer, image, target):
        return torch.full((4, 4), value)

    return method


# Every field


def by_hand(net, scene, method, baseline=0.0):
    """The record of one image and method, from the pieces."""
    image = prepared(scene)
    whole = probabilities(net, image)[0]
    targets = torch.tensor(scene.present)
    run = run_method(method, net, net.relu2, image, targets.tolist(), labels=targets.tolist())
    marks = saliency(run.maps[0], scene.size)
    hidden = 1 - marks[:, None]
    masked = probabilities(net, image * marks[:, None] + baseline * hidden)
    complement = probabilities(net, image * hidden + baseline * marks[:, None])
    deletion, insertion = deletion_insertion(
        lambda x: net(x).sigmoid(), image.expand(len(marks), -1, -1, -1), marks, targets,
        baseline=baseline,
    )  # fmt: skip
    answers = Answers(masked, complement, deletion, insertion)
    steps = perturbation_steps(*scene.size)
    case = Case(scene, marks, targets, scene.labels, whole, answers, steps)
    sums = {name: metric.update(case) for name, metric in METRICS.items()}
    return {
        "name": scene.name,
        "targets": targets.tolist(),
        "labels": len(targets),
        "before": whole[targets].tolist(),
        "method": method,
        "forwards": run.forwards,
        "finite": True,
        "marked": [bool(one.max() > 0) for one in marks],
        "sums": {name: encode_sums(one) for name, one in sums.items() if one is not None},
        "thumbnails": [thumbnail(one) for one in marks[:2]],
        "shares": [step / steps[-1] for step in steps],
        "deletion": deletion.mean(dim=0).tolist(),
        "insertion": insertion.mean(dim=0).tolist(),
    }


def assert_like(found, expected, path=""):
    """Equal, numbers to their rounding; an entry that is left out of a sum is 0."""
    if isinstance(expected, dict) and set(expected) == {"size", "at", "values"}:
        found, expected = (decode_sum(one).double().tolist() for one in (found, expected))
    if isinstance(expected, dict):
        assert list(found) == list(expected) or set(found) == set(expected), path
        for name, value in expected.items():
            assert_like(found[name], value, f"{path}/{name}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), path
        for one, other in zip(found, expected, strict=True):
            assert_like(one, other, path)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-5), path
    else:
        assert found == expected, path


@pytest.mark.parametrize("baseline", [0.0, 0.5])
@pytest.mark.parametrize("rows", [None, 5])
def test_every_field_of_a_record_is_what_the_pieces_give(net, scenes, baseline, rows):
    scene = scenes[0]
    assert len(scene.present) > 1
    methods = ["grad-cam", "minmax-grad-cam", "cluster-cam"]
    found = records(net, scene, *methods, position=17, baseline=baseline, rows=rows)
    assert [record["method"] for record in found] == methods
    for record in found:
        assert record.pop("seconds") > 0
        assert record.pop("image") == 17
        assert set(record["sums"]) == set(METRICS)
        assert_like(record, by_hand(net, scene, record["method"], baseline))


def test_sums_from_the_first_principles(net, scenes):
    """Two sums without any piece of the runner."""
    scene = scenes[1]
    [record] = records(net, scene, "cluster-cam")
    image, targets = prepared(scene), torch.tensor(scene.present)
    maps = run_method("cluster-cam", net, net.relu2, image, targets.tolist()).maps[0]
    before = probabilities(net, image)[0][targets]
    after = [
        probabilities(net, image * saliency(one, scene.size))[0][target]
        for one, target in zip(maps, targets, strict=True)
    ]
    drop = average_drop_update(before, torch.stack(after))
    assert record["sums"]["average-drop"]["drop"] == pytest.approx(float(drop["drop"]), abs=1e-5)
    assert record["sums"]["average-drop"]["pairs"] == len(targets)
    regions = scene.masks[targets]
    energy = energy_update(saliency(maps, scene.size), masks=regions)["energy"]
    assert record["sums"]["energy"]["energy"] == pytest.approx(float(energy), abs=1e-4)


def test_an_image_with_boxes_alone(net):
    """Not square, and resized: the boxes come along."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.zeros(10, dtype=torch.bool)
    labels[[2, 7]] = True
    boxes = ((2, 0.0, 0.0, 10.0, 20.0), (2, 30.0, 2.0, 40.0, 8.0))
    image = (torch.rand(3, 20, 40, generator=generator) * 255).round() / 255
    scene = Scene(image, labels, boxes=boxes, name="<b>")
    preparation = Preparation(48, mean=(0.1, 0.2, 0.3), std=(1.0, 0.5, 0.25))
    [record] = records(net, scene, preparation=preparation)
    small = preparation.prepare(scene)
    assert small.boxes[0] == pytest.approx((2, 0.0, 0.0, 12.0, 48.0))
    assert_like(
        record["before"], probabilities(net, prepared(scene, preparation))[0][[2, 7]].tolist()
    )
    missing = {"object-iou", "object-recall", "object-precision", "segmentation"}
    assert set(record["sums"]) == set(METRICS) - missing
    assert record["sums"]["energy"]["pairs"] == 1  # label 7 has no box
    assert record["sums"]["localization-error"]["skipped"] == 1
    assert record["name"] == "<b>"
    assert [decode_thumbnail(one).shape for one in record["thumbnails"]] == [(48, 48)] * 2
    maps = run_method(
        "grad-cam", net, net.relu2, prepared(scene, preparation), [2, 7], labels=[2, 7]
    ).maps[0]
    energy = energy_update(saliency(maps[:1], (48, 48)), masks=small.region(2)[None])["energy"]
    assert record["sums"]["energy"]["energy"] == pytest.approx(float(energy), abs=1e-5)


def test_records_are_strict_json(net, scenes):
    methods = ["grad-cam", constant(float("nan")), {"method": constant(0.0), "name": "nothing"}]
    for scene in scenes[:2]:
        for record in records(net, scene, *methods):
            text = json.dumps(record, allow_nan=False)
            assert json.loads(text) == record


def test_records_do_not_depend_on_the_other_methods_or_images(net, scenes):
    """What a run that goes on relies on."""
    chosen = settings("grad-cam", "cluster-cam", "gradcam")
    examiner = Examiner(net, chosen)
    several = {}
    for position, scene in enumerate(scenes[:2]):
        for record in examiner.records_of(position, scene, ["gradcam", "grad-cam", "cluster-cam"]):
            several[position, record["method"]] = without_time(record)
    assert list(several) == [
        (position, name) for position in (0, 1) for name in ("grad-cam", "cluster-cam", "gradcam")
    ]
    fresh = Examiner(net, chosen)
    for position in (1, 0):
        for name in ("gradcam", "grad-cam", "cluster-cam"):
            [record] = fresh.records_of(position, scenes[position], [name])
            assert without_time(record) == several[position, name]


def test_only_the_methods_asked_for(net, scenes):
    examiner = Examiner(net, settings("grad-cam", "gradcam"))
    found = examiner.records_of(0, scenes[0], {"gradcam", "unknown"})
    assert [record["method"] for record in found] == ["gradcam"]
    assert list(examiner.records_of(0, scenes[0], [])) == []


def test_only_the_metrics_asked_for(net, scenes):
    [record] = records(net, scenes[0], metrics=choose_metrics(["energy", "average-drop"]))
    assert list(record["sums"]) == ["average-drop", "energy"]
    assert not {"shares", "deletion", "insertion"} & set(record)
    assert settings(metrics=choose_metrics("energy")).wants == frozenset()
    assert settings(metrics=choose_metrics("overall")).wants == {"curves"}
    assert settings(metrics=ALL).wants == {"masked", "complement", "curves"}


def test_probabilities_are_read_as_asked(net, scenes):
    scene = scenes[0]
    [softmax] = records(net, scene, probability="probability")
    [sigmoid] = records(net, scene, probability="sigmoid")
    image, targets = prepared(scene), scene.present
    assert_like(softmax["before"], net(image).softmax(dim=1)[0][targets].tolist())
    assert_like(sigmoid["before"], net(image).sigmoid()[0][targets].tolist())
    assert softmax["deletion"] != sigmoid["deletion"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_models_of_other_precision(net, scenes, dtype):
    [expected] = records(net, scenes[0])
    [found] = records(net.to(dtype), scenes[0])
    loose = 1e-5 if dtype == torch.float64 else 5e-2
    assert found["before"] == pytest.approx(expected["before"], abs=loose)
    assert found["insertion"] == pytest.approx(expected["insertion"], abs=loose)
    json.dumps(found, allow_nan=False)


def test_the_model_is_left_as_it_was_found(net, scenes):
    before = copy.deepcopy(net.state_dict())
    torch.manual_seed(3)
    draw = torch.rand(2)
    torch.manual_seed(3)
    records(net, scenes[0], "grad-cam", "cluster-cam", "gradcam")
    assert torch.equal(torch.rand(2), draw)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not any(module._forward_hooks or module.training for module in net.modules())


# What it costs


def cost(net, examiner, scene, methods):
    """Images through the model, and those that the methods' own records count."""
    with count_forwards(net) as count:
        found = list(examiner.records_of(0, scene, methods))
    return count.images, sum(record["forwards"] for record in found), found


def test_passes_are_shared_by_methods_metrics_and_images(net, scenes):
    methods = ["grad-cam", "cluster-cam", "gradcam"]
    examiner = Examiner(net, settings(*methods))
    seen = []
    for scene, bare in zip(scenes[:3], (1, 0, 0), strict=True):
        labels = len(scene.present)
        images, own, found = cost(net, examiner, scene, methods)
        assert [record["forwards"] for record in found] == [labels, 7, labels]
        assert images == 1 + bare + own + 3 * labels * PER_MAP
        seen.append(labels)
    assert len(set(seen)) > 1


def test_the_bare_baseline_is_passed_once_for_each_size(net, scenes):
    examiner = Examiner(net, settings(metrics=choose_metrics(["overall"])))
    other = Scene(scenes[0].image[:, :16, :8], scenes[0].labels)
    labels = len(other.present)
    expected = [(scenes[0], 1, 10), (other, 1, 2), (scenes[0], 0, 10), (other, 0, 2)]
    for scene, bare, each in expected:
        images, own, _ = cost(net, examiner, scene, ["grad-cam"])
        assert images == 1 + bare + own + labels * each


@pytest.mark.parametrize(
    ("metrics", "each"),
    [("energy", 0), ("average-drop", 1), (["increase", "average-drop"], 1), ("multi-label", 2)],
)
def test_metrics_that_need_little_cost_little(net, scenes, metrics, each):
    examiner = Examiner(net, settings(metrics=choose_metrics(metrics)))
    images, own, _ = cost(net, examiner, scenes[0], ["grad-cam"])
    assert images == 1 + own + each * len(scenes[0].present)


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_rows_is_the_most_images_in_one_pass(net, scenes, rows):
    sizes = []
    net.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    found = records(net, scenes[0], rows=rows)
    pairs = len(scenes[0].present)
    assert max(sizes) == min(rows, pairs * PER_MAP)
    assert_like(without_time(found[0]), without_time(records(net, scenes[0])[0]))


# Labels


def test_the_labels_of_the_image(net, scenes):
    for scene in scenes:
        [record] = records(net, scene, explained="truth")
        assert record["targets"] == scene.present
        assert record["labels"] == len(scene.present)


def test_the_labels_predicted(net, scenes):
    found = probabilities(net, prepared(scenes[0]))[0]
    predicted = [label for label in range(10) if found[label] > 0.5]
    assert 1 < len(predicted) < 10
    assert predicted != scenes[0].present
    [record] = records(net, scenes[0], "minmax-grad-cam", explained="predicted")
    assert record["targets"] == predicted
    assert record["labels"] == len(predicted)
    image = prepared(scenes[0])
    maps = run_method("minmax-grad-cam", net, net.relu2, image, predicted, labels=predicted).maps[0]
    assert record["thumbnails"] == [thumbnail(one) for one in saliency(maps, (48, 48))[:2]]
    # Only labels that are both explained and annotated have a place.
    both = set(predicted) & set(scenes[0].present)
    sums = record["sums"].get("energy", {"pairs": 0})
    assert sums["pairs"] == len(both)


def test_the_top_label(net, scenes):
    for scene in scenes[:2]:
        [record] = records(net, scene, explained="top")
        assert record["targets"] == [int(probabilities(net, prepared(scene)).argmax())]
        assert record["labels"] == 1


def test_labels_that_are_contrasted_are_those_of_the_image(net, scenes):
    given = []

    def method(model, layer, image, target, labels):
        given.append((target, labels))
        return image[0, 0]

    scene = scenes[0]
    records(net, scene, method)
    assert given == [(target, scene.present) for target in scene.present]


def test_an_image_without_a_label(net, scenes):
    scene = with_labels(scenes[0], [])
    for explained in ("truth", "predicted"):
        with torch.no_grad():
            net.fc.bias.fill_(-1000)
        found = records(net, scene, "grad-cam", "gradcam", position=5, explained=explained)
        assert found == [{"image": 5, "name": scene.name, "empty": True}]
    [record] = records(net, scene, explained="top")
    assert len(record["targets"]) == 1


@pytest.mark.parametrize("count", [3, 80])
def test_labels_that_are_not_the_models(net, scenes, count):
    labels = torch.zeros(count, dtype=torch.bool)
    labels[1] = True
    scene = Scene(scenes[0].image, labels, {1: torch.ones(48, 48).bool()})
    with pytest.raises(LabelsError) as raised:
        records(net, scene)
    assert isinstance(raised.value, ValueError)
    assert str(raised.value) == (
        f"Expected the dataset to have the model's 10 labels (or explained='top'), but got {count}."
    )
    for explained in ("top", "predicted"):
        [record] = records(net, scene, explained=explained)
        located = {"energy", "pointing-game", "localization-error", "segmentation"}
        located |= {"object-iou", "object-recall", "object-precision"}
        assert not located & set(record["sums"])
        assert "best-object" in record["sums"]


# What models and methods may do


class Gives(nn.Module):
    """A model that gives something else than logits."""

    def __init__(self, change):
        super().__init__()
        self.net, self.change = SmallNet(num_classes=10).float().eval(), change

    def forward(self, x):
        return self.change(self.net(x))


@pytest.mark.parametrize(
    ("change", "got"),
    [
        (lambda y: y[:, :, None], "a tensor of shape (1, 10, 1) and dtype torch.float32"),
        (lambda y: y[0], "a tensor of shape (10,) and dtype torch.float32"),
        (lambda y: torch.cat([y, y]), "a tensor of shape (2, 10) and dtype torch.float32"),
        (lambda y: {"logits": 1}, "{'logits': 1} (dict)"),
        (lambda y: None, "None (NoneType)"),
    ],
)
def test_models_that_give_no_logits(scenes, change, got):
    with pytest.raises(ValueError, match="logits") as raised:
        records(Gives(change).eval(), scenes[0], layer="net.relu2")
    assert str(raised.value) == (
        f"the model on {scenes[0].name}: "
        f"Expected the model to give logits of shape (1,L) for 1 images, but got {got}."
    )


@pytest.mark.parametrize("probability", ["sigmoid", "probability"])
def test_models_that_give_nan(scenes, probability):
    model = Gives(lambda y: y * float("nan")).eval()
    with pytest.raises(ValueError, match="Expected the model's output to be finite, but got NaN"):
        records(model, scenes[0], layer="net.relu2", probability=probability)


def test_a_map_that_is_not_finite_marks_nothing(net, scenes):
    scene = scenes[0]
    first = scene.present[0]

    def partly(value):
        def method(model, layer, image, target):
            found = layer(image).mean(dim=1) if target != first else image.mean(dim=1).clone()
            if target == first:
                found[0, 0, 0] = value
            return torch.nn.functional.interpolate(found[None], (48, 48))[0]

        return method

    zero = {"method": constant(0.0), "name": "zero"}
    for value in (float("nan"), float("inf"), -float("inf")):
        [all_bad] = records(net, scene, constant(value))
        [nothing] = records(net, scene, zero)
        assert all_bad["finite"] is False
        assert nothing["finite"] is True
        assert all_bad["marked"] == nothing["marked"] == [False] * len(scene.present)
        for name in ("sums", "thumbnails", "deletion", "insertion"):
            assert all_bad[name] == nothing[name]
        # A map of the same image that is finite is judged as it is.
        [some_bad] = records(net, scene, partly(value), layer="conv1")
        assert some_bad["finite"] is False
        assert some_bad["marked"] == [False] + [True] * (len(scene.present) - 1)


def test_an_all_zero_map(net, scenes):
    scene = scenes[0]
    [record] = records(net, scene, constant(0.0))
    image, targets = prepared(scene), scene.present
    before = probabilities(net, image)[0][targets]
    bare = probabilities(net, torch.zeros_like(image))[0][targets]
    drop = float(average_drop_update(before, bare)["drop"])
    assert record["sums"]["average-drop"]["drop"] == pytest.approx(drop, abs=1e-5)
    assert record["sums"]["energy"] == {"energy": 0.0, "pairs": len(targets), "skipped": 0}
    assert record["sums"]["pointing-game"]["hits"] == 0
    assert sum(record["sums"]["localization-error"]["errors"]["values"]) == len(targets)
    assert all(not decode_thumbnail(one).any() for one in record["thumbnails"])
    # A flat map of another value says no more, nor does a negative one.
    for value in (3.0, -2.0):
        [flat] = records(net, scene, constant(value))
        assert flat["sums"] == record["sums"]
        assert flat["marked"] == record["marked"]


# What fails


def failing(error, on=()):
    """A method that raises an error on some images, by their place in the order of calls."""
    seen = []

    def method(model, layer, image, target):
        if not any(torch.equal(image, one) for one in seen):
            seen.append(image)
        if not on or len(seen) - 1 in on:
            raise error
        return image[0, 0]

    return {"method": method, "name": "failing"}


class TwoArgumentsError(Exception):
    def __init__(self, code, path):
        super().__init__(code, path)
        self.code, self.path = code, path

    def __str__(self):
        return f"{self.code} at {self.path}"


class OfANumberError(ValueError):
    def __init__(self, code):
        super().__init__(f"code {int(code)}")


class FromATableError(Exception):
    def __init__(self, code):
        super().__init__({"a": "full", "b": "empty"}[code])


class AlwaysTheSameError(Exception):
    def __init__(self, *args):
        super().__init__("of its own")


class WithoutInitError(OSError):
    pass


ERRORS = [
    (KeyError("of its own"), KeyError, "'of its own'"),
    (WithoutInitError(5, "broken"), WithoutInitError, "[Errno 5] broken"),
    (LayerError("no such layer"), LayerError, "no such layer"),
    (LabelsError("no such label"), LabelsError, "no such label"),
    (torch.OutOfMemoryError("out of memory"), torch.OutOfMemoryError, "out of memory"),
    (StopIteration("the end"), RuntimeError, "the end"),  # a generator must not raise it
    (AssertionError(), AssertionError, ""),
    (TwoArgumentsError(3, "a.png"), RuntimeError, "3 at a.png"),
    (OfANumberError(7), RuntimeError, "code 7"),
    (FromATableError("a"), RuntimeError, "full"),
    (AlwaysTheSameError(), RuntimeError, "of its own"),
    (UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"), RuntimeError, "'utf-8' codec can't decode"),
]
KINDS = [type(error).__name__ for error, _, _ in ERRORS]


@pytest.mark.parametrize(("error", "kind", "text"), ERRORS, ids=KINDS)
def test_what_never_worked_is_an_error_of_its_type_that_names_the_image(
    net, scenes, error, kind, text
):
    with pytest.raises(kind) as raised:
        records(net, scenes[0], failing(error))
    assert raised.type is kind
    said = f"failing on {scenes[0].name}: {text}"
    assert any(said in str(one) for one in (raised.value, *raised.value.args))
    assert raised.value.__cause__ is error


@pytest.mark.parametrize(("error", "kind", "text"), ERRORS, ids=KINDS)
def test_what_has_worked_before_is_a_record(net, scenes, error, kind, text):
    methods = ["grad-cam", failing(error, on={1}), "gradcam"]
    names, metrics = ["grad-cam", "failing", "gradcam"], choose_metrics("energy")
    examiner = Examiner(net, settings(*methods, metrics=metrics))
    found = [
        list(examiner.records_of(position, scene, names))
        for position, scene in enumerate(scenes[:3])
    ]
    assert [[one["method"] for one in image] for image in found] == [names] * 3
    errors = [[one.get("error") for one in image] for image in found]
    said = errors[1][1]
    assert said.startswith(f"{type(error).__name__}: {text}")
    assert errors == [[None] * 3, [None, said, None], [None] * 3]
    failed = found[1][1]
    assert (failed["image"], failed["name"]) == (1, scenes[1].name)
    assert not {"sums", "seconds", "marked", "thumbnails"} & set(failed)
    json.dumps(failed, allow_nan=False)
    # The others are judged as if it were not there.
    alone = Examiner(net, settings("gradcam", metrics=metrics))
    [expected] = alone.records_of(1, scenes[1], ["gradcam"])
    assert without_time(found[1][2]) == without_time(expected)


def failure_of_second(net, scenes, entry, **given):
    """The error of one method on the second image, which has worked on the first."""
    examiner = Examiner(net, settings(entry, metrics=choose_metrics("energy")), **given)
    [first] = examiner.records_of(0, scenes[0], ["failing"])
    assert "error" not in first
    return list(examiner.records_of(1, scenes[1], ["failing"]))


@pytest.mark.parametrize("strict", [True, False])
def test_strict_lets_every_error_out(net, scenes, strict):
    entry = failing(KeyError("mine"), on={1})
    if not strict:
        [found] = failure_of_second(net, scenes, entry)
        assert found["error"] == "KeyError: 'mine'"
        return
    with pytest.raises(KeyError, match=f"failing on {scenes[1].name}: 'mine'"):
        failure_of_second(net, scenes, entry, strict=True)


def test_a_lack_of_memory_is_never_passed_over(net, scenes):
    with pytest.raises(MemoryError, match=f"failing on {scenes[1].name}: none left"):
        failure_of_second(net, scenes, failing(MemoryError("none left"), on={1}))


def test_an_interrupt_is_no_failure(net, scenes):
    with pytest.raises(KeyboardInterrupt, match="^$"):
        failure_of_second(net, scenes, failing(KeyboardInterrupt(), on={1}))


def test_each_method_must_have_worked_itself(net, scenes):
    broken = {**failing(KeyError("mine")), "name": "other"}
    examiner = Examiner(net, settings("grad-cam", broken, metrics=choose_metrics("energy")))
    assert len(list(examiner.records_of(0, scenes[0], ["grad-cam"]))) == 1
    found = examiner.records_of(1, scenes[1], ["grad-cam", "other"])
    assert next(found)["method"] == "grad-cam"
    with pytest.raises(KeyError, match=f"other on {scenes[1].name}"):
        next(found)


def test_what_worked_in_the_run_before_has_worked(net, scenes):
    chosen = settings("grad-cam", failing(KeyError("mine")), metrics=choose_metrics("energy"))
    examiner = Examiner(net, chosen, worked={"failing"})
    [found] = examiner.records_of(0, scenes[0], ["failing"])
    assert found["error"] == "KeyError: 'mine'"
    with pytest.raises(KeyError, match="failing on "):
        list(Examiner(net, chosen).records_of(0, scenes[0], ["failing"]))
    with pytest.raises(KeyError, match="failing on "):
        strict = Examiner(net, chosen, worked={"failing"}, strict=True)
        list(strict.records_of(0, scenes[0], ["failing"]))


def test_metrics_and_options_that_fail_are_failures_of_the_method(net, scenes):
    with pytest.raises(TypeError, match=r"cluster-cam on .*: Expected .* among n_clusters"):
        records(net, scenes[0], {"method": "cluster-cam", "options": {"clusters": 3}})
    calls = []

    def update(case):
        calls.append(case)
        if len(calls) == 2:
            raise ZeroDivisionError("no pixel")

    metrics = {"mine": Metric((), update, lambda sums: [])}
    examiner = Examiner(net, settings("grad-cam", "gradcam", metrics=metrics))
    assert [one["sums"] for one in examiner.records_of(0, scenes[0], ["grad-cam"])] == [{}]
    [found] = examiner.records_of(1, scenes[1], ["grad-cam"])
    assert found["error"] == "ZeroDivisionError: no pixel"


def with_pixels(scene, value):
    return Scene(torch.full_like(scene.image, value), scene.labels, name=scene.name)


class Picky(nn.Module):
    """A model that fails on images of one colour, with an error or without a number."""

    def __init__(self, error=None, size=(48, 48)):
        super().__init__()
        self.net, self.error, self.size = SmallNet(num_classes=10).float().eval(), error, size

    def forward(self, x):
        flat = (x.amax(dim=(2, 3)) == x.amin(dim=(2, 3))).all(dim=1)
        if x.shape[2:] != self.size or not flat.any():
            return self.net(x)
        if self.error is not None:
            raise self.error
        return self.net(x).masked_fill(flat[:, None], float("nan"))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (None, "ValueError: Expected the model's output to be finite, but got NaN"),
        (TwoArgumentsError(3, "a"), "TwoArgumentsError: 3 at a"),
    ],
)
def test_a_model_that_fails_on_one_image(scenes, error, said):
    given = {"layer": "net.relu2", "metrics": choose_metrics("energy")}
    net, methods = Picky(error).eval(), ["grad-cam", "gradcam"]
    nothing = with_pixels(scenes[1], 0.0)
    examiner = Examiner(net, settings(*methods, **given))
    found = [
        list(examiner.records_of(position, scene, methods))
        for position, scene in enumerate([scenes[0], nothing, scenes[2]])
    ]
    assert [len(image) for image in found] == [2, 1, 2]
    [failed] = found[1]
    assert failed.pop("error").startswith(said)
    assert failed == {"image": 1, "name": scenes[1].name}
    kind = ValueError if error is None else RuntimeError
    [again] = Examiner(net, settings(*methods, **given), worked=["gradcam"]).records_of(
        1, nothing, methods
    )
    assert again.pop("error").startswith(said)
    for strict, first in ((False, nothing), (True, scenes[0])):
        examiner = Examiner(net, settings(*methods, **given), strict=strict)
        with pytest.raises(kind, match=f"the model on {scenes[1].name}: "):
            for scene in (first, nothing):
                list(examiner.records_of(0, scene, methods))


def test_a_bare_baseline_that_the_model_fails_on(scenes):
    """The baseline of another size is first passed in the middle of a run."""
    given = {"layer": "net.relu2", "metrics": choose_metrics("overall"), "baseline": 0.5}
    net = Picky(KeyError("bare"), size=(16, 8)).eval()
    examiner = Examiner(net, settings("grad-cam", **given))
    [first] = examiner.records_of(0, scenes[0], ["grad-cam"])
    assert "error" not in first
    other = Scene(scenes[1].image[:, :16, :8], scenes[1].labels, name="other")
    [found] = examiner.records_of(1, other, ["grad-cam"])
    assert found == {"image": 1, "name": "other", "error": "KeyError: 'bare'"}
    unlabelled = with_labels(other, [])
    assert list(examiner.records_of(2, unlabelled, ["grad-cam"])) == [
        {"image": 2, "name": "other", "empty": True}
    ]


def test_labels_that_are_not_the_models_stop_a_run_at_any_image(net, scenes):
    examiner = Examiner(net, settings("grad-cam", metrics=choose_metrics("energy")))
    assert len(list(examiner.records_of(0, scenes[0], ["grad-cam"]))) == 1
    other = Scene(scenes[1].image, torch.ones(3, dtype=torch.bool), name="other")
    with pytest.raises(LabelsError, match="^Expected the dataset to have the model's 10 labels"):
        list(examiner.records_of(1, other, ["grad-cam"]))


def test_a_scene_without_a_name_in_an_error(net, scenes):
    scene = Scene(scenes[0].image, scenes[0].labels)
    with pytest.raises(KeyError, match="failing on an image: 'mine'"):
        records(net, scene, failing(KeyError("mine")))


# Layers, options, transforms


def method_of_layers(given):
    def method(model, layer, image, target):
        given.append(layer)
        return image[0, 0]

    return method


def layers_seen(net, scene, layer, own=None):
    """The layers that a function is given, of the run and of its entry."""
    given = []
    entry = {"method": method_of_layers(given), "layer": own}
    records(net, with_labels(scene, [1]), entry, layer=layer, metrics=choose_metrics("energy"))
    return given[0]


def test_layers_of_the_run_and_of_a_method(net, scenes):
    scene = scenes[0]
    assert layers_seen(net, scene, "relu1") is net.relu1
    assert layers_seen(net, scene, net.conv2) is net.conv2
    assert layers_seen(net, scene, ["relu1", net.relu2]) == [net.relu1, net.relu2]
    assert layers_seen(net, scene, ("relu1",)) is net.relu1
    assert layers_seen(net, scene, None) is net.relu2  # the last convolution and what follows it
    assert layers_seen(net, scene, "relu1", own="conv1") is net.conv1
    assert layers_seen(net, scene, "relu1", own=[net.bn1, "relu2"]) == [net.bn1, net.relu2]


def test_layers_are_looked_up_once(net, scenes):
    examiner = Examiner(net, settings(layer=None, metrics=choose_metrics("energy")))
    first = cost(net, examiner, scenes[0], ["grad-cam"])
    second = cost(net, examiner, scenes[0], ["grad-cam"])
    assert first[0] == second[0] + 1  # the pass that finds the default layer
    assert first[1] == second[1]


def test_a_method_of_several_layers(net, scenes):
    scene = with_labels(scenes[0], [3])
    several = {"method": "collection-cam", "layer": ["relu1", "relu2"], "name": "several"}
    found = records(net, scene, several, "collection-cam", layer="relu2")
    image = prepared(scene)
    for record, layers in zip(found, ([net.relu1, net.relu2], [net.relu2]), strict=True):
        maps = run_method("collection-cam", net, layers, image, [3]).maps[0]
        assert record["thumbnails"] == [thumbnail(saliency(maps, (48, 48))[0])]
    assert found[0]["thumbnails"] != found[1]["thumbnails"]


def test_a_layer_that_is_not_there(net, scenes):
    with pytest.raises(LayerError, match="Expected layer to be the name of a module"):
        records(net, scenes[0], layer="relu9")


def test_options_reach_the_method(net, scenes):
    scene = with_labels(scenes[0], [3])
    entry = {"method": "cluster-cam", "options": {"n_clusters": 3}, "name": "narrow"}
    narrow, wide = records(net, scene, entry, "cluster-cam")
    assert (narrow["method"], narrow["forwards"]) == ("narrow", 4)
    assert (wide["method"], wide["forwards"]) == ("cluster-cam", 7)


def test_a_transformer_with_its_reshape_transform():
    net = TokenNet(num_classes=3).float().eval()
    generator = torch.Generator().manual_seed(0)
    scene = Scene(torch.rand(3, 8, 12, generator=generator), torch.tensor([True, False, True]))
    given = {"layer": "block", "reshape_transform": net.reshape_transform}
    [record] = records(net, scene, "gradcam", **given)
    assert record["targets"] == [0, 2]
    assert record["finite"] is True
    assert [decode_thumbnail(one).shape for one in record["thumbnails"]] == [(8, 12)] * 2


def test_settings_take_entries():
    entry = Entry("mine", "grad-cam")
    assert Settings((entry,), {}).wants == frozenset()


# Thumbnails


@pytest.mark.parametrize(
    ("size", "small"),
    [
        ((224, 224), (56, 56)),
        ((112, 224), (28, 56)),
        ((1000, 10), (56, 1)),
        ((56, 56), (56, 56)),
        ((30, 20), (30, 20)),
        ((1, 500), (1, 56)),
        ((1, 1), (1, 1)),
    ],
)
def test_thumbnails_keep_the_proportions_and_do_not_grow(size, small):
    assert decode_thumbnail(thumbnail(torch.rand(size))).shape == small


def test_thumbnails_are_grey_pngs_of_means(net):
    marks = torch.zeros(112, 112)
    marks[:2, :2] = torch.tensor([[1.0, 0.5], [0.5, 0.0]])
    marks[2:4, 2:4] = 1
    text = thumbnail(marks)
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "L", (56, 56))
    found = decode_thumbnail(text)
    assert found.dtype == np.uint8
    assert found[:2, :2].tolist() == [[128, 0], [0, 255]]
    assert found[2:].max() == 0


def test_thumbnails_of_half_precision_and_of_views():
    marks = torch.rand(8, 6).half().T
    expected = (marks.float() * 255).round()
    np.testing.assert_array_equal(decode_thumbnail(thumbnail(marks)), expected.numpy())


@pytest.mark.parametrize(("count", "shown"), [(1, 1), (2, 2), (6, 2)])
def test_two_labels_are_shown(net, scenes, count, shown):
    [record] = records(net, with_labels(scenes[0], range(count)))
    assert len(record["thumbnails"]) == shown
    assert len(record["marked"]) == len(record["targets"]) == len(record["before"]) == count
