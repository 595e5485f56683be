"""Bad input gives one clear error in both faces, and leaves the model as it was."""

import inspect
import re
import warnings

import numpy as np
import pytest
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from captum_cluster import (
    CollectionCAM,
    LayerCollectionCam,
    LayerMinMaxCam,
    LayerMinMaxGradCam,
    MinMaxGradCAM,
    MinMaxTarget,
)
from captum_cluster._checks import LayerError, TargetError
from captum_cluster.hooks import count_forwards
from tests.conformance.cases import CASES, assert_same_state, each, ids, state_of
from tests.conformance.nets import NaNNet, SmallNet, TokenNet, TupleNet, images

SIZE = (16, 24)
FORM = re.compile(
    r"^Expected .+ (to be|to give|to fit|to have|to hold|to predict) .+, but got .+\.", re.DOTALL
)

every_case = each()
every_face = pytest.mark.parametrize("face", ["captum", "grad_cam"])
only_cluster_cam = each(method="cluster-cam")

# `labels_of` knows no targets.
pytestmark = pytest.mark.filterwarnings("ignore:Target .* is not in its labels")


def net():
    return SmallNet().eval().double()


def batch(n=3):
    return images(n, size=SIZE)


def explain(face, case, model, layer, x, label=1, **options):
    """Explain a batch in one of the faces."""
    if face == "captum":
        return case.attribute(model, layer, x, label, **options)
    count = len(x) if isinstance(x, torch.Tensor) else 1
    labels = options.pop("labels", None)
    cam = case.cam(model, [layer], **options)
    return cam(x, case.targets([label] * count, x, labels))


def check(error, parts, face, case, model, layer, x, *args, passes=3, **options):
    """Assert one error that holds all ``parts``, few passes, and an untouched model."""
    before = state_of(model, *(t for t in [x] if isinstance(t, torch.Tensor)))
    with count_forwards(model) as count, pytest.raises(error) as caught:
        explain(face, case, model, layer, x, *args, **options)
    message = str(caught.value)
    assert FORM.search(message), message
    for part in parts:
        assert part in message, f"{part!r} is missing in: {message}"
    assert "to be to " not in message, message
    assert "\n" not in message
    assert len(message) < 500
    assert count.images <= passes
    assert_same_state(before, state_of(model, *(t for t in [x] if isinstance(t, torch.Tensor))))


# Layers


@every_case
@every_face
def test_a_layer_that_is_not_in_the_model(case, face):
    model = net()
    parts = ["layer", "module of the model (SmallNet)", "Conv2d that is not in it"]
    check(ValueError, parts, face, case, model, SmallNet().conv2, batch(), passes=0)


@every_case
@every_face
@pytest.mark.parametrize("layer", ["conv2", None, 3])
def test_a_layer_that_is_no_module(case, face, layer):
    parts = ["layer", "Module of the model", type(layer).__name__]
    if case.together and face == "captum":
        parts = ["layer", "a module or a list of modules", str(layer)]
    check(TypeError, parts, face, case, net(), layer, batch(), passes=0)


@every_case
@every_face
def test_a_layer_without_feature_maps(case, face):
    model = net()
    parts = ["layer", "(N,C,h,w)", "(3, 5)", "reshape_transform="]
    check(ValueError, parts, face, case, model, model.fc, batch())


@every_case
@every_face
def test_a_layer_that_gives_tokens(case, face):
    model = TokenNet().eval().double()
    x = images(2, size=(8, 12))
    parts = ["layer", "(N,C,h,w)", "(2, 7, 6)", "reshape_transform=", "class token"]
    check(ValueError, parts, face, case, model, model.block, x)


@every_case
@every_face
def test_a_reshape_transform_that_gives_no_maps(case, face):
    model = TokenNet().eval().double()
    x = images(2, size=(8, 12))
    before = state_of(model, x)

    def explain_tokens():
        if face == "captum":
            cam = case.captum(model, model.block, reshape_transform=lambda tokens: tokens)
            return cam.attribute(x, 1, **case.options)
        cam = case.cam(model, [model.block], lambda tokens: tokens)
        return cam(x, [ClassifierOutputTarget(1)] * 2)

    with pytest.raises(ValueError, match=r"^Expected reshape_transform to give .*\(N,C,h,w\)"):
        explain_tokens()
    assert_same_state(before, state_of(model, x))


@every_case
@every_face
def test_a_layer_that_is_not_called(case, face):
    model = net()
    model.spare = nn.Conv2d(3, 4, 1).double().eval()
    parts = ["layer", "that the forward pass calls", "one that it does not"]
    check(ValueError, parts, face, case, model, model.spare, batch())


@every_case
@every_face
def test_a_layer_that_gives_nan(case, face):
    model = net()
    with torch.no_grad():
        model.conv1.weight[0, 0, 0, 0] = torch.nan
    check(ValueError, ["finite", "NaN"], face, case, model, model.relu1, batch())


