"""What a run depends on, written beside its results: a run goes on only where nothing changed."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import re
import reprlib
import types
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from captum_cluster._checks import describe, expected
from captum_cluster._files import write_whole
from captum_cluster.data import SceneDataset
from captum_cluster.evaluation.custom import custom_name
from captum_cluster.evaluation.running.entries import Entry
from captum_cluster.evaluation.running.records import read_records

RUN_NAME = "run.json"
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_EMPTY = types.CellType()


def state_digest(model: nn.Module) -> str:
    """Return a digest of a model's parameters and buffers.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> before = state_digest(layer)
        >>> _ = layer.weight.data.add_(1)
        >>> before == state_digest(layer)
        False
    """
    digest = hashlib.sha256()
    # Buffers that are not saved with the model count too.
    for name, value in {**dict(model.named_buffers()), **model.state_dict()}.items():
        digest.update(name.encode())
        if isinstance(value, Tensor):
            digest.update(f"{tuple(value.shape)} {value.dtype}".encode())
            digest.update(_bytes(value))
        else:
            digest.update(json.dumps(plain(value)).encode())
    return digest.hexdigest()[:16]


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it, the same in every process.

    Example:
        >>> plain({"sizes": (2, 3), "scale": torch.relu})
        {'sizes': [2, 3], 'scale': 'relu'}
    """
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Sequence):
        return [plain(one) for one in value]
    if isinstance(value, Set):  # its order is another in each process
        return sorted((plain(one) for one in value), key=json.dumps)
    if isinstance(value, (Tensor, np.ndarray)):
        kind = "tensor" if isinstance(value, Tensor) else "array"
        shown = f"{tuple(value.shape)} {value.dtype} ".encode()
        return f"{kind} {hashlib.sha256(shown + _bytes(value)).hexdigest()[:16]}"
    if isinstance(value, functools.partial):
        return {"partial": plain([value.func, value.args, value.keywords])}
    if isinstance(value, types.MethodType):
        return plain(value.__func__)
    if isinstance(value, types.FunctionType):
        return _function(value)
    if callable(value) and hasattr(value, "__name__"):
        return custom_name(value)
    return _ADDRESS.sub("", repr(value))


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(plain(value)).encode()).hexdigest()[:16]


def _bytes(value: Tensor | NDArray[Any]) -> bytes:
    if isinstance(value, np.ndarray):
        # The bytes of objects are their addresses.
        return (
            json.dumps(plain(value.tolist())).encode() if value.dtype.hasobject else value.tobytes()
        )
    raw = value.detach().cpu().contiguous().flatten().view(torch.uint8)
    return raw.numpy().tobytes()


@reprlib.recursive_repr("itself")  # a function within another one may call itself
def _function(function: Any) -> str:
    """Return the name of a function and what it does, so that an edited one is another.

    Its code, defaults and closure count; what it calls does not.
    """
    cells = [cell.cell_contents for cell in function.__closure__ or () if cell != _EMPTY]
    bound = [function.__defaults__, function.__kwdefaults__, cells]
    return f"{custom_name(function)} {_digest([_code(function.__code__), bound])}"


def _code(code: types.CodeType) -> list[Any]:
    constants = [_code(one) if isinstance(one, types.CodeType) else one for one in code.co_consts]
    # The names of parameters count: a method is told the labels by one.
    parameters = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return [code.co_code.hex(), code.co_names, parameters, constants]


def layer_names(model: nn.Module, layer: Any) -> Any:
    """Return the names of layers that are given as modules."""
    if isinstance(layer, nn.Module):
        return next((name for name, one in model.named_modules() if one is layer), "?")
    if isinstance(layer, (list, tuple)):
        return [layer_names(model, one) for one in layer]
    return layer


def method_facts(model: nn.Module, entry: Entry) -> dict[str, Any]:
    """Return what tells one method of a run from another."""
    return {
        "name": entry.name,
        "method": plain(entry.method),
        "options": plain(entry.options),
        "layer": layer_names(model, entry.layer),
        **entry.facts(),
    }


