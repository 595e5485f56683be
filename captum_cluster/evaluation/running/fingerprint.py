"""What a run depends on, written beside its results: a run goes on only where nothing changed."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from captum_cluster._checks import describe, expected
from captum_cluster.evaluation.custom import custom_name
from captum_cluster.evaluation.running.records import read_records

_NAME = "run.json"
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


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
            raw = value.detach().cpu().contiguous().flatten().view(torch.uint8)
            digest.update(raw.numpy().tobytes())
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
        return f"{kind} {hashlib.sha256(repr(value.tolist()).encode()).hexdigest()[:16]}"
    if isinstance(value, functools.partial):
        return {"partial": plain([value.func, value.args, value.keywords])}
    if callable(value) and hasattr(value, "__name__"):
        return custom_name(value)
    return _ADDRESS.sub("", repr(value))


def describe_dataset(dataset: Any) -> dict[str, Any]:
    """Return what tells one dataset from another: class, length, and its simple attributes.

    Example:
        >>> describe_dataset([1, 2])
        {'class': 'list', 'length': 2}
    """
    simple = (str, bool, int, float, os.PathLike, type(None))
    known = {
        name: plain(value)
        for name, value in sorted(getattr(dataset, "__dict__", {}).items())
        if isinstance(value, simple) and not name.startswith("_")
    }
    return {"class": type(dataset).__name__, "length": len(dataset), **known}


def enter(directory: Path, facts: Mapping[str, Any]) -> None:
    """Take a directory for a run, or go on in it where the facts are the same.

    Raises:
        ValueError: It holds another run; the message says what differs.
        OSError: It cannot be written to.
    """
    path = directory / _NAME
    fresh = json.loads(json.dumps(plain(facts)))
    if not path.exists():
        if next(read_records(directory), None) is not None:
            got = f"{str(directory)!r}, which has results and no {_NAME}"
            raise ValueError(expected("output", "a directory for this run", got))
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps(fresh, indent=2) + "\n")
        os.replace(temporary, path)
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
    path = directory / _NAME
    if not path.is_file():
        got = f"{str(directory)!r} without {_NAME}"
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
