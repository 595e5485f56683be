"""The networks of the recipes: built anew, written as tensors alone, and built again from these."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from captum_cluster._checks import expected
from captum_cluster._files import write_whole
from captum_cluster.evaluation.digit_classifier import DigitNet
from captum_cluster.evaluation.recipes.config import DIGIT_NET, SEGMENTATION, TrainingConfig
from captum_cluster.training import (
    ClassHierarchy,
    GapClassifier,
    MultiLevelNetwork,
    SegmentationNetwork,
    SubCategoryHead,
    TwoBranch,
    gap_classifier,
    segmentation_network,
)
from captum_cluster.training.state_files import read_state

HIERARCHY = "hierarchy.json"
SUB_HEAD = "sub_category_head"
_HEAD = "parent_head"
_HALVED = 8
"""Above this output stride the dilations of a segmentation network's head are halved."""


class Builder:
    """Makes the untrained networks of a run.

    Args:
        config: The run.
        dropout: Of the features, in training.
        bias: Whether heads have a bias.
        trained: Whether networks begin with the weights that ``config`` names; False: at random,
            for those whose weights come from a file.

    Example:
        >>> net = Builder(TrainingConfig("baseline")).classifier(10, seed=0)
        >>> net(torch.rand(2, 3, 64, 64)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        config: TrainingConfig,
        *,
        dropout: float = 0.0,
        bias: bool = True,
        trained: bool = True,
    ) -> None:
        self.config = config
        self._options: dict[str, Any] = {"dropout": dropout, "bias": bias}
        named = trained and config.weights != "none"
        self._weights = config.weights if named else None

    def classifier(
        self, num_labels: int, *, seed: int, kernel_usage: bool | None = None
    ) -> GapClassifier:
        """Return a classifier, the same for the same seed.

        Args:
            num_labels: Number of labels.
            seed: Of the weights that are random.
            kernel_usage: Whether its head is regularised; None: as the run says.
        """
        with _seeded(seed):
            return self._new(num_labels, kernel_usage)

    def two_branches(self, num_labels: int, *, seed: int) -> TwoBranch:
        """Return a network of two branches, the same for the same seed."""
        with _seeded(seed):
            return TwoBranch(lambda: self._new(num_labels), num_labels)

    def branched(self, num_labels: int, *, seed: int) -> GapClassifier | TwoBranch:
        """Return a network of as many branches as the run says."""
        make: Callable[..., Any] = (
            self.two_branches if self.config.branches == 2 else self.classifier
        )
        network: GapClassifier | TwoBranch = make(num_labels, seed=seed)
        return network

    def segmentation(self, num_labels: int, *, seed: int) -> SegmentationNetwork:
        """Return a segmentation network, the same for the same seed."""
        backbone, stride = self.config.chosen_backbone, self.config.output_stride
        options: dict[str, Any] = {"output_stride": stride}
        with _seeded(seed):
            if backbone == DIGIT_NET:  # of maps 16 x 16, where the usual rates see nothing
                options |= {"atrous_rates": (2, 4, 6), "channels": 64}
                return segmentation_network(DigitNet().features, num_labels, **options)
            if stride > _HALVED:
                options["atrous_rates"] = (6, 12, 18)  # as the authors of DeepLabV3 have it
            return segmentation_network(backbone, num_labels, weights=self._weights, **options)

    def _new(self, num_labels: int, kernel_usage: bool | None = None) -> GapClassifier:
        usage = self.config.kernel_usage if kernel_usage is None else kernel_usage
        options = {**self._options, "kernel_usage": usage}
        if self.config.chosen_backbone != DIGIT_NET:
            return gap_classifier(
                self.config.chosen_backbone, num_labels, weights=self._weights, **options
            )
        network = gap_classifier(DigitNet().features, num_labels, **options)
        _start_large(network.parent_head)
        return network


def save_network(network: nn.Module, path: Path) -> None:
    """Write a network's tensors, the whole file or nothing.

    Raises:
        OSError: They cannot be written; torch raises RuntimeError where the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda draft: torch.save(dict(network.state_dict()), draft))