@every_case
def test_target_layers_that_are_no_list(case):
    model = net()
    with pytest.raises(TypeError, match=r"^Expected target_layers to be a list .* got a Conv2d"):
        case.cam(model, model.conv2)
    with pytest.raises(ValueError, match=r"^Expected target_layers to be at least one .* none"):
        case.cam(model, [])


@every_case
def test_a_model_that_is_none(case):
    with pytest.raises(TypeError, match=r"^Expected forward_func to be a callable, but got 3"):
        case.captum(3, net().conv2)
    with pytest.raises(TypeError, match=r"^Expected model to be an nn.Module, but got"):
        case.cam(lambda x: x, [net().conv2])


# Targets


@every_case
@every_face
@pytest.mark.parametrize("label", [5, 1000])
def test_a_target_out_of_range(case, face, label):
    model = net()
    of_functions = face == "grad_cam" and not (case.index_targets or case.ablates)
    parts = ["target", str(label), "output of shape (5,)" if of_functions else "0 to 4"]
    check(ValueError, parts, face, case, model, model.relu2, batch(), label)
    check(AssertionError, parts, face, case, model, model.relu2, batch(), label)


# Options


@only_cluster_cam
@every_face
@pytest.mark.parametrize(
    ("n_clusters", "what"),
    [
        (0, "from 1 to the number"),
        (-2, "from 1 to the number"),
        (13, "from 1 to the number of channels (12)"),
    ],
)
def test_a_number_of_clusters_out_of_range(case, face, n_clusters, what):
    model = net()
    parts = ["n_clusters", "an integer", what, f"but got {n_clusters}"]
    check(ValueError, parts, face, case, model, model.relu2, batch(), n_clusters=n_clusters)


@only_cluster_cam
@every_face
@pytest.mark.parametrize("n_clusters", [2.5, "3", None, True])
def test_a_number_of_clusters_of_a_wrong_type(case, face, n_clusters):
    model = net()
    parts = ["n_clusters", "an integer"]
    check(TypeError, parts, face, case, model, model.relu2, batch(), n_clusters=n_clusters)


@only_cluster_cam
@every_face
@pytest.mark.parametrize("beta", [-0.1, 1.5, float("nan"), float("inf")])
def test_a_beta_out_of_range(case, face, beta):
    model = net()
    parts = ["beta", "a number from 0 to 1", f"but got {beta:g}"]
    check(ValueError, parts, face, case, model, model.relu2, batch(), beta=beta, passes=0)


CHOICES = {
    "cluster-cam": ["clustering", "combine", "map_scale", "similarity", "distance_scale"],
    "score-cam": ["weighting"],
    "ablation-cam": ["fill", "way", "score_function"],
    "rise": [],
    "collection-cam": ["sufficient_score"],
    "minmax-grad-cam": ["contrast", "reduction"],
    "minmax-cam": ["contrast"],
    "cam": [],
    "sub-category-cam": [],
    "multi-branch-cam": [],
    "multi-level-cam": ["rest"],
}
CHOSEN = [
    pytest.param(case, name, id=f"{case.name}-{name}")
    for case in CASES
    for name in CHOICES[case.method] + (["score_function"] if case.masked else [])
]


@pytest.mark.parametrize(("case", "name"), CHOSEN)
@every_face
def test_a_choice_that_does_not_exist(case, name, face):
    model = net()
    parts = [name, "one of '", "but got 'nonsense'"]
    options = {name: "nonsense"}
    check(ValueError, parts, face, case, model, model.relu2, batch(), passes=0, **options)


@every_case
@every_face
def test_an_option_that_the_method_does_not_have(case, face):
    model = net()
    before = state_of(model)
    with pytest.raises(TypeError, match=r"n_cluster\b|nonsense") as caught:
        explain(face, case, model, model.relu2, batch(), nonsense=3)
    message = str(caught.value)
    assert "'nonsense'" in message
    assert "among ," not in message, "the list of options is empty"
    for name in vars(case.config()):
        assert name in message
    assert_same_state(before, state_of(model))


@each(masked=True)
@every_face
def test_a_size_of_a_pass_out_of_range(case, face):
    model = net()
    name = "perturbations_per_eval" if face == "captum" else "batch_size"
    for value in (0, -1):
        parts = [name, "an integer of at least 1", f"but got {value}"]
        check(ValueError, parts, face, case, model, model.relu2, batch(), **{name: value})
    check(TypeError, [name], face, case, model, model.relu2, batch(), **{name: 1.5})


DRAWING = [case for case in CASES if hasattr(case.config(), "random_state")]


@pytest.mark.parametrize("case", DRAWING, ids=ids(DRAWING))
@every_face
@pytest.mark.parametrize("value", [-1, 1.5, "0", None])
def test_a_random_state_that_is_no_seed(case, face, value):
    model = net()
    error = ValueError if value == -1 else TypeError
    parts = ["random_state", "an integer"]
    check(error, parts, face, case, model, model.relu2, batch(), random_state=value, passes=0)


