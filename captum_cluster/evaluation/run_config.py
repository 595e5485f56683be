"""A run as a file: everything that ``captum-cluster evaluate`` needs, in YAML."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from captum_cluster._checks import check_choice, describe, expected
from captum_cluster.data import Preparation, open_dataset
from captum_cluster.evaluation.digit_classifier import load_digit_net
from captum_cluster.evaluation.models import load_model
from captum_cluster.evaluation.output import check_directory, staged
from captum_cluster.evaluation.reporting.report import Report
from captum_cluster.evaluation.runner import evaluate, squashed
from captum_cluster.evaluation.running.entries import method_entries
from captum_cluster.evaluation.running.measures import choose_metrics

DIGIT_NET = "digit-net"
MODES = ("squash", "center-crop", "none")
_NAME = "config.yaml"


@dataclass(frozen=True)
class RunConfig:
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

    @classmethod
    def from_mapping(cls, given: Any) -> RunConfig:
        """Return the config that a mapping describes.

        Raises:
            TypeError: It is no mapping.
            ValueError: It has an unknown key, or no data.
        """
        if not isinstance(given, Mapping):
            raise TypeError(expected("the configuration", "a mapping", describe(given)))
        known = [one.name for one in dataclasses.fields(cls)]
        unknown = [key for key in given if key not in known]
        if unknown or "data" not in given:
            got = f"the unknown key {unknown[0]!r}" if unknown else "no 'data'"
            raise ValueError(expected("the configuration", f"made of {', '.join(known)}", got))
        return cls(**given)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> RunConfig:
        """Return the config in a YAML file.

        Raises:
            OSError: The file cannot be read.
            ValueError: It is no YAML, or as for ``from_mapping``.
            TypeError: As for ``from_mapping``.
        """
        try:
            given = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(expected(str(path), "YAML", reason)) from error
        return cls.from_mapping(given)

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Write ``config.yaml``, which ``load`` reads."""
        with staged(directory) as stage:
            text = yaml.safe_dump(dataclasses.asdict(self), sort_keys=False, allow_unicode=True)
            (stage / _NAME).write_text(text, encoding="utf-8")

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
