"""A training as a file: everything that ``captum-cluster train`` needs, in YAML."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from captum_cluster._checks import (
    check_choice,
    check_flag,
    check_integer,
    check_number,
    describe,
    expected,
)
from captum_cluster.evaluation.config_file import FileConfig
from captum_cluster.evaluation.recipes.sources import LARGEST_SEED, is_digits
from captum_cluster.evaluation.running.measures import choose_metrics
from captum_cluster.functional.weak.dense_crf import check_crf_options
from captum_cluster.training.settings import PRESETS

SEGMENTATION = "segmentation"
RECIPES = ("baseline", "sub-category", "class-grouping", "kernel-usage", SEGMENTATION)
HIERARCHIES = ("from-weights", "fit")
RESTS = ("present", "groupmates", "all")
MAPS = ("parent", "sub_max")
DIGIT_NET = "digit-net"
METRICS = (
    "energy", "localization-error", "object-iou", "object-recall", "object-precision",
    "segmentation", "multi-label",
)  # fmt: skip


@dataclass(frozen=True)
class TrainingConfig(FileConfig):
    """A run of ``train`` in words and numbers alone.

    What is None is the preset's, or follows from the data.

    Attributes:
        recipe: "baseline", "sub-category", "class-grouping", "kernel-usage", or "segmentation",
            which trains a segmentation network on pseudo masks.
        data: What the network learns from; see ``open_sources``.
        backbone: A convolutional torchvision classifier, or "digit-net", the demo's body. None:
            that for digit scenes, else "resnet18".
        weights: Where a torchvision backbone begins: "DEFAULT" (torchvision's), "none" (random) or
            a file with a state dict. "digit-net" always begins at random.
        preset: "small"; "paper": the settings of the recipe's paper, and of "class-grouping" also
            its ``hierarchy`` and ``sizes``, where they are None; or a name of
            ``captum_cluster.training.PRESETS``, such as "sub-category-code", for those settings
            alone. No preset changes the backbone.
        seed: Of the first weights, the order of the images, the clusterings and, for digit scenes,
            the training scenes; up to 2**32 - 1.
        epochs: Of each network; of each round of "sub-category". The epochs in which a preset
            trains the head alone change in proportion.
        batch_size: Images at once, of all devices together.
        lr: The learning rate.
        top_share: Share of the backbone's layers that is trained, the last ones.
        size: Height and width that images are squashed to; digit scenes are 64 in any case.
        limit: Number of training images, evenly spread (of digit scenes: 4800).
        test_limit: Number of images judged, evenly spread (of digit scenes: 200).
        kernel_usage: Whether the heads have kernel usage regularisation, in any recipe;
            "kernel-usage" is the baseline with it.
        rounds: Of "sub-category", after the first, which is the baseline.
        n_sub_categories: K, of each label.
        sub_weight: Of the sub-categories' loss.
        restart: Whether each round starts from the first weights.
        map: Which maps the report of "sub-category" is about: "parent", the label's own CAM, or
            "sub_max", the maximum over its sub-categories' (``sub-category-cam``). Both are judged.
        sizes: Of "class-grouping": how many groups each level has, none more than the one before;
            an empty list for the branches alone. None: 0.6 and 0.3 times the number of labels;
            with the preset "paper" 0.6, 0.4 and 0.25 times, its 12, 8 and 5 groups of 20 labels.
        hierarchy: "from-weights" (of the baseline), or "fit", which trains a classifier for each
            level, as the paper does. None: "fit" with the preset "paper", else "from-weights".
        branches: 2, or 1 for the groups alone.
        orthogonality: Weight of the branches' loss; 0 for two branches without it.
        rest: Which labels' maps are taken away from the groups': see ``LayerMultiLevelCam``.
        pseudo: Of "segmentation", which needs it: the folder that ``captum-cluster masks`` has
            written.
        output_stride: Of "segmentation": pixels of the image per pixel of the maps, at most; see
            ``segmentation_network``.
        crf: Of "segmentation": whether the network is also judged with the fully connected CRF
            behind it.
        crf_gaussian: Of "segmentation": the CRF's kernel of position, see ``DenseCRF``.
        crf_bilateral: Of "segmentation": the CRF's kernel of position and colour.
        metrics: Of the maps, as for ``evaluate``; of all recipes but "segmentation".
        devices: Number of devices, one process each, which start this program again.
        accelerator: Lightning's: "cpu", "cuda", "auto".

    Raises:
        TypeError: A value of a wrong type.
        ValueError: A value outside its range, or one that belongs to another recipe.

    Example:
        >>> config = TrainingConfig("sub-category", rounds=2)
        >>> config.data, config.chosen_backbone, config.n_sub_categories
        ('digits', 'digit-net', 10)
    """

    needed: ClassVar[str | None] = "recipe"

    recipe: str
    data: str = "digits"
    backbone: str | None = None
    weights: str = "DEFAULT"
    preset: str = "small"
    seed: int = 0
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    top_share: float | None = None
    size: int | None = None
    limit: int | None = None
    test_limit: int | None = None
    kernel_usage: bool = False
    rounds: int = 3
    n_sub_categories: int = 10
    sub_weight: float = 5.0
    restart: bool = True
    map: str = "parent"
    sizes: Sequence[int] | None = None
    hierarchy: str | None = None
    branches: int = 2
    orthogonality: float = 1e-4
    rest: str = "present"
    pseudo: str | None = None
    output_stride: int = 8
    crf: bool = True
    crf_gaussian: Sequence[float] = (3.0, 3.0)
    crf_bilateral: Sequence[float] = (80.0, 13.0, 10.0)
    metrics: Sequence[Any] | str = field(default=METRICS)
    devices: int = 1
    accelerator: str = "auto"

    def __post_init__(self) -> None:
        _check_choices(self)
        _check_numbers(self)
        _check_sizes(self)
        _check_recipe(self)
        choose_metrics(self.metrics)
        if self.chosen_backbone == DIGIT_NET and self.weights not in ("DEFAULT", "none"):
            raise ValueError(expected("weights", "'none' for digit-net", repr(self.weights)))
        if self.recipe == "kernel-usage":
            object.__setattr__(self, "kernel_usage", True)

    @property
    def chosen_backbone(self) -> str:
        """The backbone: the one given, or the data's."""
        return self.backbone or (DIGIT_NET if is_digits(self.data) else "resnet18")

    @property
    def chosen_hierarchy(self) -> str:
        """Where the groups come from: as given, or as the preset has it."""
        return self.hierarchy or ("fit" if self.preset == "paper" else "from-weights")


def _check_choices(config: TrainingConfig) -> None:
    check_choice("recipe", config.recipe, RECIPES)
    check_choice("preset", config.preset, ("small", "paper", *PRESETS))
    if config.hierarchy is not None:
        check_choice("hierarchy", config.hierarchy, HIERARCHIES)
    check_choice("rest", config.rest, RESTS)
    check_choice("map", config.map, MAPS)
    for name in ("kernel_usage", "restart", "crf"):
        check_flag(name, getattr(config, name))
    for name in ("data", "backbone", "weights", "pseudo", "accelerator"):
        value = getattr(config, name)
        if not isinstance(value, str) and not (value is None and name in _OPTIONAL):
            raise TypeError(expected(name, "text", describe(value)))


def _check_numbers(config: TrainingConfig) -> None:
    check_crf_options(0, config.crf_gaussian, config.crf_bilateral)
    for name, low in _LOWEST.items():
        value = getattr(config, name)
        if value is not None or name not in _OPTIONAL:
            check_integer(name, value, low)
    check_integer("seed", config.seed, 0, LARGEST_SEED)
    check_integer("branches", config.branches, 1, 2)
    for name in ("sub_weight", "orthogonality"):
        check_number(name, getattr(config, name), 0.0)
    if config.lr is not None:
        check_number("lr", config.lr, 0.0, open_low=True)
    if config.top_share is not None:
        check_number("top_share", config.top_share, 0.0, 1.0)


def _check_sizes(config: TrainingConfig) -> None:
    """Check the sizes of the levels as far as the number of labels is not known."""
    if config.sizes is None:
        return
    if isinstance(config.sizes, (str, Mapping)) or not isinstance(config.sizes, Sequence):
        raise TypeError(expected("sizes", "a list of integers", describe(config.sizes)))
    sizes = [check_integer("a size", size, 1) for size in config.sizes]
    if any(later > size for size, later in itertools.pairwise(sizes)):
        raise ValueError(expected("sizes", "none larger than the one before", sizes))
    if not sizes and config.branches == 1 and config.recipe == "class-grouping":
        what = "given where there is one branch (without both it is the baseline)"
        raise ValueError(expected("sizes", what, "none"))


def _check_recipe(config: TrainingConfig) -> None:
    """Refuse options of another recipe, which would be without any effect."""
    for one in dataclasses.fields(config):
        recipe, given = _OF_RECIPES.get(one.name, config.recipe), getattr(config, one.name)
        if recipe != config.recipe and _is_given(given, one.default):
            what = f"left out with the recipe {config.recipe!r}: it belongs to {recipe!r}"
            raise ValueError(expected(one.name, what, repr(given)))
        classifiers = one.name in _OF_CLASSIFIERS and config.recipe == SEGMENTATION
        if classifiers and _is_given(given, one.default):
            what = f"left out with the recipe {SEGMENTATION!r}, which trains no classifier"
            raise ValueError(expected(one.name, what, repr(given)))
    if config.recipe == SEGMENTATION and config.pseudo is None:
        what = f"the folder of the masks that the recipe {SEGMENTATION!r} learns"
        raise ValueError(expected("pseudo", what, "none"))


def _is_given(value: Any, default: Any) -> bool:
    """Return whether a value is not the default, which a file has as a list for a tuple."""
    return bool((tuple(value) if isinstance(value, list) else value) != default)


_OF_CLASSIFIERS = ("kernel_usage", "metrics")
OF_CRF = ("crf", "crf_gaussian", "crf_bilateral")
_OF_RECIPES = {
    **dict.fromkeys(("rounds", "n_sub_categories", "sub_weight", "restart", "map"), "sub-category"),
    **dict.fromkeys(("sizes", "hierarchy", "branches", "orthogonality", "rest"), "class-grouping"),
    **dict.fromkeys(("pseudo", "output_stride", *OF_CRF), SEGMENTATION),
}
_OPTIONAL = ("backbone", "pseudo", "epochs", "batch_size", "size", "limit", "test_limit")
_LOWEST = {
    "epochs": 1,
    "batch_size": 1,
    "size": 1,
    "limit": 1,
    "test_limit": 1,
    "rounds": 1,
    "n_sub_categories": 1,
    "output_stride": 1,
    "devices": 1,
}
