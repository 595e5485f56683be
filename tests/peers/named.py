"""The hosts' tests that do not pass with our classes in their place, each with the reason."""

import fnmatch
from dataclasses import dataclass

from tests.peers.exchange import ROWS, STOCK

OURS = tuple(ROWS)
CLOSED = tuple(method for method, row in ROWS.items() if row.closed_form)
# RISE and Collection-CAM make maps of the input's size.
AT_LAYER = tuple(method for method, row in ROWS.items() if row.at_layer)
AT_INPUT = tuple(method for method, row in ROWS.items() if not row.at_layer)


@dataclass(frozen=True)
class Named:
    """Tests that fail with some methods, in a way that is looked for.

    Attributes:
        tests: A pattern (fnmatch) of their names, from the checkout's folder on.
        methods: Of which methods.
        says: What the first line of the error matches (re.search). Empty: they are not run.
        reason: Why it is so.
    """

    tests: str
    methods: tuple[str, ...]
    says: str
    reason: str

    def covers(self, test: str, method: str) -> bool:
        return method in self.methods and fnmatch.fnmatchcase(test, self.tests)

    @property
    def file(self) -> str:
        return self.tests.split("::")[0]


def not_run(test: str, method: str) -> bool:
    """Whether a test is listed as one that is not run."""
    return any(not one.says and one.covers(test, method) for one in NAMED)


def less(methods: tuple[str, ...], *others: str) -> tuple[str, ...]:
    """Some methods without some others."""
    return tuple(method for method in methods if method not in others)


NUMBERS = (
    r"^AssertionError: [0-9.e+-]+ != 0\.0 within",
    "the shape is the host's; the numbers asserted are Grad-CAM's, of another method",
)
NO_MAPS = (
    r"^ValueError: Expected inputs to be a batch of images",
    "a network of vectors: ours explain layers with maps on a grid, and say so",
)
OPTION = (
    r"^TypeError: Expected the options of .* but got '\w+'",
    "an option of the host's class that ours does not have, and refuses by name",
)
ANOTHER_SIZE = (
    r"^AssertionError: Expected tensor with shape: .*2, 2\]\)\. Actual .*4, 4\]\)",
    "the map has the size of the input, not of the layer",
)
NO_CLASSIFIER = (
    r"LayerError: Expected the model to be global average pooling and a linear classifier",
    "a closed form explains only a layer that is pooled before a linear classifier, and says so",
)
ONE_ROW = (
    r"^RuntimeError: The size of tensor a \(4\) must match the size of tensor b",
    "the second input is one number for the whole batch, which fits passes of one row only",
)

_GRAD_CAM = "tests/attr/layer/test_grad_cam.py::Test::"
_GUIDED = "tests/attr/test_guided_grad_cam.py::Test::"
_ABLATION = "tests/attr/layer/test_layer_ablation.py::Test::"
_TARGETS = "tests/attr/test_targets.py::TestTargets::test_target_basic_layer_*"
_HOOKS = "tests/attr/test_hook_removal.py::TestHookRemoval::"
_WRAPPER = "tests/attr/test_input_layer_wrapper.py::TestInputLayerWrapper::"

# With one label present MinMax-Grad-CAM is Grad-CAM, and the host's numbers are right of it.
_OWN_NUMBERS = less(OURS, "minmax-grad-cam", *CLOSED)
_AT_LAYER = [
    "test_simple_input_conv",
    "test_simple_input_conv_no_grad",
    "test_simple_input_conv_relu",
    "test_simple_multi_input_conv",
]
_AT_ITS_INPUT = [
    "test_simple_input_conv_without_final_relu",
    "test_simple_input_conv_fc_with_final_relu",
]
_GUIDED_NUMBERS = [
    "test_simple_input_conv",
    "test_simple_multi_input_conv",
    "test_simple_multi_input_conv_inplace",
    "test_simple_multi_input_relu_input",
]
_SEVERAL_ROWS = ("score-cam", "rise", "collection-cam")

