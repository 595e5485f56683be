"""torchvision's classifiers, with their default weights or with a state dict from a file."""

from __future__ import annotations

import difflib
import os
import pickle
import re
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
import torchvision
from PIL import Image
from torch import Tensor, nn

from captum_cluster._checks import describe, expected

_WRAPPERS = ("state_dict", "model", "model_state_dict")
_AUXILIARY = {"googlenet": ("aux1.", "aux2."), "inception_v3": ("AuxLogits.",)}
# torchvision's own DenseNet files still have "denselayer1.norm.1" for "denselayer1.norm1".
_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|conv))\.([12]\..*)$")


@dataclass(frozen=True)
class LoadedModel:
    """A classifier with all that is needed to show it a picture.

    Attributes:
        name: The architecture ("resnet18").
        model: In evaluation mode, on the CPU; one tensor of logits (N,L) comes out.
        transform: From a PIL image to the model's input, a float tensor (3,H,W).
        categories: The labels' names, in the order of the outputs; None if unknown.
    """

    name: str
    model: nn.Module
    transform: Callable[[Image.Image], Tensor]
    categories: list[str] | None


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


def load_model(name: str, weights: str | os.PathLike[str] = "DEFAULT") -> LoadedModel:
    """Return a torchvision classifier in evaluation mode, with its transform and label names.

    A file may hold a state dict or a checkpoint with one under "state_dict", "model" or
    "model_state_dict"; a "module." prefix (``DataParallel``) is taken off, half precision becomes
    the model's own, and the auxiliary heads of GoogLeNet and Inception, which only training uses,
    are left out. The number of classes is the file's. Its transform is that of torchvision's
    default weights, and so are the label names where the number of classes is the same. Only
    tensors are read from a file; code in it is never run.

    Args:
        name: An architecture of ``torchvision.models.list_models(module=torchvision.models)``.
        weights: "DEFAULT" for torchvision's default weights, downloaded once; else a file.

    Raises:
        TypeError: ``name`` is no string, or ``weights`` neither a string nor a path.
        ValueError: ``name`` is unknown, or the file holds no weights of this architecture.
        FileNotFoundError: There is no such file.
        IsADirectoryError: ``weights`` is a directory.
        OSError: The default weights cannot be downloaded.

    Example:
        >>> import tempfile
        >>> net = torchvision.models.squeezenet1_1(num_classes=5)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save(net.state_dict(), f"{folder}/five.pt")
        ...     loaded = load_model("squeezenet1_1", f"{folder}/five.pt")
        >>> loaded.transform(Image.new("RGB", (300, 300))).shape
        torch.Size([3, 224, 224])
        >>> loaded.model(torch.zeros(1, 3, 224, 224)).shape, loaded.categories
        (torch.Size([1, 5]), None)
    """
    _check_name(name)
    default = torchvision.models.get_model_weights(name).DEFAULT
    if weights == "DEFAULT":
        state = _default_state(name, default)
    else:
        state = _read_state(_existing_file(weights))
    # Building a network draws random numbers; the caller's sequence goes on as if it had not.
    with torch.random.fork_rng(devices=[]):
        model, classes = _with_state(name, default, state, str(weights))
    names = list(default.meta["categories"])
    categories = names if classes == len(names) else None
    return LoadedModel(name, model.eval(), default.transforms(), categories)


def _check_name(name: object) -> None:
    """Refuse what is no classifier of torchvision, with the names that are close."""
    what = "a classification model of torchvision"
    if not isinstance(name, str):
        raise TypeError(expected("name", what, describe(name)))
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        close = difflib.get_close_matches(name.lower(), known, n=3)
        hint = f" (close: {', '.join(map(repr, close))})" if close else " such as 'resnet18'"
        raise ValueError(expected("name", what + hint, repr(name)))


def _default_state(name: str, default: Any) -> OrderedDict[str, Tensor]:
    """Return the state dict of torchvision's default weights, from its cache or the network."""
    try:
        return _versioned(default.get_state_dict(progress=True, check_hash=True))
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
        raise ValueError(expected("weights", what, f"{source!r}: {misfit}"))
    return model, classes


def _build(name: str, default: Any, classes: int) -> nn.Module:
    """Return the untrained network, built as torchvision builds it for its default weights."""
    options: dict[str, Any] = {}
    if name in _AUXILIARY:
        # The default weights expect their input in [-1,1] and the model itself to see to that.
        options = {"aux_logits": False, "init_weights": False, "transform_input": True}
    elif name.startswith("vgg"):
        options = {"init_weights": False}  # seconds of random numbers that the file overwrites
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
    fitting = _versioned(state)
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


def _read_state(file: Path) -> OrderedDict[str, Tensor]:
    """Return the state dict in ``file``, unwrapped."""
    content = _read(file)
    for key in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not content or not all(map(_is_entry, content.items())):
        what = "a file with a state dict (tensors by name)"
        raise ValueError(expected("weights", what, f"{str(file)!r} with {_summary(content)}"))
    return _versioned(content)


def _versioned(content: Mapping[str, Tensor]) -> OrderedDict[str, Tensor]:
    """Return a copy of a state dict that has the versions of its modules.

    A plain dict has lost them, and MNASNet refuses to load without its own.
    """
    state = OrderedDict(content)
    versions = getattr(content, "_metadata", None) or OrderedDict({"": {"version": 2}})
    state._metadata = versions  # type: ignore[attr-defined]
    return state


def _is_entry(item: tuple[object, object]) -> bool:
    """Return whether a dict's item can be part of a state dict."""
    return isinstance(item[0], str) and isinstance(item[1], Tensor)


def _summary(content: object) -> str:
    """Return what a file holds instead of a state dict."""
    if isinstance(content, Mapping):
        return f"a dict of keys {describe(list(content))}" if content else "an empty dict"
    return describe(content)


def _read(file: Path) -> object:
    """Return what ``file`` holds, read without running code from it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of file formats; the error below says it once
            return torch.load(file, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # a damaged pickle can raise almost anything
        raise ValueError(_unreadable(file, error)) from error


def _unreadable(file: Path, error: Exception) -> str:
    """Return the message for a file that PyTorch refuses or cannot read."""
    with file.open("rb") as stream:
        start = stream.read(4)
    # A zip archive or a pickle that the restricted unpickler refuses holds more than tensors.
    if isinstance(error, pickle.UnpicklingError) and (start == b"PK\3\4" or start[:1] == b"\x80"):
        named = re.search(r"(?:GLOBAL:?|class) ([\w.]+)", str(error))
        code = f"pickled code ({named[1]})" if named else "pickled code"
        got = f"{str(file)!r}, which holds {code} and is refused"
        return expected("weights", "a file of tensors only (torch.save(model.state_dict()))", got)
    reason = (str(error).splitlines() or [""])[0].rstrip(".") or type(error).__name__
    if isinstance(error, (pickle.UnpicklingError, KeyError)):
        reason = "not such a file"  # the unpickler's words are about its operands
    return expected("weights", "a file written by torch.save", f"{str(file)!r} ({reason})")


def _existing_file(path: object) -> Path:
    """Return ``path`` if it is a file."""
    what = "'DEFAULT' or a file with a state dict"
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(expected("weights", what, describe(path)))
    file = Path(path)
    if not file.exists():
        raise FileNotFoundError(expected("weights", what, f"{str(file)!r}, which does not exist"))
    if file.is_dir():
        raise IsADirectoryError(expected("weights", what, f"the directory {str(file)!r}"))
    return file