def load_network(directory: str | os.PathLike[str], name: str = "network") -> nn.Module:
    """Return a network that ``train`` has written, in evaluation mode.

    Only tensors and text are read; code in a file is never run.

    Args:
        directory: The ``output`` of ``train``.
        name: Of the file without its suffix: "network", "baseline", "round-1", "branches", ...

    Returns:
        A ``GapClassifier`` (with the head of the sub-categories as ``sub_category_head`` where it
        was trained with one), a ``TwoBranch``, a ``MultiLevelNetwork`` or a
        ``SegmentationNetwork``.

    Raises:
        OSError: There is no such file.
        ValueError: A file is damaged.
    """
    folder = Path(directory)
    config = TrainingConfig.load(folder / "config.yaml")
    state = read_state(folder / f"{name}.pt")
    if config.recipe == SEGMENTATION:
        network: nn.Module = _segmentation(config, state)
    elif any(key.startswith("levels.") for key in state):
        network = _grouped(config, folder, state)
    elif any(key.startswith("branches.") for key in state):
        network = _builder(config, state).two_branches(_num_labels(state), seed=0)
    else:
        network = _plain(config, name, state)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        what = "the tensors of the network that config.yaml describes"
        got = str(error).splitlines()[-1].strip()
        raise ValueError(expected(str(folder / f"{name}.pt"), what, got)) from error
    return network.eval()


def add_sub_head(network: GapClassifier, state: Mapping[str, Tensor], num_sub: int) -> None:
    """Give a network the head of its sub-categories, which its own outputs do not use.

    Args:
        network: The network.
        state: The head's tensors.
        num_sub: K.
    """
    head = SubCategoryHead.beside(network.parent_head, num_sub)  # as it was trained
    head.load_state_dict(dict(state))
    network.add_module(SUB_HEAD, head)


def _plain(config: TrainingConfig, name: str, state: Mapping[str, Tensor]) -> GapClassifier:
    usage = False if config.recipe == "kernel-usage" and name == "baseline" else None
    labels = _num_labels(state)
    network = _builder(config, state).classifier(labels, seed=0, kernel_usage=usage)
    own = {key.removeprefix(f"{SUB_HEAD}."): one for key, one in state.items() if SUB_HEAD in key}
    if own:
        add_sub_head(network, own, len(own["weight"]) // labels)
    return network


def _segmentation(config: TrainingConfig, state: Mapping[str, Tensor]) -> nn.Module:
    last = [value for key, value in state.items() if key.startswith(f"{_HEAD}.")]
    if not last:
        raise ValueError(expected("the network", f"to have a {_HEAD}", "none"))
    return Builder(config, trained=False).segmentation(len(last[-1]) - 1, seed=0)


def _grouped(config: TrainingConfig, folder: Path, state: Mapping[str, Tensor]) -> nn.Module:
    """Return the network of all levels."""
    builder, hierarchy = _builder(config, state), ClassHierarchy.load(folder / HIERARCHY)
    base = builder.branched(_num_labels(state), seed=0)
    levels = [builder.branched(int(one.max()) + 1, seed=0) for one in hierarchy.groups]
    return MultiLevelNetwork(base, levels, hierarchy)


def _builder(config: TrainingConfig, state: Mapping[str, Tensor]) -> Builder:
    """Return what builds networks with heads like those of a state."""
    bias = any(key.endswith(f"{_HEAD}.bias") for key in state)
    return Builder(config, bias=bias, trained=False)


def _num_labels(state: Mapping[str, Tensor]) -> int:
    """Return the number of labels of the first head, which is that of the labels."""
    for key, value in state.items():
        if key.endswith(f"{_HEAD}.weight"):
            return len(value)
    raise ValueError(expected("the network", "to have a parent_head", "none"))


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Draw from a seed inside, and leave the global random state as it was."""
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also seed the accelerators, which fork_rng leaves alone.
        torch.default_generator.manual_seed(seed)
        yield


def _start_large(head: nn.Linear) -> None:
    """Give the head of a digit network first weights as large as the demo's: see ``DigitNet``."""
    nn.init.uniform_(head.weight, -1, 1)
    if head.bias is not None:
        nn.init.constant_(head.bias, math.log(1 / 3))
