"""How the networks of a run are trained, and on which images: what its config comes to."""

from __future__ import annotations

import dataclasses

from captum_cluster._checks import expected
from captum_cluster.data import Preparation
from captum_cluster.evaluation.recipes.config import DIGIT_NET, TrainingConfig
from captum_cluster.evaluation.recipes.sources import (
    Sources,
    is_digits,
    open_sources,
    preparation_of,
)
from captum_cluster.training import TrainingSettings
from captum_cluster.training.settings import preset

PHOTOGRAPHS = TrainingSettings(
    lr=1e-4, head_lr_factor=10.0, top_share=0.25, image_size=224, fixed_statistics=True
)
"""The preset "small" for photographs: the last quarter of the layers (layer4 of a ResNet-18), and
heads, which begin at random, at ten times the learning rate."""

_OVERRIDES = ("epochs", "batch_size", "lr", "top_share")


def chosen_settings(config: TrainingConfig) -> TrainingSettings:
    """Return the settings of a run: its preset's, with what it says itself.

    With another number of epochs, those of the head alone change in proportion. What begins at
    random is trained as a whole from the beginning.

    Raises:
        ValueError: The preset does not go with the recipe.

    Example:
        >>> chosen_settings(TrainingConfig("baseline", epochs=2)).epochs
        2
    """
    photographs = config.preset == "small" and not is_digits(config.data)
    settings = PHOTOGRAPHS if photographs else preset(config.preset, config.recipe)
    given = {name: getattr(config, name) for name in _OVERRIDES}
    chosen = {name: value for name, value in given.items() if value is not None}
    epochs = chosen.get("epochs", settings.epochs)
    chosen["head_epochs"] = round(settings.head_epochs * epochs / settings.epochs)
    at_random = config.chosen_backbone == DIGIT_NET or config.weights == "none"
    if at_random and photographs:
        chosen.update(fixed_statistics=False, head_lr_factor=1.0)
    if at_random and config.top_share is None:
        chosen.update(top_share=1.0, head_epochs=0)
    found = dataclasses.replace(settings, **chosen)
    if config.recipe == "sub-category":
        _check_rounds(config, found)
    return found


def chosen_sources(config: TrainingConfig, settings: TrainingSettings) -> Sources:
    """Return the images of a run.

    Args:
        config: The run.
        settings: Its ``chosen_settings``.

    Raises:
        OSError: As ``open_sources``.
        ValueError: The same.

    Example:
        >>> config = TrainingConfig("baseline", limit=3, test_limit=2)
        >>> sources = chosen_sources(config, chosen_settings(config))
        >>> len(sources.train), len(sources.test)
        (3, 2)
    """
    return open_sources(
        config.data,
        seed=config.seed,
        size=config.size or settings.image_size,
        crop=settings.crop,
        limit=config.limit,
        test_limit=config.test_limit,
    )


def chosen_preparation(config: TrainingConfig, settings: TrainingSettings) -> Preparation:
    """Return how the scenes of ``chosen_sources`` become what networks take, the data not opened.

    Args:
        config: The run.
        settings: Its ``chosen_settings``.

    Example:
        >>> config = TrainingConfig("baseline")
        >>> chosen_preparation(config, chosen_settings(config)).size
        64
    """
    size = config.size or settings.image_size
    return preparation_of(config.data, size=size, crop=settings.crop)


def _check_rounds(config: TrainingConfig, settings: TrainingSettings) -> None:
    """Refuse settings that do not leave each round its epochs and its weights."""
    for name in ("head_epochs", "early_stop", "restore_best"):
        if getattr(settings, name):
            what = f"one without {name}, for rounds of sub-categories"
            raise ValueError(expected("preset", what, repr(config.preset)))
