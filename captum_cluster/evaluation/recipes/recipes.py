"""The recipes: which networks are trained, how, and by which methods they are explained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from captum_cluster._checks import check_integer
from captum_cluster.evaluation.recipes.config import TrainingConfig
from captum_cluster.evaluation.recipes.judging import Judged, called
from captum_cluster.evaluation.recipes.networks import HIERARCHY
from captum_cluster.evaluation.recipes.pictures import draw_hierarchy, draw_kernels
from captum_cluster.evaluation.recipes.rounds import sub_category
from captum_cluster.evaluation.recipes.workshop import Outcome, Workshop
from captum_cluster.training import ClassHierarchy, GapClassifier, MultiLevelNetwork
from captum_cluster.training.seeding import mixed_seed

MINMAX = ("cam", "minmax-cam", "d-minmax-cam")
SHARES, SHARES_OF_PAPER = (0.6, 0.3), (0.6, 0.4, 0.25)
"""The sizes of the levels as shares of the number of labels, where none are given."""


def baseline(shop: Workshop) -> Outcome:
    """Train a plain classifier: pooling and a linear layer, for CAM."""
    network = shop.baseline(kernel_usage=shop.config.kernel_usage)
    return Outcome([Judged("baseline", network, _contrasts(shop))], called("baseline", "cam"))


def kernel_usage(shop: Workshop) -> Outcome:
    """Train a plain classifier, and the same with kernel usage regularisation.

    References:
        David, Pedrini, Dias 2022, "MinMax-CAM: Improving Focus of CAM-based Visualization
        Techniques in Multi-label Problems", section 6.2 and table 4.
    """
    from captum_cluster.evaluation.weights_report import kernel_usage_statistics

    before = shop.baseline()
    after = shop.builder.classifier(shop.num_labels, seed=shop.config.seed, kernel_usage=True)
    shop.train("kernel-usage", after)
    heads = before.parent_head, after.parent_head
    return Outcome(
        [
            Judged("baseline", before, _contrasts(shop)),
            Judged("kernel usage", after, _contrasts(shop)),
        ],
        called("kernel usage", "cam"),
        lambda directory: draw_kernels(directory, *heads, shop.sources.classes),
        {"kernel_usage": kernel_usage_statistics(*heads)},
    )


def class_grouping(shop: Workshop) -> Outcome:
    """Train a classifier of the labels and one of each level's groups, of two branches each.

    References:
        Huang et al., "Class Activation Map Generation by Multiple Level Class Grouping and
        Orthogonal Constraint".
    """
    plain = shop.baseline(kernel_usage=shop.config.kernel_usage)
    judged = [Judged("baseline", plain, ("cam",))]
    base: nn.Module = plain
    if shop.config.branches == 2:
        base = _level(shop, "branches", 0, None)
        judged.append(Judged("branches", base, ("multi-branch-cam",)))
    sizes = level_sizes(shop.config, shop.num_labels)
    if not sizes:
        return Outcome(judged, called("branches", "multi-branch-cam"))
    hierarchy = _hierarchy(shop, plain, sizes)
    if shop.first:
        hierarchy.save(shop.course.directory / HIERARCHY)
    levels = [
        _level(shop, f"level-{number}", number, groups)
        for number, groups in enumerate(hierarchy.groups, start=1)
    ]
    network = MultiLevelNetwork(base, levels, hierarchy).eval()
    name, method = "groups", "multi-level-cam"
    entry = {"method": method, "options": {"rest": shop.config.rest}}
    judged.append(Judged(name, network, (entry,)))
    return Outcome(
        judged,
        called(name, method),
        lambda directory: draw_hierarchy(directory, hierarchy),
        {"groups": [hierarchy.names(number) for number in range(len(sizes))]},
    )


def level_sizes(config: TrainingConfig, num_labels: int) -> list[int]:
    """Return how many groups each level has: those given, or the preset's share of the labels.

    Raises:
        ValueError: There are more groups than labels.

    Example:
        >>> level_sizes(TrainingConfig("class-grouping"), 20)
        [12, 6]
        >>> level_sizes(TrainingConfig("class-grouping", preset="paper"), 20)
        [12, 8, 5]
        >>> level_sizes(TrainingConfig("class-grouping", sizes=[5]), 20)
        [5]
    """
    if config.sizes is None:
        shares = SHARES_OF_PAPER if config.preset == "paper" else SHARES
        return [max(1, round(share * num_labels)) for share in shares]
    note = "the number of labels"
    return [check_integer("sizes", size, 1, num_labels, note) for size in config.sizes]


def _hierarchy(shop: Workshop, plain: GapClassifier, sizes: list[int]) -> ClassHierarchy:
    """Return the groups of the labels, found from the baseline or by training at each level."""
    options: dict[str, Any] = {"classes": shop.sources.classes, "seed": shop.config.seed}
    if shop.config.chosen_hierarchy == "from-weights":
        return ClassHierarchy.from_weights(_rows(plain), sizes, **options)
    trained: list[GapClassifier] = []

    def train(groups: Tensor) -> Tensor:
        if not trained:  # the labels themselves: the baseline
            trained.append(plain)
            return _rows(plain)
        number = len(trained)
        seed = mixed_seed(shop.config.seed, 2, number)
        network = shop.builder.classifier(int(groups.max()) + 1, seed=seed)
        shop.train(f"grouping-{number}", network, groups=groups)
        trained.append(network)
        return _rows(network)

    return ClassHierarchy.fit(train, sizes, **options)


def _level(shop: Workshop, name: str, number: int, groups: Tensor | None) -> nn.Module:
    """Return the network of a level, trained; of the labels where there are no groups."""
    outputs = shop.num_labels if groups is None else int(groups.max()) + 1
    seed = mixed_seed(shop.config.seed, 1, number)
    network = shop.builder.branched(outputs, seed=seed)
    shop.train(name, network, groups=groups)
    return network


def _rows(network: GapClassifier) -> Tensor:
    head = network.parent_head
    weight: Tensor = getattr(head, "effective_weight", head.weight)
    return weight.detach().cpu()


def _contrasts(shop: Workshop) -> tuple[str, ...]:
    """Return the methods of a plain classifier: those of the MinMax family need several labels."""
    return MINMAX if shop.sources.several else MINMAX[:1]


RECIPES: dict[str, Callable[[Workshop], Outcome]] = {
    "baseline": baseline,
    "sub-category": sub_category,
    "class-grouping": class_grouping,
    "kernel-usage": kernel_usage,
}
