"""Models whose output is no tensor (N,L): containers, detections, numbers, one logit."""

import copy

import numpy as np
import pytest
import torch
from pytorch_grad_cam.utils.model_targets import (
    BinaryClassifierOutputTarget,
    ClassifierOutputTarget,
    RawScoresOutputTarget,
)
from torch import nn

from captum_cluster._checks import TargetError
from captum_cluster.grad_cam import MultiScaleCAM
from tests.conformance.cases import each
from tests.conformance.nets import OneLogitNet, ScalarNet, SmallNet, images
from tests.helpers.records import ModelOutput, Pair, Record

SIZE = (16, 24)
LABELS = [3, 0, 1]

every_case = each()
every_face = pytest.mark.parametrize("face", ["captum", "grad_cam"])
# Methods that take callables as targets.
of_callables = each(index_targets=False)

# `labels_of` knows no targets.
pytestmark = pytest.mark.filterwarnings("ignore:Target .* is not in its labels")


class Contained(nn.Module):
    """A network that gives its logits in a container."""

    def __init__(self, give, net=None):
        super().__init__()
        self.net = SmallNet() if net is None else net
        self.give = give

    @property
    def layer(self):
        return self.net.relu2

    @property
    def fc(self):
        return self.net.fc

    @property
    def sub_category_head(self):
        return self.net.sub_category_head

    def forward(self, x):
        return self.give(self.net(x))


def contained(give):
    return Contained(give).eval().double()


def plain():
    return contained(lambda out: out)


def batch(n=3):
    return images(n, size=SIZE)


def explain(face, case, model, x, targets, pick=None, **options):
    """Return the maps of one target for each image: signed ones, or as the host shows them."""
    if face == "captum":
        cam = case.build(model, model.layer, of=model, output_selector=pick)
        return cam.attribute(x, targets, **case._options(x, options)).numpy()
    own = {"classifier": model.fc} if case.closed_form else {}
    own = {"head": model.sub_category_head} if case.sub_head else own
    cam = case.cam(model, [model.layer], output_selector=pick, **own, **options)
    return cam(x, targets if callable(targets[0]) else case.targets(targets, x))


def as_it_is(case):
    """The options that read an output as the model gives it."""
    read = {"score_function": "logit"} if case.scores else {}
    return {**read, "sufficient_score": "logit"} if "sufficient" in case.options else read


def assert_same(face, case, model, pick, **options):
    x = batch()
    expected = explain(face, case, plain(), x, LABELS, **options)
    found = explain(face, case, model, x, LABELS, pick, **options)
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


# Selectors

KINDS = {
    "key": (lambda out: {"aux": -out.sum(), "out": out}, "out"),
    "index": (lambda out: (-out, out), 1),
    "index from the end": (lambda out: [-out, out], -1),
    "name of a named tuple": (lambda out: Pair(-out, out), "aux"),
    "name of a dataclass": (lambda out: Record(out, -out), "out"),
    "name of transformers' output": (lambda out: ModelOutput(logits=out), "logits"),
    "function": (lambda out: {"a": [out, -out]}, lambda output: output["a"][0]),
    "function of a tensor": (lambda out: torch.cat([-out, out], dim=1), lambda out: out[:, 5:]),
}


@every_case
@every_face
@pytest.mark.parametrize("kind", KINDS)
def test_the_part_that_is_picked_is_explained(case, face, kind):
    give, pick = KINDS[kind]
    assert_same(face, case, contained(give), pick)


FASTER = [
    {"precision": "bfloat16"},
    {"resolution": 0.5},
    {"compile": {"backend": "eager"}},
]


@each(method="cluster-cam")
@every_face
@pytest.mark.parametrize("options", FASTER, ids=str)
def test_faster_passes_pick_it_too(case, face, options):
    give, pick = KINDS["key"]
    assert_same(face, case, contained(give), pick, **options)


@each(ablates=True)
@every_face
@pytest.mark.parametrize("way", ["auto", "tail", "full"])
def test_every_way_of_ablation_picks_it(case, face, way):
    give, pick = KINDS["key"]
    assert_same(face, case, contained(give), pick, way=way)


@every_case
def test_without_targets_the_top_class_of_the_part_is_explained(case):
    x, targets = batch(), None
    if case.labelled:
        return  # their labels are predicted then, of which there may be none
    give, pick = KINDS["key"]
    model = contained(give)
    cam = case.cam(model, [model.layer], output_selector=pick)
    top = model.net(x).argmax(dim=1).tolist()
    np.testing.assert_allclose(cam(x, targets), cam(x, case.targets(top, x)), rtol=0, atol=1e-9)
    assert len(cam.outputs) == 3


@each(name="cluster-cam")
def test_several_scales_pick_it_too(case):
    give, pick = KINDS["key"]
    model, x = contained(give), batch()
    many = MultiScaleCAM(case.cam(model, [model.layer], output_selector=pick), scales=(1.0, 2.0))
    one = plain()
    expected = MultiScaleCAM(case.cam(one, [one.layer]), scales=(1.0, 2.0))
    np.testing.assert_allclose(many(x), expected(x), rtol=0, atol=1e-6)


@every_case
def test_a_selector_is_copied_with_the_object(case):
    give, pick = KINDS["key"]
    model = contained(give)
    cam = copy.deepcopy(case.build(model, model.layer, of=model, output_selector=pick))
    assert cam.output_selector.pick == "out"


# Without a selector: callables of one image's part


def of_out(label):
    return lambda one: one["out"][label]


IMAGE_BY_IMAGE = {
    "dictionary": lambda out: {"out": out, "aux": -out},
    "list of dictionaries": lambda out: [{"out": row, "name": "row"} for row in out],
}


