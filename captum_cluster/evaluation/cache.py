"""Where trained networks are kept between runs, and how they get there whole."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

import torch
from torch import nn

from captum_cluster._files import write_whole


def cache_directory() -> Path:
    """Return the directory of the package's cached files; it need not exist yet.

    ``$CAPTUM_CLUSTER_CACHE`` if set, else ``$XDG_CACHE_HOME/captum_cluster``, else the platform's:
    ``~/.cache`` on Linux, ``~/Library/Caches`` on macOS, ``%LOCALAPPDATA%`` on Windows.

    Example:
        >>> isinstance(cache_directory(), Path)
        True
    """
    own = os.environ.get("CAPTUM_CLUSTER_CACHE")
    if own:
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else _platform_directory()) / "captum_cluster"


def save_state(module: nn.Module, path: Path) -> None:
    """Write the state dict of ``module`` so that a reader sees all of the file or nothing.

    It is written beside its place and moved there, which is one step for the file system: a run
    that is broken off leaves no half file, and two runs at once do not mix. Where the file cannot
    be written, a warning says so and the run goes on.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _warn(f"Going on without a cache: cannot write to {path.parent} ({error}).")
        return
    try:
        write_whole(path, lambda draft: torch.save(module.state_dict(), draft))
    except (OSError, RuntimeError) as error:  # torch raises RuntimeError when the disk is full
        _warn(f"Going on without a cache: cannot write {path} ({error}).")


def load_state(module: nn.Module, path: Path) -> bool:
    """Fill ``module`` with the state dict saved at ``path``; say whether that was done.

    Only tensors are read (``weights_only``): a file put there by someone else runs no code. A file
    that is there but cannot be read, or does not fit the module, gives a warning and False.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        module.load_state_dict(state)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except Exception as error:  # a corrupt file can fail in any way, and all mean the same
        _warn(f"Ignoring {path}: it cannot be read ({type(error).__name__}: {error}).")
        return False
    return True


def _platform_directory() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return Path(local) if local else Path.home() / "AppData" / "Local"
    return Path.home() / ".cache"


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=4)
