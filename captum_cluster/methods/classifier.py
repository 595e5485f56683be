"""The linear heads behind pooled feature maps: of the labels, and of their sub-categories."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from captum_cluster._checks import LayerError, check_finite, describe, expected
from captum_cluster.hooks import network_of
from captum_cluster.methods.networks import networks_of

_ADVICE = (
    " Pass classifier= if another module is the classifier, or use the gradient form, which takes "
    "any model: minmax-grad-cam (LayerMinMaxGradCam, MinMaxGradCAM) for minmax-cam, grad-cam for "
    "cam."
)
_HEAD = "parent_head"
_SUB_HEAD = "sub_category_head"


def find_classifier(model: object, classifier: nn.Module | None = None) -> nn.Module:
    """Return the linear classifier of a model: the one given, its own, or the last that is in it.

    A model's own is its ``parent_head``, where it has a linear one: with sub-categories
    (``SubCategoryDiscovery``) another linear layer may come last. Of models without one, a head of
    sub-categories is passed over.

    Args:
        model: A module, or a function of the inputs (there the classifier cannot be found).
        classifier: An ``nn.Linear``, a 1x1 ``nn.Conv2d``, or any module with an
            ``effective_weight`` (L,C) or (L,C,1,1).

    Raises:
        TypeError: ``classifier`` is none of these.
        LayerError: None is given, and the model has none or is a function.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 2))
        >>> find_classifier(net) is net[2]
        True
    """
    what = "an nn.Linear or a 1x1 nn.Conv2d, or a module with an effective_weight"
    if classifier is not None:
        if not _is_linear(classifier):
            raise TypeError(expected("classifier", what, describe(classifier)))
        return classifier
    owner = _owner(model, "classifier")
    own: Any = getattr(owner, _HEAD, None)
    if _is_linear(own):
        return own  # type: ignore[no-any-return]
    found: list[nn.Module] = [
        module
        for name, module in owner.named_modules()
        if _is_linear(module) and not _ends_in(name, _SUB_HEAD)
    ]
    if not found:
        raise LayerError(expected("the model", f"to hold {what}", type(owner).__name__) + _ADVICE)
    return found[-1]


def find_sub_category_head(model: object, head: nn.Module | None = None) -> nn.Module:
    """Return the head of the sub-categories of a model: the one given, or its own.

    Its own is its attribute ``sub_category_head``, or the first module of that name inside it.

    Args:
        model: A module, or a function of the inputs (there the head cannot be found).
        head: A module with a ``weight`` or an ``effective_weight`` (L*K,C).

    Raises:
        TypeError: ``head`` is no such module.
        LayerError: None is given, and the model has none or is a function.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 2))
        >>> net[2].sub_category_head = nn.Linear(8, 6)
        >>> find_sub_category_head(net)
        Linear(in_features=8, out_features=6, bias=True)
    """
    what = "a module with a weight (L*K,C)"
    if head is not None:
        if not _has_rows(head):
            raise TypeError(expected("head", what, describe(head)))
        return head
    owner = _owner(model, "head")
    named = (module for name, module in owner.named_modules() if _ends_in(name, _SUB_HEAD))
    found: Any = getattr(owner, _SUB_HEAD, None) or next(named, None)
    if not _has_rows(found):
        got = f"a {type(owner).__name__} without"
        advice = (
            " Pass head= if another module is the head; SubCategoryDiscovery gives it to the "
            "LightningModule, not to the network inside."
        )
        raise LayerError(expected("the model", f"to hold {_SUB_HEAD}, {what}", got) + advice)
    return found  # type: ignore[no-any-return]


def sub_category_weight(head: nn.Module, maps: Tensor, outputs: Tensor) -> Tensor:
    """Return the weights (L,K,C) of a head of sub-categories, checked to fit maps and outputs.

    Args:
        head: See ``find_sub_category_head``. K is its ``n_sub_categories``; where it has none, its
            rows for each label.
        maps: (N,C,h,w), the layer's maps.
        outputs: (N,L), the model's logits.

    Raises:
        ValueError: The outputs are not finite.
        LayerError: The head takes another number of channels than the layer has maps, or is no
            head of K rows for each label.

    Example:
        >>> head, maps = nn.Linear(8, 6), torch.rand(1, 8, 4, 4)
        >>> sub_category_weight(head, maps, torch.rand(1, 2)).shape
        torch.Size([2, 3, 8])
    """
    check_finite("the model's outputs", outputs.detach())
    weight, _ = _parameters(head)
    labels = 1 if outputs.ndim == 1 else outputs.shape[1]
    number = getattr(head, "n_sub_categories", max(1, len(weight) // labels))
    if weight.shape[1] != maps.shape[1]:
        what = f"one whose {weight.shape[1]} maps the head of the sub-categories takes"
        raise LayerError(expected("layer", what, f"one of {maps.shape[1]} maps"))
    if outputs.ndim > 2 or len(weight) != labels * number:
        what = f"to have {number} rows for each of the model's {labels} labels"
        raise LayerError(expected("the head of the sub-categories", what, f"{len(weight)} rows"))
    return weight.reshape(labels, number, -1).to(maps)


def closed_form_weight(
    classifier: nn.Module, maps: Tensor, outputs: Tensor, *, tolerance: float = 1e-3
) -> Tensor:
    """Return the classifier's weights (L,C), checked to explain the outputs.

    Args:
        classifier: See ``find_classifier``.
        maps: (N,C,h,w), the layer's maps.
        outputs: (N,L), the model's logits.
        tolerance: How far both may differ, relative to the image's largest logit; in half
            precision at least eight roundings.

    Raises:
        ValueError: The outputs are not finite.
        LayerError: The mean of the maps, times the weights, plus the bias is not the logits, to
            the tolerance. The message names the
            forms that need no such classifier.

    Example:
        >>> fc = nn.Linear(3, 2)
        >>> maps = torch.rand(1, 3, 4, 4)
        >>> closed_form_weight(fc, maps, fc(maps.mean(dim=(2, 3)))).shape
        torch.Size([2, 3])
    """
    weight, bias = _parameters(classifier)
    what = (
        "to be global average pooling and a linear classifier behind the layer, so that "
        "pool(A) W^T + b gives the logits"
    )
    # A model with a single output may give it without a dimension for the labels.
    outputs = outputs.detach().reshape(len(outputs), -1) if outputs.ndim == 1 else outputs.detach()
    check_finite("the model's outputs", outputs)
    if outputs.ndim != 2 or weight.shape != (outputs.shape[1], maps.shape[1]):
        shapes = f"weights {tuple(weight.shape)} and outputs {tuple(outputs.shape)}"
        got = f"{maps.shape[1]} maps, {shapes}"
        raise LayerError(expected("the model", what, got) + _ADVICE)
    weight = weight.to(maps)
    with torch.autocast(maps.device.type, enabled=False):
        logits = maps.flatten(2).mean(dim=2) @ weight.T
        logits = logits if bias is None else logits + bias.to(logits)
    scale = outputs.abs().amax(dim=1).to(logits).clamp(min=torch.finfo(logits.dtype).tiny)
    error = float(((logits - outputs.to(logits)).abs().amax(dim=1) / scale).max())
    # Half precision keeps three digits, or two.
    if not error <= max(tolerance, 8 * torch.finfo(outputs.dtype).eps):
        got = f"a relative difference of {error:.2g}"
        raise LayerError(expected("the model", what, got) + _ADVICE)
    return weight


def _owner(model: object, option: str) -> nn.Module:
    """Return the module whose heads are looked for; ``option`` is what may be given instead."""
    networks, _ = networks_of(model)
    # Of several networks the first gives the model's outputs.
    owner = networks[0] if networks else network_of(model)
    if owner is None:
        raise LayerError(expected(option, "given for a function that hides its model", None))
    return owner


def _ends_in(name: str, last: str) -> bool:
    return name.rpartition(".")[2] == last


def _has_rows(module: Any) -> bool:
    """Return whether a module has weights (rows, C), as a head has."""
    weight = getattr(module, "effective_weight", getattr(module, "weight", None))
    return isinstance(module, nn.Module) and isinstance(weight, Tensor) and weight.ndim >= 2


def _is_linear(module: Any) -> bool:
    if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        return set(module.kernel_size) == {1} and module.groups == 1
    linear = isinstance(module, nn.Linear)
    return linear or (isinstance(module, nn.Module) and hasattr(module, "effective_weight"))


def _parameters(classifier: nn.Module) -> tuple[Tensor, Tensor | None]:
    """Return weights (L,C) and bias (L,) of a classifier."""
    weight: Any = getattr(classifier, "effective_weight", None)
    weight = classifier.weight if weight is None else weight
    bias: Any = getattr(classifier, "bias", None)
    return weight.detach().flatten(1), None if bias is None else bias.detach()
