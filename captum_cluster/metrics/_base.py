"""What all metrics share: states that are sums and counts, and a value made of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor
from torchmetrics import Metric

from captum_cluster._checks import expected
from captum_cluster.functional.metrics import Sums
from captum_cluster.functional.metrics.regions import Box

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


class LocalizationMetric(SumMetric):
    """A metric of maps (P,H,W) of classes (P,) against boxes or masks."""

    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    def update(
        self,
        maps: Tensor,
        target: Tensor | None = None,
        *,
        boxes: Sequence[Sequence[Box]] | None = None,
        masks: Tensor | None = None,
    ) -> None:
        """Add pairs; one without ground truth inside the image is skipped and counted.

        Args:
            maps: (P,H,W) float, any range; with boxes at the image's resolution. They become
                saliency maps first.
            target: (P,) int, the pairs' classes; needed where the mean is one over classes.
            boxes: For each pair a list of its boxes x0, y0, x1, y1 in pixels, cut to the image.
            masks: (P,H,W) bool, instead of the boxes.

        Raises:
            TypeError: The masks are not boolean, or ``target`` holds no integers.
            ValueError: The shapes do not belong together, a value is not finite, or a target is
                outside the classes.
        """
        self._add(self._sums(maps, target, boxes, masks))

    @abstractmethod
    def _sums(
        self,
        maps: Tensor,
        target: Tensor | None,
        boxes: Sequence[Sequence[Box]] | None,
        masks: Tensor | None,
    ) -> Sums:
        """Return the sums of a batch."""