@each(masked=True)
@every_face
def test_a_baseline_that_does_not_fit(case, face):
    model = net()
    wrong = torch.zeros(3, 3, 5, 5)
    parts = ["baselines", "broadcasts to the input's shape (3, 3, 16, 24)", "(3, 3, 5, 5)"]
    check(ValueError, parts, face, case, model, model.relu2, batch(), baselines=wrong)
    parts = ["baselines", "finite", "NaN"]
    check(ValueError, parts, face, case, model, model.relu2, batch(), baselines=float("nan"))
    parts = ["baselines", "a number or a tensor", "'black'"]
    check(TypeError, parts, face, case, model, model.relu2, batch(), baselines="black")


@every_case
@pytest.mark.parametrize("name", ["relu_attributions", "attribute_to_layer_input"])
def test_flags_of_a_call_that_are_no_flags(case, name):
    model, x = net(), batch()
    with pytest.raises(TypeError, match=f"^Expected {name} to be True or False, but got 1"):
        case.attribute(model, model.relu2, x, 1, **{name: 1})


@each(masked=True)
def test_a_bar_that_is_no_flag(case):
    model, x = net(), batch()
    with pytest.raises(TypeError, match=r"^Expected show_progress to be True or False, but got 1"):
        case.attribute(model, model.relu2, x, 1, show_progress=1)
    with pytest.raises(TypeError, match=r"^Expected show_progress to be True or False, but got"):
        case.cam(model, [model.relu2], show_progress="yes")


FLAGS = [
    pytest.param(case, name, id=f"{case.name}-{name}")
    for case in CASES
    for name, default in vars(case.config()).items()
    if isinstance(default, bool)
]


@pytest.mark.parametrize(("case", "name"), FLAGS)
@every_face
def test_options_that_are_no_flags(case, name, face):
    model = net()
    parts = [name, "True or False", "but got 1"]
    check(TypeError, parts, face, case, model, model.relu2, batch(), passes=0, **{name: 1})


# Collection-CAM


collection_cam = each(name="collection-cam")


@collection_cam
@every_face
@pytest.mark.parametrize(
    ("sizes", "error", "parts"),
    [
        ([], ValueError, ["partition_sizes", "at least one integer"]),
        ([0], ValueError, ["partition_sizes", "an integer of at least 1", "but got 0"]),
        ([3, -2], ValueError, ["partition_sizes", "an integer of at least 1", "but got -2"]),
        (3, TypeError, ["partition_sizes", "a list of integers", "but got 3"]),
        ("23", TypeError, ["partition_sizes", "a list of integers", "'23'"]),
        ({2, 3}, TypeError, ["partition_sizes", "a list of integers"]),
        ([2.0], TypeError, ["partition_sizes", "an integer"]),
        ([True], TypeError, ["partition_sizes", "an integer"]),
        (None, TypeError, ["partition_sizes", "a list of integers", "None"]),
    ],
)
def test_partition_sizes_that_are_none(case, face, sizes, error, parts):
    model = net()
    options = {"partition_sizes": sizes}
    check(error, parts, face, case, model, model.relu2, batch(), passes=0, **options)


@collection_cam
@every_face
def test_partition_sizes_of_which_none_is_left_for_a_layer(case, face):
    model = net()
    parts = ["partition_sizes", "12 distinct", "13, 40"]
    options = {"partition_sizes": [40, 13]}
    check(ValueError, parts, face, case, model, model.relu2, batch(), **options)
    options = {"partition_sizes": [40, 12, 13]}
    assert explain(face, case, model, model.relu2, batch(), **options) is not None


@collection_cam
@every_face
def test_partition_sizes_of_which_none_is_left_for_the_shallow_layer_alone(case, face):
    model, x = net(), batch()
    layers = [model.relu1, model.relu2]  # 8 and 12 maps
    with pytest.raises(ValueError, match=r"^Expected partition_sizes to hold .* 8 distinct") as got:
        if face == "captum":
            case.attribute(model, layers, x, 1, partition_sizes=[9, 10])
        else:
            case.cam(model, layers, partition_sizes=[9, 10])(x)
    assert FORM.search(str(got.value))


@collection_cam
@every_face
@pytest.mark.parametrize(
    ("quantile", "error"), [(-0.1, ValueError), (1.5, ValueError), ("0.1", TypeError)]
)
def test_a_denoise_quantile_out_of_range(case, face, quantile, error):
    model = net()
    parts = ["denoise_quantile", "a number from 0 to 1"]
    options = {"denoise_quantile": quantile}
    check(error, parts, face, case, model, model.relu2, batch(), passes=0, **options)


@collection_cam
@every_face
def test_layers_that_are_not_from_shallow_to_final(case, face):
    model, x = net(), batch()
    layers = [model.relu1, model.relu2, model.bn1]
    before = state_of(model, x)
    with count_forwards(model) as count, pytest.raises(LayerError) as caught:
        if face == "captum":
            case.attribute(model, layers, x, 1)
        else:
            case.cam(model, layers)(x)
    message = str(caught.value)
    assert FORM.search(message), message
    assert "shallow to final" in message
    assert "grids of 8x12, 4x6, 8x12" in message
    assert count.images == 3, "found before the masked passes"
    assert_same_state(before, state_of(model, x))


