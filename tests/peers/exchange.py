"""Puts our classes in the place of the hosts', before the hosts' tests are imported.

What stands in for a class of a host is a subclass of ours under the host's name, so that generated
tests keep their names. It fills in what ours needs and the host's test cannot know (few clusters,
a head of sub-categories), and takes what the host's test says of options that ours does not have,
as long as that is the host's default. Anything else reaches our class as it is.
"""

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from captum.log import log_usage

from tests.conformance.cases import CASES
from tests.conformance.nets import SubHead

STOCK = "stock"  # the hosts' own classes: do their tests pass where they are run?
ROWS = {case.method: case for case in reversed(CASES)}  # the first row of each method
METHODS = (STOCK, *reversed(ROWS))

# What else the methods are told: the hosts' networks have one map or two, and predict many labels.
OPTIONS = {
    "cluster-cam": {"n_clusters": 1},
    "collection-cam": {"partition_sizes": (1, 2)},
    "minmax-grad-cam": {"max_predicted": 1000},
    "minmax-cam": {"max_predicted": 1000},
    "multi-level-cam": {"max_predicted": 1000},
}

BUILT: list[str] = []
"""Names of what has been built in the place of the hosts' classes; emptied before each test."""

# What the hosts' tests say of options that our classes do not have.
SAID = {
    "attr_dim_summation": True,  # LayerGradCam's
    "grad_kwargs": None,
    "layer_mask": None,  # LayerFeatureAblation's
    "layer_baselines": None,
    "device": None,  # pytorch-grad-cam's, in its tests only; older: use_cuda
    "use_cuda": False,
}
GONE = ("device", "use_cuda")


@dataclass(frozen=True)
class Host:
    """What is exchanged of a host.

    Attributes:
        package: Its name.
        everywhere: The class in whose place every one of ours is put.
        own: The class in whose place one of our methods is put too.
        composed: Names of its classes that are made of those, whose tests concern ours.
    """

    package: str
    everywhere: str
    own: dict[str, str]
    composed: tuple[str, ...]

    def names(self, method: str) -> list[str]:
        """Names of the classes in whose place a method is put."""
        if method == STOCK:
            return [self.everywhere, *self.own.values()]
        return [self.everywhere, *([self.own[method]] if method in self.own else [])]


HOSTS = {
    "captum": Host(
        "captum", "LayerGradCam", {"ablation-cam": "LayerFeatureAblation"}, ("GuidedGradCam",)
    ),
    "grad-cam": Host(
        "pytorch_grad_cam",
        "GradCAM",
        {"score-cam": "ScoreCAM", "ablation-cam": "AblationCAM"},
        ("FinerCAM", "RefineCAM", "SESS"),
    ),
}


def exchange(host: str, method: str) -> dict[str, type]:
    """Put a method in the place of a host's classes; return what stands there now, by name."""
    return captum_classes(method) if host == "captum" else grad_cam_classes(method)


def captum_classes(method: str) -> dict[str, type]:
    """Exchange Captum's classes."""
    import captum.attr

    found = {}
    for name in HOSTS["captum"].names(method):
        stock = getattr(captum.attr, name)
        if method == STOCK:
            found[name] = _watched(name, stock)
            continue
        found[name] = _captum_class(name, ROWS[method].captum, options_of(method))
        _replace("captum", stock, found[name])
    return found


def grad_cam_classes(method: str) -> dict[str, type]:
    """Exchange pytorch-grad-cam's classes, and give torchvision's networks random weights."""
    import pytorch_grad_cam

    _without_checkpoints()
    found = {}
    for name in HOSTS["grad-cam"].names(method):
        stock = getattr(pytorch_grad_cam, name)
        if method == STOCK:
            found[name] = _watched(name, stock)
            continue
        found[name] = _grad_cam_class(name, ROWS[method].grad_cam, options_of(method))
        _replace("pytorch_grad_cam", stock, found[name])
        # FinerCAM has it as the default of an argument.
        finer = pytorch_grad_cam.FinerCAM.__init__
        finer.__defaults__ = tuple(
            found[name] if default is stock else default for default in finer.__defaults__
        )
    return found


