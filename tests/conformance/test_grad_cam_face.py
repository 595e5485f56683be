"""What every class of the pytorch-grad-cam face owes its host, for each row of the table."""

import inspect
import warnings

import cv2
import numpy as np
import pytest
import torch
import ttach
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.base_cam import BaseCAM
from pytorch_grad_cam.finer_cam import FinerCAM
from pytorch_grad_cam.refine_cam import RefineCAM
from pytorch_grad_cam.sess import SESS
from pytorch_grad_cam.utils.model_targets import (
    BinaryClassifierOutputTarget,
    ClassifierOutputSoftmaxTarget,
    ClassifierOutputTarget,
)

from captum_cluster._checks import TargetError
from captum_cluster.grad_cam import MinMaxTarget
from captum_cluster.hooks import count_forwards
from tests.conformance.cases import CASES, assert_same_state, each, hooks_of, modes_of, state_of
from tests.conformance.nets import (
    FlatNet,
    NaNNet,
    OneLogitNet,
    RaisingNet,
    ScalarNet,
    SmallNet,
    TokenNet,
    images,
)

SIZE = (16, 24)
LABELS = [3, 0, 2]

every_case = each()

# `labels_of` knows no targets.
pytestmark = pytest.mark.filterwarnings("ignore:Target .* is not in its labels")


def net(dtype=torch.float64, **kwargs):
    return SmallNet(**kwargs).eval().to(dtype)


def batch(n=3, dtype=torch.float64, size=SIZE):
    return images(n, size=size, dtype=dtype)


def plain(labels=LABELS):
    """The host's targets, which carry no labels besides the one explained."""
    return [ClassifierOutputTarget(label) for label in labels]


def scaled(image, size=None):
    """Return one map from 0 to (almost) 1, enlarged to ``size`` (H, W): what the host does."""
    image = image - image.min()
    image = image / (1e-7 + image.max())
    return image if size is None else cv2.resize(np.float32(image), (size[1], size[0]))


def saliency(maps, size=SIZE):
    """Return maps (N,h,w) as the host returns those of one layer."""
    return np.stack([scaled(scaled(np.maximum(image, 0), size)) for image in maps.numpy()])


def assert_close(actual, expected, atol=1e-6):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=atol)


# Signatures


@every_case
def test_the_constructor_takes_what_the_host_passes_by_position(case):
    def transform(output):
        return output

    model = net()
    cam = case.grad_cam(model, [model.relu2], transform)
    assert isinstance(cam, BaseCAM)
    assert cam.model is model
    assert cam.target_layers == [model.relu2]
    assert cam.reshape_transform is transform
    assert cam.uses_gradients is False
    assert cam.compute_input_gradient is False
    assert cam.device == torch.device("cpu")
    stock = list(inspect.signature(GradCAM).parameters)
    assert list(inspect.signature(case.grad_cam).parameters)[:3] == stock


@every_case
def test_the_options_stand_in_the_constructors_signature(case):
    shown = inspect.signature(case.grad_cam).parameters
    names = {"perturbations_per_eval": "batch_size"}
    run = {names.get(name, name): default for name, default in case.run_options.items()}
    run = {"classifier": None} if case.closed_form else run
    run = {"head": None} if case.sub_head else run
    run |= {"output_selector": None, "tta_transforms": None}
    assert set(list(shown)[3:]) == vars(case.config()).keys() | run.keys()
    for name, default in {**vars(case.config()), **run}.items():
        assert shown[name].kind is inspect.Parameter.KEYWORD_ONLY, name
        assert shown[name].default == default, name
    assert not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in shown.values())


@every_case
def test_the_options_reach_the_method(case):
    model = net()
    cam = case.cam(model, [model.relu2])
    assert cam.config == case.config(**case.options)
    assert case.grad_cam(model, [model.relu2]).config == case.config()


