"""Masks from feature maps and from random grids, rendered chunk by chunk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

from captum_cluster._checks import check_number
from captum_cluster._types import Masks
from captum_cluster.functional.attribution.grids import axes, over_grid, upsample


def minmax(maps: Tensor, *, dims: int = 2) -> Tensor:
    """Return each map (..., *grid) moved and scaled to [0, 1]; a flat map gives 0.

    Args:
        maps: Maps, on a grid of ``dims`` dimensions.
        dims: 1 for signals, 2 for images, 3 for volumes.

    Example:
        >>> minmax(torch.tensor([[[2.0, 4.0]], [[3.0, 3.0]]]))
        tensor([[[0., 1.]],
        <BLANKLINE>
                [[0., 0.]]])
    """
    low = maps.amin(dim=axes(dims), keepdim=True)
    spread = maps.amax(dim=axes(dims), keepdim=True) - low
    # Dividing by 1 where the spread is 0 keeps a flat map at 0, without NaN.
    return (maps - low) / torch.where(spread > 0, spread, torch.ones_like(spread))


def unit_masks(maps: Tensor, size: Sequence[int], *, align_corners: bool = False) -> Tensor:
    """Return ``minmax(upsample(maps))``, with flat maps (..., *grid) exactly 0.

    Interpolation does not always keep a flat map flat to the last bit, and min-max would blow
    that rounding up to a full mask: the minimum is taken away first.

    Example:
        >>> unit_masks(torch.full((1, 3, 3), 0.1), (13, 13)).max()
        tensor(0.)
    """
    grid = axes(len(size))
    raised = maps - maps.amin(dim=grid, keepdim=True)
    large = upsample(raised, size, align_corners=align_corners)
    if large.requires_grad:
        return minmax(large, dims=len(size))
    # The same in place, as masks are as large as images.
    large -= large.amin(dim=grid, keepdim=True)
    spread = large.amax(dim=grid, keepdim=True)
    return large.div_(torch.where(spread > 0, spread, torch.ones_like(spread)))


def saliency(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Return saliency maps (..., *size) in [0, 1] of maps (..., *grid): ReLU, upsample, min-max.

    The one way from any method's map to what is shown and measured. ``size`` is the input's:
    (H,W) of images, (L,) of signals, (D,H,W) of volumes.

    Example:
        >>> saliency(torch.tensor([[-5.0, 2.0]]), (1, 2))
        tensor([[0., 1.]])
    """
    return unit_masks(maps.relu(), size)


def quantile_denoise(maps: Tensor, quantile: float, *, dims: int = 2) -> Tensor:
    """Return maps (..., *grid) whose values not above the map's own ``quantile`` are 0.

    Args:
        maps: (..., *grid) float.
        quantile: From 0 to 1; the quantile is interpolated linearly between values.
        dims: Dimensions of the grid.

    Raises:
        ValueError: ``quantile`` is outside [0, 1].

    Example:
        >>> quantile_denoise(torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0]]), 0.5)
        tensor([[0., 0., 0., 4., 5.]])

    References:
        Ha and Youn, "Collection-CAM", equation 21 (theta is read as a quantile).
    """
    threshold = _quantile(maps.flatten(-dims), check_number("quantile", quantile, 0.0, 1.0))
    return torch.where(maps > over_grid(threshold, dims), maps, torch.zeros_like(maps))


def _quantile(values: Tensor, quantile: float) -> Tensor:
    """Return ``torch.quantile`` of each row (...,n): (...,), of the rows' dtype."""
    # torch.quantile takes no half precision; the threshold itself loses nothing by a cast back.
    wide = values.detach().to(torch.promote_types(values.dtype, torch.float32))
    if values.device.type != "cpu":
        return torch.quantile(wide, quantile, dim=-1).to(values.dtype)
    # NumPy sorts whole rows several times faster than torch finds one rank.
    ordered = torch.from_numpy(np.sort(wide.numpy(), axis=-1))
    rank = torch.tensor(quantile, dtype=wide.dtype) * (wide.shape[-1] - 1)
    low = int(rank)
    high = min(low + 1, wide.shape[-1] - 1)
    found = torch.lerp(ordered[..., low], ordered[..., high], rank - low)
    # NaN comes last, and makes the quantile NaN.
    return torch.where(ordered[..., -1].isnan(), torch.nan, found).to(values.dtype)


