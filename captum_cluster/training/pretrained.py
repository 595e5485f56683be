"""torchvision's classifiers, built untrained or with weights of torchvision, a file or a dict."""

from __future__ import annotations

import difflib
import os
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from captum_cluster._checks import describe, expected
from captum_cluster.training.state_files import check_state, read_state, versioned

_AUXILIARY = {"googlenet": ("aux1.", "aux2."), "inception_v3": ("AuxLogits.",)}
# torchvision's own DenseNet files still have "denselayer1.norm.1" for "denselayer1.norm1".
_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|conv))\.([12]\..*)$")


@dataclass(frozen=True)
class _Misfit:
    """What does not fit between a state dict and a model; the names of the tensors."""

    missing: list[str]
    unexpected: list[str]
    reshaped: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    """Of each tensor the shape in the file, and in the model."""

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.reshaped)

    def __str__(self) -> str:
        parts = []
        if self.missing:
            parts.append(f"{len(self.missing)} tensors missing (first: {self.missing[0]!r})")
        if self.unexpected:
            parts.append(f"{len(self.unexpected)} unexpected (first: {self.unexpected[0]!r})")
        if self.reshaped:
            key, (got, wanted) = next(iter(self.reshaped.items()))
            example = f"first: {key!r} has {got} instead of {wanted}"
            parts.append(f"{len(self.reshaped)} of another shape ({example})")
        return ", ".join(parts)


def check_architecture(name: object, argument: str = "name") -> str:
    """Return ``name`` if torchvision has a classifier of this name.

    Args:
        name: An architecture of ``torchvision.models.list_models(module=torchvision.models)``.
        argument: The argument's name, for the message.

    Raises:
        TypeError: It is no string.
        ValueError: It is unknown; the message has the names that are close.

    Example:
        >>> check_architecture("resnet18")
        'resnet18'
    """
    what = "a classification model of torchvision"
    if not isinstance(name, str):
        raise TypeError(expected(argument, what, describe(name)))
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        close = difflib.get_close_matches(name.lower(), known, n=3)
        hint = f" (close: {', '.join(map(repr, close))})" if close else " such as 'resnet18'"
        raise ValueError(expected(argument, what + hint, repr(name)))
    return name


def untrained_classifier(name: str) -> nn.Module:
    """Return a torchvision classifier with fresh weights, in training mode.

    The auxiliary heads of GoogLeNet and Inception are left out, and these two take images in the
    normalisation of the other networks.

    Args:
        name: See ``check_architecture``.

    Raises:
        TypeError: ``name`` is no string.
        ValueError: ``name`` is unknown.

    Example:
        >>> type(untrained_classifier("squeezenet1_1")).__name__
        'SqueezeNet'
    """
    default = torchvision.models.get_model_weights(check_architecture(name)).DEFAULT
    return _build(name, default, len(default.meta["categories"]), initialised=True)


def pretrained_classifier(
    name: str, weights: str | os.PathLike[str] | Mapping[str, Tensor] = "DEFAULT"
) -> tuple[nn.Module, int]:
    """Return a torchvision classifier with trained weights, and its number of classes.

    A file may hold a state dict or a checkpoint with one under "state_dict", "model" or
    "model_state_dict"; a "module." prefix (``DataParallel``) is taken off, half precision becomes
    the model's own, and the auxiliary heads of GoogLeNet and Inception, which only training uses,
    are left out. The number of classes is the file's. Only tensors are read from a file; code in
    it is never run. The caller's random state is left as it is.

    Args:
        name: See ``check_architecture``.
        weights: "DEFAULT" for torchvision's default weights, downloaded once; a file; or a state
            dict, which is not modified.

    Raises:
        TypeError: ``name`` is no string, or ``weights`` none of these.
        ValueError: ``name`` is unknown, or the weights are not those of this architecture.
        FileNotFoundError: There is no such file.
        IsADirectoryError: ``weights`` is a directory.
        OSError: The default weights cannot be downloaded.

    Example:
        >>> net = torchvision.models.squeezenet1_1(num_classes=5)
        >>> pretrained_classifier("squeezenet1_1", net.state_dict())[1]
        5
    """
    default = torchvision.models.get_model_weights(check_architecture(name)).DEFAULT
    if isinstance(weights, Mapping):
        state, source = check_state(weights), "a state dict"
    elif weights == "DEFAULT":
        state, source = _default_state(name, default), repr(weights)
    else:
        state, source = read_state(weights), repr(str(weights))
    # Building a network draws random numbers; the caller's sequence goes on as if it had not.
    with torch.random.fork_rng(devices=[]):
        return _with_state(name, default, state, source)