@every_case
def test_the_call_names_its_arguments_as_the_host(case):
    stock = inspect.signature(GradCAM.__call__).parameters
    ours = inspect.signature(case.grad_cam.__call__).parameters
    assert list(ours) == list(stock)
    assert ours["targets"].default is None
    assert ours["aug_smooth"].default is False
    assert ours["eigen_smooth"].default is False
    model, x = net(), batch()
    cam = case.cam(model, [model.relu2])
    named = cam(
        input_tensor=x, targets=case.targets(LABELS, x), aug_smooth=False, eigen_smooth=False
    )
    assert_close(named, cam(x, case.targets(LABELS, x), False, False), atol=0)


# Values


@every_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_maps_are_those_of_the_layer_as_the_host_shows_them(case, dtype):
    model, x = net(dtype), batch(dtype=dtype)
    cam = case.cam(model, [getattr(model, case.layer)])
    shown = cam(x, case.targets(LABELS, x))
    assert isinstance(shown, np.ndarray)
    assert shown.dtype == np.float32
    assert shown.shape == (3, *SIZE)
    assert (shown >= 0).all()
    assert (shown <= 1).all()
    assert len(cam.results) == 1
    maps = cam.results[0].maps
    assert maps.shape == (3, 1, *((4, 6) if case.at_layer else SIZE))
    assert_close(shown, saliency(maps[:, 0]))
    assert (shown.max(axis=(1, 2)) > 0.99).all(), "each image is scaled on its own"


@every_case
def test_without_targets_the_top_class_is_explained(case):
    model, x = net(seed=3), batch()
    top = model(x).argmax(dim=1).tolist()
    assert len(set(top)) > 1
    cam = case.cam(model, [model.relu2])
    assert_close(cam(x), cam(x, plain(top)), atol=0)
    assert not np.allclose(cam(x), cam(x, plain([(label + 1) % 5 for label in top])))


@each(index_targets=False)
def test_a_target_may_be_any_callable(case):
    model, x = net(), batch()
    cam = case.cam(model, [model.relu2])
    assert_close(cam(x, [lambda output, t=t: output[t] for t in LABELS]), cam(x, plain()), atol=0)
    shapes = []
    cam(x, [lambda output: shapes.append(output.shape) or output[0]] * 3)
    assert set(shapes) == {(5,)}


@each(index_targets=True)
def test_a_target_of_a_method_of_labels_names_a_category(case):
    model, x = net(), batch()
    before = state_of(model, x)
    match = r"^Expected target to be a ClassifierOutputTarget or a MinMaxTarget.* got function"
    with pytest.raises(TargetError, match=match):
        case.cam(model, [model.relu2])(x, [lambda output: output[0]] * 3)
    assert_same_state(before, state_of(model, x))


@each(index_targets=True)
@pytest.mark.parametrize("kind", [ClassifierOutputSoftmaxTarget, BinaryClassifierOutputTarget])
def test_a_target_of_another_value_than_the_logit_is_not_taken_for_it(case, kind):
    model, x = net(), batch()
    with pytest.raises(TargetError, match=f"^Expected target to be .*{kind.__name__}"):
        case.cam(model, [model.relu2])(x, [kind(0)] * 3)


@each(labelled=True)
def test_the_labels_travel_in_the_targets(case):
    model, x = net(), batch()
    cam = case.cam(model, [model.relu2])
    labels = [[3, 1], [0, 1, 4], [2]]
    shown = cam(x, case.targets(LABELS, x, labels))
    expected = case.attribute(model, model.relu2, x, LABELS, labels=labels)
    assert_close(shown, saliency(expected[:, 0]))
    assert cam.results[0].present.nonzero().tolist() == [
        [0, 1], [0, 3], [1, 0], [1, 1], [1, 4], [2, 2],
    ]  # fmt: skip
    multi_hot = torch.zeros(3, 5)
    for row, image in zip(labels, multi_hot, strict=True):
        image[row] = 1
    assert_close(cam(x, case.targets(LABELS, x, multi_hot)), shown, atol=0)
    assert not np.allclose(cam(x, case.targets(LABELS, x, [[0, 1, 2, 3, 4]])), shown)