@dataclass(frozen=True)
class MapMasks:
    """Masks that are feature maps, upsampled to the input and scaled to [0, 1].

    Attributes:
        maps: (N,K,*grid) float, the maps; only these are kept in memory.
        valid: (N,K) bool, or None if all are: where an image has fewer than K maps.
        normalize: Min-max each upsampled map; False keeps its values.
        align_corners: As in ``torch.nn.functional.interpolate``.
        denoise_quantile: If given, the upsampled map is rectified, its values not above this
            quantile of it become 0, and what is left is divided by its maximum.

    Example:
        >>> masks = MapMasks(torch.tensor([[[[0.0, 2.0]], [[1.0, 1.0]], [[3.0, 3.0]]]]))
        >>> pairs, index = masks.passes()
        >>> pairs.tolist(), index.tolist()  # the two flat maps share a pass
        ([[0, 0], [0, 1]], [[0, 1, 1]])
        >>> masks.render(pairs[:, 0], pairs[:, 1], (1, 2)).flatten(1)
        tensor([[0., 1.],
                [0., 0.]])
    """

    maps: Tensor
    valid: Tensor | None = None
    normalize: bool = True
    align_corners: bool = False
    denoise_quantile: float | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Number of images and of masks per image."""
        return self.maps.shape[0], self.maps.shape[1]

    @property
    def _dims(self) -> int:
        return self.maps.ndim - 2

    def _flat(self, maps: Tensor) -> Tensor:
        """Return of maps (...,*grid) which make a mask of 0, whatever their value: (...)."""
        flat = maps.flatten(-self._dims)
        if self.denoise_quantile is not None:
            return (flat.amin(dim=-1) == flat.amax(dim=-1)) | (flat.amax(dim=-1) <= 0)
        if self.normalize:
            return flat.amin(dim=-1) == flat.amax(dim=-1)
        return (flat == 0).all(dim=-1)

    def passes(self) -> tuple[Tensor, Tensor]:
        """Return the pairs (P,2) that need a pass, and each mask's pass (N,K); see ``Masks``."""
        valid = torch.ones(self.shape, dtype=torch.bool) if self.valid is None else self.valid.cpu()
        zero = self._flat(self.maps).cpu() & valid
        first_zero = zero & (zero.cumsum(dim=1) == 1)
        own = (valid & ~zero) | first_zero
        index = (own.flatten().cumsum(dim=0) - 1).reshape(own.shape)
        # One zero mask per image makes the pass that all its zero masks share.
        shared = torch.where(first_zero, index, -1).amax(dim=1, keepdim=True)
        index = torch.where(zero, shared, index)
        return own.nonzero(), torch.where(valid, index, -1)

    def render(self, images: Tensor, masks: Tensor, size: Sequence[int]) -> Tensor:
        """Return the masks (P,1,*size) of the pairs (image, mask)."""
        chosen = self.maps[images.to(self.maps.device), masks.to(self.maps.device)]
        if self.denoise_quantile is not None:
            large = upsample(chosen, size, align_corners=self.align_corners).relu()
            noiseless = quantile_denoise(large, self.denoise_quantile, dims=self._dims)
            # The values at the quantile and below are 0, so that min-max divides by the maximum.
            # Rounding in the interpolation of a flat map would be blown up to a full mask.
            largest = noiseless.amax(dim=axes(self._dims))
            scale = torch.where(self._flat(chosen) | (largest == 0), torch.inf, largest)
            return (noiseless / over_grid(scale, self._dims))[:, None]
        resize = unit_masks if self.normalize else upsample
        return resize(chosen[:, None], size, align_corners=self.align_corners)