def _default_state(name: str, default: Any) -> OrderedDict[str, Tensor]:
    """Return the state dict of torchvision's default weights, from its cache or the network."""
    try:
        return versioned(default.get_state_dict(progress=True, check_hash=True))
    except (OSError, RuntimeError, HTTPException) as error:
        advice = "a file with a state dict is taken as well: --weights FILE"
        got = f"a failed download ({error}); {advice}"
        raise OSError(
            expected("weights", f"torchvision's default weights of {name}", got)
        ) from error


def _with_state(
    name: str, default: Any, state: OrderedDict[str, Tensor], source: str
) -> tuple[nn.Module, int]:
    """Return the model with the weights ``state`` of ``source``, and its number of classes."""
    _modernize(name, state)
    classes = len(default.meta["categories"])
    model = _build(name, default, classes)
    misfit = _load(model, state)
    found = _number_of_classes(misfit, classes)
    if found is not None:
        classes, model = found, _build(name, default, found)
        misfit = _load(model, state)
    if misfit:
        what = f"a state dict of {name}"
        raise ValueError(expected("weights", what, f"{source}: {misfit}"))
    return model, classes


def _build(name: str, default: Any, classes: int, *, initialised: bool = False) -> nn.Module:
    """Return the untrained network, built as torchvision builds it for its default weights."""
    options: dict[str, Any] = {}
    if name in _AUXILIARY:
        # The default weights expect their input in [-1,1] and the model itself to see to that.
        options = {"aux_logits": False, "init_weights": initialised, "transform_input": True}
    elif name.startswith("vgg"):
        # Seconds of random numbers, which weights that are loaded overwrite.
        options = {"init_weights": initialised}
    elif name.startswith("vit_"):
        options = {"image_size": default.meta["min_size"][0]}
    model: nn.Module = torchvision.models.get_model(
        name, weights=None, num_classes=classes, **options
    )
    return model


def _load(model: nn.Module, state: OrderedDict[str, Tensor]) -> _Misfit:
    """Load what fits into the model, and return what does not."""
    own = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    reshaped = {
        key: (shape, own[key]) for key, shape in shapes.items() if own.get(key, shape) != shape
    }
    fitting = versioned(state)
    for key in reshaped:
        del fitting[key]
    result = model.load_state_dict(fitting, strict=False)
    missing = [key for key in result.missing_keys if key not in reshaped]
    return _Misfit(missing, list(result.unexpected_keys), reshaped)


def _number_of_classes(misfit: _Misfit, classes: int) -> int | None:
    """Return the file's number of classes where only that differs from the model's."""
    if misfit.missing or misfit.unexpected:
        return None
    found = set()
    for got, wanted in misfit.reshaped.values():
        if not got or wanted[0] != classes or got[1:] != wanted[1:]:
            return None
        found.add(got[0])
    return found.pop() if len(found) == 1 and found != {0} else None


def _modernize(name: str, state: OrderedDict[str, Tensor]) -> None:
    """Rename and drop entries of ``state`` in place, to the model's names in evaluation."""
    nn.modules.utils.consume_prefix_in_state_dict_if_present(state, "module.")
    for key in list(state):
        if key.startswith(_AUXILIARY.get(name, ())):
            del state[key]
        elif name.startswith("densenet") and (old := _OLD_DENSENET.match(key)):
            state[old[1] + old[2]] = state.pop(key)
