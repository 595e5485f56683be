"""How a network is trained: optimizer, schedule, what is trained first, when to stop."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from captum_cluster._checks import (
    check_choice,
    check_flag,
    check_integer,
    check_number,
    describe,
    expected,
)
from captum_cluster.training.augmentation import Augmentation

OPTIMIZERS = ("sgd", "adam", "adamw")
SCHEDULES = ("constant", "one-cycle", "poly", "plateau", "step")


@dataclass(frozen=True)
class TrainingSettings:
    """All numbers of a training; the defaults are those for digit scenes (about a minute).

    With ``head_epochs`` the head alone is trained first, at ``head_lr``; then the optimizer and the
    schedule begin anew for the head and the last ``top_share`` of the body's layers.

    ``LitCamClassifier``, ``LitTwoBranch`` and ``LitSegmentation`` do what the settings from
    ``optimizer`` to ``threshold``, from ``head_epochs`` to ``restore_best`` and
    ``fixed_statistics`` say; so does ``LitAffinity``, which refuses to train a part first or alone.
    The others belong elsewhere, and have no effect unless they are given there, as
    ``captum-cluster train`` does: ``epochs`` to the ``Trainer`` (``max_epochs``); ``batch_size``
    and ``augmentation`` to ``SceneData`` or ``MaskData``; ``image_size`` and ``crop`` to its
    ``Preparation``; ``dropout`` and ``head_bias`` (``bias``) to
    ``gap_classifier``.

    Args:
        optimizer: "sgd", "adam" or "adamw".
        lr: Learning rate (the highest one of "one-cycle"), above 0.
        weight_decay: At least 0.
        momentum: Of "sgd", from 0 to 1.
        nesterov: Nesterov's momentum, for "sgd" with a momentum.
        schedule: "constant"; "one-cycle" and "poly" ((1 - step / steps) ** power) change at each
            step; "step" (times ``factor`` every ``step_epochs``) and "plateau" (times ``factor``
            after ``patience`` epochs without a smaller validation loss) at each epoch.
        power: Of "poly", above 0.
        step_epochs: Of "step", at least 1.
        factor: Of "step" and "plateau", above 0 and at most 1.
        patience: Of "plateau" and ``restore_best``, at least 1.
        threshold: The loss must fall by more than this share of it to count as smaller, 0 to 1.
        epochs: In all, at least 1.
        batch_size: Of all processes together, at least 1.
        head_epochs: The first epochs, in which the head alone is trained, from 0 to ``epochs``.
        head_lr: Learning rate of those; None: ``lr``.
        top_share: Share of the body's layers that is trained afterwards, the last ones, 0 to 1.
        head_lr_factor: What the heads' learning rate is multiplied by, above 0.
        bias_lr_factor: The same for biases.
        early_stop: Stop after so many epochs without a smaller validation loss (the first
            ``head_epochs`` do not count); None: never.
        restore_best: After ``patience`` epochs without a smaller validation loss, and at the end,
            put back the weights with the smallest.
        image_size: Height and width that images are brought to; None: they are left as they are.
        crop: Resize the shorter side and cut the middle; otherwise both sides are resized.
        augmentation: Random changes of the training images.
        dropout: Of the features before the head, from 0 to 1.
        head_bias: Whether heads have a bias.
        fixed_statistics: Train with the running statistics of batch normalisation as they are; see
            ``FixedStatistics``. For pretrained networks and few images.

    Raises:
        TypeError: A setting is of another type.
        ValueError: A setting is outside its range.

    Example:
        >>> settings = TrainingSettings(epochs=10)
        >>> settings.optimizer, settings.lr, settings.schedule
        ('adamw', 0.01, 'one-cycle')
    """

    optimizer: str = "adamw"
    lr: float = 0.01
    weight_decay: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    schedule: str = "one-cycle"
    power: float = 0.9
    step_epochs: int = 30
    factor: float = 0.5
    patience: int = 3
    threshold: float = 0.0
    epochs: int = 5
    batch_size: int = 32
    head_epochs: int = 0
    head_lr: float | None = None
    top_share: float = 1.0
    head_lr_factor: float = 1.0
    bias_lr_factor: float = 1.0
    early_stop: int | None = None
    restore_best: bool = False
    image_size: int | None = None
    crop: bool = False
    augmentation: Augmentation = field(default_factory=Augmentation)
    dropout: float = 0.0
    head_bias: bool = True
    fixed_statistics: bool = False

    def __post_init__(self) -> None:
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        check_choice("schedule", self.schedule, SCHEDULES)
        for name in ("nesterov", "restore_best", "crop", "head_bias", "fixed_statistics"):
            check_flag(name, getattr(self, name))
        self._check_numbers()
        self._check_integers()
        if self.nesterov and (self.optimizer != "sgd" or self.momentum == 0):
            raise ValueError(expected("nesterov", "False without sgd and a momentum", True))
        if not isinstance(self.augmentation, Augmentation):
            got = describe(self.augmentation)
            raise TypeError(expected("augmentation", "an Augmentation", got))

    def _check_numbers(self) -> None:
        for name in ("lr", "power", "head_lr_factor", "bias_lr_factor"):
            check_number(name, getattr(self, name), 0.0, open_low=True)
        if self.head_lr is not None:
            check_number("head_lr", self.head_lr, 0.0, open_low=True)
        check_number("weight_decay", self.weight_decay, 0.0)
        check_number("factor", self.factor, 0.0, 1.0, open_low=True)
        for name in ("momentum", "threshold", "top_share", "dropout"):
            check_number(name, getattr(self, name), 0.0, 1.0)

    def _check_integers(self) -> None:
        for name in ("step_epochs", "patience", "epochs", "batch_size"):
            check_integer(name, getattr(self, name), 1)
        for name in ("early_stop", "image_size"):
            if getattr(self, name) is not None:
                check_integer(name, getattr(self, name), 1)
        check_integer("head_epochs", self.head_epochs, 0, self.epochs, "the number of epochs")

    @property
    def freezes(self) -> bool:
        """Whether a part of the network is not trained, at first or at all."""
        return self.head_epochs > 0 or self.top_share < 1


_KERNEL_USAGE_001: dict[str, Any] = {
    "optimizer": "sgd",
    "lr": 0.01,
    "weight_decay": 0.0,
    "momentum": 0.9,
    "nesterov": True,
    "epochs": 110,
    "head_epochs": 30,
    "head_lr": 0.1,
    "top_share": 0.6,
    "schedule": "plateau",
    "patience": 3,
    "factor": 0.5,
    "early_stop": 20,
    "restore_best": True,
}

_CODE_003: dict[str, Any] = {
    "epochs": 61,
    "batch_size": 16,
    "image_size": 224,
    "dropout": 0.5,
    "head_bias": False,
    "schedule": "poly",
    "weight_decay": 5e-4,
    "augmentation": Augmentation(flip=True, scale=(0.5, 1.0), jitter=0.3),
}

PRESETS: dict[str, TrainingSettings] = {
    "small": TrainingSettings(),
    "class-grouping": TrainingSettings(
        optimizer="adam", lr=1e-4, weight_decay=0.0, epochs=100, batch_size=20, image_size=224,
        crop=True, schedule="plateau", patience=5, factor=0.5, threshold=1e-4,
    ),
    "kernel-usage": TrainingSettings(**_KERNEL_USAGE_001, image_size=512),
    "kernel-usage-vgg": TrainingSettings(**_KERNEL_USAGE_001, image_size=224),
    "sub-category": TrainingSettings(optimizer="adam", lr=1e-3, **_CODE_003),
    "sub-category-code": TrainingSettings(
        optimizer="sgd", lr=0.01, head_lr_factor=10.0, bias_lr_factor=2.0, top_share=0.8,
        **_CODE_003,
    ),
    "last-layer": TrainingSettings(
        optimizer="sgd", lr=0.01, weight_decay=0.0, schedule="step", step_epochs=30, factor=0.1,
        epochs=95, head_epochs=95, top_share=0.0, image_size=224,
    ),
    "segmentation": TrainingSettings(
        optimizer="sgd", lr=2.5e-4, momentum=0.9, weight_decay=5e-4, schedule="poly",
        head_lr_factor=10.0, epochs=19, batch_size=10, image_size=321,
        augmentation=Augmentation(flip=True, scale=(0.5, 1.0)),
    ),
}  # fmt: skip
"""Settings by name: "small" for digit scenes, the others those of the papers at full size.

