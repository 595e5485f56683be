"""A training that is there: what it was, and what its networks take and know."""

from __future__ import annotations

import dataclasses
import functools
import json
from dataclasses import dataclass
from pathlib import Path

from captum_cluster._checks import describe, expected
from captum_cluster._files import write_whole
from captum_cluster.data import Preparation
from captum_cluster.evaluation.config_file import CONFIG_NAME
from captum_cluster.evaluation.recipes.config import TrainingConfig
from captum_cluster.evaluation.recipes.run_settings import (
    chosen_preparation,
    chosen_settings,
    chosen_sources,
)
from captum_cluster.evaluation.recipes.sources import Sources

LABELS_NAME = "labels.json"


@dataclass(frozen=True)
class TrainedLabels:
    """The labels of a training's networks, kept so that they are known without its data.

    Attributes:
        classes: Their names.
        several: Whether an image can have several of them.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     TrainedLabels(["cat", "dog"], True).save(Path(folder))
        ...     TrainedLabels.load(Path(folder))
        TrainedLabels(classes=['cat', 'dog'], several=True)
    """

    classes: list[str]
    several: bool

    def save(self, directory: Path) -> None:
        """Write ``labels.json``, which ``load`` reads."""
        text = json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False) + "\n"
        file = directory / LABELS_NAME
        write_whole(file, lambda draft: draft.write_text(text, encoding="utf-8"))

    @classmethod
    def load(cls, directory: Path) -> TrainedLabels:
        """Return the labels of the training in a directory.

        Raises:
            FileNotFoundError: They were not written.
            ValueError: The file is damaged.
        """
        path = directory / LABELS_NAME
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return cls([str(name) for name in found["classes"]], bool(found["several"]))
        except (ValueError, KeyError, TypeError) as error:
            what = "the labels of a training"
            raise ValueError(expected(str(path), what, describe(error))) from error


class Trained:
    """A training in its directory, whose data are opened only where they are needed.

    Args:
        directory: The ``output`` of ``train``.

    Raises:
        FileNotFoundError: There is no training.
        ValueError: Its configuration is damaged.
    """

    def __init__(self, directory: Path) -> None:
        path = directory / CONFIG_NAME
        if not path.is_file():
            what = "the directory of a training (captum-cluster train)"
            raise FileNotFoundError(expected("network", what, repr(str(directory))))
        self.directory = directory
        self.config = TrainingConfig.load(path)
        self.settings = chosen_settings(self.config)

    @property
    def preparation(self) -> Preparation:
        """How scenes become what the networks take."""
        return chosen_preparation(self.config, self.settings)

    @functools.cached_property
    def sources(self) -> Sources:
        """The images, as ``train`` had them.

        Raises:
            OSError: They are gone.
            ValueError: As ``open_sources``.
        """
        return chosen_sources(self.config, self.settings)

    def labels(self) -> TrainedLabels:
        """Return the labels; of a training from before they were written those of its data.

        Raises:
            OSError: They were not written, and the data are gone.
            ValueError: A file is damaged.
        """
        try:
            return TrainedLabels.load(self.directory)
        except FileNotFoundError:
            return TrainedLabels(self.sources.classes, self.sources.several)