@each(labelled=True)
def test_a_target_without_labels_means_those_predicted(case):
    model, x = net(), batch()
    cam = case.cam(model, [model.relu2])
    shown = cam(x, plain())
    predicted = [(row > 0).nonzero().flatten().tolist() for row in model(x)]
    assert len({len(row) for row in predicted}) > 1, "the test shows nothing"
    assert_close(cam(x, case.targets(LABELS, x, predicted)), shown, atol=0)
    above = [(row.sigmoid() > 0.55).nonzero().flatten().tolist() for row in model(x)]
    assert above != predicted, "the threshold has no effect: the test shows nothing"
    by_option = case.cam(model, [model.relu2], label_threshold=0.55)(x, plain())
    assert_close(by_option, cam(x, case.targets(LABELS, x, above)), atol=0)
    own = [MinMaxTarget(label, threshold=0.55) for label in LABELS]
    assert_close(cam(x, own), by_option, atol=0)


@every_case
def test_a_batch_equals_its_images_one_by_one(case):
    model, x = net(), batch()
    cam = case.cam(model, [model.relu2])
    together = cam(x, case.targets(LABELS, x))
    for i, label in enumerate(LABELS):
        one = x[i : i + 1]
        assert_close(together[i : i + 1], cam(one, case.targets([label], one)))
    order = [2, 0, 1]
    moved = cam(x[order], case.targets([LABELS[i] for i in order], x[order]))
    assert_close(moved, together[order])


@each(masked=True)
@pytest.mark.parametrize("rows", [1, 2, 1000])
def test_batch_size_changes_nothing(case, rows):
    model, x = net(), batch()
    cam = case.cam(model, [model.relu2])
    expected = cam(x, case.targets(LABELS, x))
    sizes = []
    handle = model.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    cam.batch_size = rows
    assert_close(cam(x, case.targets(LABELS, x)), expected)
    by_attribute = list(sizes)
    assert_close(
        case.cam(model, [model.relu2], batch_size=rows)(x, case.targets(LABELS, x)), expected
    )
    handle.remove()
    assert sizes == 2 * by_attribute
    assert max(by_attribute[1:]) <= rows
    if rows == 1000:
        assert len(by_attribute) == 1 + case.rounds


@every_case
def test_the_number_of_forward_passes(case):
    model, x = net(), batch()
    cam = case.cam(model, [model.relu2])
    with count_forwards(model) as count:
        cam(x, case.targets(LABELS, x))
    assert count.images == case.passes(12, cam.results[0])


@each(together=False, closed_form=False, sub_head=False)
def test_several_layers_are_averaged_as_in_the_host(case):
    model, x = net(), batch()
    layers = [model.relu1, model.relu2]
    cam = case.cam(model, layers)
    both = cam(x, case.targets(LABELS, x))
    assert len(cam.results) == 2
    single = []
    for layer, result in zip(layers, cam.results, strict=True):
        alone = case.cam(model, [layer])
        alone(x, case.targets(LABELS, x))
        assert torch.equal(result.maps, alone.results[0].maps)
        positive = alone.results[0].maps[:, 0].clamp(min=0).numpy()
        single.append(np.stack([scaled(image, SIZE) for image in positive]))
    mean = np.mean(single, axis=0)
    assert_close(both, np.stack([scaled(image) for image in mean]))
    if case.of_layer:
        assert not np.allclose(both, single[0])
        assert not np.allclose(both, single[1])


@each(closed_form=True)
def test_several_layers_of_a_closed_form_are_averaged_as_in_the_host(case):
    model, x = net(), batch()
    # All that is between the last map and the pooling; the pooled map is flat, which shows as 0.
    cam = case.cam(model, [model.relu2, model.dropout, model.pool])
    both = cam(x, case.targets(LABELS, x))
    alone = case.cam(model, [model.relu2])
    assert_close(both, alone(x, case.targets(LABELS, x)), atol=1e-5)
    maps = [result.maps for result in cam.results]
    assert torch.equal(maps[0], alone.results[0].maps)
    assert torch.equal(maps[1], maps[0])
    torch.testing.assert_close(maps[2], maps[0].mean(dim=(2, 3), keepdim=True), rtol=0, atol=1e-12)


