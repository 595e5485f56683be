"""Where a method's time goes: the forward passes, and the parts that are ours."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from unittest import mock

from torch import nn

import captum_cluster.methods  # noqa: F401  (its modules are looked up by name)
from captum_cluster.functional.attribution import masks
from captum_cluster.hooks.capturing import Capture

# What is told apart: where a function is looked up when it is called.
_PARTS: dict[str, list[tuple[type | str, str]]] = {
    "masks": [(masks.MapMasks, "render"), (masks.MapMasks, "passes")],
    "clustering": [
        ("captum_cluster.methods.cluster_cam", "kmeans_labels"),
        ("captum_cluster.methods.collection_cam", "choose_partition"),
        ("captum_cluster.methods.collection_cam", "map_statistics"),
    ],
    "backward": [(Capture, "gradients_of_all")],
}


class _Spans:
    """Adds up the time inside functions; what one calls of another counts for the other."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inner = [0.0]

    def timed(self, name: str, function: Callable[..., object]) -> Callable[..., object]:
        def run(*args: object, **kwargs: object) -> object:
            self._inner.append(0.0)
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                took = time.perf_counter() - start
                own = took - self._inner.pop()
                self.seconds[name] = self.seconds.get(name, 0.0) + own
                self._inner[-1] += took

        return run


def profile(model: nn.Module, run: Callable[[], object]) -> dict[str, float]:
    """Return the share of each part in the time of a run; the rest is "other"."""
    run()
    spans = _Spans()
    with ExitStack() as patches:
        for name, places in [*_PARTS.items(), ("forward passes", [(type(model), "__call__")])]:
            for owner, attribute in places:
                target = sys.modules[owner] if isinstance(owner, str) else owner
                function = spans.timed(name, getattr(target, attribute))
                patches.enter_context(mock.patch.object(target, attribute, function))
        spans.timed("other", run)()
    whole = sum(spans.seconds.values())
    return {name: took / whole for name, took in spans.seconds.items()}
