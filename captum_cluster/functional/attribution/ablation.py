"""Ablation: what a feature map is worth, by what the score loses without it."""

from __future__ import annotations

import torch
from torch import Tensor

from captum_cluster._checks import check_choice

FILLS = ("zero", "low")

# What "low" puts below the smallest value of the maps, as pytorch-grad-cam does.
_FAR_BELOW = 1e7
# Live tensors of a pass, in multiples of the largest one that a module gives.
_LIVE = 8
_CPU_BUDGET = 512 * 2**20
_MAX_ROWS_CPU = 128
_MAX_ROWS_GPU = 1024


def fill_values(maps: Tensor, fill: str) -> Tensor:
    """Return what takes the place of an ablated map, (N,) in the dtype of the maps.

    Args:
        maps: (N,C,h,w).
        fill: "zero"; or "low", far below the smallest value of the image's maps where that is
            not 0.

    Raises:
        ValueError: ``fill`` is another word.

    Example:
        >>> fill_values(torch.tensor([[[[-1.0]]], [[[0.0]]]]), "low")
        tensor([-10000001.,         0.])
    """
    if check_choice("fill", fill, FILLS) == "zero":
        return maps.new_zeros(len(maps))
    low = maps.flatten(1).amin(dim=1)
    return torch.where(low == 0, low, low - _FAR_BELOW)


def changed_maps(maps: Tensor, fills: Tensor) -> Tensor:
    """Return which maps differ from what takes their place: BoolTensor (N,C).

    The others need no pass: without them the image is what it was.

    Args:
        maps: (N,C,h,w).
        fills: (N,), see ``fill_values``.

    Example:
        >>> changed_maps(torch.tensor([[[[0.0]], [[2.0]]]]), torch.zeros(1))
        tensor([[False,  True]])
    """
    return (maps.flatten(2) != fills[:, None, None]).any(dim=2)


def ablation_weights(whole: Tensor, scores: Tensor) -> Tensor:
    """Return ``w_k = (y - y_k) / y``: (N,T,C), each map's share of the score.

    Where y is 0, or so small that the quotient is not finite, the weights are ``y - y_k``: the
    division scales one image's map as a whole, and changes nothing else but its sign.

    Args:
        whole: (N,T), the scores y of the whole images.
        scores: (N,C,T), the scores y_k without map k.

    Example:
        >>> ablation_weights(torch.tensor([[2.0, 0.0]]), torch.tensor([[[1.0, -3.0]]]))
        tensor([[[0.5000],
                 [3.0000]]])

    References:
        Desai and Ramaswamy 2020, "Ablation-CAM", equation 3.
    """
    lost = whole[:, None] - scores
    shares = lost / whole[:, None]
    finite = shares.isfinite().all(dim=1, keepdim=True)
    return torch.where(finite, shares, lost).transpose(1, 2)


def closed_form_scores(
    maps: Tensor, weight: Tensor, targets: Tensor, whole: Tensor, fills: Tensor
) -> Tensor:
    """Return the scores without each map, (N,C,T), behind pooling and a linear classifier.

    There ``y_k = y - W_ck (mean(A_k) - fill)``.

    Args:
        maps: (N,C,h,w), the maps A that are pooled.
        weight: (L,C), the classifier's weights W.
        targets: LongTensor (N,T), the labels c.
        whole: (N,T), the logits y of the whole images.
        fills: (N,), see ``fill_values``.

    Example:
        >>> maps, weight = torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[5.0]])
        >>> one = torch.zeros(1, 1, dtype=torch.long)
        >>> closed_form_scores(maps, weight, one, torch.tensor([[11.0]]), torch.zeros(1))
        tensor([[[1.]]])
    """
    means = maps.flatten(2).mean(dim=2) - fills[:, None]
    lost = weight[targets].transpose(1, 2).to(means) * means[..., None]
    return whole[:, None] - lost


def rows_per_tail(widest: int, device: torch.device) -> int:
    """Return how many copies of an image, each without one map, to put into one pass.

    Within a memory budget of half a GiB on the CPU, and a quarter of the free memory on a GPU.

    Args:
        widest: Bytes of the largest tensor for one image in what the pass computes.
        device: Where it computes.

    Example:
        >>> rows_per_tail(512 * 7 * 7 * 4, torch.device("cpu"))
        128
    """
    if device.type == "cuda":
        budget, most = torch.cuda.mem_get_info(device)[0] // 4, _MAX_ROWS_GPU
    else:
        budget, most = _CPU_BUDGET, _MAX_ROWS_CPU
    return max(1, min(most, budget // (max(1, widest) * _LIVE)))
