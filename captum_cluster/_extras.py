"""Packages that only a part of the project needs."""

from __future__ import annotations

import importlib
from types import ModuleType


def require(package: str, extra: str) -> ModuleType:
    """Return an optional package, imported.

    Args:
        package: Its name in Python.
        extra: The extra of this project that brings it.

    Raises:
        ImportError: It is not installed; the message says how to install it.

    Example:
        >>> require("json", "train").__name__
        'json'
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != package.split(".")[0]:
            raise
        raise ImportError(
            f"Expected {package} to be installed, but it is not: "
            f"pip install 'captum-cluster[{extra}]'."
        ) from error
