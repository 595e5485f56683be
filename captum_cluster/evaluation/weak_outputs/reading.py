"""Masks that were written, read again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from captum_cluster.data import load_index_mask
from captum_cluster.data.listing import image_files
from captum_cluster.evaluation.config_file import CONFIG_NAME
from captum_cluster.evaluation.weak_outputs.config import MasksConfig
from captum_cluster.evaluation.weak_outputs.numbering import (
    FOLDER,
    IGNORED,
    mask_file,
    read_table,
)


@dataclass(frozen=True)
class WrittenMasks:
    """The PNG masks in the ``output`` of ``make_masks`` or ``captum-cluster masks``.

    Attributes:
        directory: The ``output``.
        classes: The names of the numbers 1, 2, ... in the masks; 0 is the background.
        labels: The label of the classifier that each of them is.
        config: What the command was given; None where Python made the masks.
        uncertain: The number of uncertain pixels.
    """

    directory: Path
    classes: list[str]
    labels: list[int]
    config: MasksConfig | None
    uncertain: int = IGNORED

    def mask_of(self, name: str) -> Tensor | None:
        """Return the mask (H,W) int64 of the scene of this name, None where there is none.

        Its size and orientation are those of the stored picture.

        Raises:
            ValueError: The name can be no scene's, or the file is damaged.
        """
        file = mask_file(self.directory, name)
        return torch.from_numpy(load_index_mask(file)) if file.is_file() else None

    def names(self) -> list[str]:
        """Return the names of the scenes that have a mask."""
        folder = self.directory / FOLDER
        return [file.relative_to(folder).as_posix()[:-4] for file in image_files(folder)]


def read_masks(directory: str | os.PathLike[str]) -> WrittenMasks:
    """Return the PNG masks in the ``output`` of ``make_masks`` or ``captum-cluster masks``.

    Args:
        directory: The ``output``; the run need not be done.

    Raises:
        FileNotFoundError: There are none.
        ValueError: The table of classes, or the configuration, is damaged.

    Example:
        >>> masks = read_masks("captum-cluster-masks")  # doctest: +SKIP
        >>> masks.classes[masks.mask_of("2007_000033").max() - 1]  # doctest: +SKIP
        'aeroplane'
    """
    folder = Path(directory)
    table = read_table(folder)
    config = folder / CONFIG_NAME
    known = MasksConfig.load(config) if config.is_file() else None
    return WrittenMasks(folder, table["classes"], table["labels"], known)
