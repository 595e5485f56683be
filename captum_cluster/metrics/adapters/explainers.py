"""Explainers as the functions that Captum's and Quantus' metrics call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from captum_cluster._checks import check_flag, describe, expected, is_integer
from captum_cluster._types import OutputTarget
from captum_cluster.functional.attribution.grids import upsample
from captum_cluster.functional.attribution.masks import saliency
from captum_cluster.metrics.adapters.maps import (
    Channels,
    as_input_attributions,
    maps_of,
    one_input,
)


def run_explainer(explainer: Any, inputs: Tensor, target: Any, **options: Any) -> Any:
    """Return what an explainer of any library gives for images and their targets.

    Args:
        explainer: An object with Captum's ``attribute``; one with pytorch-grad-cam's
            ``target_layers``, called with its own form of targets; or a function
            ``explain(inputs, target=...)``.
        inputs: The images (N,c,H,W).
        target: One label for all, one for each image, or None: what the explainer makes of that.
        **options: Passed on.

    Raises:
        TypeError: It is none of these.

    Example:
        >>> run_explainer(lambda inputs, target: inputs.sum(1), torch.ones(2, 3, 4, 4), 0).shape
        torch.Size([2, 4, 4])
    """
    explain = getattr(explainer, "attribute", explainer)
    if not callable(explain):
        what = "a function, or an object with attribute or target_layers"
        raise TypeError(expected("explainer", what, describe(explainer)))
    # Metrics call from within no_grad, where most of the stock methods fail.
    with torch.inference_mode(False), torch.enable_grad():
        images = inputs.detach().clone()
        if explain is explainer and not hasattr(explainer, "target_layers"):
            return explain(images, target=target, **options)
        images.requires_grad_()  # so that a frozen model is explained too
        if hasattr(explainer, "target_layers"):
            return explainer(images, _output_targets(target, len(images)), **options)
        return explain(images, target=target, **options)


def explanation_func(
    explainer: Any, *, channels: Channels | None = None
) -> Callable[..., tuple[Tensor]]:
    """Return an explainer as the function that ``captum.metrics.sensitivity_max`` takes.

    That metric hands the images over in a tuple once and bare afterwards, and takes the first
    explanation apart image by image unless it comes in a tuple: this function takes both, and
    always gives a tuple.

    Args:
        explainer: As for ``run_explainer``.
        channels: As for ``maps_of``.

    Returns:
        ``explain(inputs, target=None, **options)``, which gives a tuple of one tensor (N,c,H,W).
        The options go to the explainer; ``sensitivity_max`` passes on those it is given.

    Raises:
        TypeError: When it is called: no explainer, or no maps.
        ValueError: When it is called: several inputs, or maps of another shape.

    Example:
        >>> explain = explanation_func(lambda inputs, target: inputs.mean(dim=1))
        >>> explain((torch.rand(2, 3, 8, 8),), target=1)[0].shape
        torch.Size([2, 3, 8, 8])

    References:
        Yeh et al. 2019, "On the (In)fidelity and Sensitivity of Explanations".
    """

    def explain(inputs: Any, target: Any = None, **options: Any) -> tuple[Tensor]:
        images = one_input(inputs)
        found = run_explainer(explainer, images, target, **options)
        return (as_input_attributions(found, images, channels=channels),)

    return explain


def quantus_explain_func(
    explainer_of: Callable[[Any], Any], *, signed: bool = False, channels: Channels | None = None
) -> Callable[..., npt.NDArray[Any]]:
    """Return explainers as the ``explain_func`` that Quantus takes.

    Quantus says which model to explain, and some of its metrics change the weights or explain
    copies: so the explainer is made anew at each call.

    Args:
        explainer_of: Gives an explainer (as for ``run_explainer``) for a model:
            ``lambda model: LayerClusterCam(model, model.layer4)``.
        signed: Give the enlarged maps with their sign and scale, instead of saliency maps in
            [0,1] (ReLU, enlarge, min-max).
        channels: As for ``maps_of``.

    Returns:
        ``explain(model, inputs, targets, device=None, **options)``, which gives an array
        (N,1,H,W). The options go to the explainer; the device that Quantus names does not matter,
        the model is explained where it is.

    Raises:
        TypeError: ``explainer_of`` cannot be called, or ``signed`` is no bool; when it is called,
            no explainer, or no maps.
        ValueError: When it is called: maps of another shape.

    Example:
        >>> explain = quantus_explain_func(lambda model: lambda inputs, target: inputs.mean(dim=1))
        >>> explain(nn.Flatten(), np.ones((2, 3, 8, 8)), np.array([0, 1])).shape
        (2, 1, 8, 8)
    """
    if not callable(explainer_of):
        raise TypeError(expected("explainer_of", "a function of a model", describe(explainer_of)))
    check_flag("signed", signed)

    def explain(
        model: Any, inputs: Any, targets: Any, device: Any = None, **options: Any
    ) -> npt.NDArray[Any]:
        images = _images_for(model, inputs)
        labels = torch.as_tensor(np.asarray(targets)).long().reshape(-1)
        found = run_explainer(explainer_of(model), images, labels.to(images.device), **options)
        maps = maps_of(found, channels=channels)
        resize = upsample if signed else saliency
        array: npt.NDArray[Any] = resize(maps, images.shape[-2:])[:, None].cpu().numpy()
        return array

    return explain


def _images_for(model: Any, inputs: Any) -> Tensor:
    """Return images as a tensor where a model is, of its dtype."""
    images = one_input(torch.as_tensor(inputs))
    parameters = model.parameters() if isinstance(model, nn.Module) else iter(())
    first = next((one for one in parameters if one.is_floating_point()), None)
    return images.float() if first is None else images.to(first)


def _output_targets(target: Any, images: int) -> list[OutputTarget] | None:
    """Return a target as pytorch-grad-cam's: a callable of one image's output for each image."""
    if target is None:
        return None
    listed = target.reshape(-1).tolist() if isinstance(target, (Tensor, np.ndarray)) else target
    listed = list(listed) if isinstance(listed, (list, tuple)) else [listed]
    listed = listed * images if len(listed) == 1 else listed
    if len(listed) != images:
        what = f"one label, or one for each of {images} images"
        raise ValueError(expected("target", what, f"{len(listed)} of them"))
    return [_output_target(one) for one in listed]


def _output_target(target: Any) -> OutputTarget:
    if callable(target):
        chosen: OutputTarget = target
        return chosen
    if not is_integer(target):
        raise TypeError(expected("target", "a class index or a callable", describe(target)))
    return lambda output: output[target]
