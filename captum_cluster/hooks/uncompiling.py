"""Run compiled models as they were before, where hooks look into them; and our own functions."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import torch

Function = TypeVar("Function", bound=Callable[..., Any])


class _Turns:
    """How many contexts are open, in any thread; the first opens what the last one closes."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.open = 0
        self.stack = ExitStack()


_TURNS = _Turns()


@contextmanager
def uncompiled() -> Iterator[None]:
    """Run what ``torch.compile`` has compiled as it was before, inside the context.

    A compiled model keeps the hooks that it had when it was compiled, and sees no others. The
    switch is one for all threads: compiled models of others run uncompiled meanwhile too, which
    changes no result. Without effect where nothing was compiled, and before torch 2.6.

    Example:
        >>> compiled = torch.compile(torch.neg, backend="eager")
        >>> with uncompiled():
        ...     compiled(torch.ones(1))
        tensor([-1.])
    """
    if "torch._dynamo" not in sys.modules or not hasattr(torch.compiler, "set_stance"):
        yield
        return
    with _TURNS.lock:
        if not _TURNS.open:
            _TURNS.stack.enter_context(torch.compiler.set_stance("force_eager"))
        _TURNS.open += 1
    try:
        yield
    finally:
        with _TURNS.lock:
            _TURNS.open -= 1
            if not _TURNS.open:
                _TURNS.stack.close()


def never_compiled(function: Function) -> Function:
    """Return a function that runs as Python where a compiled function calls it.

    Hooks, and values that the course of a computation depends on, are not for ``torch.compile``.

    Example:
        >>> double = never_compiled(lambda x: x * 2)
        >>> torch.compile(lambda x: double(x) + 1, backend="eager")(torch.ones(1))
        tensor([3.])
    """

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        # Not imported for this: that takes seconds, and who compiles has done it.
        dynamo = sys.modules.get("torch._dynamo")
        outside = function if dynamo is None else dynamo.disable(function)
        return outside(*args, **kwargs)

    run._torchdynamo_disable = True  # type: ignore[attr-defined]
    return run  # type: ignore[return-value]