@collection_cam
@every_face
def test_one_of_several_layers_that_is_not_in_the_model(case, face):
    model = net()
    layers = [model.relu1, SmallNet().conv2]
    with pytest.raises(LayerError, match=r"layer.* Conv2d that is not in it"):
        (case.captum if face == "captum" else case.cam)(model, layers)


def test_no_layers():
    model = net()
    with pytest.raises(ValueError, match=r"^Expected layer to be a list of at least one module"):
        LayerCollectionCam(model, [])
    with pytest.raises(ValueError, match=r"^Expected target_layers to be at least one module"):
        CollectionCAM(model, [])


@pytest.mark.parametrize("layer", [[None], ["relu2"], [3]])
def test_a_list_of_layers_that_are_no_modules(layer):
    with pytest.raises(TypeError, match=r"^Expected layer to be an nn.Module of the model"):
        LayerCollectionCam(net(), layer)


@collection_cam
def test_layers_with_different_numbers_of_tensors(case):
    model, x = TupleNet().eval().double(), batch()
    with pytest.raises(LayerError, match=r"^Expected the layers to give the same number of tensor"):
        case.attribute(model, [model.layer.first, model.layer], x, 1)


# Gradients


class WithoutGraph(nn.Module):
    """A network whose author forbade gradients."""

    def __init__(self):
        super().__init__()
        self.net = net()

    def forward(self, x):
        with torch.no_grad():
            return self.net(x)


@each(gradient=True)
@every_face
def test_a_model_that_allows_no_gradient_is_an_error_and_no_map_of_zeros(case, face):
    model, x = WithoutGraph().eval(), batch()
    before = state_of(model, x)
    with pytest.raises((ValueError, RuntimeError), match="grad"):
        explain(face, case, model, model.net.relu2, x)
    assert_same_state(before, state_of(model, x))


# Labels


labelled = each(labelled=True)
LABELS = {
    "too few rows": (torch.zeros(2, 5), ValueError, ["shape (3, 5)", "(2, 5)"]),
    "too few columns": (torch.zeros(3, 4), ValueError, ["shape (3, 5)", "(3, 4)"]),
    "one dimension": (torch.tensor([0, 1, 2]), ValueError, ["shape (3, 5)", "(3,)"]),
    "other values": (torch.full((3, 5), 2.0), ValueError, ["multi-hot", "0 and 1"]),
    "probabilities": (torch.full((3, 5), 0.5), ValueError, ["multi-hot", "0 and 1"]),
    "nan": (torch.full((3, 5), float("nan")), ValueError, ["multi-hot", "0 and 1"]),
    "too few lists": ([[0, 1], [2]], ValueError, ["one list", "3 images", "2 of them"]),
    "too many lists": ([[0]] * 4, ValueError, ["one list", "3 images", "4 of them"]),
    "no such class": ([[0], [1, 5], [2]], ValueError, ["indices from 0 to 4", "but got 5"]),
    "a negative class": ([[0], [1, -1], [2]], ValueError, ["indices from 0 to 4", "but got -1"]),
    "a flat list": ([0, 1, 2], TypeError, ["one list of class indices for each image"]),
    "a tuple of sets": (({0}, {1}, {2}), TypeError, ["one list of class indices for each image"]),
    "floats": ([[0.0], [1.0], [2.0]], TypeError, ["lists of integers", "but got 0.0"]),
    "bools": ([[True], [False], [True]], TypeError, ["lists of integers", "True"]),
    "names": ([["dog"], ["cat"], []], TypeError, ["lists of integers", "'dog'"]),
    "a string": ("012", TypeError, ["labels", "'012'"]),
    "a number": (1, TypeError, ["labels", "but got 1"]),
    "a dictionary": ({0: [1]}, TypeError, ["labels", "dict"]),
}


@labelled
@pytest.mark.parametrize("wrong", LABELS)
def test_labels_that_do_not_fit(case, wrong):
    labels, error, parts = LABELS[wrong]
    model = net()
    check(error, ["labels", *parts], "captum", case, model, model.relu2, batch(), labels=labels)


TARGET_LABELS = {
    "too few columns": (torch.zeros(4), ValueError, ["labels", "shape (1, 5)", "(1, 4)"]),
    "two dimensions": (torch.zeros(1, 5), ValueError, ["labels", "multi-hot"]),
    "other values": (torch.full((5,), 2.0), ValueError, ["labels", "0 and 1"]),
    "no such class": ([1, 5], ValueError, ["labels", "indices from 0 to 4", "but got 5"]),
    "nested": ([[1, 2]], TypeError, ["labels", "integers"]),
}


@labelled
@pytest.mark.parametrize("wrong", TARGET_LABELS)
def test_labels_of_a_target_that_do_not_fit(case, wrong):
    labels, error, parts = TARGET_LABELS[wrong]
    model = net()
    rows = [labels] * 3
    check(error, parts, "grad_cam", case, model, model.relu2, batch(), labels=rows)


