"""What all metrics share: states that are sums and counts, and a value made of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor
from torchmetrics import Metric

from captum_cluster._checks import expected
from captum_cluster.functional.metrics import Sums

Value: TypeAlias = Tensor | dict[str, Tensor]


class SumMetric(Metric):
    """A metric whose states are sums (float64) and counts (int64), added over processes.

    A subclass adds its states by ``_add_states``, gives ``_add`` the sums of what it is shown,
    and says in ``compute_sums`` what their value is.

    ``metric_state`` holds the sums; ``load_sums`` puts sums that were kept elsewhere in their
    place; ``compute_sums`` gives the values of many such sums at once.
    """

    is_differentiable = False
    full_state_update = False

    @abstractmethod
    def compute_sums(self, sums: Sums) -> Value:
        """Return the value (B,), or a dict of such, of sums with a leading axis (B,...)."""

    def compute(self) -> Value:
        """Return the value of all that was shown; NaN where that was no pair."""
        states = cast("Mapping[str, Tensor]", self.metric_state)
        value = self.compute_sums({name: state[None] for name, state in states.items()})
        if isinstance(value, dict):
            return {name: part[0] for name, part in value.items()}
        return value[0]

    def load_sums(self, sums: Sums) -> None:
        """Put sums in the place of the metric's own, as if it had been shown all of their pairs.

        Args:
            sums: One tensor for each of ``metric_state``, of its shape.

        Raises:
            ValueError: A name or a shape is another.
        """
        states = cast("Mapping[str, Tensor]", self.metric_state)
        if set(sums) != set(states):
            raise ValueError(expected("sums", f"{', '.join(states)}", ", ".join(sums) or "none"))
        for name, state in states.items():
            if sums[name].shape != state.shape:
                what = f"of shape {tuple(state.shape)}"
                raise ValueError(expected(name, what, f"{tuple(sums[name].shape)}"))
        self.reset()
        self._add(sums)
        self._update_count = 1  # or torchmetrics would warn that nothing was shown

    def _add_states(self, shape: tuple[int, ...] = (), *, sums: str = "", counts: str = "") -> None:
        """Add states of one shape, named in strings with spaces between."""
        for names, dtype in ((sums, torch.float64), (counts, torch.int64)):
            for name in names.split():
                self.add_state(name, torch.zeros(shape, dtype=dtype), dist_reduce_fx="sum")

    def _add(self, sums: Sums) -> None:
        """Add sums to the states."""
        for name, value in sums.items():
            state: Any = getattr(self, name)
            setattr(self, name, state + value.to(state))
