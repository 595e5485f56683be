"""The figures of a training's report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from captum_cluster.data import Scene, SceneDataset
from captum_cluster.evaluation.recipes.pages import Picture
from captum_cluster.training import ClassHierarchy
from captum_cluster.visualization import (
    plot_head_weights,
    plot_hierarchy,
    plot_label_correlation,
    plot_pseudo_masks,
    plot_shared_kernels,
    plot_sub_categories,
    plot_weight_histograms,
    save_figure,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = "figures"
MOST_LABELS = 40
"""More labels than these make figures that nobody can read."""
_SHOWN = 4
_TOP = 10


def draw_sub_categories(
    directory: Path,
    train: SceneDataset,
    assignments: Tensor,
    heads: tuple[Tensor, Tensor],
) -> list[Picture]:
    """Draw example images of some labels' sub-categories, and the weights of both heads.

    Args:
        directory: Of the report.
        train: The training images.
        assignments: (M,L), the sub-category of each image.
        heads: (L,C) and (L*K,C), the weights of the labels and of their sub-categories.

    Returns:
        What was drawn; figures of more than ``MOST_LABELS`` labels are left out.
    """
    shown = [
        label for label in range(assignments.shape[1]) if bool((assignments[:, label] >= 0).any())
    ]
    examples = plot_sub_categories(
        lambda number: train[number].image,
        assignments,
        labels=shown[:_SHOWN],
        classes=train.classes,
    )
    found = [
        _keep(
            directory,
            "sub-categories",
            examples,
            "Sub-categories",
            "Example images of the largest sub-categories of the first labels, as the last round "
            "was trained with them.",
        )
    ]
    if len(train.classes) <= MOST_LABELS:
        found.append(
            _keep(
                directory,
                "head-weights",
                plot_head_weights(*heads, classes=train.classes),
                "Weights of labels and sub-categories",
                "The rows of both heads, laid out by t-SNE.",
            )
        )
    return found


def draw_hierarchy(directory: Path, hierarchy: ClassHierarchy) -> list[Picture]:
    """Draw the groups of labels as a tree."""
    if hierarchy.num_labels > MOST_LABELS:
        return []
    caption = "From the labels to the coarsest level: which labels each level takes together."
    figure = plot_hierarchy(hierarchy)
    return [_keep(directory, "hierarchy", figure, "Groups of labels", caption)]


def draw_kernels(
    directory: Path, before: nn.Module, after: nn.Module, classes: Sequence[str]
) -> list[Picture]:
    """Draw how labels use the kernels, without and with the regularisation.

    Args:
        directory: Of the report.
        before: The head of the baseline.
        after: The regularised head.
        classes: The labels' names.
    """
    if not 1 < len(classes) <= MOST_LABELS:
        return []
    weights = {"baseline": head_weight(before), "kernel usage": head_weight(after)}
    top = min(_TOP, weights["baseline"].shape[1])
    return [
        _keep(
            directory,
            "weights",
            plot_weight_histograms(weights, classes=classes),
            "Weights of the labels",
            "The weights that each head applies; those of the regularised one with the softmax.",
        ),
        _keep(
            directory,
            "correlation",
            plot_label_correlation(weights, classes=classes),
            "Correlation of the labels' weights",
            "Labels that use the kernels alike correlate.",
        ),
        _keep(
            directory,
            "shared-kernels",
            plot_shared_kernels(weights, top=top, classes=classes),
            "Kernels in common",
            f"The share of its {top} strongest kernels that a label has in common with another.",
        ),
    ]


def draw_segmentations(
    directory: Path,
    scenes: Sequence[Scene],
    masks: Mapping[str, Sequence[Tensor]],
    classes: Sequence[str],
    *,
    truth: bool,
) -> list[Picture]:
    """Draw segmentations of some images, and the true ones.

    Args:
        directory: Of the report.
        scenes: The images, of the size of the masks.
        masks: By name the segmentations (H,W) of all images.
        classes: The labels' names.
        truth: Whether the true masks are known.
    """
    figure = plot_pseudo_masks(
        [scene.image for scene in scenes],
        None,
        masks,
        [scene.label_map() for scene in scenes] if truth else None,
        classes=classes,
        rows=[scene.name for scene in scenes],
    )
    caption = "The first test images, their segmentations, and the true ones."
    if not truth:
        caption = "The first test images and their segmentations; the true ones are not known."
    return [_keep(directory, "segmentations", figure, "Segmentations", caption)]


def head_weight(head: nn.Module) -> Tensor:
    """Return the weights (L,C) that a head applies, on the CPU."""
    found: Any = head
    weight: Tensor = getattr(found, "effective_weight", found.weight)
    return weight.detach().cpu()


def _keep(directory: Path, name: str, figure: Figure, title: str, caption: str) -> Picture:
    folder = directory / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    path = save_figure(figure, folder / f"{name}.png")
    return Picture(title, caption, path.relative_to(directory).as_posix())
