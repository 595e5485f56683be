"""Faster, inexact masked passes: against one image and one mask at a time, in both faces."""

import copy
import pickle
import re
import shutil

import pytest
import torch
import torch.nn.functional as F
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from captum_cluster.attr import LayerClusterCam, LayerCollectionCam, LayerRise, LayerScoreCam
from captum_cluster.functional.attribution import MaskedScorer, select_each
from captum_cluster.functional.attribution.scoring import read_scores
from captum_cluster.grad_cam import RISE, ClusterCAM, CollectionCAM, ScoreCAM
from captum_cluster.hooks import count_forwards
from captum_cluster.methods import ModelCompiler, PassOptions, hastened
from tests.helpers import nets

EAGER = {"backend": "eager"}
METHODS = {
    "cluster-cam": (LayerClusterCam, ClusterCAM, {"n_clusters": 3}),
    "score-cam": (LayerScoreCam, ScoreCAM, {}),
    "collection-cam": (LayerCollectionCam, CollectionCAM, {}),
    "sufficient": (LayerCollectionCam, CollectionCAM, {"sufficient": True}),
    "rise": (LayerRise, RISE, {"n_masks": 12, "grid_size": 4}),
}
WAYS = {
    "bfloat16": {"precision": "bfloat16"},
    "half": {"resolution": 0.5},
    "compiled": {"compile": EAGER},
    "all": {"precision": "bfloat16", "resolution": 0.5, "compile": EAGER},
}
every_method = pytest.mark.parametrize("method", METHODS)
every_way = pytest.mark.parametrize("way", WAYS)
# Compiling takes a second each time.
each = pytest.mark.parametrize(
    ("method", "way"),
    [
        *((method, way) for method in METHODS for way in ("bfloat16", "half")),
        ("score-cam", "compiled"),
        ("sufficient", "all"),
    ],
)


def net(**kwargs):
    return nets.SmallNet(**kwargs).eval()


def batch(n=2, channels=3, size=(16, 24), dtype=torch.float32):
    return nets.images(n, channels, size, dtype=dtype)


def explain(method, model, images, targets, **options):
    face, _, own = METHODS[method]
    return face(model, model.relu2).explain(images, targets, **own, **options)


def shrink(images, size):
    return F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)


def slow_scores(method, forward, result, images, target, baseline=0.0):
    """Return the scores (N,K) of the result's masks, each masked image alone."""
    size = images.shape[2:]
    reads = "probability" if method == "rise" else "logit"
    rows = []
    for number, image in enumerate(images):
        masked = [
            baseline + mask * (image - baseline) for mask in result.render_masks(number, size)
        ]
        outputs = torch.cat([forward(one[None]) for one in masked])
        rows.append(read_scores(outputs, reads)[:, target])
    return torch.stack(rows)


# Nothing by default


@every_method
def test_by_default_the_map_is_the_same_to_the_last_bit(method):
    model, x = net(), batch()
    named = {"precision": None, "resolution": 1, "compile": False}
    default, given = (explain(method, model, x, [1], **one) for one in ({}, named))
    assert torch.equal(default.maps, given.maps)
    assert torch.equal(default.scores, given.scores)


def test_without_options_the_scorer_is_not_touched():
    x = batch()
    scorer = MaskedScorer(lambda inputs, rows: inputs[0], (x,), select_each(0, images=2))
    assert hastened(scorer, PassOptions(), pytest.fail) is scorer


# Resolution


@every_method
@pytest.mark.parametrize(("factor", "size"), [(0.5, (8, 12)), (0.7, (11, 17))])
def test_scores_at_a_reduced_size(method, factor, size):
    model, x = net().double(), batch(dtype=torch.float64)
    result = explain(method, model, x, [1], resolution=factor)
    expected = slow_scores(method, model, result, shrink(x, size), 1)
    torch.testing.assert_close(result.scores[:, :, 0], expected, rtol=1e-9, atol=1e-11)
    exact = explain(method, model, x, [1])
    assert result.maps.shape == exact.maps.shape
    assert not torch.allclose(result.maps, exact.maps)