def describe_dataset(dataset: Any) -> dict[str, Any]:
    """Return what tells one dataset from another: class, length, attributes, a digest of all.

    Of our datasets the digest is of all that they know (files, labels, boxes, options), of a list
    of scenes of every value, of others of their public attributes.

    Example:
        >>> found = describe_dataset([1, 2])
        >>> found["class"], found["length"]
        ('list', 2)
    """
    known = _known(dataset)
    simple = (str, bool, int, float, os.PathLike, type(None))
    shown = known if isinstance(known, Mapping) else {}
    return {
        "class": type(dataset).__name__,
        "length": len(dataset),
        **{
            name: plain(one)
            for name, one in sorted(shown.items())
            if isinstance(one, simple) and not name.startswith("_")
        },
        "digest": _digest(_opened(known)),
    }


def _known(dataset: Any) -> Any:
    if isinstance(dataset, SceneDataset):
        return dataset.facts()
    if isinstance(dataset, (list, tuple)):
        return list(dataset)
    shown = getattr(dataset, "__dict__", {})
    return {name: one for name, one in shown.items() if not name.startswith("_")}


def _opened(value: Any) -> Any:
    """Return a value with the datasets and dataclasses in it opened up to what they hold."""
    if isinstance(value, Mapping):
        return {str(key): _opened(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_opened(one) for one in value]
    if isinstance(value, SceneDataset):
        return {type(value).__name__: _opened(value.facts())}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        held = {one.name: _opened(getattr(value, one.name)) for one in dataclasses.fields(value)}
        return {type(value).__name__: held}
    return value


def enter(directory: Path, facts: Mapping[str, Any]) -> None:
    """Take a directory for a run, or go on in it where the facts are the same.

    Raises:
        ValueError: It holds another run; the message says what differs.
        OSError: It cannot be written to.
    """
    path = directory / RUN_NAME
    fresh = json.loads(json.dumps(plain(facts)))
    if not path.exists():
        if next(read_records(directory), None) is not None:
            got = f"{str(directory)!r}, which has results and no {RUN_NAME}"
            raise ValueError(expected("output", "a directory for this run", got))
        text = json.dumps(fresh, indent=2) + "\n"
        write_whole(path, lambda draft: draft.write_text(text))
        return
    found = saved_facts(directory)
    differing = [key for key in {**found, **fresh} if found.get(key) != fresh.get(key)]
    if differing:
        changes = "; ".join(f"{key}: {_change(found, fresh, key)}" for key in differing)
        got = f"{str(directory)!r}, which holds another ({changes})"
        raise ValueError(expected("output", "a directory for this run", got))


def saved_facts(directory: Path) -> dict[str, Any]:
    """Return the facts of the run in a directory.

    Raises:
        FileNotFoundError: There is no run in it.
        ValueError: The file is damaged.
    """
    path = directory / RUN_NAME
    if not path.is_file():
        got = f"{str(directory)!r} without {RUN_NAME}"
        raise FileNotFoundError(expected("the directory", "one of a run", got))
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(expected(str(path), "the facts of a run", str(error))) from error
    if not isinstance(found, dict):
        raise ValueError(expected(str(path), "the facts of a run", describe(found)))
    return found


def _change(found: Mapping[str, Any], fresh: Mapping[str, Any], key: str) -> str:
    """Return how one fact differs, going into what is nested."""
    then, now = found.get(key), fresh.get(key)
    if isinstance(then, dict) and isinstance(now, dict):
        inner = [one for one in {**then, **now} if then.get(one) != now.get(one)]
        return ", ".join(f"{one} {_change(then, now, one)}" for one in inner)
    texts = [json.dumps(value) for value in (then, now)]
    same = len(os.path.commonprefix(texts))  # noqa: RUF071 character by character is meant
    there, here = (_short(text, same) for text in texts)
    return f"{there} there, {here} here"


def _short(text: str, same: int) -> str:
    """Return what a message shows of a text whose first ``same`` characters do not differ."""
    if len(text) > 80 and same > 40:
        text = "..." + text[same - 20 :]
    return text if len(text) <= 80 else text[:77] + "..."
