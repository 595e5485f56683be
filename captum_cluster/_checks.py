"""Checks of arguments, each with one message: what was expected, and what came."""

from __future__ import annotations

import math
import numbers
import operator
import sys
import warnings
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor


class TargetError(ValueError, AssertionError):
    """A target that does not fit the model's output.

    A ``ValueError`` as everywhere in this package, and an ``AssertionError`` because that is what
    Captum raises for a bad target.
    """


class LayerError(ValueError):
    """A layer that cannot be explained: not in the model, not called, or without feature maps."""


def expected(name: str, what: str, got: object) -> str:
    """Return the one form of message used everywhere in the package.

    Example:
        >>> expected("beta", "a number from 0 to 1", 2)
        'Expected beta to be a number from 0 to 1, but got 2.'
        >>> expected("the model", "to give a tensor", None)
        'Expected the model to give a tensor, but got None.'
    """
    verb = "" if what.startswith("to ") else "to be "
    return f"Expected {name} {verb}{what}, but got {got}."


def describe(value: object) -> str:
    """Return a short description of a value for a message: tensors by shape, the rest by repr."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)} and dtype {value.dtype}"
    text = " ".join(repr(value).split())
    text = text if len(text) <= 60 else text[:57] + "..."
    return f"{text} ({type(value).__name__})" if not isinstance(value, numbers.Number) else text


def is_integer(value: object) -> bool:
    """Return whether a value is a Python or NumPy integer, and no bool.

    Example:
        >>> is_integer(3), is_integer(True), is_integer(torch.tensor(3))
        (True, False, False)
    """
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def check_integer(name: str, value: Any, low: int, high: int | None = None, note: str = "") -> int:
    """Return ``value`` as an ``int`` within ``[low, high]``.

    Args:
        name: The argument's name, for the message.
        value: A Python or NumPy integer, no bool.
        low: Smallest value allowed.
        high: Largest value allowed; None for no limit, or for one that is not known yet.
        note: What ``high`` is, for the message ("the number of channels").

    Raises:
        TypeError: ``value`` is no integer.
        ValueError: ``value`` is outside the range.
    """
    if high is None:
        what = f"an integer from {low} to {note}" if note else f"an integer of at least {low}"
    else:
        what = f"an integer from {low} to " + (f"{note} ({high})" if note else f"{high}")
    if not is_integer(value):
        raise TypeError(expected(name, what, describe(value)))
    number = operator.index(value)
    if number < low or (high is not None and number > high):
        raise ValueError(expected(name, what, number))
    return number


def check_number(
    name: str, value: Any, low: float = -math.inf, high: float = math.inf, *, open_low: bool = False
) -> float:
    """Return ``value`` as a finite ``float`` within ``[low, high]`` (``(low, high]`` if open).

    Raises:
        TypeError: ``value`` is no real number.
        ValueError: ``value`` is outside the range, infinite or NaN.
    """
    if math.isfinite(low) and math.isfinite(high):
        above = f"a number above {low:g} and at most {high:g}"
        what = above if open_low else f"a number from {low:g} to {high:g}"
    elif math.isfinite(low):
        what = f"a number above {low:g}" if open_low else f"a number of at least {low:g}"
    else:
        what = "a finite number"
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(expected(name, what, describe(value)))
    number = float(value)
    too_low = number <= low if open_low else number < low
    if not math.isfinite(number) or too_low or number > high:
        raise ValueError(expected(name, what, f"{number:g}"))
    return number


def check_choice(name: str, value: Any, choices: Collection[str]) -> str:
    """Return ``value`` if it is one of ``choices``.

    Raises:
        TypeError: ``value`` is no string.
        ValueError: ``value`` is another string.
    """
    what = "one of " + ", ".join(repr(choice) for choice in choices)
    if not isinstance(value, str):
        raise TypeError(expected(name, what, describe(value)))
    if value not in choices:
        raise ValueError(expected(name, what, repr(value)))
    return value


def check_flag(name: str, value: Any) -> bool:
    """Return ``value`` if it is a bool.

    Raises:
        TypeError: ``value`` is something else.
    """
    if not isinstance(value, bool):
        raise TypeError(expected(name, "True or False", describe(value)))
    return value


def all_finite(tensor: Tensor) -> bool:
    """Return whether a tensor holds neither NaN nor infinity."""
    # Either of them shows in the sum, which is quick; a sum may also overflow by itself.
    return bool(tensor.sum().isfinite()) or bool(torch.isfinite(tensor).all())


def check_finite(name: str, tensor: Tensor) -> Tensor:
    """Return ``tensor`` if it holds neither NaN nor infinity.

    Raises:
        ValueError: It does; the message says which of the two and in which row.
    """
    if not all_finite(tensor):
        good = torch.isfinite(tensor)
        where = torch.nonzero(~good)[0].tolist()
        value = float(tensor[tuple(where)])
        kind = "NaN" if math.isnan(value) else "an infinite value"
        place = f" at index {where}" if where else ""
        raise ValueError(expected(name, "finite", kind + place))
    return tensor


def warn(message: str) -> None:
    """Warn at the first caller outside this package and its hosts."""
    ours = {"captum_cluster", "captum", "pytorch_grad_cam", "torch", "contextlib"}
    frame, level = sys._getframe(1), 1
    while frame.f_back and frame.f_globals.get("__name__", "").split(".")[0] in ours:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level + 1)