def options_of(method: str) -> dict[str, Any]:
    """Return what a method is told, beside what a host's test says."""
    return {**ROWS[method].options, **OPTIONS.get(method, {})}


def _watched(name: str, stock: type) -> type:
    """Note when a class of a host's is built; take what older releases said to it."""
    build = stock.__init__

    @functools.wraps(build)
    def watched(self: Any, *args: Any, **kwargs: Any) -> None:
        BUILT.append(name)
        build(self, *args, **{key: kwargs[key] for key in kwargs if key not in GONE})

    stock.__init__ = watched
    return stock


def _captum_class(name: str, own: type, options: dict[str, Any]) -> type:
    def build(self: Any, *args: Any, **kwargs: Any) -> None:
        BUILT.append(name)
        own.__init__(self, *args, **{**_head(own), **kwargs})

    @log_usage(part_of_slo=True)
    def attribute(self: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        labels = _only_label(own, inputs, kwargs.get("target"))
        given = {**options, **labels, **_told(kwargs)}
        return own.attribute.__wrapped__(self, inputs, *args, **given)

    members = {"__init__": build, "attribute": attribute, **_fitting_head(own)}
    return type(name, (own,), members)


def _grad_cam_class(name: str, own: type, options: dict[str, Any]) -> type:
    def build(self: Any, *args: Any, **kwargs: Any) -> None:
        BUILT.append(name)
        own.__init__(self, *args, **{**options, **_head(own), **_told(kwargs)})

    return type(name, (own,), {"__init__": build, **_fitting_head(own)})


def _told(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Leave out what says no more than the host's default of an option that ours do not have."""
    return {
        name: value for name, value in kwargs.items() if name not in SAID or value is not SAID[name]
    }


def _replace(package: str, stock: type, ours: type) -> None:
    """Replace a class under every name that it has in a package's modules."""
    for module in [m for n, m in sys.modules.items() if n.split(".")[0] == package]:
        for name, value in list(vars(module).items()):
            if value is stock:
                setattr(module, name, ours)


def _only_label(own: type, inputs: Any, target: Any) -> dict[str, Any]:
    """Name the label explained as the only one present: then MinMax-Grad-CAM is Grad-CAM."""
    if own is not ROWS["minmax-grad-cam"].captum or not isinstance(target, int):
        return {}
    return {"labels": [[target]] * len(inputs[0] if isinstance(inputs, tuple) else inputs)}


def _reads_a_head(own: type) -> bool:
    return own in (ROWS["sub-category-cam"].captum, ROWS["sub-category-cam"].grad_cam)


def _head(own: type) -> dict[str, Any]:
    return {"head": SubHead(1, 1)} if _reads_a_head(own) else {}


def _fitting_head(own: type) -> dict[str, Callable[..., Any]]:
    """Give Sub-category CAM a head of the sizes of the host's network, when these are known."""
    if not _reads_a_head(own):
        return {}

    def of_layer(self: Any, call: Any, *args: Any) -> Any:
        observed = self._observe(call)
        self.head = SubHead(observed.outputs.shape[-1], observed.maps[0][0].shape[1])
        return own._explain(self, call, *args)

    def of_cam(self: Any, *args: Any) -> Any:
        seen = self.activations_and_grads
        self.head = SubHead(seen.outputs.shape[-1], seen.activations[0].shape[1])
        return own._explain(self, *args)

    return {"_explain": of_layer if own is ROWS["sub-category-cam"].captum else of_cam}


def _without_checkpoints() -> None:
    """Let torchvision's networks be drawn at random, always the same, whatever is asked for."""
    import torchvision

    def random_network(build: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(build)
        def built(*args: Any, pretrained: Any = None, weights: Any = None, **kwargs: Any) -> Any:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                return build(*args, **kwargs)

        return built

    for name in torchvision.models.list_models(module=torchvision.models):
        setattr(torchvision.models, name, random_network(getattr(torchvision.models, name)))