@pytest.mark.parametrize("wrong", TARGET_LABELS)
def test_labels_of_a_target_that_do_not_fit_the_output(wrong):
    labels, error, parts = TARGET_LABELS[wrong]
    with pytest.raises(error) as caught:
        MinMaxTarget(1, labels)(torch.tensor([-1.0, 2.0, 3.0, 0.0, 5.0]))
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (("dog",), TypeError, "category to be a class index, but got 'dog'"),
        ((1.0,), TypeError, "category to be a class index, but got 1.0"),
        ((True,), TypeError, "category to be a class index, but got True"),
        ((None,), TypeError, "category to be a class index, but got None"),
        ((1, 3), TypeError, "labels to be class indices, or a multi-hot tensor .*but got 3"),
        ((1, "13"), TypeError, "labels to be class indices, or a multi-hot tensor"),
        ((1, {1, 3}), TypeError, "labels to be class indices, or a multi-hot tensor"),
        ((1, None, 1.5), ValueError, "threshold to be a number from 0 to 1, but got 1.5"),
        ((1, None, "0.5"), TypeError, "threshold to be a number from 0 to 1"),
    ],
)
def test_a_minmax_target_of_wrong_arguments(arguments, error, match):
    with pytest.raises(error, match=f"^Expected {match}"):
        MinMaxTarget(*arguments)


@pytest.mark.parametrize("category", [4, -5, 1000])
def test_a_minmax_target_outside_the_output(category):
    target = MinMaxTarget(category, labels=[1])
    for outputs in (torch.zeros(4) - 1, torch.zeros(2, 4) - 1):
        with pytest.raises(TargetError, match=f"^Expected category .*0 to 3.*{category}"):
            target(outputs)


@labelled
@every_face
def test_a_target_that_is_absent_from_its_labels_counts_as_present(case, face):
    model, x = net(), batch()
    with_it = explain(face, case, model, model.relu2, x, 3, labels=[[1, 3, 4]] * 3)
    message = r"^Target 3 of image 0 is not in its labels\. It counts as present\.$"
    with pytest.warns(UserWarning, match=message) as warned:
        without = explain(face, case, model, model.relu2, x, 3, labels=[[1, 4]] * 3)
    assert np.allclose(without, with_it, rtol=0, atol=1e-9)
    callers = {inspect.getfile(type(case)), __file__}
    assert {entry.filename for entry in warned} <= callers, "it does not point at the caller"


@labelled
def test_the_warning_names_the_image_whose_target_is_absent(case):
    model, x = net(), batch()
    labels = [[3], [0, 1], [2]]
    with pytest.warns(UserWarning, match=r"^Target 2 of image 1 is not in its labels"):
        case.attribute(model, model.relu2, x, [3, 2, 2], labels=labels)
    own = case.targets([3, 2, 2], x, labels)
    with pytest.warns(UserWarning, match=r"^Target 2 of image 1 is not in its labels"):
        case.cam(model, [model.relu2])(x, own)


