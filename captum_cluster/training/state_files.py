"""State dicts, and files that hold one: read without running code from them."""

from __future__ import annotations

import os
import pickle
import re
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from captum_cluster._checks import describe, expected

_WRAPPERS = ("state_dict", "model", "model_state_dict")


def read_state(path: str | os.PathLike[str]) -> OrderedDict[str, Tensor]:
    """Return the state dict in a file, on the CPU.

    The file may hold it as it is, or under "state_dict", "model" or "model_state_dict". Only
    tensors are read; code in the file is never run.

    Args:
        path: A file written by ``torch.save``.

    Raises:
        TypeError: ``path`` is neither a string nor a path.
        ValueError: The file cannot be read, or holds something else.
        FileNotFoundError: There is no such file.
        IsADirectoryError: It is a directory.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save({"state_dict": {"weight": torch.ones(2)}}, f"{folder}/a.pt")
        ...     read_state(f"{folder}/a.pt")["weight"]
        tensor([1., 1.])
    """
    file = _existing_file(path)
    content = _read(file)
    for key in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    return check_state(content, f"{str(file)!r} with ")


def check_state(content: object, source: str = "") -> OrderedDict[str, Tensor]:
    """Return a copy of what is held to be a state dict, if it is one.

    Args:
        content: Anything.
        source: Where it comes from, as the message goes on with it.

    Raises:
        ValueError: It is no mapping from strings to tensors, or empty.

    Example:
        >>> check_state({})
        Traceback (most recent call last):
        ValueError: Expected weights to be a state dict (tensors by name), but got an empty dict.
    """
    if not isinstance(content, Mapping) or not content or not all(map(_is_entry, content.items())):
        what = f"{'a file with ' if source else ''}a state dict (tensors by name)"
        raise ValueError(expected("weights", what, source + _summary(content)))
    return versioned(content)


def versioned(content: Mapping[str, Tensor]) -> OrderedDict[str, Tensor]:
    """Return a copy of a state dict that has the versions of its modules.

    A plain dict has lost them, and MNASNet refuses to load without its own.

    Example:
        >>> versioned({})._metadata[""]
        {'version': 2}
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
