"""The table of methods: each row runs through the whole conformance suite.

A new method is one row here. Several rows may belong to one method, where an option leads through
other code. Its fields say what applies to it: a test that does not fit every method takes the rows
that it fits, ``each(masked=True)``.
"""

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch.nn.modules import module as torch_module

from captum_cluster.attr import (
    LayerAblationCam,
    LayerClassActivationMap,
    LayerClusterCam,
    LayerCollectionCam,
    LayerMinMaxCam,
    LayerMinMaxGradCam,
    LayerMultiBranchCam,
    LayerMultiLevelCam,
    LayerRise,
    LayerScoreCam,
    LayerSubCategoryCam,
)
from captum_cluster.grad_cam import (
    CAM,
    RISE,
    AblationCAM,
    ClusterCAM,
    CollectionCAM,
    MinMaxCAM,
    MinMaxGradCAM,
    MinMaxTarget,
    MultiBranchCAM,
    MultiLevelCAM,
    ScoreCAM,
    SubCategoryCAM,
)
from captum_cluster.methods import (
    AblationCamConfig,
    CamConfig,
    ClusterCamConfig,
    CollectionCamConfig,
    MinMaxCamConfig,
    MinMaxGradCamConfig,
    MultiBranchCamConfig,
    MultiLevelCamConfig,
    RiseConfig,
    ScoreCamConfig,
    SubCategoryCamConfig,
)


def labels_of(inputs):
    """Return two of the labels 0, 1, 2 for each image, which differ between images.

    They depend on the image alone, so they follow it into another batch, order or precision.
    """
    parts = inputs if isinstance(inputs, tuple) else (inputs,)
    tensors = [part for part in parts if isinstance(part, torch.Tensor) and part.ndim > 2]
    if not tensors:
        return [[0, 1]]
    images = next((part for part in tensors if part.ndim == 4), tensors[0])
    positive = (images.detach().flatten(1)[:, :6] > 0).sum(dim=1)
    return [[int(count) % 3, (int(count) + 1) % 3] for count in positive]


EXACT = {"precision": None, "resolution": 1.0, "compile": False}
SIZE_OF_A_PASS = {"perturbations_per_eval": None, "show_progress": False}


@dataclass(frozen=True)
class Case:
    """One method with options that are cheap enough for tests.

    ``passes(C, result)`` is the number of images that went through the model for ``result``, where
    C maps of each image have masks that differ.

    Attributes:
        at_layer: The maps have the layer's resolution (else the input's).
        weighted: The map is a weighted sum of the layer's maps (``CamResult.weights``).
        of_layer: The layer's maps make the map (not RISE's).
        scaled: Each map is scaled to [0,1].
        denoised: A pixel may jump to 0: rounding moves single pixels far.
        masked: Scores masked images: takes baselines, a size of passes and a score function.
        ablates: Scores images without one map: takes a size of passes and a score function.
        rounds: How often masks are scored, each time as few passes as hold them all.
        gradient: Differentiates the model.
        closed_form: Reads the linear classifier: explains only a layer that is pooled before it.
        sub_head: Reads the head of the sub-categories: explains only a layer of as many maps.
        index_targets: The target is a class index, and the model gives (N,L) or (N,).
        labelled: Contrasts the labels present. Where a test gives none, `labels_of` does.
        together: Several layers make one map (else one each, and the host averages them).
    """

    name: str
    method: str
    captum: type
    grad_cam: type
    config: type
    passes: Callable[[int, Any], int]
    options: dict = field(default_factory=dict)
    at_layer: bool = True
    weighted: bool = True
    of_layer: bool = True
    scaled: bool = False
    denoised: bool = False
    masked: bool = False
    ablates: bool = False
    rounds: int = 1
    gradient: bool = False
    closed_form: bool = False
    sub_head: bool = False
    index_targets: bool = False
    labelled: bool = False
    together: bool = False

    @property
    def layer(self):
        """A layer of ``SmallNet`` with negative values, where the method can explain one."""
        return "relu2" if self.closed_form else "conv2"

    @property
    def earlier(self):
        """A layer before ``relu2``, or one behind it where the method explains no earlier one."""
        return "dropout" if self.closed_form or self.sub_head else "relu1"

    @property
    def scores(self):
        """Whether the weights come from scores, whatever the scale of the maps."""
        return self.masked or self.ablates

    @property
    def run_options(self):
        """The options of how passes are made, by their names in the Captum face."""
        run = {"baselines": None, **EXACT} if self.masked else {}
        return {**run, **SIZE_OF_A_PASS} if self.scores else run

    def given(self, labels):
        """Return the option that gives these labels, for methods that have it."""
        return {"labels": labels} if self.labelled else {}

    def _options(self, inputs, options):
        return {**self.options, **self.given(labels_of(inputs)), **options}

    def build(self, forward_func, layer, of=None, **kwargs):
        """Build the Captum class; where it reads a head, with that of the network ``of``."""
        own = {}
        if of is not None and self.closed_form:
            own = {"classifier": of.fc}
        if of is not None and self.sub_head:
            own = {"head": of.sub_category_head}
        return self.captum(forward_func, layer, **own, **kwargs)

    def attribute(self, forward_func, layer, inputs, *args, of=None, **options):
        """Call ``attribute`` of the Captum class, with this row's options."""
        cam = self.build(forward_func, layer, of)
        return cam.attribute(inputs, *args, **self._options(inputs, options))

    def attribute_targets(self, forward_func, layer, inputs, *args, **options):
        """Call ``attribute_targets`` of the Captum class, with this row's options."""
        cam = self.captum(forward_func, layer)
        return cam.attribute_targets(inputs, *args, **self._options(inputs, options))

    def explain(self, forward_func, layer, inputs, *args, reshape_transform=None, **options):
        """Call ``explain`` of the Captum class, with this row's options."""
        cam = self.captum(forward_func, layer, reshape_transform=reshape_transform)
        return cam.explain(inputs, *args, **self._options(inputs, options))

    def cam(self, model, layers, *args, **kwargs):
        """Build the pytorch-grad-cam class, with this row's options."""
        return self.grad_cam(model, layers, *args, **{**self.options, **kwargs})

    def targets(self, categories, inputs, labels=None):
        """Return pytorch-grad-cam's targets, which carry the labels where the method has them."""
        if not self.labelled:
            return [ClassifierOutputTarget(category) for category in categories]
        rows = itertools.cycle(labels_of(inputs) if labels is None else labels)
        return [
            MinMaxTarget(category, row) for category, row in zip(categories, rows, strict=False)
        ]


