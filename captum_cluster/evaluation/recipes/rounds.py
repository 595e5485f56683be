"""The recipe of sub-categories: one training in rounds, of which the first is the baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from captum_cluster.evaluation.recipes.judging import Judged, called
from captum_cluster.evaluation.recipes.networks import SUB_HEAD, add_sub_head, save_network
from captum_cluster.evaluation.recipes.pictures import draw_sub_categories, head_weight
from captum_cluster.evaluation.recipes.workshop import Outcome, Workshop
from captum_cluster.training import GapClassifier
from captum_cluster.training.state_files import read_state

ASSIGNMENTS = "assignments.npz"
_TRAINING = "sub-category"
_NETWORK = "network."
_METHODS = {"parent": "cam", "sub_max": "sub-category-cam"}
"""Of each choice of maps the method of the networks that have sub-categories."""


def sub_category(shop: Workshop) -> Outcome:
    """Train in rounds with sub-categories of the labels (SC-CAM).

    References:
        Chang et al. 2020, "Weakly-Supervised Semantic Segmentation via Sub-category Exploration",
        section 3.2.
    """
    rounds = shop.config.rounds
    if shop.done(_name(rounds)):
        found = _read(shop)
    else:
        shop.say(f"Training: the baseline and {rounds} rounds of sub-categories")
        found = _discover(shop)
    judged = [
        Judged(_title(number), network, tuple(_METHODS.values()) if number else ("cam",))
        for number, network in enumerate(found.networks)
    ]
    last = found.networks[-1]
    heads = head_weight(last.parent_head), head_weight(getattr(last, SUB_HEAD))
    return Outcome(
        judged,
        called(_title(rounds), _METHODS[shop.config.map]),
        lambda directory: draw_sub_categories(
            directory, shop.sources.train, found.assignments, heads
        ),
        {"sub_categories": _sizes(shop, found.assignments)},
    )


@dataclass(frozen=True)
class _Rounds:
    """What the rounds have given.

    Attributes:
        networks: At the end of each round, the baseline first.
        assignments: (M,L), the sub-categories that the last round was trained with.
    """

    networks: list[GapClassifier]
    assignments: Tensor


def _discover(shop: Workshop) -> _Rounds:
    """Train, and keep the network of each round."""
    from captum_cluster.training import SubCategoryDiscovery

    config, epochs = shop.config, shop.settings.epochs
    discovery = SubCategoryDiscovery(
        config.n_sub_categories,
        weight=config.sub_weight,
        rounds=config.rounds,
        epochs_per_round=epochs,
        restart=config.restart,
        seed=config.seed,
        # Not in each checkpoint, which would hold the network once more for each round.
        directory=shop.course.directory / _TRAINING / "rounds",
    )
    module = shop.module(_new(shop))
    shop.course.fit(_TRAINING, module, callbacks=[discovery], epochs=(config.rounds + 1) * epochs)
    states = [discovery.round_state(number) for number in range(config.rounds + 1)]
    networks = [_of_round(shop, number, state) for number, state in enumerate(states)]
    if shop.first:
        discovery.save(shop.course.directory / ASSIGNMENTS)
        for number, network in enumerate(networks):  # the last one, which says all is there, last
            save_network(network, shop.file(_name(number)))
    return _Rounds(networks, discovery.round_assignments(config.rounds))


def _new(shop: Workshop) -> GapClassifier:
    return shop.builder.classifier(shop.num_labels, seed=shop.config.seed)


def _of_round(shop: Workshop, number: int, state: Mapping[str, Tensor]) -> GapClassifier:
    """Return the network that a module's state at the end of a round holds."""
    network = _new(shop)
    network.load_state_dict(_below(state, _NETWORK))
    if number:
        add_sub_head(network, _below(state, f"{SUB_HEAD}."), shop.config.n_sub_categories)
    return network.eval()


def _below(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): one for key, one in state.items() if key.startswith(prefix)}


def _read(shop: Workshop) -> _Rounds:
    """Return what an earlier run has found."""
    networks = []
    for number in range(shop.config.rounds + 1):
        state, network = read_state(shop.file(_name(number))), _new(shop)
        if number:
            add_sub_head(network, _below(state, f"{SUB_HEAD}."), shop.config.n_sub_categories)
        network.load_state_dict(state)
        networks.append(network.eval())
    with np.load(shop.course.directory / ASSIGNMENTS) as file:
        return _Rounds(networks, torch.from_numpy(file["assignments"]))


def _sizes(shop: Workshop, assignments: Tensor) -> dict[str, list[int]]:
    """Return of each label how many images each of its sub-categories has in the last round."""
    count = shop.config.n_sub_categories
    return {
        name: torch.bincount(column[column >= 0], minlength=count).tolist()
        for name, column in zip(shop.sources.classes, assignments.T, strict=True)
    }


def _name(number: int) -> str:
    return f"round-{number}"


def _title(number: int) -> str:
    return f"round {number}" if number else "baseline"
