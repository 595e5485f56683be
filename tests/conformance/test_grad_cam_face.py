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
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from captum_cluster.hooks import count_forwards
from tests.conformance.cases import CASES, assert_same_state, hooks_of, ids, modes_of, state_of
from tests.helpers.nets import FlatNet, NaNNet, RaisingNet, SmallNet, TokenNet, images

SIZE = (16, 24)
LABELS = [3, 0, 2]

every_case = pytest.mark.parametrize("case", CASES, ids=ids(CASES))


def net(dtype=torch.float64, **kwargs):
    return SmallNet(**kwargs).eval().to(dtype)


def batch(n=3, dtype=torch.float64, size=SIZE):
    return images(n, size=size, dtype=dtype)


def targets(labels=LABELS):
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
    run = {"baselines": None, "batch_size": None, "show_progress": False, "tta_transforms": None}
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
    named = cam(input_tensor=x, targets=targets(), aug_smooth=False, eigen_smooth=False)
    assert_close(named, cam(x, targets(), False, False), atol=0)


# Values


@every_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_maps_are_those_of_the_layer_as_the_host_shows_them(case, dtype):
    model, x = net(dtype), batch(dtype=dtype)
    cam = case.cam(model, [model.conv2])
    shown = cam(x, targets())
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
    assert_close(cam(x), cam(x, targets(top)), atol=0)
    assert not np.allclose(cam(x), cam(x, targets([(label + 1) % 5 for label in top])))


@every_case
def test_a_target_may_be_any_callable(case):
    model, x = net(), batch()
    cam = case.cam(model, [model.relu2])
    assert_close(cam(x, [lambda output, t=t: output[t] for t in LABELS]), cam(x, targets()), atol=0)
    shapes = []
    cam(x, [lambda output: shapes.append(output.shape) or output[0]] * 3)
    assert set(shapes) == {(5,)}


@every_case
def test_a_batch_equals_its_images_one_by_one(case):
    model, x = net(), batch()
    cam = case.cam(model, [model.relu2])
    together = cam(x, targets())
    for i, label in enumerate(LABELS):
        assert_close(together[i : i + 1], cam(x[i : i + 1], targets([label])))


@every_case
@pytest.mark.parametrize("rows", [1, 2, 1000])
def test_batch_size_changes_nothing(case, rows):
    model, x = net(), batch()
    cam = case.cam(model, [model.relu2])
    expected = cam(x, targets())
    sizes = []
    handle = model.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    cam.batch_size = rows
    assert_close(cam(x, targets()), expected)
    by_attribute = list(sizes)
    assert_close(case.cam(model, [model.relu2], batch_size=rows)(x, targets()), expected)
    handle.remove()
    assert sizes == 2 * by_attribute
    assert max(by_attribute[1:]) <= rows
    if rows == 1000:
        assert len(by_attribute) == 2


@every_case
def test_the_number_of_forward_passes(case):
    model, x = net(), batch()
    cam = case.cam(model, [model.relu2])
    with count_forwards(model) as count:
        cam(x, targets())
    assert count.images == 3 * case.expected_passes(12)


@every_case
def test_several_layers_are_averaged_as_in_the_host(case):
    model, x = net(), batch()
    layers = [model.relu1, model.relu2]
    cam = case.cam(model, layers)
    both = cam(x, targets())
    assert len(cam.results) == 2
    single = []
    for layer, result in zip(layers, cam.results, strict=True):
        alone = case.cam(model, [layer])
        alone(x, targets())
        assert torch.equal(result.maps, alone.results[0].maps)
        positive = alone.results[0].maps[:, 0].clamp(min=0).numpy()
        single.append(np.stack([scaled(image, SIZE) for image in positive]))
    mean = np.mean(single, axis=0)
    assert_close(both, np.stack([scaled(image) for image in mean]))
    if case.at_layer:
        assert not np.allclose(both, single[0])
        assert not np.allclose(both, single[1])


@every_case
def test_reshape_transform(case):
    model, x = TokenNet().eval().double(), batch(2, size=(8, 12))
    cam = case.cam(model, [model.block], model.reshape_transform)
    shown = cam(x, targets([0, 1]))
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
    shown = case.cam(model, [model.relu2])(batch(1), targets([3]))
    assert shown.shape == (1, *SIZE)
    assert_close(shown[0], case.cam(model, [model.relu2])(batch(), targets())[0])