@each(together=True)
def test_several_layers_make_one_map(case):
    model, x = net(), batch()
    cam = case.cam(model, [model.relu1, model.relu2])
    shown = cam(x, case.targets(LABELS, x))
    assert len(cam.results) == 1
    if not case.labelled:
        assert len(cam.results[0].layers) == 2
    assert_close(shown, saliency(cam.results[0].maps[:, 0]))
    single = [
        case.cam(model, [layer])(x, case.targets(LABELS, x)) for layer in (model.relu1, model.relu2)
    ]
    averaged = np.stack([scaled(image) for image in np.mean(single, axis=0)])
    assert np.abs(shown - averaged).max() > 0.01


@each(closed_form=False)
def test_reshape_transform(case):
    model, x = TokenNet().eval().double(), batch(2, size=(8, 12))
    cam = case.cam(model, [model.block], model.reshape_transform)
    shown = cam(x, case.targets([0, 1], x))
    result = cam.results[0]
    assert_close(shown, saliency(result.maps[:, 0], (8, 12)))
    if case.weighted:
        found = []
        handle = model.block.register_forward_hook(lambda _, __, out: found.append(out.detach()))
        with torch.no_grad():
            model(x)
        handle.remove()
        maps = model.reshape_transform(found[0])
        fused = torch.einsum("nc,nchw->nhw", result.weights[:, 0], maps)
        torch.testing.assert_close(result.maps[:, 0], fused, rtol=0, atol=1e-12)


@every_case
def test_one_image(case):
    model = net()
    one, x = batch(1), batch()
    shown = case.cam(model, [model.relu2])(one, case.targets([3], one))
    assert shown.shape == (1, *SIZE)
    assert_close(shown[0], case.cam(model, [model.relu2])(x, case.targets(LABELS, x))[0])


@every_case
def test_a_flat_layer_gives_finite_maps(case):
    model = FlatNet().eval().double()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x, labels = batch(), [0, 1, 2]
        shown = case.cam(model, [model.layer])(x, case.targets(labels, x, [labels] * 3))
    assert np.isfinite(shown).all()
    if case.of_layer:
        assert (shown == 0).all()


@each(weighted=False)
def test_eigen_smooth_of_a_map_that_is_no_weighted_sum(case):
    model, x = net(), batch()
    cam = case.cam(model, [model.relu2])
    with pytest.raises(ValueError, match=r"^Expected eigen_smooth to be False for .*got True"):
        cam(x, case.targets(LABELS, x), eigen_smooth=True)


@each(weighted=True)
def test_eigen_smooth(case):
    model, x = net(), batch()
    cam = case.cam(model, [model.relu2])
    smooth = cam(x, case.targets(LABELS, x), eigen_smooth=True)
    assert not np.allclose(smooth, cam(x, case.targets(LABELS, x)))
    with torch.no_grad():
        maps = model.relu2(model.conv2(model.relu1(model.bn1(model.conv1(x)))))
    for i in range(3):
        weighted = (cam.results[0].weights[i, 0, :, None, None] * maps[i]).flatten(1).numpy()
        points = weighted.T - weighted.T.mean(axis=0)
        values, vectors = np.linalg.eigh(points.T @ points)
        component = (points @ vectors[:, np.argmax(values)]).reshape(4, 6)
        either = [saliency(torch.from_numpy(s * component)[None])[0] for s in (1, -1)]
        # The sign of a principal component is arbitrary.
        assert min(np.abs(smooth[i] - e).max() for e in either) < 1e-4


@every_case
def test_aug_smooth(case):
    model, x = net(), batch()
    cam = case.cam(model, [model.relu2])
    own = case.targets(LABELS, x)  # of the image as it is: the labels do not change with its flip
    flip = [cam(x, own), np.flip(cam(x.flip(3), own), axis=2)]
    transforms = ttach.Compose([ttach.HorizontalFlip()])
    smoothed = case.cam(model, [model.relu2], tta_transforms=transforms)
    assert_close(smoothed(x, case.targets(LABELS, x), aug_smooth=True), np.mean(flip, axis=0))
    default = cam(x, case.targets(LABELS, x), aug_smooth=True)
    assert default.shape == (3, *SIZE)
    assert (default >= 0).all()
    assert (default <= 1).all()


