"""The numbers of maps, logged while a network is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import lightning.pytorch as pl

from captum_cluster._checks import check_choice
from captum_cluster.data import Preparation
from captum_cluster.evaluation.monitoring.watching import (
    Monitor,
    Network,
    Scenes,
    by_the_first,
    explaining,
)
from captum_cluster.evaluation.runner import evaluate
from captum_cluster.evaluation.running.entries import LayerNames, MethodLike, method_entries
from captum_cluster.evaluation.running.map_making import EXPLAINED
from captum_cluster.evaluation.running.measures import choose_metrics


class CamMetricsCallback(Monitor):
    """Judges methods on a few scenes after validation, and logs the numbers.

    ``evaluate`` judges the module's ``network`` where it has one, else the module itself. The
    numbers are logged as ``<prefix>/<method>/<value>`` ("cam/minmax-cam/energy"), the same in each
    process, so that ``ModelCheckpoint`` and ``EarlyStopping`` can monitor them. A value that no
    image gives, for want of ground truth, is left out. The training goes on as if there were no
    callback: modes, gradients and random states are left as they are.

    With several processes the first one judges and the others wait: keep ``limit`` small.

    Args:
        dataset: Gives a ``Scene`` for each index.
        methods: As for ``evaluate``.
        metrics: As for ``evaluate``.
        layer: As for ``evaluate``; names are those of the network that is judged.
        limit: Number of scenes, evenly spread over the dataset.
        every_n_epochs: From the first epoch on, counted from 1, those that it divides.
        preparation: How scenes become what the network takes; None: as the trainer's ``SceneData``
            prepares them, else as in ``evaluate``.
        probability: How probabilities are read of the logits: "sigmoid", "probability" (softmax),
            or None: softmax where the module's ``multi_label`` is False, else sigmoid.
        explained: As for ``evaluate``.
        prefix: First part of the names.
        network: What is watched, from images to logits: the name of a module of the
            LightningModule ("" for itself), or a function of it; None: its ``network`` where it has
            one, else itself.

    Raises:
        TypeError: An argument is of another type.
        ValueError: An argument is outside its range, or there is no such method or metric.

    Example:
        >>> from captum_cluster.data import DigitScenes
        >>> watch = CamMetricsCallback(DigitScenes(20, split="test"), ["cam", "minmax-cam"])
        >>> trainer = pl.Trainer(callbacks=[watch], logger=False, enable_checkpointing=False)
    """

    def __init__(
        self,
        dataset: Scenes,
        methods: Sequence[MethodLike] = ("cam",),
        metrics: Sequence[str | Mapping[str, Any]] | str = ("average-drop", "energy"),
        *,
        layer: LayerNames | None = None,
        limit: int = 8,
        every_n_epochs: int = 1,
        preparation: Preparation | None = None,
        probability: str | None = None,
        explained: str = "truth",
        prefix: str = "cam",
        network: Network = None,
    ) -> None:
        super().__init__(
            dataset,
            layer=layer,
            limit=limit,
            every_n_epochs=every_n_epochs,
            preparation=preparation,
            probability=probability,
            prefix=prefix,
            network=network,
        )
        method_entries(methods)  # checked now, not after the first epoch
        choose_metrics(metrics)
        self.methods, self.metrics = methods, metrics
        self.explained = check_choice("explained", explained, EXPLAINED)

    def _watch(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        preparation = self._prepared(trainer)
        values = by_the_first(trainer, lambda: self._values(pl_module, preparation))
        # The mean over equal values; without it Lightning warns that they might differ.
        pl_module.log_dict(values, sync_dist=True, batch_size=1)

    def _values(self, pl_module: pl.LightningModule, preparation: Preparation) -> dict[str, float]:
        """Return the numbers by the names under which they are logged."""
        with explaining():
            report = evaluate(
                self._checked_network(pl_module, preparation, others=self.explained != "truth"),
                self.layer,
                self.dataset,
                self.methods,
                self.metrics,
                explained=self.explained,
                probability=self._read(pl_module),
                preparation=preparation,
                limit=self.limit,
                progress=False,
            )
        return {
            f"{self.prefix}/{method}/{value.name}": report.value(method, value.name)
            for method in report.methods
            for value in report.values
        }
