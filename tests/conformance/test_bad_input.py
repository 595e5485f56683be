"""Bad input gives one clear error in both faces, and leaves the model as it was."""

import re

import pytest
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from captum_cluster.hooks import count_forwards
from tests.conformance.cases import CASES, assert_same_state, ids, state_of
from tests.helpers.nets import NaNNet, SmallNet, TokenNet, images

SIZE = (16, 24)
FORM = re.compile(r"^Expected .+ (to be|to give|to fit|to have) .+, but got .+\.", re.DOTALL)

every_case = pytest.mark.parametrize("case", CASES, ids=ids(CASES))
every_face = pytest.mark.parametrize("face", ["captum", "grad_cam"])
only_cluster_cam = pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.method == "cluster-cam"],
    ids=ids([case for case in CASES if case.method == "cluster-cam"]),
)


def net():
    return SmallNet().eval().double()


def batch(n=3):
    return images(n, size=SIZE)


def explain(face, case, model, layer, x, label=1, **options):
    """Explain a batch in one of the faces."""
    if face == "captum":
        return case.attribute(model, layer, x, label, **options)
    cam = case.cam(model, [layer], **options)
    return cam(x, [ClassifierOutputTarget(label)] * (len(x) if isinstance(x, torch.Tensor) else 1))


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
    parts = ["target", str(label), "0 to 4" if face == "captum" else "output of shape (5,)"]
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
    "rise": [],
}


@every_case
@every_face
def test_a_choice_that_does_not_exist(case, face):
    model = net()
    for name in [*CHOICES[case.method], "score_function"]:
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
    for name in vars(case.config()):
        assert name in message
    assert_same_state(before, state_of(model))


@every_case
@every_face
def test_a_size_of_a_pass_out_of_range(case, face):
    model = net()
    name = "perturbations_per_eval" if face == "captum" else "batch_size"
    for value in (0, -1):
        parts = [name, "an integer of at least 1", f"but got {value}"]
        check(ValueError, parts, face, case, model, model.relu2, batch(), **{name: value})
    check(TypeError, [name], face, case, model, model.relu2, batch(), **{name: 1.5})


@every_case
@every_face
@pytest.mark.parametrize("value", [-1, 1.5, "0", None])
def test_a_random_state_that_is_no_seed(case, face, value):
    if not hasattr(case.config(), "random_state"):
        pytest.skip("the method draws nothing")
    model = net()
    error = ValueError if value == -1 else TypeError
    parts = ["random_state", "an integer"]
    check(error, parts, face, case, model, model.relu2, batch(), random_state=value, passes=0)


@every_case
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
def test_flags_that_are_no_flags(case):
    model, x = net(), batch()
    for name in ("relu_attributions", "attribute_to_layer_input", "show_progress"):
        with pytest.raises(TypeError, match=f"^Expected {name} to be True or False, but got 1"):
            case.attribute(model, model.relu2, x, 1, **{name: 1})
    with pytest.raises(TypeError, match=r"^Expected show_progress to be True or False, but got"):
        case.cam(model, [model.relu2], show_progress="yes")


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
    check(ValueError, parts, face, case, model, model.relu2, x, passes=0)


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


@every_case
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


@every_case
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
        case.attribute(lambda x: model(x).sum(), model.relu2, batch(), 1)
    with pytest.raises(ValueError, match=r"^Expected the model to give a tensor with one row"):
        case.attribute(lambda x: {"logits": model(x)}, model.relu2, batch(), 1)


class Answer(torch.nn.Module):
    """A network that gives its logits in a dictionary."""

    def __init__(self):
        super().__init__()
        self.net = net()

    def forward(self, x):
        return {"logits": self.net(x)}


@every_case
def test_a_model_that_gives_a_dictionary(case):
    model = Answer().eval()
    words = "Expected the model to give a tensor with one row for each of 3 images"
    with pytest.raises(ValueError, match=words):
        case.cam(model, [model.net.relu2])(batch())
    with pytest.raises(ValueError, match=words):
        case.attribute(model, model.net.relu2, batch(), 1)


@every_case
def test_a_model_without_parameters(case):
    model = torch.nn.Sequential(torch.nn.ReLU())
    with pytest.raises(ValueError, match="^Expected model to be a module with parameters"):
        case.cam(model, [model[0]])
