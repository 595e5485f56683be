"""Mean-field inference of the fully connected conditional random field."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from captum_cluster._checks import check_finite, check_integer, check_number, expected
from captum_cluster.functional.weak.lattice import permutohedral_lattice

SMALLEST = 1e-5  # as in the binding's ``unary_from_softmax``
Filter = Callable[[Tensor], Tensor]


@torch.no_grad()
def dense_crf(
    image: Tensor,
    probabilities: Tensor,
    *,
    iterations: int = 10,
    gaussian: Sequence[float] = (3.0, 3.0),
    bilateral: Sequence[float] = (80.0, 13.0, 10.0),
) -> Tensor:
    """Return the labels' probabilities after mean-field steps of the fully connected CRF.

    ``q <- softmax(log p + sum_k compat_k K_k q)``, with Potts compatibility and two Gaussian
    kernels, of position and of position and colour. Both are normalised symmetrically
    (``D^-1/2 K D^-1/2``) and hold the pixel itself, as in the authors' code. The colours are
    rounded to whole 255ths and probabilities below 1e-5 are raised to it, as its Python binding
    pydensecrf has it: the numbers are the binding's up to rounding. (Where the number of pixels is
    no multiple of 4 its build for Intel adds up to three black pixels, which are left out here.)

    Args:
        image: (3,H,W) or (1,H,W) float in [0,1].
        probabilities: (C,H,W) float in [0,1]; of each pixel only their ratios count.
        iterations: Mean-field steps, at least 0.
        gaussian: Width in pixels and compatibility of the kernel of position.
        bilateral: Width in pixels, width in colour steps (of 255), compatibility of the kernel of
            position and colour.

    Returns:
        (C,H,W) float, of sum 1 at each pixel.

    Raises:
        TypeError: An option is no number.
        ValueError: An option is outside its range, or the image or the probabilities are of
            another shape or range.

    Example:
        >>> image = torch.zeros(3, 8, 8)
        >>> image[:, :, 4:] = 1.0
        >>> unsure = torch.full((2, 8, 8), 0.5)
        >>> unsure[:, 4, 1], unsure[:, 4, 6] = torch.tensor([[0.9, 0.1], [0.1, 0.9]])
        >>> dense_crf(image, unsure).argmax(dim=0)[0]
        tensor([0, 0, 0, 0, 1, 1, 1, 1])

    References:
        Krähenbühl and Koltun 2011, "Efficient inference in fully connected CRFs", algorithm 1.
    """
    check_crf_options(iterations, gaussian, bilateral)
    check_crf_inputs(image, probabilities)
    dtype = torch.promote_types(probabilities.dtype, torch.float32)
    log_p = probabilities.to(dtype).clamp(min=SMALLEST).log().flatten(1).T.contiguous()
    kernels = _kernels(image.to(log_p), gaussian, bilateral)
    q = log_p.softmax(dim=1)
    for _ in range(iterations):
        message = log_p.clone()
        for compatibility, kernel in kernels:
            message += compatibility * kernel(q)
        q = message.softmax(dim=1)
    return q.T.reshape(probabilities.shape).to(probabilities.dtype)


def _kernels(
    image: Tensor, gaussian: Sequence[float], bilateral: Sequence[float]
) -> list[tuple[float, Filter]]:
    """Return each kernel's compatibility and filter; one of compatibility 0 is left out."""
    h, w = image.shape[-2:]
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    places = torch.stack([x, y], dim=-1).reshape(-1, 2).to(image)
    kernels: list[tuple[float, Filter]] = []
    if gaussian[1]:
        kernels.append((gaussian[1], normalized_filter(places / gaussian[0])))
    if bilateral[2]:
        colours = (image * 255).round().expand(3, h, w).flatten(1).T
        points = torch.cat([places / bilateral[0], colours / bilateral[1]], dim=1)
        kernels.append((bilateral[2], normalized_filter(points)))
    return kernels


def normalized_filter(features: Tensor) -> Filter:
    """Return the Gaussian filter of these points, normalised symmetrically: (P,C) to (P,C).

    Args:
        features: (P,d) float, see ``permutohedral_lattice``.

    Raises:
        ValueError: As in ``permutohedral_lattice``.

    Example:
        >>> same = normalized_filter(torch.zeros(4, 2))
        >>> same(torch.tensor([[1.0], [0.0], [0.0], [0.0]])).flatten()
        tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """
    lattice = permutohedral_lattice(features)
    sums = lattice.filter(features.new_ones(len(features), 1))
    scale = 1 / (sums + 1e-20).sqrt()
    return lambda values: scale * lattice.filter(scale * values)


def check_crf_options(
    iterations: int, gaussian: Sequence[float], bilateral: Sequence[float]
) -> None:
    """Check the options of ``dense_crf``.

    Raises:
        TypeError: One is no number, or no sequence of numbers.
        ValueError: One is outside its range.
    """
    check_integer("iterations", iterations, 0)
    for name, values, length in (("gaussian", gaussian, 2), ("bilateral", bilateral, 3)):
        what = f"a sequence of {length} numbers"
        if not isinstance(values, Sequence) or isinstance(values, str):
            raise TypeError(expected(name, what, repr(values)))
        if len(values) != length:
            raise ValueError(expected(name, what, repr(values)))
        for place, value in enumerate(values):
            last = place == length - 1  # the compatibility, which may be 0
            check_number(f"{name}[{place}]", value, 0.0, open_low=not last)


def check_crf_inputs(image: Tensor, probabilities: Tensor) -> None:
    """Check that the image and the probabilities belong together and are from 0 to 1.

    Raises:
        ValueError: They are not.
    """
    shapes = f"{tuple(image.shape)} and {tuple(probabilities.shape)}"
    fits = image.ndim == probabilities.ndim == 3 and image.shape[1:] == probabilities.shape[1:]
    if not fits or len(image) not in (1, 3) or probabilities.numel() == 0:
        what = "of shapes (3,H,W) and (C,H,W)"
        raise ValueError(expected("image and probabilities", what, shapes))
    for name, values in (("image", image), ("probabilities", probabilities)):
        check_finite(name, values)
        low, high = float(values.min()), float(values.max())
        if low < 0 or high > 1:
            raise ValueError(expected(name, "numbers from 0 to 1", f"{low:g} to {high:g}"))