# Targets


@every_case
@pytest.mark.parametrize("labels", [[], [0], [0, 1], [0, 1, 2, 3]])
def test_not_one_target_for_each_image(case, labels):
    model, x = net(), batch()
    cam = case.cam(model, [model.relu2])
    match = f"^Expected targets to be a list with one callable for each of the 3 .*{len(labels)}"
    with pytest.raises(ValueError, match=match):
        cam(x, case.targets(labels, x))


@every_case
@pytest.mark.parametrize("wrong", [[0, 1, 2], 3, "abc", ClassifierOutputTarget(0)])
def test_targets_that_are_no_callables(case, wrong):
    model, x = net(), batch()
    with pytest.raises(ValueError, match=r"^Expected targets to be a list with one callable"):
        case.cam(model, [model.relu2])(x, wrong)


@every_case
def test_a_target_outside_the_output(case):
    model, x = net(), batch()
    cam = case.cam(model, [model.relu2])
    before = state_of(model, x)
    with count_forwards(model) as count, pytest.raises(ValueError, match=r"^Expected target.*5"):
        cam(x, case.targets([0, 5, 1], x))
    assert count.images <= 3, "found before the masked passes"
    assert_same_state(before, state_of(model, x))


@each(index_targets=True)
@pytest.mark.parametrize("kind", [OneLogitNet, ScalarNet])
@pytest.mark.filterwarnings("ignore:The model's outputs lie in")  # one of the logits does
def test_the_class_of_a_model_with_one_output_is_0(case, kind):
    model, x = kind().eval().double(), batch()
    expected = case.attribute(model, model.relu, x, **case.given([[0]] * 3))
    for options in [{}] if case.method != "multi-level-cam" else [{}, {"rest": "groupmates"}]:
        cam = case.cam(model, [model.relu], **options)
        for category in (0, -1):
            cam(x, case.targets([category] * 3, x, labels=[[0]]))
            assert_close(cam.results[0].maps, expected)
        with pytest.raises(ValueError, match=r"^Expected target.*1"):
            cam(x, case.targets([0, 1, 0], x, labels=[[0]]))


# Other classes of the host that build ours


def _finer(case, model):
    class Cheap(case.grad_cam, algorithm=case.grad_cam.algorithm):  # FinerCAM passes no options
        def __init__(self, *args):
            super().__init__(*args, **case.options)

    return FinerCAM(model, [model.relu2], base_method=Cheap)


@every_case
def test_finer_cam_with_given_targets(case):
    model, x = net(), batch()
    shown = _finer(case, model)(x, case.targets(LABELS, x))
    assert_close(shown, case.cam(model, [model.relu2])(x, case.targets(LABELS, x)))


@each(index_targets=False)
def test_finer_cam(case):
    model, x = net(), batch()
    finer = _finer(case, model)
    shown = finer(x)
    assert shown.shape == (3, *SIZE)
    assert (shown >= 0).all()
    assert (shown <= 1).all()
    assert not np.allclose(shown, finer(x, case.targets(LABELS, x)))


@each(index_targets=True)
def test_finer_cams_own_targets_name_no_category(case):
    model, x = net(), batch()
    before = state_of(model, x)
    with pytest.raises(TargetError, match=r"^Expected target .* got FinerWeightedTarget"):
        _finer(case, model)(x)
    assert_same_state(before, state_of(model, x))