@labelled
@every_face
def test_a_target_that_is_not_predicted_counts_as_present_without_a_warning(case, face):
    model, x = net(), batch()
    with torch.no_grad():
        model.fc.bias[3] -= 100.0
    predicted = [(row > 0).nonzero().flatten().tolist() for row in model(x)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if face == "captum":
            cam = case.captum(model, model.relu2)
            found = cam.attribute(x, 3, **case.options)
        else:
            found = case.cam(model, [model.relu2])(x, [ClassifierOutputTarget(3)] * 3)
        given = [[3, *row] for row in predicted]
        expected = explain(face, case, model, model.relu2, x, 3, labels=given)
    assert np.allclose(found, expected, rtol=0, atol=1e-9)


class Ending(nn.Module):
    """A network that ends in probabilities."""

    def __init__(self, ending):
        super().__init__()
        self.net, self.ending = net(), ending

    def forward(self, x):
        return self.ending(self.net(x))


ENDINGS = {"sigmoid": nn.Sigmoid(), "softmax": nn.Softmax(dim=1)}


@each(labelled=True, closed_form=False)
@every_face
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_model_that_ends_in_probabilities_gets_a_warning(case, face, ending):
    model, x = Ending(ENDINGS[ending]).eval(), batch()
    with pytest.warns(UserWarning, match=r"^The model's outputs lie in \[0,1\].*pass the model"):
        explain(face, case, model, model.net.relu2, x, labels=[[0, 1, 2]] * 3)


@each(labelled=True, closed_form=False)
def test_probabilities_are_not_put_through_a_sigmoid_to_tell_what_is_present(case):
    model, x = Ending(nn.Sigmoid()).eval(), batch()
    result_of = case.captum(model, model.net.relu2).explain
    with pytest.warns(UserWarning, match="outputs lie in"):
        result = result_of(x, [0], **case.options)
    assert torch.equal(result.present, model(x) > 0.5)
    assert not result.present.all()


def softmax_classifier():
    """A classifier of 50 classes with as good as half of its logits above 0."""
    return SmallNet(num_classes=50).eval().double()


@labelled
@every_face
def test_a_softmax_classifier_needs_labels(case, face):
    model, x = softmax_classifier(), batch()
    counts = (model(x) > 0).sum(dim=1)
    assert counts.max() > 20
    before = state_of(model, x)
    with pytest.raises(ValueError, match=FORM) as caught:
        if face == "captum":
            case.captum(model, model.relu2).attribute(x, 3, **case.options)
        else:
            case.cam(model, [model.relu2])(x, [ClassifierOutputTarget(3)] * 3)
    message = str(caught.value)
    for part in ("at most 20", "max_predicted", "labels=", "of an image"):
        assert part in message, f"{part!r} is missing in: {message}"
    assert_same_state(before, state_of(model, x))
    assert explain(face, case, model, model.relu2, x, 3, labels=[[3, 7]] * 3) is not None
    if face == "captum":
        cam = case.captum(model, model.relu2)
        maps = cam.attribute(x, 3, max_predicted=50, **case.options)
        # Less the maximum over so many labels nothing need be left of a map.
        assert (maps >= 0).all() if case.together else maps.abs().max() > 0


@labelled
def test_the_softmax_classifiers_error_names_an_image_of_the_batch(case):
    model, x = softmax_classifier(), batch()
    counts = (model(x) > 0).sum(dim=1)
    assert counts.argmax() > 0, "the test shows nothing"
    limit = int(counts.max()) - 1
    image = int(counts.argmax())
    for cam in (
        lambda: case.captum(model, model.relu2).attribute(
            x, 3, max_predicted=limit, **case.options
        ),
        lambda: case.cam(model, [model.relu2], max_predicted=limit)(
            x, [ClassifierOutputTarget(3)] * 3
        ),
    ):
        with pytest.raises(ValueError, match=f"but got {limit + 1} for image {image}\\."):
            cam()


def test_minmax_target_of_a_softmax_classifier_without_labels():
    outputs = torch.linspace(-1, 10, 50)
    with pytest.raises(ValueError, match=r"max_predicted.*labels="):
        MinMaxTarget(3)(outputs)
    assert MinMaxTarget(3, labels=[3])(outputs) == outputs[3]


@labelled
@every_face
@pytest.mark.parametrize(
    ("name", "value", "error", "what"),
    [
        ("label_threshold", 1.5, ValueError, "a number from 0 to 1"),
        ("label_threshold", "0.5", TypeError, "a number from 0 to 1"),
        ("max_predicted", 0, ValueError, "an integer of at least 1"),
        ("max_predicted", 2.5, TypeError, "an integer of at least 1"),
    ],
)
def test_options_of_the_prediction_out_of_range(case, face, name, value, error, what):
    model = net()
    check(error, [name, what], face, case, model, model.relu2, batch(), passes=0, **{name: value})


# Closed forms


closed_forms = each(closed_form=True)


def behind(layer_module):
    """A network with another step between the last map and its classifier."""

    class Net(SmallNet):
        def __init__(self):
            super().__init__()
            self.step = layer_module

        def forward(self, x):
            x = self.relu2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
            return self.fc(self.step(self.pool(x).flatten(1)))

    return Net().eval().double()


class MaxPooled(SmallNet):
    """Takes the maximum over the grid instead of the mean."""

    def forward(self, x):
        x = self.relu2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.fc(x.amax(dim=(2, 3)))


class TwoLinears(SmallNet):
    """Has a hidden layer between pooling and classifier."""

    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(12, 12)

    def forward(self, x):
        x = self.relu2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.fc(torch.relu(self.hidden(self.pool(x).flatten(1))))


OTHER_HEADS = {
    "another layer than the one that is pooled": (net, "conv2"),
    "an early layer": (net, "relu1"),
    "a maximum instead of a mean": (lambda: MaxPooled().eval().double(), "relu2"),
    "a hidden layer": (lambda: TwoLinears().eval().double(), "relu2"),
    "a nonlinearity before the classifier": (lambda: behind(nn.Tanh()), "relu2"),
    "a softmax behind it": (lambda: nn.Sequential(net(), nn.Softmax(dim=1)), "0.relu2"),
    "no linear layer at all": (
        lambda: nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).double(),
        "0",
    ),
}


@closed_forms
@every_face
@pytest.mark.parametrize("kind", OTHER_HEADS)
@pytest.mark.filterwarnings("ignore:The model's outputs lie in")
def test_a_head_that_is_not_pooling_and_linear(case, face, kind):
    build, name = OTHER_HEADS[kind]
    model, x = build().eval(), batch()
    layer = model.get_submodule(name)
    before = state_of(model, x)
    with pytest.raises(LayerError) as caught:
        explain(face, case, model, layer, x, 1)
    message = str(caught.value)
    assert FORM.search(message), message
    gradient_form = "minmax-grad-cam" if case.labelled else "grad-cam"
    assert gradient_form in message, message
    assert len(message) < 500
    assert_same_state(before, state_of(model, x))


