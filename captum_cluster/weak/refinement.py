"""Scores of labels refined by the image: a random walk over its pixels, the connected CRF."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from captum_cluster._checks import check_choice, check_finite, check_integer, check_number, expected
from captum_cluster._extras import require
from captum_cluster.functional.attribution.grids import upsample
from captum_cluster.functional.weak.affinity import random_walk
from captum_cluster.functional.weak.dense_crf import (
    SMALLEST,
    check_crf_inputs,
    check_crf_options,
    dense_crf,
)
from captum_cluster.functional.weak.pixel_features import (
    grid_stride,
    image_features,
    joined_features,
    layer_features,
    on_grid,
)

BACKENDS = ("auto", "pydensecrf", "torch")


@dataclass(frozen=True)
class RandomWalk:
    """A random walk over the pixels: scores spread among neighbours that look alike.

    On a grid, ``2 ** log_steps`` steps with the affinities
    ``exp(-colour * colours - position * distance - layer * features)``, each term the mean
    difference of what it names (see ``image_features`` and ``layer_features``). The defaults are
    AffinityNet's, but for what pixels are compared by: there features learned for it, as with
    ``RandomWalk(colour=0, position=0, layer=None)``, and the background scores ``(1 - max) ** 16``.

    Attributes:
        stride: Pixels of the image per pixel of the grid, along each axis; at least 1. None: 8, as
            in AffinityNet, for photographs, and less for small images; see ``grid_stride``.
        radius: Pixels of the grid nearer than this are neighbours; above 0.
        power: Of the affinities; at least 0.
        log_steps: Logarithm of the number of steps; at least 0.
        colour: Weight of the colours, at least 0; 0 for features alone. Of 10 to 80 the default
            gave the best masks of eleven VOC photographs, from maps made of blurred truth.
        position: Weight of the distance, at least 0.
        layer: Weight of the features, if there are any; at least 0. None: at their own scale.

    Raises:
        TypeError: An option is no number.
        ValueError: An option is outside its range.

    Example:
        >>> image = torch.zeros(3, 4, 8)
        >>> image[:, :, 4:] = 1.0
        >>> scores = torch.zeros(1, 4, 8)
        >>> scores[0, 1, 1] = 1.0
        >>> refined = RandomWalk().refine(image, scores)
        >>> refined[0, 0].round(decimals=2)
        tensor([0.0700, 0.0700, 0.0700, 0.0700, 0.0000, 0.0000, 0.0000, 0.0000])

    References:
        Ahn and Kwak 2018, "Learning pixel-level semantic affinity"; used by Chang et
        al. 2020, "Sub-category exploration", section 4.
    """

    stride: int | None = None
    radius: float = 5.0
    power: float = 8.0
    log_steps: int = 8
    colour: float = 30.0
    position: float = 0.05
    layer: float | None = 0.5

    def __post_init__(self) -> None:
        if self.stride is not None:
            check_integer("stride", self.stride, 1)
        check_number("radius", self.radius, 0.0, open_low=True)
        check_number("power", self.power, 0.0)
        check_integer("log_steps", self.log_steps, 0, 62)
        check_number("colour", self.colour, 0.0)
        check_number("position", self.position, 0.0)
        if self.layer is not None:
            check_number("layer", self.layer, 0.0)

    @torch.no_grad()
    def refine(self, image: Tensor, scores: Tensor, features: Tensor | None = None) -> Tensor:
        """Return the scores after the walk, each channel within its range.

        Args:
            image: (3,H,W) or (1,H,W) float in [0,1].
            scores: (C,h,w) float, at any resolution.
            features: (D,h',w') float, of a layer of the classifier for example; or None.

        Returns:
            (C,H,W).

        Raises:
            ValueError: A tensor has another shape or is not finite.
        """
        if scores.ndim != 3 or scores.numel() == 0:
            raise ValueError(expected("scores", "of shape (C,h,w)", f"{tuple(scores.shape)}"))
        check_finite("scores", scores)
        size = image.shape[-2:]
        stride = grid_stride(size) if self.stride is None else self.stride
        grid = [-(-side // stride) for side in size]
        seen = self._features(image, grid, features)
        walked = random_walk(
            on_grid(scores, grid),
            seen,
            log_steps=self.log_steps,
            radius=self.radius,
            power=self.power,
        )
        return upsample(walked, size)

    def _features(self, image: Tensor, grid: Sequence[int], features: Tensor | None) -> Tensor:
        """Return what the pixels of the grid are compared by, (D,h,w)."""
        seen = image_features(image, grid, colour=self.colour, position=self.position)
        if features is None:
            return seen
        layer = layer_features(features.to(seen), grid, weight=self.layer)
        return joined_features([seen, layer]) if self.colour or self.position else layer


@dataclass(frozen=True)
class DenseCRF:
    """The fully connected CRF: labels end where the image's colours do. See ``dense_crf``.

    The scores of a pixel count by their ratios. A channel that is 0 everywhere is a label that
    the image does not have: it takes no part, and stays 0. With one channel alone that has any
    score, the image is all of it.

    Attributes:
        iterations: Mean-field steps.
        gaussian: Width in pixels and compatibility of the kernel of position.
        bilateral: Width in pixels, width in colour steps (of 255), compatibility of the kernel of
            position and colour.
        backend: As in ``crf``.

    Raises:
        TypeError: An option is of another type.
        ValueError: An option is outside its range.

    Example:
        >>> image = torch.zeros(3, 8, 8)
        >>> image[:, :, 4:] = 1.0
        >>> scores = torch.full((2, 8, 8), 0.5)
        >>> scores[:, 4, 1], scores[:, 4, 6] = torch.tensor([[0.9, 0.1], [0.1, 0.9]])
        >>> DenseCRF().refine(image, scores).argmax(dim=0)[0]
        tensor([0, 0, 0, 0, 1, 1, 1, 1])

    References:
        Krähenbühl and Koltun 2011, "Efficient inference in fully connected CRFs"; the settings of
        the code of Ahn and Kwak 2018 and of Chang et al. 2020.
    """

    iterations: int = 10
    gaussian: tuple[float, float] = (3.0, 3.0)
    bilateral: tuple[float, float, float] = (80.0, 13.0, 10.0)
    backend: str = "auto"

    def __post_init__(self) -> None:
        check_crf_options(self.iterations, self.gaussian, self.bilateral)
        check_choice("backend", self.backend, BACKENDS)
        # A list, as a configuration file has it, would leave the object without a hash.
        object.__setattr__(self, "gaussian", tuple(self.gaussian))
        object.__setattr__(self, "bilateral", tuple(self.bilateral))

    @torch.no_grad()
    def refine(self, image: Tensor, scores: Tensor, features: Tensor | None = None) -> Tensor:
        """Return the labels' probabilities.

        Args:
            image: (3,H,W) or (1,H,W) float in [0,1].
            scores: (C,h,w) float in [0,1], at any resolution, background among them.
            features: Not read.

        Returns:
            (C,H,W): of sum 1 at each pixel, or all 0 if all scores are.

        Raises:
            ImportError: pydensecrf is asked for, and not installed.
            ValueError: A tensor has another shape or range.
        """
        if scores.ndim != 3 or scores.numel() == 0:
            raise ValueError(expected("scores", "of shape (C,h,w)", f"{tuple(scores.shape)}"))
        known = scores.amax(dim=(1, 2)) > 0
        sized = scores if scores.shape[1:] == image.shape[1:] else upsample(scores, image.shape[1:])
        check_crf_inputs(image, sized)
        refined = torch.zeros_like(sized)
        if bool(known.any()):
            options = (self.iterations, self.gaussian, self.bilateral)
            refined[known] = _crf(image, sized[known], self.backend, *options)
        return refined


def crf(
    images: Tensor,
    probabilities: Tensor,
    *,
    backend: str = "auto",
    iterations: int = 10,
    gaussian: Sequence[float] = (3.0, 3.0),
    bilateral: Sequence[float] = (80.0, 13.0, 10.0),
) -> Tensor:
    """Return the labels' probabilities after the fully connected CRF, image by image.

    Both backends compute the same (see ``dense_crf``): pydensecrf faster on a processor, PyTorch
    everywhere.

    Args:
        images: (N,3,H,W) or (3,H,W) float in [0,1].
        probabilities: (N,C,H,W) or (C,H,W) float in [0,1]; of each pixel only their ratios count.
        backend: "pydensecrf" (of the extra ``crf``; copies tensors of a GPU), "torch", or "auto":
            pydensecrf if it is installed and the probabilities are not on a GPU.
        iterations: As in ``dense_crf``.
        gaussian: As in ``dense_crf``.
        bilateral: As in ``dense_crf``.

    Returns:
        As the probabilities, of sum 1 at each pixel.

    Raises:
        ImportError: pydensecrf is asked for, and not installed.
        TypeError: An option is of another type.
        ValueError: An option is outside its range, or the images or the probabilities are of
            another shape or range.

    Example:
        >>> probabilities = torch.full((1, 2, 4, 4), 0.5)
        >>> crf(torch.zeros(1, 3, 4, 4), probabilities).sum(dim=1)[0, 0]
        tensor([1., 1., 1., 1.])

    References:
        Krähenbühl and Koltun 2011, "Efficient inference in fully connected CRFs".
    """
    check_choice("backend", backend, BACKENDS)
    check_crf_options(iterations, gaussian, bilateral)
    if images.ndim == 3 and probabilities.ndim == 3:
        return _crf(images, probabilities, backend, iterations, gaussian, bilateral)
    if images.ndim != 4 or probabilities.ndim != 4 or len(images) != len(probabilities):
        got = f"{tuple(images.shape)} and {tuple(probabilities.shape)}"
        what = "of shapes (N,3,H,W) and (N,C,H,W)"
        raise ValueError(expected("images and probabilities", what, got))
    refined = torch.empty_like(probabilities)
    for number, (image, scores) in enumerate(zip(images, probabilities, strict=True)):
        refined[number] = _crf(image, scores, backend, iterations, gaussian, bilateral)
    return refined


def _crf(
    image: Tensor,
    probabilities: Tensor,
    backend: str,
    iterations: int,
    gaussian: Sequence[float],
    bilateral: Sequence[float],
) -> Tensor:
    """Return the refined probabilities (C,H,W) of one image."""
    if backend == "auto":
        bound = importlib.util.find_spec("pydensecrf") is not None
        backend = "pydensecrf" if bound and probabilities.device.type == "cpu" else "torch"
    run = _bound_crf if backend == "pydensecrf" else dense_crf
    return run(image, probabilities, iterations=iterations, gaussian=gaussian, bilateral=bilateral)


def _bound_crf(
    image: Tensor,
    probabilities: Tensor,
    *,
    iterations: int,
    gaussian: Sequence[float],
    bilateral: Sequence[float],
) -> Tensor:
    """Return what ``dense_crf`` returns, computed by pydensecrf."""
    require("pydensecrf", "crf")
    check_crf_inputs(image, probabilities)
    channels, height, width = probabilities.shape
    binding = importlib.import_module("pydensecrf.densecrf").DenseCRF2D(width, height, channels)
    energy = -probabilities.detach().cpu().float().clamp(min=SMALLEST).log()
    binding.setUnaryEnergy(np.ascontiguousarray(energy.flatten(1).numpy()))
    if gaussian[1]:
        binding.addPairwiseGaussian(sxy=gaussian[0], compat=gaussian[1])
    if bilateral[2]:
        colours = (image.detach().cpu() * 255).round().byte().expand(3, height, width)
        binding.addPairwiseBilateral(
            sxy=bilateral[0],
            srgb=bilateral[1],
            rgbim=np.ascontiguousarray(colours.permute(1, 2, 0).numpy()),
            compat=bilateral[2],
        )
    refined = torch.from_numpy(np.array(binding.inference(iterations), dtype=np.float32))
    return refined.reshape(probabilities.shape).to(probabilities)
