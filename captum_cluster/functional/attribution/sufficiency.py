"""The sharpest version of a saliency map that is still sufficient for the model's answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from captum_cluster.functional.attribution.grids import over_grid, upsample


@dataclass(frozen=True)
class PowerMasks:
    """Powers of one saliency map of each image, as masks. The order of the pixels stays.

    Attributes:
        maps: (N,H,W) in [0,1], or (N,*size) of signals and volumes.
        exponents: K of them, each at least 0: above 1 they sharpen, below they widen, and 0 is
            the whole image.

    Example:
        >>> masks = PowerMasks(torch.tensor([[[0.0, 0.5, 1.0]]]), (2.0, 0.0))
        >>> pairs, _ = masks.passes()
        >>> masks.render(pairs[:, 0], pairs[:, 1], (1, 3)).squeeze()
        tensor([[0.0000, 0.2500, 1.0000],
                [1.0000, 1.0000, 1.0000]])
    """

    maps: Tensor
    exponents: Sequence[float]

    @property
    def shape(self) -> tuple[int, int]:
        """Number of images and of masks per image."""
        return len(self.maps), len(self.exponents)

    def passes(self) -> tuple[Tensor, Tensor]:
        """Return every pair (image, mask), image by image; see ``Masks``."""
        count = len(self.maps) * len(self.exponents)
        index = torch.arange(count).reshape(self.shape)
        return torch.ones(self.shape, dtype=torch.bool).nonzero(), index

    def render(self, images: Tensor, masks: Tensor, size: Sequence[int]) -> Tensor:
        """Return the masks (P,1,*size) of the pairs (image, mask)."""
        chosen = self.maps[images.to(self.maps.device)]
        powers = torch.tensor(self.exponents, dtype=chosen.dtype, device=chosen.device)
        if chosen.shape[1:] != tuple(size):
            chosen = upsample(chosen, size)
        return (chosen ** over_grid(powers[masks.to(chosen.device)], len(size)))[:, None]


def sharpest_sufficient(scores: Tensor, whole: Tensor, exponents: Sequence[float]) -> Tensor:
    """Return which power of the map is the sharpest that keeps the score of the whole image.

    Where none keeps it, the one with the highest score, the sharpest among equals.

    Args:
        scores: (N,K,T), the score of the image behind each power.
        whole: (N,1,T), the score of the whole image.
        exponents: K of them, in any order.

    Returns:
        LongTensor (N,T), from 0 to K - 1.

    Example:
        >>> scores = torch.tensor([[[0.2], [0.8], [0.9]]])
        >>> sharpest_sufficient(scores, torch.tensor([[[0.8]]]), (3.0, 1.0, 0.5))
        tensor([[1]])
        >>> sharpest_sufficient(scores, torch.tensor([[[1.0]]]), (3.0, 1.0, 0.5))
        tensor([[2]])
    """
    order = sorted(range(len(exponents)), key=lambda number: -exponents[number])
    sharpest_first = scores[:, order]
    sufficient = sharpest_first >= whole
    best = sharpest_first >= sharpest_first.amax(dim=1, keepdim=True)
    wanted = torch.where(sufficient.any(dim=1, keepdim=True), sufficient, best)
    # The first that is wanted: a running count of 1 marks it, and it alone is wanted there.
    first = (wanted & (wanted.cumsum(dim=1) == 1)).to(torch.uint8).argmax(dim=1)
    return torch.tensor(order, device=scores.device)[first]
