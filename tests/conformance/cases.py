"""The table of methods: each row runs through the whole conformance suite.

A new method is one row here. Several rows may belong to one method, where an option leads through
other code.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn.modules import module as torch_module

from captum_cluster.attr import LayerClusterCam, LayerRise, LayerScoreCam
from captum_cluster.grad_cam import RISE, ClusterCAM, ScoreCAM
from captum_cluster.methods import ClusterCamConfig, RiseConfig, ScoreCamConfig


@dataclass(frozen=True)
class Case:
    """One method with options that are cheap enough for tests.

    ``passes(C, Q, K)`` is the number of forward passes for one image: C maps of which no two
    share a mask, Q = ``options["n_clusters"]``, K = ``options["n_masks"]``. ``at_layer``: the maps
    have the layer's resolution (else the input's). ``weighted``: the map is a weighted sum of the
    layer's maps (``CamResult.weights``).
    """

    name: str
    method: str
    captum: type
    grad_cam: type
    config: type
    passes: Callable[[int, int, int], int]
    options: dict = field(default_factory=dict)
    at_layer: bool = True
    weighted: bool = True

    def attribute(self, forward_func, layer, *args, **kwargs):
        """Call ``attribute`` of the Captum class, with this row's options."""
        return self.captum(forward_func, layer).attribute(*args, **{**self.options, **kwargs})

    def attribute_targets(self, forward_func, layer, *args, **kwargs):
        """Call ``attribute_targets`` of the Captum class, with this row's options."""
        cam = self.captum(forward_func, layer)
        return cam.attribute_targets(*args, **{**self.options, **kwargs})

    def explain(self, forward_func, layer, *args, **kwargs):
        """Call ``explain`` of the Captum class, with this row's options."""
        return self.captum(forward_func, layer).explain(*args, **{**self.options, **kwargs})

    def cam(self, model, layers, *args, **kwargs):
        """Build the pytorch-grad-cam class, with this row's options."""
        return self.grad_cam(model, layers, *args, **{**self.options, **kwargs})

    def expected_passes(self, channels):
        """The forward passes for one image of which ``channels`` masks differ."""
        return self.passes(
            channels, self.options.get("n_clusters", 0), self.options.get("n_masks", 0)
        )


def _cluster_cam(name, **options):
    return Case(
        name,
        "cluster-cam",
        LayerClusterCam,
        ClusterCAM,
        ClusterCamConfig,
        passes=lambda c, q, k: 1 + q,
        options={"n_clusters": 3, **options},
    )


CASES = [
    _cluster_cam("cluster-cam"),
    # Unit maps are nearer to each other: half precision may then flip an assignment.
    _cluster_cam("cluster-cam-spectral", clustering="spectral", map_scale="none"),
    _cluster_cam("cluster-cam-score", combine="score", map_scale="unit"),
    Case(
        "score-cam",
        "score-cam",
        LayerScoreCam,
        ScoreCAM,
        ScoreCamConfig,
        passes=lambda c, q, k: 1 + c,
    ),
    Case(
        "rise",
        "rise",
        LayerRise,
        RISE,
        RiseConfig,
        passes=lambda c, q, k: 1 + k,
        options={"n_masks": 12, "grid_size": 4},
        at_layer=False,
        weighted=False,
    ),
]


def ids(cases):
    """Names of rows, for ``pytest.mark.parametrize``."""
    return [case.name for case in cases]


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
