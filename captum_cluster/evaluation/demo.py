"""The demo: a network trained on the spot, unseen scenes, and three methods side by side."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from tqdm.auto import tqdm

from captum_cluster._checks import check_integer
from captum_cluster.data import DigitScenes, Scene
from captum_cluster.evaluation.digit_classifier import (
    DigitNet,
    load_digit_net,
    macro_average_precision,
)
from captum_cluster.evaluation.output import check_directory, staged
from captum_cluster.evaluation.registry import Run, passes, run_method, warm_up
from captum_cluster.functional.metrics import energy_inside
from captum_cluster.visualization import Panel, overlay, save_figure, side_by_side

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METHODS = ("grad-cam", "score-cam", "cluster-cam")
_SHOWN = 4
_TEST_SCENES = 500


@dataclass(frozen=True)
class DemoReport:
    """What the demo measured.

    Attributes:
        trained: Whether the network was trained now, or came from the cache.
        average_precision: Macro average precision on scenes made from unseen digits.
        explanations: Number of (scene, digit) pairs explained by each method.
        rows: For each method the forward passes, the seconds, and the share of the map inside
            the digit's mask: means over the pairs.
        figure: The file.
    """

    trained: bool
    average_precision: float
    explanations: int
    rows: dict[str, tuple[float, float, float]]
    figure: Path

    def table(self) -> str:
        """Return the measurements as text.

        Example:
            >>> report = DemoReport(True, 0.98, 5, {"cluster-cam": (7, 0.01, 0.5)}, Path("a.png"))
            >>> print(report.table())
            method       forward passes  seconds  inside the digit
            cluster-cam             7.0    0.010              50 %
        """
        lines = [
            f"{'method':<11}  {'forward passes':>14}  {'seconds':>7}  {'inside the digit':>16}"
        ]
        lines += [
            f"{method:<11}  {forwards:>14.1f}  {seconds:>7.3f}  {100 * share:>14.0f} %"
            for method, (forwards, seconds, share) in self.rows.items()
        ]
        return "\n".join(lines)


def run_demo(
    output: str | os.PathLike[str],
    *,
    scenes: int = 24,
    retrain: bool = False,
    progress: bool = True,
    say: Callable[[str], None] = lambda text: None,
) -> DemoReport:
    """Train (or load) the digit network, explain unseen scenes, and write a figure.

    Args:
        output: Directory of the figure ``captum-cluster-demo.png``; made if it is not there.
        scenes: Unseen scenes to explain, at least 4; every digit in them is one explanation.
        retrain: Train even if a trained network is in the cache.
        progress: Show progress bars.
        say: Called with a line of text at each stage.

    Raises:
        NotADirectoryError: ``output`` is a file.
        ValueError: Fewer than four scenes.

    Example:
        >>> report = run_demo("out")  # doctest: +SKIP
    """
    check_directory(output)
    check_integer("scenes", scenes, _SHOWN)
    model, trained = load_digit_net(retrain=retrain, progress=progress)
    say("Network: trained now, and kept for next time." if trained else "Network: from the cache.")
    precision = macro_average_precision(model, DigitScenes(_TEST_SCENES, split="test", seed=1))
    say(f"Macro average precision on {_TEST_SCENES} scenes of unseen digits: {precision:.3f}")
    dataset = DigitScenes(scenes, split="test", seed=2)
    unseen = [dataset[number] for number in range(scenes)]
    pairs = [(scene, label) for scene in unseen for label in scene.present]
    runs = {method: _runs(method, model, pairs, progress) for method in METHODS}
    rows = {method: _means(runs[method], pairs) for method in METHODS}
    path = Path(output) / "captum-cluster-demo.png"
    with staged(output) as stage:
        save_figure(_figure(pairs, runs), stage / path.name)
    return DemoReport(trained, precision, len(pairs), rows, path)


def _runs(
    method: str, model: DigitNet, pairs: Sequence[tuple[Scene, int]], progress: bool
) -> list[Run]:
    """Return one method's run for each pair of scene and digit."""
    warm_up(method)
    bar = tqdm(pairs, desc=f"{method:<11}", disable=not progress)
    return [
        run_method(method, model, model.features, scene.image[None], label) for scene, label in bar
    ]


def _means(runs: Sequence[Run], pairs: Sequence[tuple[Scene, int]]) -> tuple[float, float, float]:
    """Return the mean forward passes, seconds, and share of energy inside the digit."""
    maps = torch.cat([run.maps[:, 0] for run in runs])
    masks = torch.stack([scene.mask(label) for scene, label in pairs])
    inside = float(energy_inside(maps, masks).mean())
    forwards = sum(run.forwards for run in runs) / len(runs)
    return forwards, sum(run.seconds for run in runs) / len(runs), inside


def _figure(pairs: Sequence[tuple[Scene, int]], runs: dict[str, list[Run]]) -> Figure:
    """Return four scenes of several digits: the scene, its digit, and each method's overlay."""
    chosen: list[int] = []
    for number, (scene, _) in enumerate(pairs):
        seen = [pairs[other][0] is scene for other in chosen]
        if len(scene.present) > 1 and not any(seen) and len(chosen) < _SHOWN:
            chosen.append(number)
    panels = []
    for number in chosen:
        scene, label = pairs[number]
        digits = ", ".join(map(str, scene.present))
        panels.append(
            Panel(scene.image, title=f"Where is the {label}?", caption=f"shown: {digits}")
        )
        for method, own in runs.items():
            run = own[number]
            share = float(energy_inside(run.maps[:, 0], scene.mask(label)[None]))
            panels.append(
                Panel(
                    overlay(scene.image, run.maps[0, 0]),
                    title=method,
                    caption=f"{passes(run.forwards)}, {share:.0%} inside",
                )
            )
    return side_by_side(panels, rows=len(chosen), title="Scenes of unseen handwritten digits")
