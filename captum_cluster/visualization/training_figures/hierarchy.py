"""How labels merge into groups, level by level, drawn as a tree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from captum_cluster._checks import describe, expected
from captum_cluster.visualization.training_figures.checking import class_names

# The paper's colours of the first, second and third level, then some more.
_COLOURS = ("tab:blue", "tab:green", "tab:purple", "tab:orange", "tab:red", "tab:brown")
_LINE, _LEVEL = 0.27, 1.4  # inches from one label to the next, from one level to the next
_SIZE = 10.0  # points


def plot_hierarchy(
    hierarchy: Any, classes: Sequence[str] | None = None, *, title: str = ""
) -> Figure:
    """Return a figure of groups of labels as a tree, from the labels to the coarsest level.

    Each level has a column. Where groups merge, the lines join in the level's colour (blue, green,
    purple, ... from the first to the last); what stays alone goes on in grey. A node has the number
    of its group at that level.

    Args:
        hierarchy: A ``ClassHierarchy``, or anything else with its attribute ``groups``; or the
            groups themselves: a sequence of integer tensors (L,), one for each level from fine to
            coarse, which tell the group of each label.
        classes: The names of the L labels; None: those of the hierarchy, or their numbers.
        title: Above all.

    Returns:
        The figure, for ``save_figure`` or ``figure_image``.

    Raises:
        TypeError: An argument is of another type.
        ValueError: There is no level, the levels differ in their number of labels, a level splits
            a group of the one before, or the names are not as many as the labels.

    Example:
        >>> levels = [torch.tensor([0, 0, 1, 2]), torch.tensor([0, 0, 1, 1])]
        >>> figure = plot_hierarchy(levels, ["cat", "dog", "car", "bus"])
        >>> [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
        ['cat', 'dog', 'car', 'bus']

    References:
        Huang et al., "Class Activation Map generation by Multiple Level Class Grouping and
        Orthogonal Constraint", figure 3. There each group is written out in curly brackets.
    """
    levels = _levels(getattr(hierarchy, "groups", hierarchy))
    given = getattr(hierarchy, "classes", None) if classes is None else classes
    names = class_names(given, len(levels[0]))
    # Sorted by group from the coarsest level down, no line crosses another.
    order = sorted(range(len(names)), key=lambda label: [*_path(levels, label)[::-1], label])
    height = 0.8 + _LINE * len(names)
    figure = Figure(figsize=(1.8 + _LEVEL * len(levels), height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _draw_levels(axes, levels, order)
    _label(axes, [names[label] for label in order], [len(set(level.tolist())) for level in levels])
    axes.set_xlim(-0.05, len(levels) + 0.35)
    axes.set_ylim(len(names) - 0.4, -0.6)
    if title:
        figure.suptitle(title, fontsize=12, parse_math=False)
    return figure


def _levels(groups: Any) -> list[Tensor]:
    """Return the group of each label (L,) at each level, on the CPU."""
    what = "a ClassHierarchy, or a sequence of at least one integer tensor (L,)"
    if isinstance(groups, (str, bytes, Tensor)) or not isinstance(groups, Sequence):
        raise TypeError(expected("hierarchy", what, describe(groups)))
    if not groups:
        raise ValueError(expected("hierarchy", what, "none"))
    for level in groups:
        if not isinstance(level, Tensor) or level.dtype not in (torch.int64, torch.int32):
            raise TypeError(expected("hierarchy", what, describe(level)))
        if level.ndim != 1 or level.shape != groups[0].shape or not level.numel():
            whole = f"{what}, all of equal length"
            raise ValueError(expected("hierarchy", whole, describe(level)))
    levels = [level.detach().cpu() for level in groups]
    for number in range(1, len(levels)):
        _check_merges(levels[number - 1], levels[number], number)
    return levels


def _check_merges(fine: Tensor, coarse: Tensor, number: int) -> None:
    """Check that labels of one group are together at the next level too."""
    for group in sorted(set(fine.tolist())):
        if len(set(coarse[fine == group].tolist())) > 1:
            what = "nested, each level merging groups of the one before"
            got = f"group {group} of level {number} split at level {number + 1}"
            raise ValueError(expected("the groups", what, got))


def _path(levels: Sequence[Tensor], label: int) -> list[int]:
    """Return the group of a label at each level."""
    return [int(level[label]) for level in levels]


def _draw_levels(axes: Axes, levels: Sequence[Tensor], order: Sequence[int]) -> None:
    """Draw the lines and the nodes of all levels, the labels from above in the order given."""
    nodes = {label: float(place) for place, label in enumerate(order)}
    before = torch.arange(len(order))
    for number, level in enumerate(levels):
        merged: dict[int, float] = {}
        for group in sorted(set(level.tolist())):
            children = [nodes[one] for one in sorted(set(before[level == group].tolist()))]
            merged[group] = sum(children) / len(children)
            _draw_node(axes, number, group, children, merged[group])
        nodes, before = merged, level


def _draw_node(axes: Axes, number: int, group: int, children: list[float], place: float) -> None:
    """Draw what leads from the children of a group to its node, and the node with its number."""
    merges = len(children) > 1
    colour = _COLOURS[number % len(_COLOURS)] if merges else "0.7"
    for child in children:
        axes.plot([number, number + 1], [child, child], color=colour, linewidth=1.5)
    if merges:
        axes.plot([number + 1] * 2, [min(children), max(children)], color=colour, linewidth=1.5)
    axes.plot([number + 1], [place], "o", color=colour, markersize=6 if merges else 3)
    axes.annotate(
        str(group),
        (number + 1, place),
        xytext=(4, 2),
        textcoords="offset points",
        color="black" if merges else "0.5",
        fontsize=9,
    )


def _label(axes: Axes, names: list[str], sizes: list[int]) -> None:
    """Write the labels' names at the left, and above each level how many groups it has."""
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=_SIZE)
    axes.xaxis.tick_top()
    counts = ["1 group" if size == 1 else f"{size} groups" for size in sizes]
    heads = [f"level {number}\n{count}" for number, count in enumerate(counts, 1)]
    axes.set_xticks(range(1, len(sizes) + 1), heads)
    axes.set_yticks(range(len(names)), names, parse_math=False)
