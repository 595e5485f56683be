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

from captum_cluster.data import Preparation, Scene
from captum_cluster.evaluation.registry import Run
from captum_cluster.evaluation.running.cases import Case
from captum_cluster.evaluation.running.entries import Entry
from captum_cluster.evaluation.running.map_making import (
    MODEL,
    LabelsError,
    MapMaker,
    Seen,
    finite_maps,
)
from captum_cluster.evaluation.running.measures import Metric
from captum_cluster.evaluation.running.passes import CURVES, SharedPasses
from captum_cluster.evaluation.running.records import encode_sums
from captum_cluster.functional.attribution import saliency
from captum_cluster.functional.attribution.scoring import rows_per_pass
from captum_cluster.functional.metrics.reading import Reader

_THUMBNAIL = 56
_SHOWN_LABELS = 2


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
        rows: Images in one forward pass at most; None: what is fastest within memory.
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
        self._settings, self._bare = settings, dict[torch.Size, Tensor]()
        self._maker = MapMaker(
            model,
            settings.entries,
            layer=settings.layer,
            preparation=settings.preparation,
            explained=settings.explained,
            probability=settings.probability,
            reshape_transform=settings.reshape_transform,
            strict=strict,
            worked=worked,
        )
        self._reader = Reader(self._maker.read)

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
        maker = self._maker
        record: dict[str, Any] = {"image": position, "name": scene.name}
        try:
            seen = maker.seen(scene)
            passes = self._passes(seen)
        except LabelsError:
            raise
        except Exception as error:
            yield {**record, "error": maker.failed(MODEL, scene, error)}
            return
        maker.worked.add(MODEL)
        if not len(seen.targets):
            yield {**record, "empty": True}
            return
        record["targets"], record["labels"] = seen.targets.tolist(), int(seen.present.sum())
        record["before"] = seen.whole[seen.targets].tolist()
        for entry in self._settings.entries:
            if entry.name not in methods:
                continue
            try:
                found = self._record(entry, maker.run(entry, seen), seen, passes)
                maker.worked.add(entry.name)
            except Exception as error:
                found = {"method": entry.name, "error": maker.failed(entry.name, scene, error)}
            yield {**record, **found}

    def _passes(self, seen: Seen) -> SharedPasses:
        """Return what all methods share of an image; where it is not asked for, bare is whole."""
        image, settings = seen.image, self._settings
        curves = len(seen.targets) and CURVES in settings.wants
        bare = self._baseline(image) if curves else seen.whole
        rows = settings.rows or rows_per_pass(image, seen.expansion)
        baseline, step = settings.baseline, settings.step
        return SharedPasses(self._reader, image, seen.whole, bare, rows, baseline, step)

    def _baseline(self, image: Tensor) -> Tensor:
        """Return the probabilities (L,) of the bare baseline, once for each size of image."""
        if image.shape not in self._bare:
            bare = torch.full_like(image, self._settings.baseline)
            self._bare[image.shape] = self._maker.read(bare)[0]
        return self._bare[image.shape]

    def _record(
        self,
        entry: Entry,
        run: Run,
        seen: Seen,
        passes: SharedPasses,
    ) -> dict[str, Any]:
        """Return what there is to know of one method's maps of one image."""
        maps, finite = finite_maps(run)
        scene, targets = seen.scene, seen.targets
        marks = saliency(maps, scene.size)
        answers = passes.ask(marks.to(passes.image.device), targets, self._settings.wants)
        case = Case(scene, marks, targets, seen.present, seen.whole, answers, passes.steps)
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
