"""How alike two saliency maps are: for sanity checks."""

from __future__ import annotations

import torch
from torch import Tensor

from captum_cluster._checks import check_finite, expected

# torchmetrics' window reaches 5 pixels to each side, and is reflected at the border.
_LEAST = 6


def spearman(one: Tensor, other: Tensor) -> Tensor:
    """Return Spearman's rank correlation of the pixels of each pair of maps, from -1 to 1.

    Equal values share their mean rank. A flat map has no order: NaN.

    Args:
        one: (P,H,W) float, any range.
        other: (P,H,W) float, any range.

    Returns:
        (P,) float64.

    Raises:
        ValueError: The shapes differ, or a value is not finite.

    Example:
        >>> one = torch.tensor([[[1.0, 2.0, 3.0]]])
        >>> spearman(one, torch.tensor([[[1.0, 4.0, 9.0]]]))
        tensor([1.], dtype=torch.float64)

    References:
        Adebayo et al. 2018, "Sanity Checks for Saliency Maps", section 3.
    """
    from scipy.stats import spearmanr

    _check(one, other)
    pairs = [
        (a.flatten().cpu().double().numpy(), b.flatten().cpu().double().numpy())
        for a, b in zip(one, other, strict=True)
    ]
    # SciPy gives the same NaN for a flat map, with a warning.
    found = [
        torch.nan if a.min() == a.max() or b.min() == b.max() else float(spearmanr(a, b).statistic)
        for a, b in pairs
    ]
    return torch.tensor(found, dtype=torch.float64)


def ssim(one: Tensor, other: Tensor) -> Tensor:
    """Return the structural similarity of each pair of saliency maps, from -1 to 1.

    With a Gaussian window of 11 pixels (sigma 1.5) and a data range of 1, from torchmetrics; right
    to some 1e-5, as it is computed in float32.

    Args:
        one: (P,H,W) in [0,1], at least 6x6 pixels.
        other: (P,H,W) in [0,1].

    Returns:
        (P,) float64.

    Raises:
        ValueError: The shapes differ, the maps are smaller, or a value is outside [0,1].

    Example:
        >>> one = torch.eye(8)[None]
        >>> ssim(one, one)
        tensor([1.], dtype=torch.float64)

    References:
        Wang et al. 2004, "Image quality assessment"; Adebayo et al. 2018, "Sanity Checks for
        Saliency Maps", section 3.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    _check(one, other)
    if min(one.shape[1:]) < _LEAST:
        what = f"maps of at least {_LEAST}x{_LEAST} pixels"
        raise ValueError(expected("one and other", what, f"{one.shape[1]}x{one.shape[2]}"))
    for name, maps in (("one", one), ("other", other)):
        if not bool(((maps >= 0) & (maps <= 1)).all()):
            raise ValueError(expected(name, "saliency maps in [0,1]", "others"))
    if not len(one):
        return torch.zeros(0, dtype=torch.float64)
    # In float32, ten times faster than in float64 and right to some 1e-5.
    found = structural_similarity_index_measure(
        one[:, None].float(), other[:, None].float(), data_range=1.0, reduction="none"
    )
    assert isinstance(found, Tensor)
    return found.double().cpu()


def _check(one: Tensor, other: Tensor) -> None:
    """Check that both are finite maps of one shape."""
    if one.ndim != 3 or one.shape != other.shape:
        got = f"{tuple(one.shape)} and {tuple(other.shape)}"
        raise ValueError(expected("one and other", "of one shape (P,H,W)", got))
    check_finite("one", one)
    check_finite("other", other)