@dataclass(frozen=True)
class JoinedMasks:
    """Masks of several kinds, one after the other.

    Attributes:
        parts: For the same images, at least one.

    Example:
        >>> first = MapMasks(torch.tensor([[[[0.0, 1.0]]]]))
        >>> joined = JoinedMasks((first, MapMasks(torch.tensor([[[[2.0], [1.0]]]]))))
        >>> joined.shape
        (1, 2)
        >>> pairs, index = joined.passes()
        >>> joined.render(pairs[:, 0], pairs[:, 1], (1, 2))[:, 0]
        tensor([[[0., 1.]],
        <BLANKLINE>
                [[0., 0.]]])
    """

    parts: tuple[Masks, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Number of images and of masks per image."""
        return self.parts[0].shape[0], sum(part.shape[1] for part in self.parts)

    def _starts(self) -> list[int]:
        """Return the number of the first mask of each part, and one past the last."""
        return list(accumulate((part.shape[1] for part in self.parts), initial=0))

    def passes(self) -> tuple[Tensor, Tensor]:
        """Return the passes of all parts, image by image; see ``Masks``."""
        pairs, index, count = [], [], 0
        for start, part in zip(self._starts(), self.parts, strict=False):
            own, places = part.passes()
            pairs.append(own + torch.tensor([0, start]))
            index.append(torch.where(places >= 0, places + count, -1))
            count += len(own)
        joined = torch.cat(pairs)
        order = joined[:, 0].argsort(stable=True)
        # The last seat is for masks that are not there.
        seats, places = torch.cat([order.argsort(), torch.tensor([-1])]), torch.cat(index, dim=1)
        return joined[order], seats[places]

    def render(self, images: Tensor, masks: Tensor, size: Sequence[int]) -> Tensor:
        """Return the masks (P,1,*size) of the pairs (image, mask)."""
        starts = self._starts()
        rendered: Tensor | None = None
        for number, part in enumerate(self.parts):
            own = (masks >= starts[number]) & (masks < starts[number + 1])
            if not bool(own.any()):
                continue
            chosen = part.render(images[own], masks[own] - starts[number], size)
            if rendered is None:
                rendered = chosen.new_empty(len(masks), 1, *size)
            rendered[own.to(rendered.device)] = chosen.to(rendered.device)
        assert rendered is not None  # there is no pass without a pair
        return rendered


class KeptMasks:
    """Masks that are rendered once where they are needed twice, as far as a limit allows.

    Args:
        masks: What is rendered.
        limit: Bytes of rendered masks that are kept; what is above is rendered anew.

    Example:
        >>> kept = KeptMasks(MapMasks(torch.tensor([[[[0.0, 2.0]]]])), limit=8)
        >>> kept.render(torch.tensor([0]), torch.tensor([0]), (1, 2)).flatten()
        tensor([0., 1.])
    """

    def __init__(self, masks: Masks, limit: int) -> None:
        self._masks, self._left = masks, limit
        self._kept: dict[tuple[int, ...], Tensor] = {}

    @property
    def shape(self) -> tuple[int, int]:
        """Number of images and of masks per image."""
        return self._masks.shape

    def passes(self) -> tuple[Tensor, Tensor]:
        """Return the passes of the masks; see ``Masks``."""
        return self._masks.passes()

    def render(self, images: Tensor, masks: Tensor, size: Sequence[int]) -> Tensor:
        """Return the masks (P,1,*size) of the pairs (image, mask)."""
        places = [
            (*size, image, mask)
            for image, mask in zip(images.tolist(), masks.tolist(), strict=True)
        ]
        if all(place in self._kept for place in places):
            return torch.stack([self._kept[place] for place in places])
        rendered = self._masks.render(images, masks, size)
        for place, mask in zip(places, rendered.unbind(), strict=True):
            amount = mask.numel() * mask.element_size()
            if place not in self._kept and amount <= self._left:
                self._left -= amount
                self._kept[place] = mask
        return rendered


def random_grids(
    n_masks: int, grid_size: int, probability: float, *, random_state: int, dims: int = 2
) -> tuple[Tensor, Tensor]:
    """Return RISE's random cells and where each mask is cut out of its enlarged grid.

    Args:
        n_masks: Number of masks K.
        grid_size: Cells per side s.
        probability: Chance of a cell to be 1.
        random_state: Seed of a generator of its own; the global one is left alone.
        dims: Dimensions of the grid.

    Returns:
        grids: (K,s,...,s) float, 0 or 1; of images (K,s,s).
        shifts: (K,dims) float in [0,1): the cut's place within one cell; of images downwards and
            rightwards.

    Example:
        >>> grids, shifts = random_grids(4, 8, 0.5, random_state=0)
        >>> grids.shape, shifts.shape
        (torch.Size([4, 8, 8]), torch.Size([4, 2]))
    """
    generator = torch.Generator().manual_seed(random_state)
    cells = (grid_size,) * dims
    grids = torch.rand(n_masks, *cells, generator=generator) < probability
    return grids.float(), torch.rand(n_masks, dims, generator=generator)


@dataclass(frozen=True)
class GridMasks:
    """RISE's masks: random grids, enlarged linearly and cut at a random shift.

    The same masks serve every image of a batch, so an image's map does not depend on the others.

    Attributes:
        images: Number of images N.
        grids: (K,s,...,s) float, 0 or 1.
        shifts: (K,dims) float in [0,1), in units of one cell.
        dtype: Of the rendered masks.

    References:
        Petsiuk, Das, Saenko 2018, "RISE", section 3.2.
    """

    images: int
    grids: Tensor
    shifts: Tensor
    dtype: torch.dtype = torch.float32

    @property
    def shape(self) -> tuple[int, int]:
        """Number of images and of masks per image."""
        return self.images, len(self.grids)

    def passes(self) -> tuple[Tensor, Tensor]:
        """Return every pair (image, mask), image by image; see ``Masks``."""
        index = torch.arange(self.images * len(self.grids)).reshape(self.shape)
        return torch.ones(self.shape, dtype=torch.bool).nonzero(), index

    def render(self, images: Tensor, masks: Tensor, size: Sequence[int]) -> Tensor:
        """Return the masks (P,1,*size); ``images`` does not matter."""
        grids = self.grids[masks.to(self.grids.device)].to(self.dtype)
        cell = [-(-length // grids.shape[-1]) for length in size]
        large = upsample(grids, [(grids.shape[-1] + 1) * length for length in cell])
        shifts = self.shifts[masks.to(self.shifts.device)] * torch.tensor(cell)
        cuts = [
            mask[tuple(slice(at, at + length) for at, length in zip(start, size, strict=True))]
            for mask, start in zip(large, shifts.long().tolist(), strict=True)
        ]
        return torch.stack(cuts)[:, None]