@of_callables
@every_face
@pytest.mark.parametrize("kind", IMAGE_BY_IMAGE)
def test_callables_are_given_one_images_part(case, face, kind):
    options = as_it_is(case)
    x, targets = batch(), [of_out(label) for label in LABELS]
    model = contained(IMAGE_BY_IMAGE[kind])
    found = explain(face, case, model, x, targets, **options)
    own = [ClassifierOutputTarget(label) for label in LABELS]
    expected = explain(face, case, plain(), x, own, **options)
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@of_callables
@pytest.mark.parametrize("kind", IMAGE_BY_IMAGE)
def test_one_callable_for_all_images_in_the_captum_face(case, kind):
    options = as_it_is(case)
    x, model = batch(), contained(IMAGE_BY_IMAGE[kind])
    cam = case.captum(model, model.layer)
    options = {**case.options, **options}
    one = cam.attribute(x, of_out(2), **options)
    torch.testing.assert_close(one, cam.attribute(x, [of_out(2)] * 3, **options))
    several = cam.attribute_targets(x, [of_out(2), of_out(0)], **options)
    assert several.shape[1] == 2
    if not case.scaled:
        torch.testing.assert_close(several[:, :1], one)


@each(index_targets=True)
@every_face
def test_a_method_of_labels_asks_for_the_tensor(case, face):
    model = contained(IMAGE_BY_IMAGE["dictionary"])
    targets = [of_out(0)] * 3
    with pytest.raises(TargetError, match="class index|ClassifierOutputTarget|output_selector="):
        explain(face, case, model, batch(), targets)
    with pytest.raises(TargetError, match="class index|ClassifierOutputTarget"):
        explain(face, case, plain(), batch(), [lambda out: out[0]] * 3)


def nothing(one):
    """A target that no part of the output influences, as where no box matches."""
    return torch.zeros(1, dtype=torch.float64)


@each(gradient=True, index_targets=False)
@every_face
@pytest.mark.parametrize("kind", ["tensor", *IMAGE_BY_IMAGE])
def test_a_value_without_a_graph_has_no_gradient(case, face, kind):
    model = contained(IMAGE_BY_IMAGE.get(kind, lambda out: out))
    value = (lambda out: out[0]) if kind == "tensor" else of_out(0)
    x = batch()
    maps = explain(face, case, model, x, [nothing] * 3, **as_it_is(case))
    assert np.isfinite(maps).all()
    if case.name == "multi-branch-cam":
        assert (maps == 0).all()
        # Of one image only: the others keep theirs.
        mixed = explain(face, case, model, x, [value, nothing, value])
        whole = explain(face, case, model, x, [value] * 3)
        np.testing.assert_allclose(mixed[::2], whole[::2], rtol=0, atol=1e-9)
        assert (mixed[1] == 0).all()


@each(gradient=True, index_targets=False)
@every_face
def test_a_model_that_lets_no_gradients_through_says_so(case, face):
    model = contained(lambda out: {"out": out.detach()})
    with pytest.raises(RuntimeError, match=r"^Expected the model to let gradients through"):
        explain(face, case, model, batch(), [of_out(0)] * 3)


# Regression and one logit


@of_callables
@every_face
def test_one_of_several_numbers(case, face):
    # Regression is read as it is: a softmax over the numbers would mean nothing.
    options = as_it_is(case)
    x, model = batch(), plain()
    raw = [ClassifierOutputTarget(2)] * 3
    expected = explain(face, case, model, x, raw, **options)
    one = contained(lambda out: out[:, 2:3])
    found = explain(face, case, one, x, [RawScoresOutputTarget()] * 3, **options)
    if face == "captum":  # the host shows nothing of a map below 0
        assert np.abs(expected).max() > 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@of_callables
@pytest.mark.parametrize("kind", [OneLogitNet, ScalarNet])
@pytest.mark.parametrize("category", [0, 1])
def test_one_logit_in_the_grad_cam_face(case, kind, category):
    model, x = kind().eval().double(), batch()
    options = as_it_is(case)
    shown = case.cam(model, [model.relu], **options)
    shown = shown(x, [BinaryClassifierOutputTarget(category)] * 3)
    sign = 1 if category else -1

    # The same of two outputs, the one that is explained and another.
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = model

        def forward(self, x):
            logit = self.net(x).reshape(-1, 1)
            return torch.cat([sign * logit, torch.zeros_like(logit)], dim=1)

    two = case.cam(Two().eval(), [model.relu], **options)
    expected = two(x, [ClassifierOutputTarget(0)] * 3)
    np.testing.assert_allclose(shown, expected, rtol=0, atol=1e-6)


@every_case
@pytest.mark.filterwarnings("ignore:The model's outputs lie in")  # one of the logits does
def test_one_logit_as_a_class_in_the_grad_cam_face(case):
    model, x = OneLogitNet().eval().double(), batch()
    cam = case.cam(model, [model.relu])
    shown = cam(x, case.targets([0] * 3, x, [[0]] * 3))
    maps = case.attribute(model, model.relu, x, 0, **case.given([[0]] * 3))
    torch.testing.assert_close(cam.results[0].maps, maps, rtol=0, atol=1e-9)
    assert shown.shape == (3, *SIZE)


@every_case
def test_one_number_for_each_image_has_no_top_class(case):
    model, x = ScalarNet().eval().double(), batch()
    with pytest.raises(TargetError) as caught:
        case.cam(model, [model.relu])(x)
    assert str(caught.value) == (
        "Expected targets to be given, since the model's output is of shape (3,), but got None."
    )
