"""From a scene to the maps of its labels by any method: what all runs over images share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from captum_cluster._checks import check_finite, describe, expected
from captum_cluster.data import Preparation, Scene
from captum_cluster.evaluation.custom import takes_reshape_transform
from captum_cluster.evaluation.registry import Run, run_method, takes_several_layers
from captum_cluster.evaluation.running.entries import Entry
from captum_cluster.functional.attribution import read_scores
from captum_cluster.hooks import capture, widest_output
from captum_cluster.methods import find_layers, shared_transform

Transform = Callable[[Any], Tensor]
Key = tuple[tuple[nn.Module, ...], torch.Size]

MODEL = "the model"
EXPLAINED = ("truth", "predicted", "top")
PROBABILITIES = ("probability", "sigmoid")


class LabelsError(ValueError):
    """A dataset whose labels are not the model's: no image of it can be judged."""


@dataclass(frozen=True, eq=False)
class Seen:
    """A scene as the model sees it, and what it says of it.

    Attributes:
        scene: At the size that the model takes.
        image: (1,3,H,W), normalised, on the model's device.
        whole: (L,), the model's probabilities, on the CPU.
        targets: LongTensor (P,), the labels explained.
        present: (L,) bool, the labels that the image is taken to have.
        expansion: As for ``rows_per_pass``.
    """

    scene: Scene
    image: Tensor
    whole: Tensor
    targets: Tensor
    present: Tensor
    expansion: float | None = None


