"""The sub-categories of images as a file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from captum_cluster._checks import expected


def compact(assignments: Tensor, n_sub_categories: int) -> Tensor:
    """Return sub-categories as the smallest integers that hold them, for checkpoints.

    Args:
        assignments: LongTensor (M,L), from -1 to K-1.
        n_sub_categories: K.

    Returns:
        int16 or int32 (M,L).

    Example:
        >>> compact(torch.tensor([[-1, 2]]), 3)
        tensor([[-1,  2]], dtype=torch.int16)
    """
    small = n_sub_categories <= torch.iinfo(torch.int16).max
    return assignments.to(torch.int16 if small else torch.int32)


def save_assignments(
    path: str | os.PathLike[str], assignments: Tensor, n_sub_categories: int, number: int
) -> None:
    """Write the sub-category of each image in each of its labels.

    ".npz" holds ``assignments`` (M,L), -1 where a label is absent, ``n_sub_categories`` and
    ``round``; ".json" the same, readable: for each image the sub-category of each label present.

    Args:
        path: Ends in .npz or .json.
        assignments: LongTensor (M,L).
        n_sub_categories: K.
        number: Of the round.

    Raises:
        ValueError: The name ends otherwise.
    """
    file = Path(path)
    table = assignments.cpu().numpy()
    if file.suffix == ".npz":
        np.savez(file, assignments=table, n_sub_categories=n_sub_categories, round=number)
    elif file.suffix == ".json":
        images = {
            str(image): {str(label): int(row[label]) for label in np.flatnonzero(row >= 0)}
            for image, row in enumerate(table)
        }
        content = {"round": number, "n_sub_categories": n_sub_categories, "images": images}
        file.write_text(json.dumps(content, indent=1))
    else:
        raise ValueError(expected("path", "a name that ends in .npz or .json", repr(file.name)))