@closed_forms
def test_a_model_behind_a_function_needs_its_classifier(case):
    model, x = net(), batch()
    match = r"^Expected classifier to be given for a function that hides its model"
    with pytest.raises(LayerError, match=match):
        case.captum(lambda x: model(x), model.relu2)
    given = case.captum(lambda x: model(x), model.relu2, classifier=model.fc)
    own = {**case.options, **case.given([[1, 3]] * 3)}
    expected = case.captum(model, model.relu2).attribute(x, 1, **own)
    assert torch.equal(given.attribute(x, 1, **own), expected)


@closed_forms
@pytest.mark.parametrize("wrong", [nn.ReLU(), nn.Conv2d(12, 5, 3), "fc", 3, torch.zeros(5, 12)])
def test_a_classifier_of_a_wrong_type(case, wrong):
    model = net()
    match = r"^Expected classifier to be an nn.Linear or a 1x1 nn.Conv2d"
    with pytest.raises(TypeError, match=match):
        case.captum(model, model.relu2, classifier=wrong)
    with pytest.raises(TypeError, match=match):
        case.cam(model, [model.relu2], classifier=wrong)


@closed_forms
@pytest.mark.parametrize("wrong", ["another", "another size"])
def test_a_classifier_that_does_not_give_the_logits(case, wrong):
    model, x = net(), batch()
    other = nn.Linear(12, 5).double() if wrong == "another" else nn.Linear(8, 5).double()
    own = {**case.options, **case.given([[1, 3]] * 3)}
    with pytest.raises(LayerError, match="gradient form"):
        case.captum(model, model.relu2, classifier=other).attribute(x, 1, **own)
    with pytest.raises(LayerError, match="gradient form"):
        case.cam(model, [model.relu2], classifier=other)(x, case.targets([1] * 3, x))


def test_the_gradient_form_takes_every_head():
    for kind, (build, name) in OTHER_HEADS.items():
        if "softmax" in kind:
            continue
        torch.manual_seed(0)  # heads of random weights, some of which leave no positive map
        model, x = build().eval(), batch()
        layer = model.get_submodule(name)
        maps = LayerMinMaxGradCam(model, layer).attribute(x, 1, labels=[[1, 3]] * 3)
        assert maps.abs().max() > 0, kind
        shown = MinMaxGradCAM(model, [layer])(x, [MinMaxTarget(1, [1, 3])] * 3)
        assert shown.max() > 0.99, kind


def test_closed_form_checks_every_call_and_not_only_the_first():
    model, x = net(), batch()
    cam = LayerMinMaxCam(model, model.relu2)
    cam.attribute(x, 1, labels=[[1, 3]] * 3)
    model.pool = nn.AdaptiveMaxPool2d(1)
    with pytest.raises(LayerError, match="gradient form"):
        cam.attribute(x, 1, labels=[[1, 3]] * 3)


# Images


@every_case
@every_face
@pytest.mark.parametrize(
    ("value", "what"), [(float("nan"), "NaN"), (float("inf"), "inf"), (-float("inf"), "inf")]
)
def test_an_input_that_is_not_finite(case, face, value, what):
    model, x = net(), batch()
    x[1, 2, 3, 4] = value
    parts = ["input", "finite", what, "[1, 2, 3, 4]"]
    # NaN differs from itself, so the input is left out of the comparison of states.
    before = state_of(model)
    with count_forwards(model) as count, pytest.raises(ValueError, match=FORM) as caught:
        explain(face, case, model, model.relu2, x)
    for part in parts:
        assert part in str(caught.value)
    assert count.images == 0
    assert_same_state(before, state_of(model))


@every_case
@every_face
@pytest.mark.parametrize("shape", [(0, 3, 16, 24), (2, 3, 0, 24), (2, 0, 16, 24)])
def test_an_empty_batch(case, face, shape):
    model = net()
    parts = ["input", "at least one image", str(shape)]
    check(ValueError, parts, face, case, model, model.relu2, torch.zeros(shape), passes=0)


@every_case
@every_face
@pytest.mark.parametrize("shape", [(3, 16, 24), (16, 24), (2, 3, 1, 16, 24), (4,)])
def test_an_input_that_is_no_batch_of_images(case, face, shape):
    model = net()
    parts = ["input", "(N,c,H,W)", str(shape)]
    x = torch.zeros(shape, dtype=torch.float64)
    # Signals and volumes have three and five dimensions: only the model tells that it takes none.
    passes = 3 if len(shape) in (3, 5) else 0
    check(ValueError, parts, face, case, model, model.relu2, x, passes=passes)


@every_case
@every_face
@pytest.mark.parametrize("wrong", ["image.jpg", None, [[1.0]]])
def test_an_input_that_is_no_tensor(case, face, wrong):
    model = net()
    check(TypeError, ["input", "tensor"], face, case, model, model.relu2, wrong, passes=0)


@every_case
def test_inputs_with_different_numbers_of_rows(case):
    model = net()
    with pytest.raises(ValueError, match=r"^Expected inputs to be tensors with the same number"):
        case.attribute(model, model.relu2, (batch(3), batch(2)), 1)


# Scores


@each(masked=True)
@every_face
def test_scores_that_are_nan(case, face):
    model = NaNNet().eval().double()
    parts = ["scores", "finite", "NaN", "image 0"]
    check(ValueError, parts, face, case, model, model.relu, batch(), passes=1000)


