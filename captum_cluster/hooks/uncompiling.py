"""Run compiled models as they were before, where hooks are to see what goes through them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch


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
