"""Masks as COCO's run lengths, as numbers and as text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from captum_cluster._checks import check_integer, describe, expected


def run_lengths(mask: Tensor) -> list[int]:
    """Return how long the runs of False and True in a mask are, column by column.

    COCO's uncompressed form: the first run is of False, and may be 0 long.

    Args:
        mask: (H,W) bool.

    Raises:
        TypeError: It is no boolean tensor.
        ValueError: It has another shape.

    Example:
        >>> run_lengths(torch.tensor([[True, False], [True, True]]))
        [0, 2, 1, 1]
    """
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        raise TypeError(expected("mask", "a boolean tensor (H,W)", describe(mask)))
    if mask.ndim != 2:
        raise ValueError(expected("mask", "of shape (H,W)", f"{tuple(mask.shape)}"))
    flat = mask.detach().cpu().T.flatten()
    # A False in front makes the first run one of False.
    before = torch.cat([flat.new_zeros(1), flat[:-1]])
    starts = (flat != before).nonzero().flatten().tolist()
    bounds = [0, *starts, len(flat)]
    return [end - start for start, end in pairwise(bounds)]


def run_text(lengths: Sequence[int]) -> str:
    """Return run lengths as COCO's compressed text, six bits to a character.

    From the fourth run on the difference to the run two before is written, in groups of five bits,
    the lowest first.

    Args:
        lengths: The runs, from ``run_lengths``.

    Raises:
        TypeError: One is no integer.
        ValueError: One is negative.

    Example:
        >>> run_text([6, 1, 40, 4, 5, 4, 5, 4, 21])
        '61X13mN000`0'

    References:
        Lin et al., Microsoft COCO, ``rleToString`` of pycocotools.
    """
    runs = [check_integer("lengths", length, 0) for length in lengths]
    first, rest = runs[:3], runs[3:]
    changes = [run - earlier for run, earlier in zip(rest, runs[1:], strict=False)]
    return "".join(_characters(number) for number in first + changes)


def _characters(number: int) -> str:
    """Return the characters of one number, whose sign is the fifth bit of the last."""
    text = ""
    while True:
        bits, number = number & 31, number >> 5
        last = number == (-1 if bits & 16 else 0)
        text += chr((bits if last else bits | 32) + 48)
        if last:
            return text
