"""What metrics cost beyond the forward passes that they need, ours and the others'.

    python -m tests.benchmarks --parts metrics [--rounds 9] [--threads 1] [--json FILE]

ResNet-18 at 224x224 with random weights, one synthetic image, and a map that costs nothing: time
depends on none of them. The contestants take turns, and all figures are medians over the rounds.

- passes: images that went through the model; needed: those that the definition needs, each once;
- units: time in units of one plain pass (images channels-last, inference mode, eight at once),
  measured before and after each run;
- inside, rest: of these those inside the model, and outside of it;
- ratio: units over the passes needed. 1.00 is a metric that costs nothing but its passes.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from pytorch_grad_cam.metrics.cam_mult_image import CamMultImageConfidenceChange
from pytorch_grad_cam.metrics.road import ROADCombined
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn
from torchvision.models import resnet18

from captum_cluster.data import Preparation, Scene
from captum_cluster.evaluation.running.entries import method_entries
from captum_cluster.evaluation.running.examination import Examiner, Settings
from captum_cluster.evaluation.running.measures import choose_metrics
from captum_cluster.functional.attribution import saliency
from captum_cluster.functional.metrics import deletion_insertion
from captum_cluster.hooks import count_forwards
from captum_cluster.metrics.adapters import TorchcamExtractor
from tests.benchmarks.timing import in_units, plain

SIZE, TARGET, STEPS = 224, 217, 28
BATCH = 8
AS_IT_IS = Preparation(mode="none", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
READ = functools.partial(torch.softmax, dim=-1)

Contestants = dict[str, tuple[int, Callable[[], object]]]
"""Of each name the passes needed, and what runs."""


@dataclass(frozen=True)
class Cost:
    """What a contestant costs; see the module."""

    name: str
    passes: int
    needed: int
    inside: float
    rest: float
    units: float
    ratio: float


@dataclass(frozen=True)
class Subject:
    """What is measured: a model, an image (1,3,H,W), and its saliency map (H,W)."""

    model: nn.Module
    image: Tensor
    marks: Tensor


def subject() -> Subject:
    torch.manual_seed(0)
    marks = saliency(torch.rand(1, 7, 7), (SIZE, SIZE))[0]
    return Subject(resnet18().eval(), torch.rand(1, 3, SIZE, SIZE), marks)


def ours(one: Subject) -> Contestants:
    """Return the curves alone, and all metrics of a map in a run of `evaluate`."""
    scene = Scene(one.image[0], torch.arange(1000) == TARGET, masks={TARGET: one.marks > 0.5})
    method = lambda model, layer, image, target: one.marks  # noqa: E731
    entries = tuple(method_entries([{"method": method, "name": "given"}]))
    settings = Settings(entries, choose_metrics("all"), "layer4", AS_IT_IS)
    examiner = Examiner(one.model, settings, strict=True)

    def judged() -> None:
        list(examiner.records_of(0, scene, ["given"]))

    def curves() -> object:
        read = lambda images: READ(one.model(images))  # noqa: E731
        return deletion_insertion(read, one.image, one.marks[None], TARGET)

    return {
        "captum_cluster deletion_insertion": (2 * STEPS, curves),
        # masked and complement too; the bare baseline is that of all images of a run
        "captum_cluster all metrics": (2 * STEPS + 2 - 1, judged),
    }


def pytorch_grad_cam(one: Subject) -> Contestants:
    """Return its removal of the most and of the least salient pixels, and its masked image."""
    given = one.image, one.marks[None].numpy(), [ClassifierOutputTarget(TARGET)], one.model
    road, change = ROADCombined(), CamMultImageConfidenceChange()
    return {
        "pytorch-grad-cam ROADCombined": (1 + 2 * len(road.percentiles), lambda: road(*given)),
        "pytorch-grad-cam confidence change": (2, lambda: change(*given)),
    }


def torchcam(one: Subject) -> Contestants:
    """Return its curves with our steps, and its masked image."""
    from torchcam.metrics import ClassificationMetric, DeletionInsertionMetric

    extractor = TorchcamExtractor(one.model, lambda inputs, target: one.marks[None])
    curves = DeletionInsertionMetric(extractor, READ, steps=STEPS)
    masked = ClassificationMetric(extractor, READ)
    return {
        "torchcam DeletionInsertionMetric": (2 * STEPS, lambda: curves.update(one.image, TARGET)),
        "torchcam ClassificationMetric": (2, lambda: masked.update(one.image, TARGET)),
    }


def quantus(one: Subject) -> Contestants:
    """Return its deletion, with as many steps."""
    from quantus import PixelFlipping

    metric = PixelFlipping(
        features_in_step=SIZE * SIZE // STEPS, perturb_baseline=0.0, disable_warnings=True
    )
    given = {
        "x_batch": one.image.numpy(),
        "y_batch": torch.tensor([TARGET]).numpy(),
        "a_batch": one.marks[None, None].numpy(),
    }
    run = lambda: metric(model=one.model, device="cpu", softmax=True, **given)  # noqa: E731
    return {"Quantus PixelFlipping": (STEPS, run)}


def costs(rounds: int = 5) -> list[Cost]:
    """Return what each contestant costs whose library is installed."""
    one = subject()
    contestants = ours(one) | pytorch_grad_cam(one)
    for library, group in {"torchcam": torchcam, "quantus": quantus}.items():
        if find_spec(library) is None:
            print(f"skipped: {library} is not installed")
        else:
            contestants |= group(one)
    passes = {name: count_passes(one.model, run) for name, (_, run) in contestants.items()}
    runs = {name: (run, rounds) for name, (_, run) in contestants.items()}
    plain_batch = plain(one.model, one.image, BATCH)
    found = in_units(runs, (one.model, plain_batch, BATCH))
    rows = []
    for name, (needed, _) in contestants.items():
        units = statistics.median(took.units for took in found[name])
        inside = statistics.median(took.inside for took in found[name])
        rows.append(Cost(name, passes[name], needed, inside, units - inside, units, units / needed))
    return rows


def count_passes(model: nn.Module, run: Callable[[], object]) -> int:
    """Return how many images go through a model, the second time that something runs."""
    run()  # it may keep what it needs for all images of a run
    with count_forwards(model) as count:
        run()
    return count.images


def table(found: list[Cost]) -> str:
    """Return the costs as text."""
    lines = [f"{'':<36}{'passes':>7}{'needed':>7}{'inside':>8}{'rest':>8}{'units':>7}{'ratio':>7}"]
    lines += [
        f"{one.name:<36}{one.passes:>7}{one.needed:>7}{one.inside:>8.2f}{one.rest:>8.2f}"
        f"{one.units:>7.1f}{one.ratio:>7.2f}"
        for one in found
    ]
    return "\n".join(lines)