class MapMaker:
    """Makes the maps of an image's labels by some methods.

    Args:
        model: In evaluation mode.
        entries: The methods.
        layer: The layer or layers of methods that name none.
        preparation: How scenes become what the model takes.
        explained: "truth", "predicted" or "top".
        probability: How probabilities are read of the logits.
        reshape_transform: Turns what the layer gives into maps; None: see ``transform_of``.
        strict: Let every error out. Otherwise ``failed`` passes over what has worked before.
        worked: Names of entries that have worked before, in a run that goes on.
    """

    def __init__(
        self,
        model: nn.Module,
        entries: Sequence[Entry],
        *,
        layer: Any = None,
        preparation: Preparation,
        explained: str = "truth",
        probability: str = "probability",
        reshape_transform: Transform | None = None,
        strict: bool = False,
        worked: Collection[str] = (),
    ) -> None:
        self.model, self.entries = model, tuple(entries)
        self.preparation, self.reshape_transform = preparation, reshape_transform
        self.worked = {MODEL, *worked} if worked else set()
        self._layer, self._explained, self._probability = layer, explained, probability
        self._strict = strict
        first = next(model.parameters(), torch.empty(0))
        self._device, self._dtype = first.device, first.dtype
        self._layers: dict[str, list[nn.Module]] = {}
        self._transforms: dict[Key, Transform | None] = {}
        self._outputs: dict[Key, list[Any]] = {}

    def seen(self, scene: Scene) -> Seen:
        """Return a scene as the model sees it, after one forward pass.

        Raises:
            LabelsError: The scene's labels are to be explained and are not the model's outputs.
            ValueError: The model gives no logits, or some that are not finite.
        """
        prepared = self.preparation.prepare(scene)
        image = self.preparation.normalize(prepared.image)[None].to(self._device, self._dtype)
        with widest_output(self.model) as widest:
            whole = self._looked_at(image)
        present = self._present(prepared, whole)
        expansion = widest.bytes / (image.numel() * image.element_size()) or None
        return Seen(prepared, image, whole, present.nonzero().flatten(), present, expansion)

    def read(self, images: Tensor) -> Tensor:
        """Return the probabilities (M,L) of images (M,c,H,W)."""
        with torch.no_grad():
            output = self.model(images)
        if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != len(images):
            what = f"to give logits of shape ({len(images)},L) for {len(images)} images"
            raise ValueError(expected("the model", what, describe(output)))
        read: Any = self._probability
        return check_finite("the model's output", read_scores(output, read)).cpu()

    def run(self, entry: Entry, seen: Seen) -> Run:
        """Return the maps of one method for the labels explained."""
        transform = self.reshape_transform
        if transform is None and takes_reshape_transform(entry.method):
            transform = self.transform_of(entry, seen.image)
        return run_method(
            entry.method,
            self.model,
            self.layers_of(entry, seen.image),
            seen.image,
            seen.targets.tolist(),
            labels=seen.targets.tolist(),
            reshape_transform=transform,
            views=entry.views,
            **entry.options,
        )

    def layers_of(self, entry: Entry, image: Tensor) -> list[nn.Module]:
        """Return a method's layers, which are looked up at the first image."""
        if entry.name not in self._layers:
            wanted: Any = self._layer if entry.layer is None else entry.layer
            found = [module for _, module in find_layers(self.model, image, wanted)]
            # Somebody else's method is handed layers that nobody named only one at a time.
            whole = wanted is not None or takes_several_layers(entry.method)
            self._layers[entry.name] = found if whole else found[-1:]
        return self._layers[entry.name]

    def transform_of(self, entry: Entry, image: Tensor) -> Transform | None:
        """Return what makes maps of a method's layers: the one given, or found for this size."""
        if self.reshape_transform is not None:
            return self.reshape_transform
        layers = self._last_of(entry, image)
        key = tuple(layers), image.shape
        if key not in self._transforms:
            outputs = self._outputs.pop(key, None)
            self._transforms[key] = shared_transform(self.model, layers, image, outputs)
        return self._transforms[key]

    def _last_of(self, entry: Entry, image: Tensor) -> list[nn.Module]:
        """Return those of a method's layers that it explains."""
        layers = self.layers_of(entry, image)
        return layers if takes_several_layers(entry.method) else layers[-1:]

    def _looked_at(self, image: Tensor) -> Tensor:
        """Return the probabilities (L,) of an image, and keep what layers give that are new."""
        new = [key for key in self._keys(image) if key not in self._transforms]
        with capture([layer for layers, _ in new for layer in layers]) as captured:
            whole = self.read(image)[0]
        number = 0
        for key in new:
            count = len(key[0])
            self._outputs[key] = [captured.outputs.get(number + one) for one in range(count)]
            number += count
        return whole

    def _keys(self, image: Tensor) -> Iterator[Key]:
        """Yield the layers that may need a transform, which nobody gave."""
        for entry in self.entries:
            if self.reshape_transform is None and takes_reshape_transform(entry.method):
                # What is wrong with a method's layers is said where the method runs.
                with suppress(Exception):
                    yield tuple(self._last_of(entry, image)), image.shape

    def failed(self, what: str, scene: Scene, error: Exception) -> str:
        """Return what is said of an error; raise it where it must not be passed over."""
        text = f"{what} on {scene.name or 'an image'}: {error}"
        if self._strict or what not in self.worked or isinstance(error, MemoryError):
            raise _renamed(error, text) from error
        return f"{type(error).__name__}: {error}"

    def _present(self, scene: Scene, whole: Tensor) -> Tensor:
        """Return which labels the image is taken to have (L,) bool."""
        if self._explained == "top":
            return F.one_hot(whole.argmax(), len(whole)).bool()
        if self._explained == "predicted":
            return whole > 0.5
        if len(scene.labels) != len(whole):
            what = f"to have the model's {len(whole)} labels (or explained='top')"
            raise LabelsError(expected("the dataset", what, f"{len(scene.labels)}"))
        return scene.labels


def finite_maps(run: Run) -> tuple[Tensor, Tensor]:
    """Return the maps (P,h,w) of a run, and which are finite (P,) bool; others mark nothing.

    Example:
        >>> maps = torch.tensor([[[[1.0, 2.0]], [[torch.nan, 1.0]]]])
        >>> finite_maps(Run(maps, 0.0, 1, None))
        (tensor([[[1., 2.]],
        <BLANKLINE>
                [[0., 0.]]]), tensor([ True, False]))
    """
    maps = run.maps[0].float()
    finite = maps.isfinite().all(dim=2).all(dim=1)
    return torch.where(finite[:, None, None], maps, 0.0), finite


def _renamed(error: Exception, text: str) -> Exception:
    """Return an error of the same type with another text, where the type takes one."""
    try:
        renamed = type(error)(text)
    except Exception:  # a constructor of other arguments may raise anything
        return RuntimeError(text)
    kept = any(text in str(one) for one in (renamed, *renamed.args))
    # A generator must not raise StopIteration.
    return renamed if kept and not isinstance(error, StopIteration) else RuntimeError(text)