def _cluster_cam(name, **options):
    return Case(
        name,
        "cluster-cam",
        LayerClusterCam,
        ClusterCAM,
        ClusterCamConfig,
        passes=lambda c, result: len(result.maps) * (1 + min(3, c)),
        options={"n_clusters": 3, **options},
        masked=True,
    )


def _minmax(name, method, captum, grad_cam, config, **options):
    return Case(
        name,
        method,
        captum,
        grad_cam,
        config,
        passes=lambda c, result: len(result.maps),
        options=options,
        index_targets=True,
        labelled=True,
        gradient=method == "minmax-grad-cam",
        closed_form=method == "minmax-cam",
    )


def _collection_cam(name, **options):
    # Powers near 1 differ little: half precision may then choose another one.
    sufficient = {"exponents": (1.1, 1.0, 0.9)} if options.get("sufficient") else {}
    return Case(
        name,
        "collection-cam",
        LayerCollectionCam,
        CollectionCAM,
        CollectionCamConfig,
        passes=_collections,
        options={"partition_sizes": (2, 3, 4), **options, **sufficient},
        at_layer=False,
        weighted=False,
        masked=True,
        scaled=bool(sufficient),
        denoised=True,
        rounds=2 if sufficient else 1,
        gradient=True,
        together=True,
    )


def _collections(channels, result):
    """One pass for each image, one for each collection; a layer's zero masks share theirs.

    Sufficient Collection-CAM: one more for each of three powers, and for the whole image.
    """
    images, targets = result.maps.shape[:2]
    total = images + (0 if result.exponents is None else images * targets * 4)
    for layer in result.layers:
        for maps, sizes in zip(layer.maps, layer.sizes, strict=True):
            for own, size in zip(maps, sizes, strict=True):
                grids = own[:size].clamp(min=0).flatten(1)
                seen = int((grids.amax(dim=1) > grids.amin(dim=1)).sum())
                total += seen + (seen < size)
    return int(total)


def _ablation_cam(name, **options):
    return Case(
        name,
        "ablation-cam",
        LayerAblationCam,
        AblationCAM,
        AblationCamConfig,
        passes=_ablations,
        options=options,
        ablates=True,
    )


def _ablations(channels, result):
    """Behind the layer one row of the model's input stands for all maps, and one for the check.

    The closed form is looked at for the maps that matter most.
    """
    rows = {"closed": 2, "shared": 2, "full": channels}[result.way]
    return len(result.maps) * (1 + rows)


_MINMAX_GRAD_CAM = ("minmax-grad-cam", LayerMinMaxGradCam, MinMaxGradCAM, MinMaxGradCamConfig)
_MINMAX_CAM = ("minmax-cam", LayerMinMaxCam, MinMaxCAM, MinMaxCamConfig)