def test_scores_at_a_reduced_size_by_hand():
    """Score-CAM with nothing of the package: shrink, enlarge each map, mask, score."""
    model, x = net().double(), batch(1, dtype=torch.float64)
    seen = []
    handle = model.relu2.register_forward_hook(lambda *args: seen.append(args[2]))
    model(x)
    handle.remove()
    small, scores = shrink(x, (8, 12)), []
    for grid in seen[0][0]:
        mask = F.interpolate(grid[None, None], (8, 12), mode="bilinear", align_corners=False)
        mask = (mask - mask.min()) / (mask.max() - mask.min())
        scores.append(model(small * mask)[0, 3])
    found = explain("score-cam", model, x, [3], resolution=0.5)
    torch.testing.assert_close(found.scores[0, :, 0], torch.stack(scores), rtol=1e-9, atol=1e-11)
    expected = (torch.stack(scores).softmax(0)[:, None, None] * seen[0][0]).sum(0)
    torch.testing.assert_close(found.maps[0, 0], expected, rtol=1e-9, atol=1e-11)


BASELINES = {
    "number": 0.5,
    "image": nets.images(1, 3, (16, 24)),
    "batch": nets.images(2, 3, (16, 24), seed=1),
    "colour": torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64)[:, None, None],
    "row": nets.images(1, 1, (1, 24))[0, 0],
}


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_are_reduced_with_the_image(name):
    model, x, baseline = net().double(), batch(dtype=torch.float64), BASELINES[name]
    found = explain("score-cam", model, x, [2], resolution=0.5, baselines=baseline)
    small = baseline
    if name != "number":
        small = shrink(baseline.expand(2, 3, 16, 24), (8, 12))
    for n, image in enumerate(shrink(x, (8, 12))):
        own = small if name == "number" else small[n]
        masks = found.render_masks(n, (8, 12))
        masked = torch.stack([own + mask * (image - own) for mask in masks])
        torch.testing.assert_close(found.scores[n, :, 0], model(masked)[:, 2], rtol=1e-9, atol=1e-9)


def test_inputs_of_several_sizes_are_reduced_each_by_the_factor():
    model, sizes = net(), []

    def forward(first, numbers, second):
        sizes.append((tuple(first.shape[2:]), tuple(second.shape[2:]), numbers.shape[1:]))
        return model(first) + model(second) + numbers[:, :1]

    inputs = (batch(), torch.ones(2, 4), batch(size=(12, 9)))
    cam = LayerScoreCam(forward, model.relu1)
    baselines = (None, None, torch.ones(3, 12, 9))
    tuple_of_maps = cam.attribute(inputs, 1, resolution=0.5, baselines=baselines)
    assert sizes[0] == ((16, 24), (12, 9), (4,))
    assert set(sizes[1:]) == {((8, 12), (6, 4), (4,))}
    assert tuple_of_maps.shape[2:] == (6, 5)  # the layer was called last for the second image


def test_at_least_one_pixel_is_left():
    model, x = net().double(), batch(dtype=torch.float64)
    found = explain("score-cam", model, x, [1], resolution=1e-3)
    # A mask of one pixel is flat, and a flat mask is 0.
    black = model(torch.zeros(1, 3, 1, 1, dtype=torch.float64))[0, 1].expand(2, 12)
    torch.testing.assert_close(found.scores[:, :, 0], black)


@each
def test_maps_have_the_size_that_they_have_without(method, way):
    model, x = net(), batch(size=(17, 22))
    assert explain(method, model, x, [1, 2], **WAYS[way]).maps.shape == (
        explain(method, model, x, [1, 2]).maps.shape
    )


def test_a_network_of_a_fixed_size_says_so_itself():
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))
    model.eval()(batch(1, size=8))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        LayerScoreCam(model, model[1]).attribute(batch(1, size=8), 0, resolution=0.5)


# Precision


@every_method
def test_scores_in_bfloat16(method):
    model, x = net(), batch()

    def alone(image):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            outputs = model(image)
        assert outputs.dtype == torch.bfloat16
        return outputs

    found = explain(method, model, x, [1], precision="bfloat16").scores[:, :, 0]
    exact = explain(method, model, x, [1])
    expected = slow_scores(method, alone, exact, x, 1)
    span = float(exact.scores.max() - exact.scores.min())
    assert found.dtype == torch.float32
    assert float((found - expected).abs().max()) < 1e-2 * span
    gap = float((found - exact.scores[:, :, 0]).abs().max())
    assert 1e-5 * span < gap < 5e-2 * span


@every_method
def test_what_is_in_float64_stays_exact(method):
    model, x = net().double(), batch(dtype=torch.float64)
    exact = explain(method, model, x, [1])
    found = explain(method, model, x, [1], precision="bfloat16")
    assert torch.equal(found.maps, exact.maps)


