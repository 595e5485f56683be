"""One image of a run: its labels, its passes, the maps of each method, and their records."""

from __future__ import annotations

import base64
import dataclasses
import io
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from captum_cluster._checks import check_finite, describe, expected
from captum_cluster.data import Preparation, Scene
from captum_cluster.evaluation.layers import find_layers
from captum_cluster.evaluation.registry import Run, run_method, takes_several_layers
from captum_cluster.evaluation.running.cases import Case
from captum_cluster.evaluation.running.entries import Entry
from captum_cluster.evaluation.running.measures import Metric
from captum_cluster.evaluation.running.passes import CURVES, SharedPasses
from captum_cluster.evaluation.running.records import encode_sums
from captum_cluster.functional.attribution import read_scores, saliency
from captum_cluster.functional.attribution.scoring import rows_per_pass

_THUMBNAIL = 56
_SHOWN_LABELS = 2
_MODEL = "the model"


@dataclass(frozen=True)
class Settings:
    """What is done with each image.

    Attributes:
        entries: The methods.
        metrics: The metrics by name.
        layer: The layer or layers of methods that name none.
        preparation: How scenes become what the model takes.
        explained: "truth", "predicted" or "top".
        probability: How probabilities are read of the logits.
        baseline: What stands for nothing in the model's range.
        step: Pixels changed at each step of deletion and insertion; None for 8 rows' worth.
        rows: Images in one forward pass; None: what memory allows.
        reshape_transform: Turns what the layer gives into maps.
    """

    entries: tuple[Entry, ...]
    metrics: Mapping[str, Metric]
    layer: Any = None
    preparation: Preparation = dataclasses.field(default_factory=Preparation)
    explained: str = "truth"
    probability: str = "probability"
    baseline: float = 0.0
    step: int | None = None
    rows: int | None = None
    reshape_transform: Callable[[Tensor], Tensor] | None = None

    @property
    def wants(self) -> frozenset[str]:
        """The model's answers that the metrics need."""
        return frozenset().union(*(metric.wants for metric in self.metrics.values()))