CASES = [
    _cluster_cam("cluster-cam"),
    # Unit maps are nearer to each other: half precision may then flip an assignment.
    _cluster_cam("cluster-cam-spectral", clustering="spectral"),
    _cluster_cam("cluster-cam-base-scissors", combine="base_scissors", map_scale="unit"),
    Case(
        "score-cam",
        "score-cam",
        LayerScoreCam,
        ScoreCAM,
        ScoreCamConfig,
        passes=lambda c, result: len(result.maps) * (1 + c),
        masked=True,
    ),
    _ablation_cam("ablation-cam"),
    _ablation_cam("ablation-cam-tail", way="tail"),
    _ablation_cam("ablation-cam-low", way="tail", fill="low"),
    Case(
        "rise",
        "rise",
        LayerRise,
        RISE,
        RiseConfig,
        passes=lambda c, result: len(result.maps) * (1 + 12),
        options={"n_masks": 12, "grid_size": 4},
        at_layer=False,
        weighted=False,
        of_layer=False,
        masked=True,
    ),
    _collection_cam("collection-cam"),
    _collection_cam("collection-cam-sufficient", sufficient=True),
    _minmax("minmax-grad-cam", *_MINMAX_GRAD_CAM),
    _minmax("minmax-grad-cam-decomposed", *_MINMAX_GRAD_CAM, decomposed=True),
    _minmax("minmax-cam", *_MINMAX_CAM),
    _minmax("minmax-cam-decomposed", *_MINMAX_CAM, decomposed=True),
    Case(
        "cam",
        "cam",
        LayerClassActivationMap,
        CAM,
        CamConfig,
        passes=lambda c, result: len(result.maps),
        closed_form=True,
        index_targets=True,
    ),
    # On networks with a head of sub-categories: see tests/conformance/nets.py.
    Case(
        "sub-category-cam",
        "sub-category-cam",
        LayerSubCategoryCam,
        SubCategoryCAM,
        SubCategoryCamConfig,
        passes=lambda c, result: len(result.maps),
        weighted=False,
        sub_head=True,
        index_targets=True,
    ),
    Case(
        "multi-branch-cam",
        "multi-branch-cam",
        LayerMultiBranchCam,
        MultiBranchCAM,
        MultiBranchCamConfig,
        passes=lambda c, result: len(result.maps),
        weighted=False,
        scaled=True,
        gradient=True,
        together=True,
    ),
    # On a network without levels: tests/methods/test_multi_level_cam.py has those with levels.
    Case(
        "multi-level-cam",
        "multi-level-cam",
        LayerMultiLevelCam,
        MultiLevelCAM,
        MultiLevelCamConfig,
        passes=lambda c, result: len(result.maps),
        weighted=False,
        scaled=True,
        gradient=True,
        index_targets=True,
        labelled=True,
        together=True,
    ),
]


def rows(**fields):
    """The rows of which each of some fields has the value given."""
    return [
        case
        for case in CASES
        if all(getattr(case, name) == value for name, value in fields.items())
    ]


def ids(cases):
    """Names of rows, for ``pytest.mark.parametrize``."""
    return [case.name for case in cases]


def each(**fields):
    """A decorator that runs a test for each row with such fields (without any: for all)."""
    found = rows(**fields)
    assert found, f"no row has {fields}"
    return pytest.mark.parametrize("case", found, ids=ids(found))


HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
)


def hooks_of(model):
    """Every hook on a model, and the global ones."""
    found = [
        (name, attribute, key)
        for name, module in model.named_modules()
        for attribute in HOOKS
        for key in getattr(module, attribute)
    ]
    everywhere = [name for name in vars(torch_module) if name.startswith("_global_")]
    return found + [
        (name, key)
        for name in everywhere
        if isinstance(getattr(torch_module, name), dict)
        for key in getattr(torch_module, name)
    ]


def modes_of(model):
    """The training flag of each module."""
    return {name: module.training for name, module in model.named_modules()}


def _tensor(value):
    return None if value is None else value.detach().clone()


def state_of(model, *inputs):
    """Everything an explanation must leave as it is, for ``assert_same_state``."""
    parameters = dict(model.named_parameters())
    numpy_state = np.random.get_state()
    return {
        "hooks": hooks_of(model),
        "training flags": modes_of(model),
        "requires_grad": {name: p.requires_grad for name, p in parameters.items()},
        "parameters": {name: _tensor(p) for name, p in parameters.items()},
        ".grad": {name: _tensor(p.grad) for name, p in parameters.items()},
        "the .grad object": {name: id(p.grad) for name, p in parameters.items()},
        "buffers": {name: _tensor(b) for name, b in model.named_buffers()},
        "inputs": [_tensor(x) for x in inputs],
        "requires_grad of the inputs": [x.requires_grad for x in inputs],
        ".grad of the inputs": [_tensor(x.grad) for x in inputs],
        "torch's random state": torch.get_rng_state(),
        "NumPy's random state": [torch.from_numpy(numpy_state[1].astype("int64")), numpy_state[2:]],
        "Python's random state": random.getstate(),
        "autograd on": torch.is_grad_enabled(),
        "threads": torch.get_num_threads(),
    }


def _same(a, b):
    if isinstance(a, torch.Tensor):
        if not isinstance(b, torch.Tensor) or a.dtype != b.dtype or a.shape != b.shape:
            return False
        return bool(((a == b) | ((a != a) & (b != b))).all())  # NaN is the same as NaN here
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def assert_same_state(before, after):
    """Name what differs between two states."""
    changed = [name for name in before if not _same(before[name], after[name])]
    assert not changed, f"changed: {', '.join(changed)}"
