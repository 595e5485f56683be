"""The number by which masks mark uncertain pixels, which no label may have."""

from __future__ import annotations

from captum_cluster._checks import check_integer, expected

UNCERTAIN = 255
"""The number in PASCAL VOC, and here as long as no label has it."""


def uncertain_number(ignore_index: int | None, n_labels: int) -> int:
    """Return the number of uncertain pixels in masks of L labels, where label l is l + 1.

    Args:
        ignore_index: The number that is wanted, none of 0 to L; None: 255, or -1 where that is a
            label's.
        n_labels: L.

    Raises:
        TypeError: ``ignore_index`` is no integer.
        ValueError: It is the number of the background or of a label.

    Example:
        >>> uncertain_number(None, 254), uncertain_number(None, 255), uncertain_number(21, 20)
        (255, -1, 21)
    """
    if ignore_index is None:
        return UNCERTAIN if n_labels < UNCERTAIN else -1
    number = check_integer("ignore_index", ignore_index, -(2**31), 2**31)
    if 0 <= number <= n_labels:
        what = f"outside 0 to the number of labels ({n_labels})"
        raise ValueError(expected("ignore_index", what, number))
    return number
