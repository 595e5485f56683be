"""Images, maps, labels and features checked, and taken image by image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from captum_cluster._checks import check_finite, describe, expected

Features: TypeAlias = Tensor | Sequence[Tensor] | Callable[[Tensor], Tensor]
"""Features (D,h,w) of each image, or a function that makes them of an image (3,H,W)."""

_ROUNDING = 1e-4  # by how much a picture may leave [0,1]


@dataclass(frozen=True, eq=False)
class Case:
    """One image with the maps of the labels it has.

    Attributes:
        image: (3,H,W) float in [0,1]; of a grey one the channels are equal.
        maps: (P,h,w) float, the maps of the present labels only.
        labels: (P,) int64, which labels these are.
        n_labels: L.
        features: (D,h,w) float, or None.
    """

    image: Tensor
    maps: Tensor
    labels: Tensor
    n_labels: int
    features: Tensor | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image."""
        return self.image.shape[1], self.image.shape[2]


def cases(
    images: Tensor | Sequence[Tensor],
    maps: Tensor | Sequence[Tensor],
    present: Tensor,
    features: Features | None = None,
    *,
    with_features: bool = True,
) -> Iterator[Case]:
    """Yield the images one by one; what does not fit together is found before the first.

    Args:
        images: (N,3,H,W) float in [0,1], or N images (3,H,W) of any sizes; or of one channel, grey.
        maps: (N,L,h,w) float, or N times (L,h,w). Those of absent labels are not read.
        present: (N,L) bool.
        features: N times (D,h,w), or a function of an image, called when its turn comes.
        with_features: Whether the cases have them; they are checked in either case.

    Raises:
        TypeError: An argument is of another type.
        ValueError: Numbers or shapes do not belong together, an image leaves [0,1], or a present
            label's map or a feature is not finite.

    Example:
        >>> present = torch.tensor([[False, True]])
        >>> case = next(cases(torch.rand(1, 3, 8, 8), torch.rand(1, 2, 4, 4), present))
        >>> case.labels.tolist(), tuple(case.maps.shape), case.size
        ([1], (1, 4, 4), (8, 8))
    """
    _check_present(present)
    count, n_labels = present.shape
    pictures = [_image(image) for image in _listed("images", images, count)]
    rows = [_maps(row, n_labels) for row in _listed("maps", maps, count)]
    sources = _sources(features, count)
    return (
        _case(pictures[number], rows[number], present[number], source if with_features else None)
        for number, source in enumerate(sources)
    )


def _sources(features: Any, count: int) -> list[Any]:
    """Return the features of each image, or the function that makes them, or None."""
    if features is None or callable(features):
        return [features] * count
    return [_features(one) for one in _listed("features", features, count)]


def _case(
    image: Tensor, maps: Tensor, present: Tensor, source: Tensor | Callable[..., Any] | None
) -> Case:
    """Return one image's case, beside its maps."""
    labels = present.to(maps.device).nonzero().flatten()
    image = image.to(maps.device)
    features = source(image) if callable(source) else source
    if features is not None:
        features = _features(features).to(maps.device)
    return Case(image, check_finite("maps", maps[labels]), labels, len(present), features)


def _check_present(present: Any) -> None:
    """Check that it is (N,L) of at least one image."""
    if not isinstance(present, Tensor) or present.dtype != torch.bool:
        raise TypeError(expected("present", "a boolean tensor (N,L)", describe(present)))
    if present.ndim != 2 or not len(present):
        what = "of shape (N,L) with at least one image"
        raise ValueError(expected("present", what, f"{tuple(present.shape)}"))


def _listed(name: str, values: Any, count: int) -> list[Any]:
    """Return one value for each image."""
    if isinstance(values, (str, bytes)) or not isinstance(values, (Tensor, Sequence)):
        raise TypeError(expected(name, "a tensor or a list of tensors", describe(values)))
    found = len(values) if not isinstance(values, Tensor) or values.ndim else 0
    if found != count:
        raise ValueError(expected(name, f"one for each of the {count} images of present", found))
    return list(values)


def _features(features: Any) -> Tensor:
    """Return features (D,h,w), float32 or float64."""
    return _floats("features", features, 3, "(D,h,w)")


def _image(image: Any) -> Tensor:
    """Return an image (3,H,W) in [0,1], float32 or float64, of one of (3,H,W) or (1,H,W)."""
    values = check_finite("images", _floats("images", image, 3, "(3,H,W)"))
    if len(values) not in (1, 3):
        raise ValueError(
            expected("images", "of shape (3,H,W) or (1,H,W)", f"{tuple(values.shape)}")
        )
    low, high = (float(value) for value in torch.aminmax(values))
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        what = "in [0,1] (not normalised for a model)"
        raise ValueError(expected("images", what, f"values from {low:g} to {high:g}"))
    return values.clamp(0.0, 1.0).expand(3, -1, -1)


def _maps(maps: Any, n_labels: int) -> Tensor:
    """Return maps (L,h,w), float32 or float64."""
    values = _floats("maps", maps, 3, "(L,h,w)")
    if len(values) != n_labels:
        what = f"of shape (L,h,w) with L = {n_labels} as in present"
        raise ValueError(expected("maps", what, f"{tuple(values.shape)}"))
    return values


def _floats(name: str, values: Any, axes: int, shape: str) -> Tensor:
    """Return a float tensor with this many axes, detached, in at least single precision."""
    if not isinstance(values, Tensor) or not values.is_floating_point():
        raise TypeError(expected(name, f"float tensors {shape}", describe(values)))
    if values.ndim != axes or 0 in values.shape[1:]:
        raise ValueError(expected(name, f"of shape {shape}", f"{tuple(values.shape)}"))
    return values.detach().to(torch.promote_types(values.dtype, torch.float32))
