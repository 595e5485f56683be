"""The layer to explain: the one named, the model's own, or the last one with every place in it."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from captum_cluster._checks import LayerError, expected
from captum_cluster.hooks import check_layer, trace_shapes
from captum_cluster.methods.layer_choice import (
    choose_layer,
    has_attention,
    has_convolution,
)
from captum_cluster.methods.layer_forms import Forms
from captum_cluster.methods.networks import networks_of


def find_layers(
    model: nn.Module,
    images: Tensor,
    layer: nn.Module | str | Sequence[nn.Module | str] | None = None,
) -> list[tuple[str, nn.Module]]:
    """Return the names and the modules of the layers to explain.

    Args:
        model: The model.
        images: As for ``find_layer``.
        layer: As for ``find_layer``, or several; None: the model's own ``explained_layers`` (see
            ``own_layers``), else the one that ``find_layer`` chooses.

    Raises:
        LayerError: No such layer.
        TypeError: ``layer`` is something else.

    Example:
        >>> import torch
        >>> from torchvision.models import resnet18
        >>> model = resnet18().eval()
        >>> [name for name, _ in find_layers(model, torch.rand(1, 3, 64, 64), ["layer3", "layer4"])]
        ['layer3', 'layer4']
    """
    named: Any = own_layers(model) or None if layer is None else layer
    listed = named if isinstance(named, (list, tuple)) and named else [named]
    return [find_layer(model, images, one) for one in listed]


def own_layers(model: nn.Module) -> list[nn.Module]:
    """Return the layers that a model says are to be explained, or none.

    These are its ``explained_layers``, as this package's classifiers have them: one for each
    branch. Of a model of several ``networks`` (``MultiLevelNetwork``) it is those of the first one,
    which its forward pass runs; multi-level CAM finds the others itself.

    Example:
        >>> own_layers(nn.Linear(2, 2))
        []
    """
    networks, _ = networks_of(model)
    return list(getattr(networks[0] if networks else model, "explained_layers", ()))


def find_layer(
    model: nn.Module, images: Tensor, layer: nn.Module | str | None = None
) -> tuple[str, nn.Module]:
    """Return the name and the module of the layer to explain.

    Args:
        model: The model.
        images: (N,c,H,W), what it takes; looked at only where ``layer`` is None.
        layer: A module of the model, its dotted name ("layer4.1"), or None for the last of the
            model's own ``explained_layers`` (see ``own_layers``), and where it has none for the
            last layer in which every place still counts. Of a convolutional network that is the
            last part with a convolution in it that still gives maps of more than one place, with
            the normalisation and the activation that follow it. Of transformers gradients tell
            it: where the output is read from a class token, what the last attention takes; where
            all places are averaged, as in Swin, the last normalisation. Their layers give no maps
            (N,C,h,w): see ``find_reshape_transform``.

    Raises:
        LayerError: No such layer.
        TypeError: ``layer`` is something else.

    Example:
        >>> import torch
        >>> from torchvision.models import resnet18
        >>> find_layer(resnet18().eval(), torch.rand(1, 3, 64, 64))[0]
        'layer4'
        >>> from torchvision.models import VisionTransformer
        >>> vit = VisionTransformer(32, 8, 2, 2, 16, 32).eval()
        >>> find_layer(vit, torch.rand(1, 3, 32, 32))[0]
        'encoder.layers.encoder_layer_1.ln_1'
    """
    if layer is None:
        named = own_layers(model)
        if not named:
            return choose_layer(model, images)
        layer = named[-1]
    if isinstance(layer, str):
        return layer, _by_name(model, layer)
    check_layer(model, layer)
    return next(name for name, module in model.named_modules() if module is layer), layer


def stages(model: nn.Module, images: Tensor) -> list[str]:
    """Return the names of the model's stages, shallow to final.

    The top-level parts of several modules, a convolution or attention among them, that give
    feature maps of more than one place: layer1 to layer4 of a ResNet. Where there is one such part
    alone, as in a VGG or a Swin transformer, its own parts: of those on one grid the last, if
    there is a convolution or attention among them. A transformer whose tokens stay on one grid has
    no stages.

    Raises:
        LayerError: There are none.

    Example:
        >>> import torch
        >>> from torchvision.models import resnet18, vgg11
        >>> stages(resnet18().eval(), torch.rand(1, 3, 64, 64))
        ['layer1', 'layer2', 'layer3', 'layer4']
        >>> stages(vgg11().eval(), torch.rand(1, 3, 64, 64))[-2:]
        ['features.14', 'features.19']
    """
    traced = trace_shapes(model, images)
    forms = Forms(traced, images.shape[-2:])
    seen = [
        (name, module, grid)
        for place, (name, module, shape) in enumerate(traced)
        if name and len(shape) == 4 and math.prod(grid := forms.places(place)) > 1
    ]
    top = [
        name
        for name, module, _ in seen
        if _is_top(model, name) and _mixes_places(module) and any(module.children())
    ]
    if len(top) == 1:
        inside = [part for part in seen if part[0].startswith(top[0] + ".")]
        top = _last_of_each_grid([part for part in inside if part[0].count(".") == 1])
    if not top:
        what = "given for a model without parts that give feature maps (N,C,h,w)"
        raise LayerError(expected("layers", what, "None"))
    return top


def _last_of_each_grid(parts: list[tuple[str, nn.Module, tuple[int, ...]]]) -> list[str]:
    """Return the last of the parts on each grid that has a convolution or attention."""
    convolved = {grid for _, module, grid in parts if _mixes_places(module)}
    last = {grid: name for name, _, grid in parts}  # later parts replace earlier ones
    return [name for grid, name in last.items() if grid in convolved]


def _is_top(model: nn.Module, name: str) -> bool:
    """Return whether a module is a part of the model itself; a list of modules is none."""
    above = name.rpartition(".")[0]
    return not above or ("." not in above and type(getattr(model, above)) is nn.ModuleList)


def _mixes_places(module: nn.Module) -> bool:
    return has_convolution(module) or has_attention(module)


def _by_name(model: nn.Module, name: str) -> nn.Module:
    modules: dict[str, nn.Module] = dict(model.named_modules())
    if name and name in modules:
        return modules[name]
    close = difflib.get_close_matches(name, list(modules), n=3)
    top = ", ".join(child for child, _ in model.named_children())
    hint = f" (close: {', '.join(close)})" if any(close) else f" (at the top: {top})"
    what = f"the name of a module of {type(model).__name__}{hint}"
    raise LayerError(expected("layer", what, repr(name)))
