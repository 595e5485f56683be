"""Pictures of maps, handed to the loggers while a network is trained."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
from PIL import Image
from torch import nn

from captum_cluster._checks import check_integer, describe, expected
from captum_cluster.data import Preparation, Scene
from captum_cluster.evaluation.explanation import explain
from captum_cluster.evaluation.monitoring.watching import (
    Monitor,
    Network,
    Scenes,
    by_the_first,
    explaining,
)
from captum_cluster.evaluation.registry import check_method
from captum_cluster.functional.attribution import read_scores
from captum_cluster.visualization import Panel, figure_image, overlay, side_by_side


class CamImageCallback(Monitor):
    """Draws the maps of a few scenes after validation, and hands the pictures to the loggers.

    One picture for each scene: a row for each label that it has, with the image and the maps of
    each method over it. Scenes without a label are passed over. A logger takes pictures through its
    experiment's ``add_image`` (TensorBoard) or its own ``log_image`` (Weights & Biases); where none
    does, they are written to ``<log_dir>/<prefix>/epoch-0001-<number>-<scene>.png``, epochs counted
    from 1. The training goes on as if there were no callback.

    Args:
        dataset: Gives a ``Scene`` for each index.
        methods: Names of methods.
        layer: A module of the network, its name, or several, as for ``explain``.
        limit: Number of scenes, evenly spread over the dataset.
        labels: Most labels shown of a scene, at least 1.
        every_n_epochs: From the first epoch on, counted from 1, those that it divides.
        preparation: How scenes become what the network takes; None: as the trainer's ``SceneData``
            prepares them, else as in ``evaluate``.
        probability: How probabilities are read of the logits: "sigmoid", "probability" (softmax),
            or None: softmax where the module's ``multi_label`` is False, else sigmoid.
        prefix: First part of the names, and the folder of the files.
        network: What is watched, from images to logits: the name of a module of the
            LightningModule ("" for itself), or a function of it; None: its ``network`` where it has
            one, else itself.

    Raises:
        TypeError: An argument is of another type.
        ValueError: An argument is outside its range, or there is no such method.

    Example:
        >>> from captum_cluster.data import DigitScenes
        >>> show = CamImageCallback(DigitScenes(20, split="test"), ["cam"], every_n_epochs=5)
        >>> trainer = pl.Trainer(callbacks=[show], logger=False, enable_checkpointing=False)
    """

    def __init__(
        self,
        dataset: Scenes,
        methods: Sequence[str] = ("cam",),
        *,
        layer: Any = None,
        limit: int = 4,
        labels: int = 3,
        every_n_epochs: int = 1,
        preparation: Preparation | None = None,
        probability: str | None = None,
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
        if isinstance(methods, str) or not methods:
            raise ValueError(expected("methods", "a list of names", describe(methods)))
        self.methods = [check_method(method) for method in methods]
        self.labels = check_integer("labels", labels, 1)

    def _watch(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Asked for by all processes: the first one tells the others.
        folder = Path(trainer.log_dir or trainer.default_root_dir) / self.prefix
        preparation = self._prepared(trainer)

        def draw() -> None:
            with explaining():
                network = self._checked_network(pl_module, preparation)
                pictures = self._pictures(network, preparation, self._read(pl_module))
                _hand_over(trainer, self.prefix, pictures, folder)

        by_the_first(trainer, draw)

    def _pictures(
        self, network: nn.Module, preparation: Preparation, read: str
    ) -> dict[tuple[int, str], Image.Image]:
        """Return the pictures, by position and name of their scene."""
        count = min(self.limit, len(self.dataset))
        pictures = {}
        for position in (number * len(self.dataset) // count for number in range(count)):
            scene = self.dataset[position]
            if scene.present:
                pictures[position, scene.name] = self._picture(network, scene, preparation, read)
        return pictures

    def _picture(
        self, network: nn.Module, scene: Scene, preparation: Preparation, read: str
    ) -> Image.Image:
        """Return the picture of a scene."""
        prepared, shown = preparation.prepare(scene), scene.present[: self.labels]
        lines = [self._line(network, prepared, label, preparation, read) for label in shown]
        panels = [panel for line in lines for panel in line]
        rows = [self._name(label) for label in shown]
        return figure_image(side_by_side(panels, title=scene.name, rows=rows)).convert("RGB")

    def _line(
        self, network: nn.Module, scene: Scene, label: int, preparation: Preparation, read: Any
    ) -> list[Panel]:
        """Return the image, and the maps of one label over it."""
        inputs, panels = preparation.normalize(scene.image), []
        for method in self.methods:
            one = explain(network, inputs, method, label, self.layer, labels=scene.present)
            seen = one.maps[0, 0].float()
            caption = "" if bool((seen > 0).any()) else "no positive part"
            panels.append(Panel(overlay(scene.image, seen), method, caption))
        probability = float(read_scores(one.subject.logits[None].float(), read)[0, label])
        return [Panel(scene.image, "input", f"probability {probability:.2f}"), *panels]

    def _name(self, label: int) -> str:
        names: Any = getattr(self.dataset, "classes", None)
        return str(names[label]) if names is not None else f"label {label}"


def _hand_over(
    trainer: pl.Trainer,
    prefix: str,
    pictures: Mapping[tuple[int, str], Image.Image],
    folder: Path,
) -> None:
    """Give pictures, by position and name of their scene, to the loggers, or write them."""
    takers = [taker for logger in trainer.loggers if (taker := _taker(logger)) is not None]
    for (position, name), picture in pictures.items():
        for take in takers:
            take(f"{prefix}/{name or position}", picture, trainer.global_step)
        if not takers and not getattr(trainer, "fast_dev_run", False):
            plain = re.sub(r"[^\w.-]+", "-", name)
            folder.mkdir(parents=True, exist_ok=True)
            epoch = f"epoch-{trainer.current_epoch + 1:04d}"
            picture.save(folder / f"{epoch}-{position}-{plain}.png")


def _taker(logger: Any) -> Callable[[str, Image.Image, int], None] | None:
    """Return what gives a logger a picture with its name and the step; None if it takes none."""
    add = getattr(logger.experiment, "add_image", None)
    if callable(add):
        return lambda name, picture, step: add(
            name, np.asarray(picture), global_step=step, dataformats="HWC"
        )
    log = getattr(logger, "log_image", None)
    if callable(log):
        return lambda name, picture, step: log(key=name, images=[picture], step=step)
    return None