@every_case
@every_face
def test_outputs_that_are_nan_at_once(case, face):
    model = net()
    with torch.no_grad():
        model.fc.bias[1] = torch.nan
    parts = ["finite", "NaN"]
    check(ValueError, parts, face, case, model, model.relu2, batch(), passes=1000)


@each(masked=True)
@every_face
def test_a_score_function_that_gives_something_else(case, face):
    model = net()
    parts = ["score_function", "3 rows"]
    options = {"score_function": lambda outputs: outputs.sum()}
    check(TypeError, parts, face, case, model, model.relu2, batch(), **options)


@every_case
def test_a_model_that_does_not_give_one_row_for_each_image(case):
    model = net()
    with pytest.raises(ValueError, match=r"^Expected the model to give a tensor with one row"):
        case.attribute(lambda x: model(x).sum(), model.relu2, batch(), 1, of=model)


class Answer(torch.nn.Module):
    """A network that gives its logits in a container, whatever that is."""

    def __init__(self, give):
        super().__init__()
        self.net = net()
        self.give = give

    def forward(self, x):
        return self.give(self.net(x))


LOGITS = "Pass output_selector='logits' for the tensor that is explained."
FUNCTION = "Pass output_selector=, a function of it that gives the tensor that is explained."
NO_TENSOR = {
    "dictionary": (lambda out: {"logits": out, "loss": out.sum()}, "a dict with", LOGITS),
    "dictionary of rows": (lambda out: {"logits": out}, "a dict with 'logits'", LOGITS),
    "tuple": (
        lambda out: (out.sum(), out, out),
        "a tuple of length 3",
        "Pass output_selector=1 or 2 for",
    ),
    "list for each image": (
        lambda out: [{"logits": row} for row in out],
        "a list of length 3",
        FUNCTION,
    ),
    "nothing": (lambda out: None, "None", FUNCTION),
}


@every_case
@every_face
@pytest.mark.parametrize("kind", NO_TENSOR)
def test_a_model_that_gives_no_tensor(case, face, kind):
    give, got, advice = NO_TENSOR[kind]
    model = Answer(give).eval()
    parts = ["tensor with one row for each of 3 images", got, advice]
    before = state_of(model)
    match = "^Expected the model to give a tensor"
    with count_forwards(model) as count, pytest.raises(ValueError, match=match) as caught:
        if face == "captum":
            case.attribute(model, model.net.relu2, batch(), 1)
        else:
            case.cam(model, [model.net.relu2])(batch())
    message = str(caught.value)
    assert FORM.search(message), message
    for part in parts:
        assert part in message, f"{part!r} is missing in: {message}"
    assert len(message) < 500
    # An error that names None may be one of a missing graph: that pass is made once more.
    assert count.images <= (6 if kind == "nothing" else 3), "found before other passes"
    assert_same_state(before, state_of(model))


SELECTORS = {
    "index of a dictionary": ({"logits": 0}, 0, "a dict with 'logits', but got 0"),
    "key it has not": ({"logits": 0}, "out", "a dict with 'logits', but got 'out'"),
    "index it has not": ((0, 1), 2, "a tuple of length 2, but got 2"),
    "name it has not": ((0, 1), "logits", "a tuple of length 2, but got 'logits'"),
}


@every_case
@every_face
@pytest.mark.parametrize("kind", SELECTORS)
def test_an_output_selector_that_picks_nothing(case, face, kind):
    output, pick, got = SELECTORS[kind]
    model, x = Answer(lambda _: output).eval(), batch()
    match = f"^Expected output_selector to pick a part of the model's output, {re.escape(got)}"
    with pytest.raises(ValueError, match=match):
        _with_selector(face, case, model, model.net.relu2, x, pick)


@every_case
@every_face
def test_an_output_selector_of_a_tensor_is_a_function(case, face):
    model, x = net(), batch()
    match = "^Expected output_selector to be None or a function, for a model that gives a tensor"
    with pytest.raises(ValueError, match=match):
        _with_selector(face, case, model, model.relu2, x, 0)  # would be the first image


@every_case
@every_face
@pytest.mark.parametrize("pick", [1.5, True, ["logits"], b"logits"])
def test_an_output_selector_of_a_wrong_type(case, face, pick):
    model, x = net(), batch()
    what = "an index, a key, the name of an attribute, a function of the output, or None"
    with pytest.raises(TypeError, match=f"^Expected output_selector to be {what}, but got"):
        _with_selector(face, case, model, model.relu2, x, pick)


def _with_selector(face, case, model, layer, x, pick):
    if face == "captum":
        return case.build(model, layer, output_selector=pick).attribute(x, 1, **case.options)
    return case.cam(model, [layer], output_selector=pick)(x, case.targets([1] * len(x), x))


@every_case
def test_a_model_without_parameters(case):
    model = torch.nn.Sequential(torch.nn.ReLU())
    with pytest.raises(ValueError, match="^Expected model to be a module with parameters"):
        case.cam(model, [model[0]])
