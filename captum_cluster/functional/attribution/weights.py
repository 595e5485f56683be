"""From scores to the coefficient of each map, and from coefficients to the map."""

from __future__ import annotations

import torch
from torch import Tensor


def softmax_weights(scores: Tensor) -> Tensor:
    """Return the softmax of scores (N,K,T) over the masks: (N,K,T); 0 where a score is NaN.

    Example:
        >>> softmax_weights(torch.tensor([[[0.0], [0.0], [torch.nan]]])).flatten()
        tensor([0.5000, 0.5000, 0.0000])
    """
    return scores.nan_to_num(nan=-torch.inf).softmax(dim=1)


def base_and_scissors(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return the clusters of the highest and of the lowest score.

    Args:
        scores: (N,K,T); NaN where an image has fewer clusters.

    Returns:
        base: LongTensor (N,T), argmax over the clusters; ties go to the lowest index.
        scissors: LongTensor (N,T), argmin; -1 where the image has one cluster only.

    Example:
        >>> base_and_scissors(torch.tensor([[[0.2], [0.7], [0.1]]]))
        (tensor([[1]]), tensor([[2]]))

    References:
        Feng et al. 2023, "Cluster-CAM", equations 20 and 21.
    """
    base = scores.nan_to_num(nan=-torch.inf).argmax(dim=1)
    scissors = scores.nan_to_num(nan=torch.inf).argmin(dim=1)
    alone = (~scores.isnan()).sum(dim=1) < 2
    return base, torch.where(alone, -1, scissors)


def base_scissors_weights(
    base: Tensor,
    scissors: Tensor,
    beta: float,
    clusters: int,
    *,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """Return the coefficient of each cluster map: beta for base, beta - 1 for scissors.

    With a single cluster (``scissors`` -1) the map is beta times the cluster's. Where all scores
    are equal base and scissors are the same cluster, and the coefficients add: 2 beta - 1.

    Args:
        base: LongTensor (N,T).
        scissors: LongTensor (N,T), -1 for none.
        beta: Balance from 0 to 1.
        clusters: Number of clusters K.
        dtype: Of the result.

    Returns:
        (N,K,T).

    Example:
        >>> base, scissors = torch.tensor([[1]]), torch.tensor([[2]])
        >>> base_scissors_weights(base, scissors, 0.75, 3).flatten()
        tensor([ 0.0000,  0.7500, -0.2500], dtype=torch.float64)

    References:
        Feng et al. 2023, "Cluster-CAM", equation 22.
    """
    numbers = torch.arange(clusters, device=base.device)[None, :, None]
    is_base = (numbers == base[:, None]).to(dtype)
    is_scissors = (numbers == scissors[:, None]).to(dtype)
    return beta * is_base - (1 - beta) * is_scissors


def spread_over_members(weights: Tensor, labels: Tensor) -> Tensor:
    """Return the channels' coefficients of cluster maps that are means of their channels.

    Args:
        weights: (N,K,T), the coefficient of each cluster's mean map.
        labels: LongTensor (N,C), the cluster of each channel.

    Returns:
        (N,T,C): the cluster's coefficient over the number of its channels.

    Example:
        >>> spread_over_members(torch.tensor([[[1.0], [-1.0]]]), torch.tensor([[0, 0, 1]]))
        tensor([[[ 0.5000,  0.5000, -1.0000]]])
    """
    members = torch.nn.functional.one_hot(labels, weights.shape[1])
    shares = weights / members.sum(dim=1).clamp(min=1)[..., None]
    places = labels[..., None].expand(-1, -1, weights.shape[2])
    return shares.gather(1, places).transpose(1, 2)


def fuse(weights: Tensor, maps: Tensor) -> Tensor:
    """Return ``sum_k weights_k maps_k``: (N,T,h,w) of weights (N,T,K) and maps (N,K,h,w).

    Example:
        >>> fuse(torch.tensor([[[2.0, -1.0]]]), torch.tensor([[[[1.0]], [[3.0]]]]))
        tensor([[[[-1.]]]])
    """
    # Autocast would round the product to half precision.
    with torch.autocast(maps.device.type, enabled=False):
        return torch.einsum("ntk,nk...->nt...", weights.to(maps.dtype), maps)