@every_case
def test_refine_cam(case):
    model, x = net(), batch()
    cam = case.cam(model, [model.relu2])
    one = RefineCAM(model, [model.relu2], base_method=case.grad_cam, **case.options)
    assert_close(one(x, case.targets(LABELS, x)), cam(x, case.targets(LABELS, x)), atol=1e-5)
    first = getattr(model, case.earlier)
    two = RefineCAM(model, [first, model.relu2], base_method=case.grad_cam, **case.options)
    product = case.cam(model, [first])(x, case.targets(LABELS, x)) * cam(x, case.targets(LABELS, x))
    shown = two(x, case.targets(LABELS, x))
    assert_close(shown, np.stack([scaled(image) for image in product]), atol=1e-5)
    assert (shown >= 0).all()
    assert (shown <= 1).all()


@every_case
@pytest.mark.filterwarnings("ignore:The model's outputs lie in")  # those of one of the images do
def test_sess(case):
    model, x = net(), batch(2, size=(16, 16))
    sess = SESS(
        model,
        [model.relu2],
        base_method=case.grad_cam,
        num_scales=1,
        smooth=False,
        **case.options,
    )
    expected = case.cam(model, [model.relu2])(x, case.targets([3, 0], x))
    assert_close(sess(x, case.targets([3, 0], x)), expected, atol=1e-5)
    many = SESS(model, [model.relu2], base_method=case.grad_cam, num_scales=2, **case.options)
    shown = many(x)
    assert shown.shape == (2, 16, 16)
    assert (shown >= 0).all()
    assert (shown <= 1).all()
    assert shown.max() > 0.99


# What is left behind


@every_case
def test_a_context_manager_that_lets_every_exception_through(case):
    model, x = net(), batch()
    with case.cam(model, [model.relu2]) as cam:
        inside = cam(input_tensor=x, targets=case.targets(LABELS, x))
    assert_close(inside, case.cam(model, [model.relu2])(x, case.targets(LABELS, x)), atol=0)
    for error in (IndexError, KeyError):
        with pytest.raises(error, match="mine"), case.cam(model, [model.relu2]):
            raise error("mine")


@every_case
def test_the_object_can_be_used_again_after_its_context(case):
    model, x = net(), batch()
    with case.cam(model, [model.relu2]) as cam:
        inside = cam(x, case.targets(LABELS, x))
    assert_close(cam(x, case.targets(LABELS, x)), inside, atol=0)


@every_case
def test_no_hooks_remain_between_calls(case):
    model, x = net(), batch()
    bare = hooks_of(model)
    first = getattr(model, case.earlier)
    with case.cam(model, [first, model.relu2]) as cam:
        assert hooks_of(model) == bare
        cam(x, case.targets(LABELS, x))
        assert hooks_of(model) == bare
        cam(x, case.targets(LABELS, x), aug_smooth=True)
        assert hooks_of(model) == bare
        with pytest.raises(ValueError, match="targets"):
            cam(x, case.targets([1], x))
        assert hooks_of(model) == bare
    assert hooks_of(model) == bare


@every_case
def test_hooks_of_the_user_stay(case):
    model, x = net(), batch()
    calls = []
    handle = model.conv1.register_forward_hook(lambda *_: calls.append(1))
    with case.cam(model, [model.relu2]) as cam:
        cam(x, case.targets(LABELS, x))
    assert calls
    calls.clear()
    model(x)
    assert calls == [1]
    handle.remove()


@every_case
def test_training_flags_are_left_alone(case):
    model, x = net(), batch()
    expected = case.cam(model, [model.relu2])(x, case.targets(LABELS, x))
    model.train()
    model.bn1.eval()
    modes = modes_of(model)
    cam = case.cam(model, [model.relu2])
    assert modes_of(model) == modes
    with pytest.warns(UserWarning, match="training mode"):
        shown = cam(x, case.targets(LABELS, x))
    assert modes_of(model) == modes
    assert_close(shown, expected)


@every_case
def test_everything_is_as_it_was(case):
    model, x = net(), batch()
    model(x).sum().backward()
    model.fc.bias.requires_grad_(False)
    model.bn1.train()
    x.requires_grad_()
    before = state_of(model, x)
    with case.cam(model, [model.relu2]) as cam:
        shown = cam(x, case.targets(LABELS, x))
        assert_same_state(before, state_of(model, x))
        cam(x, case.targets(LABELS, x), aug_smooth=True)
    assert_same_state(before, state_of(model, x))
    assert (shown.max(axis=(1, 2)) > 0.99).all()


