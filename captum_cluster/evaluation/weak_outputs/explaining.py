"""Which labels of which images are explained, and how: what masks and proposals have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from captum_cluster import __version__
from captum_cluster._checks import check_choice, check_flag, describe, expected
from captum_cluster.data import Preparation, SceneDataset
from captum_cluster.evaluation.models import LoadedModel
from captum_cluster.evaluation.runner import squashed
from captum_cluster.evaluation.running.entries import Entry, LayerNames, MethodLike, method_entries
from captum_cluster.evaluation.running.fingerprint import (
    describe_dataset,
    layer_names,
    method_facts,
    plain,
    state_digest,
)
from captum_cluster.evaluation.running.map_making import (
    EXPLAINED,
    PROBABILITIES,
    MapMaker,
    Seen,
    finite_maps,
)
from captum_cluster.evaluation.running.selection import chosen_positions
from captum_cluster.evaluation.weak_outputs.images import (
    Images,
    Pictures,
    as_dataset,
    content_of,
    picture_of,
)
from captum_cluster.hooks import capture, untouched
from captum_cluster.methods import feature_maps


@dataclass(frozen=True, eq=False)
class Explaining:
    """What is explained, and by what.

    Attributes:
        model: The classifier.
        layer: The layers, as they were given.
        dataset: The scenes.
        positions: The indices of the images of the run.
        entry: The method.
        preparation: How scenes become what the model takes: whole.
        labels: "truth", "predicted" or "top".
        probability: How probabilities are read of the logits.
        classes: The names of the L labels, all different.
        reshape_transform: Turns what the layer gives into maps.
        strict: Stop at an image that cannot be read, or for which the method fails.
    """

    model: nn.Module
    layer: Any
    dataset: Any
    positions: list[int]
    entry: Entry
    preparation: Preparation
    labels: str
    probability: str
    classes: list[str]
    reshape_transform: Callable[[Tensor], Tensor] | None
    strict: bool

    @property
    def device(self) -> torch.device:
        """Where the model is, and the maps are."""
        return next(self.model.parameters(), torch.empty(0)).device

    def content(self, position: int) -> str | None:
        """Return a digest of an image's file; None where it is in none, or it cannot be read."""
        picture = picture_of(self.dataset, position)
        return None if picture is None else content_of(picture.path)

    def maker(self, *, worked: bool) -> MapMaker:
        """Return what makes the maps; ``worked`` says whether the method has worked before."""
        return MapMaker(
            self.model,
            [self.entry],
            layer=self.layer,
            preparation=self.preparation,
            explained=self.labels,
            probability=self.probability,
            reshape_transform=self.reshape_transform,
            strict=self.strict,
            worked=[self.entry.name] if worked else [],
        )

    def maps(self, maker: MapMaker, seen: Seen) -> Tensor:
        """Return the maps (P,h,w) of the labels explained.

        Raises:
            ValueError: One is not finite: it tells nothing of where its label is.
        """
        maps, finite = finite_maps(maker.run(self.entry, seen))
        broken = seen.targets[~finite].tolist()
        if broken:
            named = " and ".join(repr(self.classes[label]) for label in broken)
            raise ValueError(expected("the map of each label", "finite", f"others for {named}"))
        return maps.to(seen.image.device)

    def features(self, maker: MapMaker, seen: Seen) -> Tensor:
        """Return the maps (D,h,w) of the (last) layer explained."""
        layers = maker.layers_of(self.entry, seen.image)
        with torch.no_grad(), capture(layers[-1:]) as captured:
            self.model(seen.image)
        transform = maker.transform_of(self.entry, seen.image)
        output = captured.activations(0)[0] if transform is None else captured.output(0)
        return feature_maps(output, 1, transform)[0]

    def name_of(self, position: int) -> str:
        """Return what is known of an image's name before it is read."""
        known = isinstance(self.dataset, Pictures)
        return self.dataset.names[position] if known else f"image-{position}"

    def places(self) -> Callable[[Mapping[str, Any]], int | None]:
        """Return what tells of a record which image it is of; None: one that is gone."""
        if not isinstance(self.dataset, Pictures):
            return lambda record: record["image"]
        now = {self.name_of(position): position for position in self.positions}
        return lambda record: now.get(record["name"])

    def _images_facts(self) -> dict[str, Any]:
        """Return which images are explained: of pictures, which may come and go, the folder."""
        if isinstance(self.dataset, Pictures):
            return {"dataset": {"class": "Pictures", **plain(self.dataset.facts())}}
        return {"dataset": describe_dataset(self.dataset), "images": len(self.positions)}

    def facts(self) -> dict[str, Any]:
        """Return all that the maps depend on."""
        return {
            "captum_cluster": __version__,
            "model": {"class": type(self.model).__name__, "state": state_digest(self.model)},
            **self._images_facts(),
            "layer": layer_names(self.model, self.layer),
            "method": method_facts(self.model, self.entry),
            "labels": self.labels,
            "probability": self.probability,
            "preparation": plain(vars(self.preparation)),
            "reshape_transform": plain(self.reshape_transform),
            "classes": list(self.classes),
        }