"class-grouping" is Huang et al., "kernel-usage" David et al. 2022 with images
of 512 pixels, "kernel-usage-vgg" the same with 224 pixels, as they train VGG16,
"sub-category" Chang et al. 2020 as the paper has it and "sub-category-code" as their code,
"last-layer" Ha and Youn, and "segmentation" DeepLab-v2, which Chang et al. train without saying
how: the public settings for its ResNet-101 and VOC (20,000 steps are 19 epochs of 10,582 images).
There crops of 321 pixels are cut from images scaled by 0.5 to 1.5; here images are brought to 321
pixels, and windows of them enlarged. What a paper leaves open: Huang et al. the optimizer (Adam)
and the threshold of the plateau (1e-4); David et al. the batch (32) and the momentum of the head's
epochs; Chang et al. all but Adam, its rate and its weight decay (as in their code, whose frozen
early blocks are read as the first fifth of the layers); Ha and Youn the batch (32).
"""


def preset(name: str, recipe: str = "baseline") -> TrainingSettings:
    """Return the settings of a preset for a recipe.

    Args:
        name: "paper", or one of ``PRESETS``: "small", "class-grouping", "kernel-usage",
            "kernel-usage-vgg", "sub-category", "sub-category-code", "last-layer", "segmentation".
        recipe: What "paper" stands for: "class-grouping", "kernel-usage", "segmentation",
            "sub-category", or "baseline", which is round 0 of the sub-categories.

    Raises:
        TypeError: ``name`` or ``recipe`` is no string.
        ValueError: There is no such preset or recipe.

    Example:
        >>> preset("small").epochs, preset("paper", "kernel-usage").nesterov
        (5, True)
    """
    check_choice("name", name, (*PRESETS, "paper"))
    if name != "paper":
        return PRESETS[name]
    recipes = ("baseline", "sub-category", "class-grouping", "kernel-usage", "segmentation")
    check_choice("recipe", recipe, recipes)
    return PRESETS["sub-category" if recipe == "baseline" else recipe]