@every_case
def test_a_flat_layer_gives_finite_maps(case):
    model = FlatNet().eval().double()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shown = case.cam(model, [model.layer])(batch(), targets([0, 1, 2]))
    assert np.isfinite(shown).all()
    if case.at_layer:
        assert (shown == 0).all()


@every_case
def test_eigen_smooth(case):
    model, x = net(), batch()
    cam = case.cam(model, [model.relu2])
    if not case.weighted:
        with pytest.raises(ValueError, match=r"^Expected eigen_smooth to be False for .*got True"):
            cam(x, targets(), eigen_smooth=True)
        return
    smooth = cam(x, targets(), eigen_smooth=True)
    assert not np.allclose(smooth, cam(x, targets()))
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
    flip = [cam(x, targets()), np.flip(cam(x.flip(3), targets()), axis=2)]
    transforms = ttach.Compose([ttach.HorizontalFlip()])
    smoothed = case.cam(model, [model.relu2], tta_transforms=transforms)
    assert_close(smoothed(x, targets(), aug_smooth=True), np.mean(flip, axis=0))
    default = cam(x, targets(), aug_smooth=True)
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
        cam(x, targets(labels))


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
        cam(x, targets([0, 5, 1]))
    assert count.images <= 3, "found before the masked passes"
    assert_same_state(before, state_of(model, x))


# Other classes of the host that build ours


@every_case
def test_finer_cam(case):
    model, x = net(), batch()

    class Cheap(case.grad_cam, algorithm=case.grad_cam.algorithm):  # FinerCAM passes no options
        def __init__(self, *args):
            super().__init__(*args, **case.options)

    finer = FinerCAM(model, [model.relu2], base_method=Cheap)
    shown = finer(x)
    assert shown.shape == (3, *SIZE)
    assert (shown >= 0).all()
    assert (shown <= 1).all()
    assert_close(finer(x, targets()), case.cam(model, [model.relu2])(x, targets()))
    assert not np.allclose(shown, finer(x, targets()))


@every_case
def test_refine_cam(case):
    model, x = net(), batch()
    cam = case.cam(model, [model.relu2])
    one = RefineCAM(model, [model.relu2], base_method=case.grad_cam, **case.options)
    assert_close(one(x, targets()), cam(x, targets()), atol=1e-5)
    two = RefineCAM(model, [model.relu1, model.relu2], base_method=case.grad_cam, **case.options)
    product = case.cam(model, [model.relu1])(x, targets()) * cam(x, targets())
    shown = two(x, targets())
    assert_close(shown, np.stack([scaled(image) for image in product]), atol=1e-5)
    assert (shown >= 0).all()
    assert (shown <= 1).all()


@every_case
def test_sess(case):
    model, x = net(torch.float32), batch(2, torch.float32, (16, 16))
    sess = SESS(
        model,
        [model.relu2],
        base_method=case.grad_cam,
        num_scales=1,
        smooth=False,
        **case.options,
    )
    expected = case.cam(model, [model.relu2])(x, targets([3, 0]))
    assert_close(sess(x, targets([3, 0])), expected, atol=1e-5)
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
        inside = cam(input_tensor=x, targets=targets())
    assert_close(inside, case.cam(model, [model.relu2])(x, targets()), atol=0)
    for error in (IndexError, KeyError):
        with pytest.raises(error, match="mine"), case.cam(model, [model.relu2]):
            raise error("mine")


@every_case
def test_the_object_can_be_used_again_after_its_context(case):
    model, x = net(), batch()
    with case.cam(model, [model.relu2]) as cam:
        inside = cam(x, targets())
    assert_close(cam(x, targets()), inside, atol=0)


@every_case
def test_no_hooks_remain_between_calls(case):
    model, x = net(), batch()
    bare = hooks_of(model)
    with case.cam(model, [model.relu1, model.relu2]) as cam:
        assert hooks_of(model) == bare
        cam(x, targets())
        assert hooks_of(model) == bare
        cam(x, targets(), aug_smooth=True)
        assert hooks_of(model) == bare
        with pytest.raises(ValueError, match="targets"):
            cam(x, targets([1]))
        assert hooks_of(model) == bare
    assert hooks_of(model) == bare