def explaining(
    model: nn.Module | LoadedModel,
    layer: LayerNames | None,
    images: Images,
    method: MethodLike,
    *,
    labels: str | None,
    classes: Sequence[str] | None,
    probability: str,
    preparation: Preparation | None,
    limit: int | None,
    reshape_transform: Callable[[Tensor], Tensor] | None,
    strict: bool,
) -> Explaining:
    """Return what is explained, all checked; see ``make_masks`` for the arguments and errors."""
    net: Any = model
    if isinstance(model, LoadedModel):
        net, preparation = model.model, preparation or squashed(model.transform)
        classes = model.categories if classes is None else classes
    if not isinstance(net, nn.Module):
        raise TypeError(expected("model", "an nn.Module or a LoadedModel", describe(model)))
    entry = method_entries([method])[0]
    dataset = as_dataset(images)
    known = not isinstance(dataset, Pictures)
    explained = check_choice("labels", labels or ("truth" if known else "top"), EXPLAINED)
    if explained == "truth" and not known:
        what = "'predicted' or 'top' for pictures whose labels are not known"
        raise ValueError(expected("labels", what, "'truth'"))
    positions = chosen_positions(dataset, limit)
    check_choice("probability", probability, PROBABILITIES)
    whole = _whole(preparation or Preparation())
    names = _names(net, dataset, whole, classes, explained)
    return Explaining(
        net,
        layer,
        dataset,
        positions,
        entry,
        whole,
        explained,
        probability,
        names,
        reshape_transform,
        check_flag("strict", strict),
    )


def _whole(preparation: Preparation) -> Preparation:
    """Return a preparation that shows the whole picture: nothing is known of what is cut off."""
    cut = preparation.mode == "center-crop"
    return replace(preparation, mode="squash") if cut else preparation


def _names(
    model: nn.Module,
    dataset: Any,
    preparation: Preparation,
    classes: Sequence[str] | None,
    explained: str,
) -> list[str]:
    """Return a name of its own for each of the model's labels."""
    count = _count(model, preparation)
    own = list(dataset.classes) if isinstance(dataset, SceneDataset) else None
    if explained == "truth" and own is not None and len(own) != count:
        what = f"to have the model's {count} labels (or labels='top')"
        raise ValueError(expected("the dataset", what, len(own)))
    if classes is None and own is not None and len(own) == count:
        classes = own
    if classes is None:
        return [f"label {label}" for label in range(count)]
    if isinstance(classes, str) or not isinstance(classes, Sequence):
        raise TypeError(expected("classes", "a list of names", describe(classes)))
    if len(classes) != count:
        raise ValueError(expected("classes", f"the names of {count} labels", len(classes)))
    return different([str(name) for name in classes])


def _count(model: nn.Module, preparation: Preparation) -> int:
    """Return the number of labels of a model, which it tells of an empty image."""
    first = next(model.parameters(), torch.empty(0))
    blank = torch.zeros(1, 3, preparation.size, preparation.size).to(first)
    with torch.no_grad(), untouched(model):
        logits = model(blank)
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise ValueError(expected("the model", "to give logits (N,L)", describe(logits)))
    return logits.shape[1]


def different(names: Sequence[str]) -> list[str]:
    """Return names that are all different: those that come twice with the number of their label.

    ImageNet has two cranes, and two maillots.

    Example:
        >>> different(["crane", "tench", "crane"])
        ['crane (0)', 'tench', 'crane (2)']
    """
    counts = Counter(names)
    found = [f"{name} ({label})" if counts[name] > 1 else name for label, name in enumerate(names)]
    return found if len(set(found)) == len(found) else different(found)
