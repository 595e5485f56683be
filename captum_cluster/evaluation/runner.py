"""Judge any set of methods on any set of images."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from tqdm.auto import tqdm

from captum_cluster import __version__
from captum_cluster._checks import (
    check_choice,
    check_flag,
    check_integer,
    check_number,
    describe,
    expected,
)
from captum_cluster.data import Preparation, Scene, SceneDataset
from captum_cluster.evaluation.models import LoadedModel
from captum_cluster.evaluation.output import check_directory
from captum_cluster.evaluation.registry import warm_up
from captum_cluster.evaluation.reporting.report import Report, build_report
from captum_cluster.evaluation.running.entries import LayerNames, MethodLike, method_entries
from captum_cluster.evaluation.running.examination import Examiner, Settings
from captum_cluster.evaluation.running.fingerprint import (
    describe_dataset,
    enter,
    layer_names,
    method_facts,
    plain,
    state_digest,
)
from captum_cluster.evaluation.running.map_making import EXPLAINED, PROBABILITIES
from captum_cluster.evaluation.running.measures import choose_metrics, plain_metrics
from captum_cluster.evaluation.running.processes import Process, in_processes
from captum_cluster.evaluation.running.records import Records, read_records
from captum_cluster.evaluation.running.selection import chosen_positions, scene_at
from captum_cluster.hooks import untouched


def evaluate(
    model: nn.Module | LoadedModel,
    layer: LayerNames | None,
    dataset: SceneDataset | Sequence[Scene],
    methods: Sequence[MethodLike],
    metrics: Sequence[str | Mapping[str, Any]] | str = "all",
    *,
    output: str | Path | None = None,
    explained: str = "truth",
    probability: str = "probability",
    preparation: Preparation | None = None,
    baseline: float = 0.0,
    step: int | None = None,
    limit: int | None = None,
    rows: int | None = None,
    reference: str | None = None,
    reshape_transform: Callable[[Tensor], Tensor] | None = None,
    strict: bool = False,
    devices: int = 1,
    strategy: str = "ddp",
    accelerator: str = "auto",
    progress: bool = True,
) -> Report:
    """Judge methods on the images of a dataset, and return the report.

    Of each image the unmasked forward pass is made once for all methods and metrics, each method's
    maps once for all metrics, and the masked images of all metrics share batches. What is found is
    appended to a file as it comes: a run that was broken off goes on where it stopped when it is
    started again with the same ``output``, and gives the same numbers. Memory does not grow with
    the number of images.

    Args:
        model: A classifier with logits (N,L), or what ``load_model`` returns.
        layer: A module, its dotted name, or several, shallow to final, of which methods that
            explain one take the last; None: the model's own ``explained_layers`` where it has
            them, else the last in which every place counts (``find_layer``): of convolutional
            networks the last convolutional layer.
        dataset: Gives a ``Scene`` for each index; see ``captum_cluster.data``.
        methods: Names, classes of either host, functions, or mappings that give a method a name,
            options, layers or scales of its own; see ``method_entries`` and ``custom_map``.
        metrics: "all", or names of ``METRICS``, or mappings that give a metric options; see
            ``choose_metrics``. Those that the data have no ground truth for are left out of the
            report.
        output: Directory of the results and the report; None: only the report is returned.
        explained: The labels explained, which are also those taken to be present: those that the
            image has ("truth"), those with a probability above 0.5 ("predicted", as in the paper
            of MinMax-CAM), or the most probable one ("top").
        probability: How probabilities are read of the logits: "probability" (softmax) or
            "sigmoid".
        preparation: How scenes become what the model takes. None: squashed to the size, and with
            the mean and standard deviation, of the loaded model, or to 224x224 with ImageNet's.
        baseline: What stands for nothing in the model's (normalised) range.
        step: Pixels changed at each step of deletion and insertion; None for 8 rows' worth, which
            is 28 steps, and 56 forward passes for each map, at 224x224.
        limit: Number of images, evenly spread over the dataset; None: all.
        rows: Images in one forward pass; None: what is fastest within memory.
        reference: Name of the method that the others are compared with; None: the first.
        reshape_transform: Turns what the layer gives into maps (N,C,h,w). None: see
            ``find_reshape_transform``; for classes and functions only where their constructor
            takes one.
        strict: Stop at an image that cannot be read, and where a method fails, instead of counting
            that and going on. A method that fails on the first image stops the run in any case.
        devices: Number of processes; more than one needs Lightning.
        strategy: "ddp" starts this program again for each process, "ddp_spawn" and "ddp_fork"
            (for notebooks) do not.
        accelerator: For several devices, Lightning's: "cpu", "cuda", "auto"; with one device the
            model stays where it is.
        progress: Show a bar.

    Returns:
        The report; with ``output`` also written there as ``report.json``, ``report.csv`` and
        ``report.html``.

    Raises:
        TypeError: An argument of a wrong type.
        ValueError: An unknown method or metric, labels that are not the model's, or an ``output``
            that holds another run; the message says what differs.
        LayerError: No such layer.
        OSError: The results cannot be written, as on a full disk; those before are kept.
        ImportError: Several devices without Lightning.

    Example:
        >>> from captum_cluster.data import DigitScenes
        >>> net = nn.Sequential(
        ...     nn.Conv2d(3, 8, 3, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        ...     nn.Linear(8, 10),
        ... ).eval()
        >>> report = evaluate(
        ...     net, "1", DigitScenes(2), ["grad-cam", "cluster-cam"], ["average-drop", "energy"],
        ...     probability="sigmoid", preparation=Preparation(64), progress=False,
        ... )
        >>> report.methods, report.images
        (('grad-cam', 'cluster-cam'), 2)
    """
    net: Any = model
    if isinstance(model, LoadedModel):
        net, preparation = model.model, preparation or squashed(model.transform)
    if not isinstance(net, nn.Module):
        raise TypeError(expected("model", "an nn.Module or a LoadedModel", describe(model)))
    settings = Settings(
        tuple(method_entries(methods)),
        choose_metrics(metrics),
        layer,
        preparation or Preparation(),
        check_choice("explained", explained, EXPLAINED),
        check_choice("probability", probability, PROBABILITIES),
        check_number("baseline", baseline),
        None if step is None else check_integer("step", step, 1),
        None if rows is None else check_integer("rows", rows, 1),
        reshape_transform,
    )
    names = [entry.name for entry in settings.entries]
    if reference is not None:
        check_choice("reference", reference, names)
    categories = model.categories if isinstance(model, LoadedModel) else None
    if categories is None and explained == "truth":  # then the dataset's labels are the model's
        categories = getattr(dataset, "classes", None)
    positions = chosen_positions(dataset, limit)
    run = _Run(net, dataset, settings, positions, categories, check_flag("strict", strict))
    with tempfile.TemporaryDirectory(prefix="captum-cluster-") as temporary:
        directory = temporary if output is None else str(check_directory(output))
        work = _Work(run, directory, output is not None, reference, progress)
        found: Report | None = in_processes(
            work, devices=devices, strategy=strategy, accelerator=accelerator
        )
        return found or build_report(Path(directory), reference=reference)


def squashed(transform: Any) -> Preparation:
    """Return a preset's preparation without its cut, so that nothing of the objects is lost.

    Example:
        >>> from torchvision.models import ResNet50_Weights
        >>> squashed(ResNet50_Weights.IMAGENET1K_V2.transforms()).mode
        'squash'
    """
    return dataclasses.replace(Preparation.from_transform(transform), mode="squash")


@dataclass(frozen=True)
class _Run:
    """What is judged, and how."""

    model: nn.Module
    dataset: Any
    settings: Settings
    positions: list[int]
    categories: Sequence[str] | None
    strict: bool

    def facts(self) -> dict[str, Any]:
        """Return all that the numbers depend on."""
        settings = self.settings
        return {
            "captum_cluster": __version__,
            "model": {"class": type(self.model).__name__, "state": state_digest(self.model)},
            "dataset": describe_dataset(self.dataset),
            "images": len(self.positions),
            "layer": layer_names(self.model, settings.layer),
            "methods": [method_facts(self.model, entry) for entry in settings.entries],
            "metrics": plain_metrics(settings.metrics),
            "explained": settings.explained,
            "probability": settings.probability,
            "preparation": plain(vars(settings.preparation)),
            "baseline": settings.baseline,
            "step": settings.step,
            "reshape_transform": plain(settings.reshape_transform),
            "categories": plain(self.categories),
        }


@dataclass(frozen=True)
class _Work:
    """What each process does; picklable, so that a process can be started with it."""

    run: _Run
    directory: str
    keep: bool
    reference: str | None
    progress: bool

    def __call__(self, process: Process) -> Report:
        directory = Path(process.broadcast(self.directory))
        if process.rank == 0:
            directory.mkdir(parents=True, exist_ok=True)
            enter(directory, self.run.facts())
        process.barrier()
        _examine(self.run, process, directory, self.progress)
        process.barrier()
        report = build_report(directory, reference=self.reference)
        if process.rank == 0 and self.keep:
            report.save(directory, pictures=self._picture)
        process.barrier()
        return report

    def _picture(self, position: int) -> Tensor | None:
        """Return an image of the dataset as the model saw it, without the normalisation."""
        try:
            return self.run.settings.preparation.prepare(self.run.dataset[position]).image
        except (OSError, ValueError):
            return None


def _examine(run: _Run, process: Process, directory: Path, progress: bool) -> None:
    """Write the records of one process's share of the images that are not done yet."""
    done, unlabelled = _done(directory)
    names = [entry.name for entry in run.settings.entries]
    share = run.positions[process.rank :: process.count]
    owed = {
        position: [name for name in names if (position, name) not in done]
        for position in share
        if position not in unlabelled
    }
    owed = {position: methods for position, methods in owed.items() if methods}
    if not owed:
        return
    if process.device is not None:
        run.model.to(process.device)
    for entry in run.settings.entries:
        if isinstance(entry.method, str):
            warm_up(entry.method)
    bar = tqdm(
        owed.items(),
        initial=len(share) - len(owed),
        total=len(share),
        unit="image",
        disable=not progress or process.rank > 0,
    )
    with Records(directory, process.rank) as records, untouched(run.model):
        worked = {method for _, method in done}
        examiner = Examiner(run.model, run.settings, strict=run.strict, worked=worked)
        for position, methods in bar:
            for record in _records(run, examiner, position, methods):
                records.append(record)


def _done(directory: Path) -> tuple[set[tuple[int, str]], set[int]]:
    """Return the (image, method) that have numbers, and the images that have no label.

    What failed is tried again: a file may have been mended, a network be back.
    """
    done, unlabelled = set(), set()
    for record in read_records(directory):
        if "error" in record:
            continue
        if "method" in record:
            done.add((record["image"], record["method"]))
        else:
            unlabelled.add(record["image"])
    return done, unlabelled


def _records(
    run: _Run, examiner: Examiner, position: int, methods: list[str]
) -> Iterator[Mapping[str, Any]]:
    """Yield the records of one image, or the one that says why there are none."""
    try:
        scene = scene_at(run.dataset, position)
    except (OSError, ValueError) as error:
        if run.strict:
            raise
        yield {"image": position, "error": str(error)}
        return
    yield from examiner.records_of(position, scene, methods)
