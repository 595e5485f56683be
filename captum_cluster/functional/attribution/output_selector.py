"""Which part of a model's output is explained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor

from captum_cluster._checks import describe, expected, is_integer
from captum_cluster.functional.attribution.outputs import describe_output

Pick: TypeAlias = int | str | Callable[[Any], Any] | None
"""Every form of output selector."""


@dataclass(frozen=True)
class OutputSelector:
    """Picks what is explained of a model's output.

    Attributes:
        pick: An index of a tuple or list, a key of a dictionary, the name of an attribute (of a
            named tuple, or of an output like those of transformers), or a function of the whole
            output; None: the output as it is.

    Raises:
        TypeError: ``pick`` is something else.
        ValueError: At the call, an output that has no such part, or is a tensor, of which only a
            function picks.

    Example:
        >>> OutputSelector("out")({"out": 1, "aux": 2}), OutputSelector(-1)((1, 2))
        (1, 2)
    """

    pick: Pick = None

    def __post_init__(self) -> None:
        if self.pick is None or isinstance(self.pick, str) or callable(self.pick):
            return
        if not is_integer(self.pick):
            what = "an index, a key, the name of an attribute, a function of the output, or None"
            raise TypeError(expected("output_selector", what, describe(self.pick)))

    def __call__(self, output: Any) -> Any:
        """Return the part of a model's output."""
        if self.pick is None:
            return output
        if callable(self.pick):
            return self.pick(output)
        if isinstance(output, Tensor):  # an index would take an image of the batch
            what = "None or a function, for a model that gives a tensor"
            raise ValueError(expected("output_selector", what, repr(self.pick)))
        try:
            return _part(output, self.pick)
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            what = f"to pick a part of the model's output, {describe_output(output)}"
            raise ValueError(expected("output_selector", what, repr(self.pick))) from error


def _part(output: Any, pick: int | str) -> Any:
    """Return the part of a container under an index, a key or a name."""
    if isinstance(output, Mapping) and pick in output:
        return output[pick]
    return getattr(output, pick) if isinstance(pick, str) else output[pick]
