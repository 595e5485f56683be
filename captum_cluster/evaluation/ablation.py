"""The papers' ablations: one choice of a method varied, everything else as it is."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn
from tqdm.auto import tqdm

from captum_cluster._checks import check_choice, check_integer, expected
from captum_cluster.data.listing import SUFFIXES
from captum_cluster.evaluation.explanation import ImageLike, Transform, loaded, prepare
from captum_cluster.evaluation.faithfulness import Summary, measure, summarize
from captum_cluster.evaluation.models import LoadedModel
from captum_cluster.evaluation.output import staged
from captum_cluster.evaluation.registry import run_method, warm_up
from captum_cluster.hooks import untouched
from captum_cluster.methods import stages
from captum_cluster.visualization import Chart, panel_grid, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Setting:
    """One row of an ablation.

    Attributes:
        name: What is varied, as a person reads it.
        layers: Names of the layers, shallow to final; empty for the one chosen where none is named.
        options: Of the method.
    """

    name: str
    layers: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """One ablation.

    Attributes:
        method: The method's name.
        settings: ``settings(layers, channels)`` gives the rows, from the names of the model's
            stages and the number of maps of the layer explained.
        of_layers: Whether layers are what is varied.
    """

    method: str
    settings: Callable[[Sequence[str], int], list[Setting]]
    of_layers: bool = False


def _each_layer(names: Sequence[str], _: int) -> list[Setting]:
    return [Setting(name, (name,)) for name in names]


def _layer_sets(names: Sequence[str], _: int) -> list[Setting]:
    sets = [tuple(names[start:]) for start in range(len(names) - 1, -1, -1)]
    return [Setting(", ".join(one), one) for one in sets]


def _clusters(_: Sequence[str], channels: int) -> list[Setting]:
    return [Setting(f"{q}", (), {"n_clusters": q}) for q in range(2, 9) if q <= channels]


def _eigenvectors(_: Sequence[str], channels: int) -> list[Setting]:
    return [
        Setting(f"{count}", (), {**_spectral(channels), "n_eigenvectors": count})
        for count in range(1, 11)
        if count < channels
    ]


def _clusterings(_: Sequence[str], channels: int) -> list[Setting]:
    clusters = {"n_clusters": min(6, channels)}
    return [
        Setting("k-means", (), {"clustering": "kmeans", **clusters}),
        Setting("spectral", (), _spectral(channels)),
        Setting("spectral, SSIM", (), {**_spectral(channels), "similarity": "ssim"}),
    ]


def _spectral(channels: int) -> dict[str, Any]:
    return {"clustering": "spectral", "n_clusters": min(6, channels)}


STUDIES = {
    "cluster-cam-layers": Study("cluster-cam", _each_layer, of_layers=True),
    "cluster-cam-clusters": Study("cluster-cam", _clusters),
    "cluster-cam-eigenvectors": Study("cluster-cam", _eigenvectors),
    "cluster-cam-clustering": Study("cluster-cam", _clusterings),
    "collection-cam-layers": Study("collection-cam", _layer_sets, of_layers=True),
}
"""Of each name the ablation: those of Feng et al. 2023, and of Ha and Youn."""


@dataclass(frozen=True)
class Row:
    """What one setting gave: means over the images.

    Attributes:
        setting: The setting.
        summary: Average Drop, Average Increase, Insertion - Deletion, in per cent.
        passes: Forward passes for one image.
        seconds: Wall time for one image.
    """

    setting: Setting
    summary: Summary
    passes: float
    seconds: float


@dataclass(frozen=True)
class Ablation:
    """An ablation's rows.

    Attributes:
        study: Its name.
        images: Number of images.
        rows: One for each setting.
    """

    study: str
    images: int
    rows: tuple[Row, ...]

    def table(self) -> str:
        """Return the rows as text.

        Example:
            >>> row = Row(Setting("k-means"), Summary(20.0, 30.0, 25.5, float("nan")), 7, 0.25)
            >>> print(Ablation("cluster-cam-clustering", 5, (row,)).table())
            setting     AD    AI  I - D  passes  seconds
            k-means   20.0  30.0   25.5     7.0    0.250
        """
        width = max(len("setting"), *(len(row.setting.name) for row in self.rows))
        lines = [f"{'setting':<{width}}  {'AD':>5} {'AI':>5} {'I - D':>6}  passes  seconds"]
        lines += [
            f"{row.setting.name:<{width}}  {row.summary.drop:>5.1f} {row.summary.increase:>5.1f} "
            f"{row.summary.overall:>6.1f}  {row.passes:>6.1f}  {row.seconds:>7.3f}"
            for row in self.rows
        ]
        return "\n".join(lines)

    def figure(self) -> Figure:
        """Return a chart of each measure over the settings."""
        charts = [
            Chart(functools.partial(self._draw, "drop"), "Average Drop in %", "smaller is better"),
            Chart(
                functools.partial(self._draw, "increase"),
                "Average Increase in %",
                "larger is better",
            ),
            Chart(
                functools.partial(self._draw, "overall"),
                "Insertion - Deletion in %",
                "larger is better",
            ),
        ]
        title = f"{self.study}, {self.images} image" + ("" if self.images == 1 else "s")
        return panel_grid([charts], labels=[""], title=title)

    def _draw(self, measure: str, axes: Any) -> None:
        values = [getattr(row.summary, measure) for row in self.rows]
        axes.barh(range(len(values)), values, color="lightsteelblue")
        # Names may be longer than the room for labels of ticks: they stand on their bars, from
        # the left edge of the chart whatever the values.
        across = axes.get_yaxis_transform()
        for place, row in enumerate(self.rows):
            axes.text(0.02, place, row.setting.name, va="center", fontsize=8, transform=across)
        axes.set_yticks([])
        axes.invert_yaxis()

    def save(self, directory: str | os.PathLike[str]) -> Path:
        """Write the figure as ``<study>.png`` and return its path.

        Args:
            directory: Made if it is not there.

        Raises:
            NotADirectoryError: ``directory`` is a file.
        """
        name = f"{self.study}.png"
        with staged(directory) as stage:
            save_figure(self.figure(), stage / name)
        return Path(directory) / name


def run_ablation(
    model: nn.Module | LoadedModel,
    images: Sequence[ImageLike],
    study: str,
    *,
    layers: Sequence[str] | None = None,
    stride: int = 1,
    transform: Transform | None = None,
    progress: bool = False,
) -> Ablation:
    """Vary one choice of a method and measure each setting on the same images.

    The top class of each image is explained. Each setting takes the method's passes and some 57
    more for Insertion and Deletion at 224x224.

    Args:
        model: As for ``explain``.
        images: Paths, PIL images or tensors.
        study: One of ``STUDIES``.
        layers: Names of the model's stages, shallow to final, for the studies of layers. None:
            see ``captum_cluster.methods.stages``.
        stride: Take every so many steps of Insertion and Deletion, for a quick look.
        transform: As for ``explain``.
        progress: Show a bar.

    Raises:
        ValueError: No such study, no images, or layers for a study of something else; and the
            errors of ``explain``.
        LayerError: A study of layers of a model whose stages are not found, or a layer that is
            not in the model.

    Example:
        >>> import torch
        >>> from torchvision.models import resnet18
        >>> image = torch.rand(3, 32, 32)
        >>> found = run_ablation(resnet18().eval(), [image], "cluster-cam-clustering", stride=2)
        >>> [row.setting.name for row in found.rows]
        ['k-means', 'spectral', 'spectral, SSIM']
    """
    chosen = STUDIES[check_choice("study", study, tuple(STUDIES))]
    check_integer("stride", stride, 1)
    if not len(images):
        raise ValueError(expected("images", "at least one image", "none"))
    net, transform, _ = loaded(model, transform, None)
    if layers is not None and not chosen.of_layers:
        raise ValueError(expected("layers", f"None for {study}, which varies no layers", layers))
    with untouched(net):
        # A misspelt layer is found here, before the first setting runs.
        first = prepare(net, images[0], list(layers) if layers else None, transform, None)
        found = stages(net, first.inputs) if chosen.of_layers and not layers else []
        names = list(layers) if layers else found
        settings = chosen.settings(names, first.channels)
        warm_up(chosen.method)
        bar = tqdm(total=len(settings) * len(images), desc=study, disable=not progress)
        rows = [
            _row(net, chosen.method, setting, images, transform, stride, bar.update)
            for setting in settings
        ]
        bar.close()
    return Ablation(study, len(images), tuple(rows))


def _row(
    model: nn.Module,
    method: str,
    setting: Setting,
    images: Sequence[ImageLike],
    transform: Transform,
    stride: int,
    update: Callable[[], Any],
) -> Row:
    """Return the means of one setting over the images."""
    measured, runs = [], []
    for image in images:
        prepared = prepare(model, image, setting.layers or None, transform, None)
        target = int(prepared.logits.argmax())
        run = run_method(
            method,
            model,
            prepared.layers,
            prepared.inputs,
            target,
            reshape_transform=prepared.reshape_transform,
            **setting.options,
        )
        maps = run.maps[0, 0].to(prepared.inputs)
        measured.append(measure(model, prepared.inputs, target, maps, stride=stride))
        runs.append(run)
        update()
    passes = sum(run.forwards for run in runs) / len(runs)
    seconds = sum(run.seconds for run in runs) / len(runs)
    return Row(setting, summarize(measured), passes, seconds)


def find_images(paths: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Return picture files: those named, and those in the folders named, however deep.

    In folders a file is taken for a picture by its suffix (``captum_cluster.data.listing``).

    Raises:
        FileNotFoundError: A path does not exist.
        ValueError: A folder holds no picture.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.exists():
            raise FileNotFoundError(
                expected("IMAGE", "an existing file or folder", repr(str(path)))
            )
        if path.is_file():
            found.append(path)
            continue
        inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
        if not inside:
            raise ValueError(expected("IMAGE", "a folder with pictures in it", repr(str(path))))
        found += inside
    return found
