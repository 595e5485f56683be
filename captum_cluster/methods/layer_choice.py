"""The layer to explain where none is named: the last one in which every place still counts.

Of a convolutional network it is the last part with a convolution that gives maps. Where something
else follows, as in transformers, gradients tell: the patches that leave the last block of a
transformer with a class token have none, since the output is read from the class token alone.
There the choice is what its last attention takes, the normalisation before it (torchvision's
``encoder.layers.<last>.ln_1``, timm's ``blocks.<last>.norm1``); where normalisation follows
attention, the block before. Where all places are averaged, as in Swin, it is what is averaged: the
last normalisation. Grad-CAM there is exact, as it is behind the last block of a ResNet (the map's
mean is the class's logit, less its bias), and the residual stream is in it, which the
normalisation before the last attention leaves out.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from captum_cluster._checks import LayerError, expected
from captum_cluster.hooks import inputs_of, run_captured, trace_shapes, untouched
from captum_cluster.methods.layer_forms import Forms, Traced

_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def choose_layer(model: nn.Module, images: Tensor) -> tuple[str, nn.Module]:
    """Return the name and the module of the layer to explain.

    Args:
        model: The model.
        images: (N,c,H,W), what it takes.

    Raises:
        LayerError: None is found.

    Example:
        >>> from torchvision.models import SwinTransformer
        >>> swin = SwinTransformer([4, 4], 12, [1, 1], [2, 2], [4, 4], num_classes=3).eval()
        >>> choose_layer(swin, torch.rand(1, 3, 32, 32))[0]
        'norm'
    """
    traced = trace_shapes(model, images)
    forms = Forms(traced, images.shape[-2:])
    place = _last_convolutional(traced)
    if place is None or _goes_on(model, forms, place):
        place = _last_with_every_place(model, images[:1], forms)
    if place is None:
        what = "given for a model without a convolution that gives feature maps (N,C,h,w)"
        raise LayerError(expected("layer", what, "None"))
    if _attentions_after(model, traced, place) > 1:
        what = "given for a transformer of an unknown kind, with reshape_transform where it "
        raise LayerError(expected("layer", what + "gives no maps (N,C,h,w)", "None"))
    return traced[place][:2]


def has_convolution(module: nn.Module) -> bool:
    """Return whether there is a convolution in a module."""
    return any(isinstance(part, _CONVOLUTIONS) for part in module.modules())


def has_attention(module: nn.Module) -> bool:
    """Return whether there is attention in a module."""
    return any(_is_attention(part) for part in module.modules())


def _last_convolutional(finished: Traced) -> int | None:
    """Return the place of the last part with a convolution that gives maps."""
    found, grid = -1, (0, 0)
    for place, (_, module, shape) in enumerate(finished):
        if len(shape) != 4 or shape[2] * shape[3] < 2:
            continue
        if isinstance(module, _CONVOLUTIONS):
            found, grid = place, (shape[2], shape[3])
        # What comes after a convolution has its grid or a coarser one; (N,h,w,C) has not.
        elif has_convolution(module) and shape[2] <= grid[0] and shape[3] <= grid[1]:
            found = place
    if found < 0:
        return None
    shape = finished[found][2]
    # A bare convolution goes on into the normalisation and the activation behind it.
    while isinstance(finished[found][1], _CONVOLUTIONS) or _is_elementwise(finished[found][1]):
        after = finished[found + 1 : found + 2]
        if not after or not _is_elementwise(after[0][1]) or after[0][2] != shape:
            break
        found += 1
    return found


def _goes_on(model: nn.Module, forms: Forms, place: int) -> bool:
    """Return whether places are looked at after a layer: by attention, or in another form."""
    if _attentions_after(model, forms.traced, place):
        return True
    later = range(place + 1, len(forms.traced))
    return any(_has_places(forms, one) and _changes_form(forms, one) for one in later)


def _changes_form(forms: Forms, place: int) -> bool:
    return forms.transform(place) is not None


def _has_places(forms: Forms, place: int) -> bool:
    """Return whether a module computes something of more than one place."""
    grid = forms.grid(place)
    computes = any(True for _ in forms.traced[place][1].parameters())
    return computes and grid is not None and grid[0] * grid[1] > 1


def _last_with_every_place(model: nn.Module, image: Tensor, forms: Forms) -> int | None:
    """Return the place of the last layer whose places have, most of them, a gradient."""
    inner = [f"{name}." for name in _attentions(model)]
    places = [
        place
        for place, (name, _, _) in enumerate(forms.traced)
        if _has_places(forms, place) and not any(name.startswith(one) for one in inner)
    ]
    gradients = _gradients(model, image, [forms.traced[place][1] for place in places], forms.traced)
    if gradients is None:
        return None
    for place, gradient in reversed(list(zip(places, gradients, strict=True))):
        transform = forms.transform(place)
        maps = gradient if transform is None else transform(gradient)
        if bool((maps != 0).any(dim=1).float().mean() >= 0.5):
            return place
    return None


def _gradients(
    model: nn.Module, image: Tensor, modules: list[nn.Module], traced: Traced
) -> list[Tensor] | None:
    """Return the gradients at modules of what the last linear layer takes, weighted by chance.

    Of that, since a new classifier often starts with zeros; by chance, since the sum of what a
    normalisation gives has no gradient. None where there is no tensor to start from.
    """
    rows = traced[-1][2][:1]  # others make tables, such as those of relative positions
    heads = [
        module
        for _, module, shape in traced
        if type(module) is nn.Linear and len(shape) == 2 and shape[:1] == rows
    ]
    last = heads[-1] if heads else model
    with untouched(model), torch.inference_mode(False), torch.no_grad(), inputs_of(last) as taken:
        image = image.clone()  # what was made in inference mode takes no part in a graph
        output, captured = run_captured(model, modules, lambda: model(image), gradients=True)
        read = taken[-1] if heads else output
        if not isinstance(read, Tensor):
            return None
        weights = torch.randn(read.shape, generator=torch.Generator().manual_seed(0))
        with torch.enable_grad():
            value = (read * weights.to(read)).sum()
        found = captured.gradients_of_all(value, range(len(modules)))
    return [one[0] for one in found]


def _attentions(model: nn.Module) -> list[str]:
    """Return the names of the innermost attention modules."""
    listed = [name for name, module in model.named_modules() if _is_attention(module)]
    return [one for one in listed if not any(other.startswith(f"{one}.") for other in listed)]


def _attentions_after(model: nn.Module, traced: Traced, place: int) -> int:
    """Return how many attention modules finish after a module.

    Attention that gives several tensors is not in the trace: what is inside it finishes just
    before it, and of what is around it the first that is in the trace before the next attention.
    """
    order = {name: number for number, (name, _, _) in enumerate(traced)}
    return sum(_finished(name, order) > place for name in _attentions(model))


def _finished(name: str, order: dict[str, int]) -> int:
    """Return the place in the trace of a module, of the last inside it or the first around it."""
    inside = [number for own, number in order.items() if f"{own}.".startswith(f"{name}.")]
    if inside:
        return max(inside)
    while name and name not in order:
        name = name.rpartition(".")[0]
    return order.get(name, -1)


def _is_attention(module: nn.Module) -> bool:
    # By name: libraries share no class, and fused kernels leave nothing else to tell it by.
    return any(word in type(module).__name__.lower() for word in ("attention", "attn"))


def _is_elementwise(module: nn.Module) -> bool:
    """Return whether a module is a normalisation or an activation."""
    kind = type(module)
    return kind.__module__ in (
        "torch.nn.modules.activation",
        "torch.nn.modules.batchnorm",
        "torch.nn.modules.normalization",
        "torch.nn.modules.instancenorm",
    )