CAPTUM = [
    *[
        Named(_GRAD_CAM + f"test_simple_{kind}_non_conv", OURS, *NO_MAPS)
        for kind in ("input", "multi_input")
    ],
    Named(_TARGETS, OURS, *NO_MAPS),
    Named(_GRAD_CAM + "test_simple_input_conv_split_channels", OURS, *OPTION),
    Named(_GRAD_CAM + "test_relu_gradcam_with_unused_layer", OURS, *OPTION),
    *[Named(_GRAD_CAM + test, less(_OWN_NUMBERS, *AT_INPUT), *NUMBERS) for test in _AT_LAYER],
    *[Named(_GRAD_CAM + test, AT_INPUT, *ANOTHER_SIZE) for test in _AT_LAYER],
    *[Named(_GRAD_CAM + test, _OWN_NUMBERS, *NUMBERS) for test in _AT_ITS_INPUT],
    *[Named(_GUIDED + test, _OWN_NUMBERS, *NUMBERS) for test in _GUIDED_NUMBERS],
    Named(
        _GUIDED + "test_improper_dims_multi_input_conv",
        less(_OWN_NUMBERS, *_SEVERAL_ROWS),
        *NUMBERS,
    ),
    Named(_GUIDED + "test_improper_*", _SEVERAL_ROWS, *ONE_ROW),
    *[Named(_GRAD_CAM + test, CLOSED, *NO_CLASSIFIER) for test in _AT_LAYER + _AT_ITS_INPUT],
    Named(_GUIDED + "*", CLOSED, *NO_CLASSIFIER),
    Named(_HOOKS + "test_hook_removal_normal_*", CLOSED, *NO_CLASSIFIER),
    *[
        Named(_ABLATION + f"test_simple_multi_output_{kind}ablation", ("ablation-cam",), *NO_MAPS)
        for kind in ("", "input_")
    ],
    *[
        Named(_ABLATION + test, ("ablation-cam",), *OPTION)
        for test in (
            "test_multi_input_ablation",
            "test_multi_input_ablation_with_layer_mask",
            "test_simple_ablation_with_mask",
        )
    ],
    Named(
        _ABLATION + "test_simple_multi_input_conv_intermediate",
        ("ablation-cam",),
        r"^AssertionError: Expected tensor with shape: .*1, 2, 2, 2\]\)\. Actual .*1, 1, 2, 2\]\)",
        "Captum's LayerFeatureAblation gives each unit a value, Ablation-CAM gives one map",
    ),
    Named(
        _WRAPPER + "test_LayerFeatureAblation_FeatureAblation_False",
        ("ablation-cam",),
        r"got multiple values for argument 'target'",
        "the host's second argument is the baselines; ours, as LayerGradCam's, the target",
    ),
]

NO_GRADIENT_OF_A_TARGET = (
    r"TargetError: Expected target to be a ClassifierOutputTarget or a MinMaxTarget",
    "FinerCAM's target is a difference of classes; these methods explain a class by its index",
)
NOT_LINEAR = (
    r"^ValueError: Expected eigen_smooth to be False",
    "the map is no sum of weighted maps, of which eigen_smooth takes the main component",
)
_ALL_MODELS = "tests/test_run_all_models.py::*"
_FINER = "tests/test_finer_cam_correctness.py::test_finercam_runs_on_*"
_NO_SUM = tuple(method for method, row in ROWS.items() if not row.weighted)
_OF_AN_INDEX = tuple(method for method, row in ROWS.items() if row.index_targets)

GRAD_CAM = [
    Named(_ALL_MODELS, CLOSED, *NO_CLASSIFIER),
    Named("tests/test_refine_cam.py::*", CLOSED, *NO_CLASSIFIER),
    Named(_ALL_MODELS + "[[]GradCAM-True-*", _NO_SUM, *NOT_LINEAR),
    Named(_FINER, _OF_AN_INDEX, *NO_GRADIENT_OF_A_TARGET),
    Named(
        "tests/test_context_release.py::*", ("score-cam",), "", "not run: 51,200 passes of 224x224"
    ),
    Named("tests/test_one_channel.py::*", ("score-cam",), "", "not run: 8,192 passes of 224x224"),
    Named(
        "tests/test_refine_cam.py::*[[]ScoreCAM*",
        (STOCK,),
        "",
        "not run: 6,000 passes of the host's own",
    ),
]

NAMED = CAPTUM + GRAD_CAM

EMPTY = {
    "tests/attr/test_data_parallel.py": "its tests exist only where there is a GPU",
    "tests/attr/test_jit.py": "its tests exist only where there is a GPU, and none is of a layer",
}
