"""What the words of a configuration name: the classifier, and the images that it explains."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from captum_cluster._checks import expected
from captum_cluster.data import Preparation, SceneDataset, open_dataset
from captum_cluster.evaluation.digit_classifier import load_digit_net
from captum_cluster.evaluation.models import load_model
from captum_cluster.evaluation.recipes.config import DIGIT_NET, SEGMENTATION
from captum_cluster.evaluation.recipes.networks import load_network
from captum_cluster.evaluation.recipes.parts import Joined
from captum_cluster.evaluation.recipes.sources import DIGITS, preparation_of
from captum_cluster.evaluation.recipes.trained import Trained
from captum_cluster.evaluation.runner import squashed
from captum_cluster.evaluation.weak_outputs.images import Pictures, with_places

if TYPE_CHECKING:
    from captum_cluster.evaluation.weak_outputs.output_config import OutputConfig


@dataclass(frozen=True, eq=False)
class Opened:
    """What a configuration names.

    Attributes:
        model: In evaluation mode, on the device asked for.
        images: The scenes.
        preparation: How scenes become what the model takes.
        probability: How probabilities are read of the logits, where nothing else is asked for.
        classes: The names of the labels; None if unknown.
    """

    model: nn.Module
    images: SceneDataset
    preparation: Preparation
    probability: str
    classes: list[str] | None


def open_run(config: OutputConfig) -> Opened:
    """Return what a configuration names; images first, so that no weights are loaded in vain.

    The data of a training are opened where its own images are explained, and not for others.

    Raises:
        OSError: A file is not there.
        ValueError: The data, model, network or device are unknown or damaged.
    """
    device = chosen_device(config.device)
    training = None if config.network is None else classifier_training(Path(config.network))
    images = _images(config, training)
    opened = _model(config, images) if training is None else _network(config, images, training)
    opened.model.to(device)
    return dataclasses.replace(opened, preparation=_sized(opened.preparation, config.size))


def classifier_training(directory: Path) -> Trained:
    """Return the training of classifiers in a directory.

    Raises:
        FileNotFoundError: There is no training.
        ValueError: It is one of a segmentation network, which has no labels of whole images to
            explain; or the configuration is damaged.
    """
    training = Trained(directory)
    if training.config.recipe == SEGMENTATION:
        what = "the directory of a training of a classifier, whose maps are made"
        got = f"{str(directory)!r} with a segmentation network"
        raise ValueError(expected("network", what, got))
    return training


def chosen_device(name: str) -> torch.device:
    """Return a device by its name; "auto" is a GPU where there is one.

    Raises:
        ValueError: There is no such device here.

    Example:
        >>> chosen_device("cpu")
        device(type='cpu')
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        what = "'auto', 'cpu' or another one that is here"
        raise ValueError(expected("device", what, f"{name!r} ({reason})")) from error
    return device


def _images(config: OutputConfig, training: Trained | None) -> SceneDataset:
    if config.paths:
        return Pictures(config.paths)
    if config.data is not None:
        return open_dataset(config.data)
    assert training is not None
    sources = training.sources
    if config.part == "test":
        return with_places(sources.test)
    return Joined([with_places(sources.train), with_places(sources.watching)])


def _network(config: OutputConfig, images: SceneDataset, training: Trained) -> Opened:
    """Return a classifier of a training."""
    labels = training.labels()
    probability = "sigmoid" if labels.several else "probability"
    model = load_network(training.directory, config.network_name)
    return Opened(model, images, training.preparation, probability, labels.classes)


def _model(config: OutputConfig, images: SceneDataset) -> Opened:
    """Return a classifier that was not trained here."""
    if config.model == DIGIT_NET:
        digits = [str(digit) for digit in range(10)]
        return Opened(load_digit_net()[0], images, preparation_of(DIGITS), "sigmoid", digits)
    loaded = load_model(config.model or "resnet18", config.weights)
    preparation = squashed(loaded.transform)
    return Opened(loaded.model, images, preparation, "probability", loaded.categories)


def _sized(preparation: Preparation, size: Any) -> Preparation:
    return (
        preparation if size is None else dataclasses.replace(preparation, size=size, mode="squash")
    )
