"""How a model is made ready for many masked passes, shared by the faces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from torch import Tensor

from captum_cluster.functional.attribution.layout import FastLayout
from captum_cluster.hooks import weights_channels_last

Session = Callable[[int], AbstractContextManager[Any]]


def session_of(model: object, forward: FastLayout, inputs: Sequence[Tensor]) -> Session:
    """Return a function of n that gives a context for n passes, to be entered after the first one.

    There the weights lie channels-last if the images do, which that first pass has shown to work.

    Args:
        model: The model behind ``forward``.
        forward: Has run the model once.
        inputs: The model's inputs.
    """

    def session(passes: int) -> AbstractContextManager[Any]:
        return weights_channels_last(model, passes if forward.moves(inputs) else 0)

    return session