@pytest.mark.parametrize("method", ["cluster-cam", "collection-cam"])
def test_the_unmasked_pass_stays_exact(method):
    model, x = net(), batch()
    exact = explain(method, model, x, [1])
    found = explain(method, model, x, [1], precision="bfloat16", resolution=0.5)
    for one, other in zip(parts(method, exact), parts(method, found), strict=True):
        assert torch.equal(one, other)


def parts(method, result):
    if method == "cluster-cam":
        return result.labels, result.cluster_maps
    return result.layers[0].labels, result.layers[0].maps


def test_the_score_function_and_the_target_run_in_float32():
    model, x, seen = net(), batch(), []

    def reading(outputs):
        product = outputs @ torch.eye(5)
        seen.append((outputs.dtype, product.dtype, torch.is_autocast_enabled("cpu")))
        return product

    with torch.autocast("cpu", torch.bfloat16):
        explain("score-cam", model, x, [1], precision="bfloat16", score_function=reading)
    # The first is the check of the targets on the unmasked pass, where the caller's autocast is on.
    assert set(seen[1:]) == {(torch.float32, torch.float32, False)}


class Casts(TorchDispatchMode):
    """Counts the casts of tensors of one shape to bfloat16."""

    def __init__(self, shape):
        super().__init__()
        self.shape, self.count = shape, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.ops.aten._to_copy.default and kwargs.get("dtype") == torch.bfloat16:
            self.count += args[0].shape == self.shape
        return func(*args, **kwargs)


@pytest.mark.parametrize("rounds", [1, 2])
def test_weights_are_cast_once_for_all_passes(rounds):
    model, x = net(), batch()
    with Casts(model.conv2.weight.shape) as casts, count_forwards(model) as count:
        for _ in range(rounds):
            explain("score-cam", model, x, [1], precision="bfloat16", perturbations_per_eval=1)
    assert count.calls == rounds * 13
    assert casts.count == rounds


def gradients(model, x):
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(x).float().square().sum()
    loss.backward()
    return [parameter.grad.clone() for parameter in model.parameters()]


@every_method
def test_a_training_step_under_the_same_autocast_is_not_disturbed(method):
    model, x = net(), batch()
    expected = gradients(model, x)
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        explain(method, model, x, [1], precision="bfloat16")
        loss = model(x).float().square().sum()
        loss.backward()
    for parameter, one in zip(model.parameters(), expected, strict=True):
        assert torch.equal(parameter.grad, one)


def test_no_cast_of_the_weights_outlives_the_call():
    model, x = net(), batch()
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        explain("score-cam", model, x, [1], precision="bfloat16")
        for parameter in model.parameters():
            parameter.mul_(2)
        found = model(x)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        assert torch.equal(found, model(x))


@pytest.mark.parametrize("outer", [torch.bfloat16, torch.float16])
def test_a_caller_under_autocast(outer):
    model, x = net(), batch()
    exact = explain("cluster-cam", model, x, [1]).scores
    with torch.autocast("cpu", outer):
        found = explain("cluster-cam", model, x, [1], precision="bfloat16").scores
        assert torch.is_autocast_enabled("cpu")
        assert torch.get_autocast_dtype("cpu") == outer
        assert model(x).dtype == outer
    assert not torch.is_autocast_enabled("cpu")
    assert found.dtype == torch.float32
    assert float((found - exact).abs().max()) < 0.1 * float(exact.max() - exact.min())


# Compiling


class Counting:
    """A backend of torch.compile that runs what it is given, and counts."""

    def __init__(self):
        self.graphs = 0

    def __call__(self, graph, _):
        self.graphs += 1
        return graph


