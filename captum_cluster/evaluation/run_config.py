"""A run as a file: everything that ``captum-cluster evaluate`` needs, in YAML."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from typing import Any, ClassVar

from captum_cluster._checks import check_choice
from captum_cluster.data import Preparation, open_dataset
from captum_cluster.evaluation.config_file import FileConfig
from captum_cluster.evaluation.digit_classifier import load_digit_net
from captum_cluster.evaluation.models import load_model
from captum_cluster.evaluation.output import check_directory
from captum_cluster.evaluation.reporting.report import Report
from captum_cluster.evaluation.runner import evaluate, squashed
from captum_cluster.evaluation.running.entries import method_entries
from captum_cluster.evaluation.running.measures import choose_metrics

DIGIT_NET = "digit-net"
MODES = ("squash", "center-crop", "none")


@dataclass(frozen=True)
class RunConfig(FileConfig):
    """A run of ``evaluate`` in words and numbers alone.

    Attributes:
        data: What ``open_dataset`` takes ("imagenet-boxes:DIR").
        model: A torchvision classifier, or "digit-net", the network of the demo, which is trained
            on the spot.
        weights: "DEFAULT", or a file with a state dict.
        layer: As for ``evaluate``.
        methods: As for ``evaluate``, in words.
        metrics: As for ``evaluate``.
        explained: As for ``evaluate``.
        probability: As for ``evaluate``; None: "sigmoid" for "digit-net", else "probability".
        preparation: "squash", "center-crop" (the model's own) or "none" (images as they are).
        baseline: As for ``evaluate``, and so for those below.
        step: Pixels changed at each step of deletion and insertion.
        limit: Number of images.
        rows: Images in one forward pass.
        reference: The method that the others are compared with.
        strict: Stop at an image that cannot be read.
        devices: Number of processes.
        strategy: How they start.
        accelerator: Lightning's.

    Example:
        >>> config = RunConfig.from_mapping({"data": "digit-scenes:10", "model": "digit-net"})
        >>> config.metrics, config.limit
        ('all', None)
    """

    needed: ClassVar[str | None] = "data"

    data: str
    model: str = "resnet18"
    weights: str = "DEFAULT"
    layer: str | list[str] | None = None
    methods: list[Any] = field(default_factory=lambda: ["grad-cam", "cluster-cam"])
    metrics: str | list[Any] = "all"
    explained: str = "truth"
    probability: str | None = None
    preparation: str = "squash"
    baseline: float = 0.0
    step: int | None = None
    limit: int | None = None
    rows: int | None = None
    reference: str | None = None
    strict: bool = False
    devices: int = 1
    strategy: str = "ddp"
    accelerator: str = "auto"

    def run(self, output: str | os.PathLike[str], *, progress: bool = True) -> Report:
        """Run it, and return the report; both are written to ``output`` when it is done.

        Raises:
            ValueError: As ``evaluate``, ``open_dataset`` and ``load_model`` do.
        """
        directory = check_directory(output)
        check_choice("preparation", self.preparation, MODES)
        method_entries(self.methods)  # before weights are loaded, or downloaded in vain
        choose_metrics(self.metrics)
        dataset = open_dataset(self.data)
        model, preparation = self._model()
        report = evaluate(
            model,
            self.layer,
            dataset,
            self.methods,
            self.metrics,
            output=str(directory),
            preparation=preparation,
            probability=self._probability(),
            progress=progress,
            **{name: getattr(self, name) for name in _PASSED_ON},
        )
        self.save(directory)
        return report

    def _model(self) -> tuple[Any, Preparation]:
        """Return the model, and how scenes become what it takes."""
        if self.model == DIGIT_NET:
            as_it_is = Preparation(mode="none", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
            return load_digit_net()[0], as_it_is
        loaded = load_model(self.model, self.weights)
        return loaded, dataclasses.replace(squashed(loaded.transform), mode=self.preparation)

    def _probability(self) -> str:
        if self.probability is not None:
            return self.probability
        return "sigmoid" if self.model == DIGIT_NET else "probability"


_PASSED_ON = (
    "explained",
    "baseline",
    "step",
    "limit",
    "rows",
    "reference",
    "strict",
    "devices",
    "strategy",
    "accelerator",
)
