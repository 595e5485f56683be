"""Methods of a module that do more for a while."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


class Wrapping:
    """Replaces methods of objects by functions that get the original, until it is undone.

    Example:
        >>> class Greeting:
        ...     def say(self, name):
        ...         return f"hello {name}"
        >>> greeting, wrapping = Greeting(), Wrapping()
        >>> wrapping.wrap(greeting, "say", lambda owner, original, name: original(name) + "!")
        >>> greeting.say("Ann")
        'hello Ann!'
        >>> wrapping.undo()
        >>> greeting.say("Ann")
        'hello Ann'
    """

    def __init__(self) -> None:
        self._undo: list[Callable[[], object]] = []

    def wrap(self, owner: Any, name: str, function: Callable[..., Any]) -> None:
        """Let ``owner.name(*args)`` be ``function(owner, original, *args)``."""
        original = getattr(owner, name)
        own = vars(owner).get(name)

        # Lightning looks behind the wrapper for the names of the arguments.
        @functools.wraps(original)
        def wrapped(*arguments: Any) -> Any:
            return function(owner, original, *arguments)

        setattr(owner, name, wrapped)
        self._undo.append(
            functools.partial(delattr, owner, name)
            if own is None
            else functools.partial(setattr, owner, name, own)
        )

    def undo(self) -> None:
        """Put all methods back."""
        while self._undo:
            self._undo.pop()()
