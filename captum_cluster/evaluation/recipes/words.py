"""What was done in a training, in the words of its report."""

from __future__ import annotations

from collections.abc import Iterator

from captum_cluster.evaluation.recipes.config import DIGIT_NET, TrainingConfig
from captum_cluster.evaluation.recipes.sources import Sources
from captum_cluster.training import TrainingSettings


def common_words(
    config: TrainingConfig, settings: TrainingSettings, sources: Sources
) -> Iterator[tuple[str, str]]:
    """Yield recipe, images, labels, backbone and training, in words."""
    kinds = "several in an image" if sources.several else "one in each image"
    yield "Recipe", config.recipe
    yield "Images", f"{config.data}: {len(sources.train)} learned from, {len(sources.test)} judged"
    yield "Labels", f"{len(sources.classes)}, {kinds}"
    weights = (
        "random weights" if config.chosen_backbone == DIGIT_NET else f"weights {config.weights}"
    )
    yield "Backbone", f"{config.chosen_backbone}, {weights}"
    yield "Training", _training_words(config, settings)


def _training_words(config: TrainingConfig, settings: TrainingSettings) -> str:
    each = "each round" if config.recipe == "sub-category" else "each network"
    count = f"{settings.epochs} epoch" + ("" if settings.epochs == 1 else "s")
    share = "all" if settings.top_share == 1 else f"the last {settings.top_share:.0%} of the"
    return (
        f"{count} of {each}, batches of {settings.batch_size}, {settings.optimizer}, learning rate "
        f"{settings.lr:g} ({settings.schedule}), {share} layers"
    )