@every_case
def test_hooks_of_the_user_stay(case):
    model, x = net(), batch()
    calls = []
    handle = model.conv1.register_forward_hook(lambda *_: calls.append(1))
    with case.cam(model, [model.relu2]) as cam:
        cam(x, targets())
    assert calls
    calls.clear()
    model(x)
    assert calls == [1]
    handle.remove()


@every_case
def test_training_flags_are_left_alone(case):
    model, x = net(), batch()
    expected = case.cam(model, [model.relu2])(x, targets())
    model.train()
    model.bn1.eval()
    modes = modes_of(model)
    cam = case.cam(model, [model.relu2])
    assert modes_of(model) == modes
    with pytest.warns(UserWarning, match="training mode"):
        shown = cam(x, targets())
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
        shown = cam(x, targets())
        assert_same_state(before, state_of(model, x))
        cam(x, targets(), aug_smooth=True)
    assert_same_state(before, state_of(model, x))
    assert (shown.max(axis=(1, 2)) > 0.99).all()


@every_case
@pytest.mark.parametrize("after", [1, 2])
def test_everything_is_as_it_was_after_a_model_that_raises(case, after):
    model, x = RaisingNet(after=after).eval().double(), batch()
    before = state_of(model, x)
    cam = case.cam(model, [model.relu])
    with pytest.raises(RuntimeError, match=f"forward pass {after} fails"):
        cam(x, targets([0, 1, 2]))
    assert_same_state(before, state_of(model, x))
    shown = cam(x, targets([0, 1, 2]))  # It raises once only: the object still works.
    fresh = RaisingNet(after=-1).eval().double()
    assert_close(shown, case.cam(fresh, [fresh.relu])(x, targets([0, 1, 2])))


@every_case
def test_scores_that_are_nan(case):
    model, x = NaNNet().eval().double(), batch()
    before = state_of(model, x)
    with pytest.raises(ValueError, match=r"scores.*NaN"):
        case.cam(model, [model.relu])(x, targets([0, 1, 2]))
    assert_same_state(before, state_of(model, x))


@every_case
def test_quiet_by_default(case, capfd):
    model, x = net(), batch()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with case.cam(model, [model.relu2]) as cam:
            cam(x, targets())
        assert capfd.readouterr() == ("", "")
        case.cam(model, [model.relu2], show_progress=True)(x, targets())
    assert "masked passes" in capfd.readouterr().err


@every_case
def test_without_gradients_and_with_frozen_parameters(case):
    model, x = net(), batch()
    cam = case.cam(model, [model.relu2])
    expected = cam(x, targets())
    with torch.no_grad():
        assert_close(cam(x, targets()), expected)
    with torch.inference_mode():
        assert_close(cam(x, targets()), expected)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    assert_close(cam(x, targets()), expected)


@every_case
def test_autocast_in_half_precision_stays_close_to_single(case):
    model, x = net(torch.float32), batch(dtype=torch.float32)
    cam = case.cam(model, [model.relu2])
    expected = cam(x, targets())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        shown = cam(x, targets())
    assert shown.dtype == np.float32
    assert_close(shown, expected, atol=0.05)
    assert not np.array_equal(shown, expected), "autocast had no effect: the test shows nothing"


@every_case
def test_a_model_in_half_precision(case):
    model, x = net(torch.float32), batch(dtype=torch.float32)
    expected = case.cam(model, [model.relu2])(x, targets())
    half = net(torch.bfloat16)
    shown = case.cam(half, [half.relu2])(x.bfloat16(), targets())
    assert shown.dtype == np.float32
    assert_close(shown, expected, atol=0.25)


@every_case
def test_an_in_place_relu_behind_the_layer(case):
    x = batch()
    plain, in_place = net(), net(inplace=True)
    shown = case.cam(in_place, [in_place.conv2])(x, targets())
    assert_close(shown, case.cam(plain, [plain.conv2])(x, targets()), atol=0)