RAISING = [
    pytest.param(case, after, id=f"{case.name}-{after}")
    for case in CASES
    for after in ([1, 2] if case.masked else [1])
]


@pytest.mark.parametrize(("case", "after"), RAISING)
def test_everything_is_as_it_was_after_a_model_that_raises(case, after):
    model, x = RaisingNet(after=after).eval().double(), batch()
    before = state_of(model, x)
    cam = case.cam(model, [model.relu])
    with pytest.raises(RuntimeError, match=f"forward pass {after} fails"):
        cam(x, case.targets([0, 1, 2], x))
    assert_same_state(before, state_of(model, x))
    shown = cam(x, case.targets([0, 1, 2], x))  # It raises once only: the object still works.
    fresh = RaisingNet(after=-1).eval().double()
    assert_close(shown, case.cam(fresh, [fresh.relu])(x, case.targets([0, 1, 2], x)))


@each(masked=True)
def test_scores_that_are_nan(case):
    model, x = NaNNet().eval().double(), batch()
    before = state_of(model, x)
    with pytest.raises(ValueError, match=r"scores.*NaN"):
        case.cam(model, [model.relu])(x, case.targets([0, 1, 2], x))
    assert_same_state(before, state_of(model, x))


@every_case
def test_quiet_by_default(case, capfd):
    model, x = net(), batch()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with case.cam(model, [model.relu2]) as cam:
            cam(x, case.targets(LABELS, x, [LABELS] * 3))
    assert capfd.readouterr() == ("", "")


@each(masked=True)
def test_a_bar_over_the_masked_passes_where_it_is_asked_for(case, capfd):
    model, x = net(), batch()
    case.cam(model, [model.relu2], show_progress=True)(x, case.targets(LABELS, x))
    assert "masked passes" in capfd.readouterr().err


@every_case
def test_without_gradients_and_with_frozen_parameters(case):
    model, x = net(), batch()
    cam = case.cam(model, [model.relu2])
    expected = cam(x, case.targets(LABELS, x))
    with torch.no_grad():
        assert_close(cam(x, case.targets(LABELS, x)), expected)
    with torch.inference_mode():
        assert_close(cam(x, case.targets(LABELS, x)), expected)
        made_inside = batch()
        assert_close(cam(made_inside, case.targets(LABELS, made_inside)), expected)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    assert_close(cam(x, case.targets(LABELS, x)), expected)


@every_case
def test_autocast_in_half_precision_stays_close_to_single(case):
    model, x = net(torch.float32), batch(dtype=torch.float32)
    cam = case.cam(model, [model.relu2])
    expected = cam(x, case.targets(LABELS, x))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        shown = cam(x, case.targets(LABELS, x))
    assert shown.dtype == np.float32
    far = np.abs(shown - expected) > 0.05
    assert far.mean() <= (0.02 if case.denoised else 0)
    assert not np.array_equal(shown, expected), "autocast had no effect: the test shows nothing"


@every_case
def test_a_model_in_half_precision(case):
    model, x = net(torch.float32), batch(dtype=torch.float32)
    expected = case.cam(model, [model.relu2])(x, case.targets(LABELS, x))
    half = net(torch.bfloat16)
    shown = case.cam(half, [half.relu2])(x.bfloat16(), case.targets(LABELS, x))
    assert shown.dtype == np.float32
    far = np.abs(shown - expected) > 0.25
    assert far.mean() <= (0.02 if case.denoised else 0)


@each(closed_form=False)
def test_an_in_place_relu_behind_the_layer(case):
    x = batch()
    plain, in_place = net(), net(inplace=True)
    shown = case.cam(in_place, [in_place.conv2])(x, case.targets(LABELS, x))
    assert_close(shown, case.cam(plain, [plain.conv2])(x, case.targets(LABELS, x)), atol=0)