@pytest.mark.parametrize(
    ("method", "rows"),
    [*((method, None) for method in METHODS), ("score-cam", 1), ("score-cam", 4)],
)
def test_a_compiled_model_gives_the_same(method, rows):
    model, x = net(), batch()
    exact = explain(method, model, x, [1])
    found = explain(method, model, x, [1], compile=EAGER, perturbations_per_eval=rows)
    torch.testing.assert_close(found.maps, exact.maps, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("face", ["captum", "grad-cam"])
def test_it_is_compiled_once_for_all_calls(face):
    model, backend, sizes = net(), Counting(), set()
    options = {"compile": {"backend": backend}}
    if face == "captum":
        cam = LayerScoreCam(model, model.relu2)
        run = lambda x: cam.attribute(x, 1, perturbations_per_eval=5, **options)  # noqa: E731
    else:
        host = ScoreCAM(model, [model.relu2], batch_size=5, **options)
        run = lambda x: host(x, [ClassifierOutputTarget(1)])  # noqa: E731
    for seed in range(3):
        run(nets.images(1, 3, 16, seed=seed, dtype=torch.float32))
        sizes.add(backend.graphs)
    assert sizes == {1}


def test_other_options_compile_anew_and_many_objects_do_not_use_up_the_limit():
    first, second = Counting(), Counting()
    model, x = net(), batch()
    cam = LayerScoreCam(model, model.relu2)
    for backend in (first, first, second, first):
        cam.attribute(x, 1, compile={"backend": backend})
    assert (first.graphs, second.graphs) == (2, 1)
    many, parts = Counting(), (nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for number in range(10):  # the limit for one piece of code is 8
        other = nn.Sequential(nn.Conv2d(3, 4 + number, 3), *parts).eval()
        LayerScoreCam(other, other[0]).attribute(x, 1, compile={"backend": many})
    assert many.graphs == 10


def test_a_compiled_function_with_additional_arguments():
    model, x = net(), batch()

    def forward(image, factor, power):
        return factor[:, None] * model(image) ** power

    arguments = (torch.tensor([1.0, 2.0]), 2)
    cam = LayerClusterCam(forward, model.relu2)
    exact, found = (
        cam.attribute(x, 1, arguments, compile=given, perturbations_per_eval=2)
        for given in (False, EAGER)
    )
    torch.testing.assert_close(found, exact, rtol=1e-5, atol=1e-6)


class ByView(nn.Module):
    """Takes no images channels-last."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(6 * 64, 4)

    def forward(self, x):
        maps = self.conv(x)
        return self.fc(maps.view(len(maps), -1))


def test_a_compiled_model_that_reshapes_by_view():
    model = ByView().eval()
    cam, x = LayerScoreCam(model, model.conv), batch(size=8)
    torch.testing.assert_close(
        cam.attribute(x, 1, compile=EAGER), cam.attribute(x, 1), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("face", ["captum", "grad-cam"])
@pytest.mark.parametrize(
    "twin", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_an_object_that_has_compiled_is_copied_and_pickled(face, twin):
    model, x = net(), batch()
    if face == "captum":
        cam = LayerScoreCam(model, model.relu2)
        run = lambda cam: cam.attribute(x, 1, compile=EAGER)  # noqa: E731
    else:
        cam = ScoreCAM(model, [model.relu2], compile=EAGER)
        run = lambda cam: torch.from_numpy(cam(x))  # noqa: E731
    expected = run(cam)
    torch.testing.assert_close(run(twin(cam)), expected)


def test_a_compiler_keeps_what_it_made():
    compiler, model = ModelCompiler(), nn.ReLU()
    made = compiler(model, EAGER)
    assert compiler(model, dict(EAGER)) is made
    assert compiler(nn.ReLU(), EAGER) is not made
    assert compiler(model, {"backend": "eager", "dynamic": False}) is not made
    assert isinstance(copy.deepcopy(compiler), ModelCompiler)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_the_default_backend():
    model, x = net(), batch()
    exact = explain("score-cam", model, x, [1])
    found = explain("score-cam", model, x, [1], compile=True)
    torch.testing.assert_close(found.maps, exact.maps, rtol=1e-4, atol=1e-5)


# Whatever the option


def close(found, exact, rtol):
    assert float((found - exact).abs().max()) <= rtol * float(exact.max() - exact.min())


@pytest.mark.parametrize("method", ["cluster-cam", "score-cam", "rise"])
@pytest.mark.parametrize("way", ["bfloat16", "half"])
@pytest.mark.parametrize("rows", [1, 5, 100])
def test_any_size_of_a_pass(method, way, rows):
    model, x = net(), batch()
    whole = explain(method, model, x, [1], **WAYS[way]).scores
    found = explain(method, model, x, [1], perturbations_per_eval=rows, **WAYS[way]).scores
    close(found, whole, 1e-2 if "precision" in WAYS[way] else 1e-5)


@each
def test_several_targets_are_those_of_each(method, way):
    model, x = net(), batch()
    both = explain(method, model, x, [1, 4], **WAYS[way])
    for number, target in enumerate((1, 4)):
        one = explain(method, model, x, [target], **WAYS[way])
        close(both.scores[:, : one.scores.shape[1], number], one.scores[:, :, 0], 2e-2)


@each
def test_both_faces_give_the_same(method, way):
    model, x = net(), batch()
    _, face, own = METHODS[method]
    cam = face(model, [model.relu2], **own, **WAYS[way])
    cam(x, [ClassifierOutputTarget(1)] * 2)
    assert torch.equal(cam.results[0].maps, explain(method, model, x, [1], **WAYS[way]).maps)
    assert cam.pass_options == PassOptions(**WAYS[way])


@each
def test_images_of_one_channel(method, way):
    model, x = net(in_channels=1), batch(channels=1)
    found = explain(method, model, x, [1], **WAYS[way]).maps
    assert found.shape == explain(method, model, x, [1]).maps.shape
    assert bool(torch.isfinite(found).all())


@every_method
@pytest.mark.parametrize("way", ["bfloat16", "half"])
def test_the_number_of_passes_stays(method, way):
    model, x, counts = net(), batch(), []
    for options in ({}, WAYS[way]):
        with count_forwards(model) as count:
            result = explain(method, model, x, [1], **options)
        counts.append((count.images, result.masks.shape))
    assert counts[0] == counts[1]


def state(model):
    flags = [(name, module.training, list(vars(module))) for name, module in model.named_modules()]
    hooks = [len(module._forward_hooks) for module in model.modules()]
    places = [(id(p), p.data_ptr(), p.stride(), p._version, p.grad) for p in model.parameters()]
    casts = torch.is_autocast_enabled("cpu"), torch.is_autocast_cache_enabled()
    return flags, hooks, places, casts, torch.get_rng_state().tolist()


@each
def test_the_model_and_the_random_state_are_left_alone(method, way):
    model, x = net(), batch()
    before, values = state(model), x.clone()
    explain(method, model, x, [1], **WAYS[way])
    assert state(model) == before
    assert torch.equal(x, values)


@pytest.mark.parametrize("face", ["captum", "grad-cam"])
@every_way
def test_they_are_left_alone_after_an_error(face, way):
    model = nets.RaisingNet(after=3).eval()
    x, before = batch(), state(model)
    with pytest.raises(RuntimeError, match="forward pass 3 fails"):
        if face == "captum":
            LayerScoreCam(model, model.relu).attribute(x, 1, perturbations_per_eval=1, **WAYS[way])
        else:
            ScoreCAM(model, [model.relu], batch_size=1, **WAYS[way])(x)
    assert state(model) == before
    with torch.autocast("cpu", torch.bfloat16):  # no nesting is left over
        pass
    assert not torch.is_autocast_enabled("cpu")


KEYS = "fullgraph, dynamic, backend, mode, options"
BAD = [
    ({"precision": 16}, TypeError, "Expected precision to be one of 'bfloat16', but got 16."),
    (
        {"precision": "float16"},
        ValueError,
        "Expected precision to be one of 'bfloat16', but got 'float16'.",
    ),
    (
        {"resolution": 0.0},
        ValueError,
        "Expected resolution to be a number above 0 and at most 1, but got 0.",
    ),
    (
        {"resolution": 1.5},
        ValueError,
        "Expected resolution to be a number above 0 and at most 1, but got 1.5.",
    ),
    (
        {"resolution": "half"},
        TypeError,
        "Expected resolution to be a number above 0 and at most 1, but got 'half' (str).",
    ),
    (
        {"compile": "eager"},
        TypeError,
        f"Expected compile to be True, False or a dict of options of torch.compile ({KEYS}",
    ),
    (
        {"compile": {"backnd": "eager"}},
        TypeError,
        f"Expected compile to be True, False or a dict of options of torch.compile ({KEYS}",
    ),
    ({"compile": None}, TypeError, "but got None (NoneType)."),
    ({"compile": {"backnd": 1}}, TypeError, "but got one with 'backnd'."),
]


@pytest.mark.parametrize(("options", "error", "words"), BAD)
@pytest.mark.parametrize("method", ["score-cam", "rise"])
def test_options_that_are_none(method, options, error, words):
    model = net()
    with pytest.raises(error, match=re.escape(words)):
        explain(method, model, batch(), [1], **options)
    with pytest.raises(error, match=re.escape(words)):
        METHODS[method][1](model, [model.relu2], **options)


def test_what_torch_compile_refuses_it_refuses_itself():
    model = net()
    with pytest.raises(RuntimeError, match="mode or options"):
        explain("score-cam", model, batch(), [1], compile={"mode": "default", "options": {}})