class Examiner:
    """Examines images with one model; see ``records_of``.

    Args:
        model: In evaluation mode.
        settings: What is done.
        strict: Let every error out. Otherwise what fails where it has worked before is a record.
        worked: Names of entries that have worked before, in a run that goes on.
    """

    def __init__(
        self,
        model: nn.Module,
        settings: Settings,
        *,
        strict: bool = False,
        worked: Collection[str] = (),
    ) -> None:
        self._model, self._settings, self._strict = model, settings, strict
        self._worked = {_MODEL, *worked} if worked else set()
        first = next(model.parameters(), torch.empty(0))
        self._device, self._dtype = first.device, first.dtype
        self._layers: dict[str, list[nn.Module]] = {}
        self._bare: dict[torch.Size, Tensor] = {}

    def records_of(
        self, position: int, scene: Scene, methods: Collection[str]
    ) -> Iterator[dict[str, Any]]:
        """Yield the record of each of some methods for one image.

        An image without a label to explain gives one record that says so; so does one for which
        the model or a method fails that has worked before.

        Args:
            position: Its index in the dataset.
            scene: As the dataset gives it.
            methods: Names of entries.

        Raises:
            ValueError: The dataset's labels are not the model's outputs.
            Exception: The model or a method fails that has never worked, or with ``strict``.
        """
        prepared = self._settings.preparation.prepare(scene)
        image = self._settings.preparation.normalize(prepared.image)[None]
        image = image.to(self._device, self._dtype)
        record: dict[str, Any] = {"image": position, "name": scene.name}
        try:
            passes = self._passes(image)
            targets, present = self._labels(prepared, passes.whole)
            if len(targets) and CURVES in self._settings.wants:
                passes = dataclasses.replace(passes, bare=self._baseline(image))
        except LabelsError:
            raise
        except Exception as error:
            yield {**record, "error": self._failed(_MODEL, scene, error)}
            return
        self._worked.add(_MODEL)
        if not len(targets):
            yield {**record, "empty": True}
            return
        record["targets"], record["labels"] = targets.tolist(), int(present.sum())
        record["before"] = passes.whole[targets].tolist()
        for entry in self._settings.entries:
            if entry.name not in methods:
                continue
            try:
                run = self._run(entry, image, targets, present)
                found = self._record(entry, run, prepared, passes, targets, present)
                self._worked.add(entry.name)
            except Exception as error:
                found = {"method": entry.name, "error": self._failed(entry.name, scene, error)}
            yield {**record, **found}

    def _passes(self, image: Tensor) -> SharedPasses:
        """Return what all methods share of an image; until it is asked for, whole is bare too."""
        whole = self._read(image)[0]
        rows = self._settings.rows or rows_per_pass(image)
        baseline, step = self._settings.baseline, self._settings.step
        return SharedPasses(self._read, image, whole, whole, rows, baseline, step)

    def _failed(self, what: str, scene: Scene, error: Exception) -> str:
        """Return what is said of an error; raise it where it must not be passed over."""
        text = f"{what} on {scene.name or 'an image'}: {error}"
        if self._strict or what not in self._worked or isinstance(error, MemoryError):
            raise _renamed(error, text) from error
        return f"{type(error).__name__}: {error}"

    def _read(self, images: Tensor) -> Tensor:
        """Return the probabilities (M,L) of images (M,c,H,W)."""
        with torch.no_grad():
            output = self._model(images)
        if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != len(images):
            what = f"to give logits of shape ({len(images)},L) for {len(images)} images"
            raise ValueError(expected("the model", what, describe(output)))
        read: Any = self._settings.probability
        return check_finite("the model's output", read_scores(output, read)).cpu()

    def _baseline(self, image: Tensor) -> Tensor:
        """Return the probabilities (L,) of the bare baseline, once for each size of image."""
        if image.shape not in self._bare:
            bare = torch.full_like(image, self._settings.baseline)
            self._bare[image.shape] = self._read(bare)[0]
        return self._bare[image.shape]

    def _labels(self, scene: Scene, whole: Tensor) -> tuple[Tensor, Tensor]:
        """Return the labels explained (P,), and which the image is taken to have (L,) bool."""
        explained = self._settings.explained
        if explained == "top":
            present = F.one_hot(whole.argmax(), len(whole)).bool()
        elif explained == "predicted":
            present = whole > 0.5
        elif len(scene.labels) != len(whole):
            what = f"to have the model's {len(whole)} labels (or explained='top')"
            raise LabelsError(expected("the dataset", what, f"{len(scene.labels)}"))
        else:
            present = scene.labels
        return present.nonzero().flatten(), present

    def _run(self, entry: Entry, image: Tensor, targets: Tensor, present: Tensor) -> Run:
        """Return the maps of one method for the labels explained."""
        return run_method(
            entry.method,
            self._model,
            self._layers_of(entry, image),
            image,
            targets.tolist(),
            labels=present.nonzero().flatten().tolist(),
            reshape_transform=self._settings.reshape_transform,
            views=entry.views,
            **entry.options,
        )

    def _layers_of(self, entry: Entry, image: Tensor) -> list[nn.Module]:
        """Return a method's layers, which are looked up at the first image."""
        if entry.name not in self._layers:
            wanted: Any = self._settings.layer if entry.layer is None else entry.layer
            found = [module for _, module in find_layers(self._model, image, wanted)]
            # Somebody else's method is handed layers that nobody named only one at a time.
            whole = wanted is not None or takes_several_layers(entry.method)
            self._layers[entry.name] = found if whole else found[-1:]
        return self._layers[entry.name]

    def _record(
        self,
        entry: Entry,
        run: Run,
        scene: Scene,
        passes: SharedPasses,
        targets: Tensor,
        present: Tensor,
    ) -> dict[str, Any]:
        """Return what there is to know of one method's maps of one image."""
        maps = run.maps[0].float()
        finite = maps.isfinite().all(dim=2).all(dim=1)
        # A map that is not finite marks nothing.
        marks = saliency(torch.where(finite[:, None, None], maps, 0.0), scene.size)
        answers = passes.ask(marks.to(passes.image.device), targets, self._settings.wants)
        case = Case(scene, marks, targets, present, passes.whole, answers, passes.steps)
        sums = {name: metric.update(case) for name, metric in self._settings.metrics.items()}
        found = {
            "method": entry.name,
            "seconds": run.seconds,
            "forwards": run.forwards,
            "finite": bool(finite.all()),
            "marked": marks.flatten(1).any(dim=1).tolist(),
            "sums": {name: encode_sums(one) for name, one in sums.items() if one is not None},
            "thumbnails": [thumbnail(one) for one in marks[:_SHOWN_LABELS]],
        }
        if answers.deletion is not None and answers.insertion is not None:
            found["shares"] = [step / passes.steps[-1] for step in passes.steps]
            found["deletion"] = answers.deletion.double().mean(dim=0).tolist()
            found["insertion"] = answers.insertion.double().mean(dim=0).tolist()
        return found


def _renamed(error: Exception, text: str) -> Exception:
    """Return an error of the same type with another text, where the type takes one."""
    try:
        renamed = type(error)(text)
    except Exception:  # a constructor of other arguments may raise anything
        return RuntimeError(text)
    kept = any(text in str(one) for one in (renamed, *renamed.args))
    # A generator must not raise StopIteration.
    return renamed if kept and not isinstance(error, StopIteration) else RuntimeError(text)


class LabelsError(ValueError):
    """A dataset whose labels are not the model's: no image of it can be judged."""


def thumbnail(marks: Tensor) -> str:
    """Return a saliency map (H,W) in [0,1] as a small grey PNG, in base64.

    Example:
        >>> decode_thumbnail(thumbnail(torch.ones(224, 112))).shape
        (56, 28)
    """
    height, width = marks.shape
    scale = _THUMBNAIL / max(height, width, _THUMBNAIL)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    small = F.interpolate(marks[None, None].float(), size, mode="area")[0, 0]
    pixels = (small * 255).round().to(torch.uint8).cpu().numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def decode_thumbnail(text: str) -> np.ndarray[Any, Any]:
    """Return the grey values (h,w) uint8 of a thumbnail."""
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        return np.asarray(image)
