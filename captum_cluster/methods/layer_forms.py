"""What layers give: feature maps, maps with the channels last, or tokens of a grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from captum_cluster._checks import LayerError, expected
from captum_cluster.functional.attribution.tokens import (
    MOST_PREFIX_TOKENS,
    TokensToMaps,
    channels_last_to_maps,
)
from captum_cluster.hooks import capture, check_layer, trace_shapes, untouched

Transform = Callable[[Any], Tensor]
Traced = Sequence[tuple[str, nn.Module, tuple[int, ...]]]

# Modules that compute with the channels at the second place.
_CHANNELS_SECOND = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._BatchNorm,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.GroupNorm,
)
# Modules that leave the order of the axes as it is, and so tell nothing of it; the last two are
# known by name, since each library has its own.
_ANY_ORDER = ("activation", "dropout")
_ANY_ORDER_NAMES = ("Identity", "StochasticDepth", "DropPath", "LayerScale")


class Forms:
    """What the modules of a model give, from one traced pass.

    Args:
        traced: As ``trace_shapes`` returns it.
        size: Height and width of the images.
    """

    def __init__(self, traced: Traced, size: Sequence[int]) -> None:
        self.traced, self.size = traced, (int(size[0]), int(size[1]))
        self._axes = [self._channel_axis(place) for place in range(len(traced))]

    def transform(self, place: int) -> Transform | None:
        """Return what makes maps (N,C,h,w) of what a module gives; None: it gives maps.

        Args:
            place: The module's place in the trace.

        Raises:
            LayerError: No maps can be made of it.
        """
        shape = self.traced[place][2]
        if len(shape) == 4 and self._last(place):
            return channels_last_to_maps
        if len(shape) == 4:
            return None
        tokens = self._tokens(place) if len(shape) == 3 else None
        if tokens is None:
            height, width = self.size
            what = f"to give maps, or tokens of a grid that fits images of {height}x{width}"
            got = f"{'tokens' if len(shape) == 3 else 'a tensor'} of shape {shape}"
            advice = " Pass reshape_transform=, a function of it that returns the maps (N,C,h,w)."
            raise LayerError(expected("layer", what, got) + advice)
        return tokens

    def places(self, place: int) -> tuple[int, int]:
        """Return the grid (h,w) of what a module gives in four dimensions."""
        shape = self.traced[place][2]
        return (shape[1], shape[2]) if self._last(place) else (shape[2], shape[3])

    def grid(self, place: int) -> tuple[int, int] | None:
        """Return the grid (h,w) of what a module gives, where it fits the images."""
        if len(self.traced[place][2]) == 4:
            grid = self.places(place)
            return grid if _fits(grid, self.size) else None
        shape = self.traced[place][2]
        tokens = self._tokens(place) if len(shape) == 3 else None
        return None if tokens is None else tokens.grid

    def _last(self, place: int) -> bool:
        """Return whether the channels of four dimensions are the last of them."""
        shape, axis = self.traced[place][2], self._axes[place]
        if axis == 1 or not _fits(shape[1:3], self.size):
            return False
        return axis == -1 or not _fits(shape[2:], self.size)

    def _tokens(self, place: int) -> TokensToMaps | None:
        """Return what folds tokens into the grid that they were cut in, or that fits the images."""
        count = self.traced[place][2][1]
        # The tokens were made of maps, with a convolution as a rule; later maps are coarser.
        spare = [
            (count - grid[0] * grid[1], -earlier, grid)
            for earlier in range(place)
            if (grid := self._maps_grid(earlier)) is not None
        ]
        fitting = [one for one in spare if 0 <= one[0] <= MOST_PREFIX_TOKENS]
        if fitting:
            prefix, _, grid = min(fitting)
            return TokensToMaps(grid, prefix)
        height, width = self.size
        for prefix in range(MOST_PREFIX_TOKENS + 1):
            rows = math.isqrt(max(count - prefix, 0) * height // width)
            columns = rows * width // height
            if rows and rows * columns == count - prefix and rows * width == columns * height:
                return TokensToMaps((rows, columns), prefix)
        return None

    def _maps_grid(self, place: int) -> tuple[int, int] | None:
        """Return the grid of maps (N,C,h,w) of more than one place."""
        shape = self.traced[place][2]
        if len(shape) != 4 or self._axes[place] != 1 or shape[2] * shape[3] < 2:
            return None
        return shape[2], shape[3]

    def _channel_axis(self, place: int) -> int | None:
        """Return which axis of what a module gives holds its channels, where its parts tell it."""
        name, _, shape = self.traced[place]
        if len(shape) != 4:
            return None
        inside = f"{name}." if name else ""
        for own, part, given in reversed(self.traced[: place + 1]):
            if own != name and not own.startswith(inside):
                break  # what is inside a module finishes just before it
            if given == shape and not any(part.children()) and not _is_any_order(part):
                return _axis_of(part, shape)
        return None


def find_reshape_transform(
    model: nn.Module, layer: nn.Module | str, images: Tensor
) -> Transform | None:
    """Return what makes feature maps (N,C,h,w) of what a layer gives, for ``reshape_transform``.

    One forward pass tells what the layer gives, and the grids of the maps before it: tokens are
    folded into the grid that they were cut in, whatever the shape of the images. Where the tokens
    were not made of maps, it is the grid of the images' aspect with the fewest tokens before it.

    Args:
        model: The model.
        layer: One of its modules, or its dotted name.
        images: (N,c,H,W), what it takes.

    Returns:
        None for maps, ``channels_last_to_maps`` for (N,h,w,C), a ``TokensToMaps`` with grid and
        number of prefix tokens for (N,T,C).

    Raises:
        LayerError: No such layer, or no maps can be made of what it gives.
        TypeError: ``layer`` is something else.

    Example:
        >>> import torch
        >>> from torchvision.models import VisionTransformer
        >>> vit = VisionTransformer(32, 8, 2, 2, 16, 32).eval()
        >>> layer = "encoder.layers.encoder_layer_1.ln_1"
        >>> find_reshape_transform(vit, layer, torch.rand(1, 3, 32, 32))
        TokensToMaps(grid=(4, 4), prefix_tokens=1)
    """
    module = dict(model.named_modules()).get(layer) if isinstance(layer, str) else layer
    if module is None:
        what = f"the name of a module of {type(model).__name__}"
        raise LayerError(expected("layer", what, repr(layer)))
    check_layer(model, module)
    traced = trace_shapes(model, images)
    place = place_of(module, traced)
    if place is None:
        what = "a module that the forward pass calls and that gives one tensor"
        raise LayerError(expected("layer", what, f"a {type(module).__name__} that does not"))
    return Forms(traced, images.shape[-2:]).transform(place)


def place_of(module: nn.Module, traced: Traced) -> int | None:
    """Return a module's place in a trace, or None."""
    return next((place for place, one in enumerate(traced) if one[1] is module), None)


def shared_transform(
    model: nn.Module,
    layers: Sequence[nn.Module],
    images: Tensor,
    outputs: Sequence[Any] | None = None,
) -> Transform | None:
    """Return the one ``reshape_transform`` that several layers need; None: none needs one.

    Layers of which no maps can be made count as without one: what is said of them is the business
    of whoever looks at their maps.

    Args:
        model: The model.
        layers: Modules of it.
        images: (N,c,H,W), what it takes.
        outputs: What the layers give for the images, where that is known.

    Raises:
        LayerError: They need different ones, or give tokens of no known grid.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
        >>> shared_transform(net, [net[0]], torch.rand(1, 3, 8, 8)) is None
        True
    """
    size = (int(images.shape[-2]), int(images.shape[-1]))
    if outputs is None:
        with torch.no_grad(), untouched(model), capture(layers) as captured:
            model(images)
        outputs = [captured.outputs.get(number) for number in range(len(layers))]
    normed = any(_normalises_last(module) for module in model.modules())
    if not any(_may_need(output, size, normed) for output in outputs):
        return None  # most often, and without another pass
    traced = trace_shapes(model, images)
    forms, found = Forms(traced, size), list[Transform | None]()
    for layer in layers:
        place = place_of(layer, traced)
        known = place is not None and len(traced[place][2]) in (3, 4)
        found.append(forms.transform(place) if place is not None and known else None)
    if any(one != found[0] for one in found):
        shown = dict.fromkeys(getattr(one, "__name__", repr(one)) for one in found)
        what = "ones that need the same reshape_transform, where none is given"
        raise LayerError(expected("layers", what, " and ".join(shown)))
    return found[0]


def _may_need(output: Any, size: tuple[int, int], normed: bool) -> bool:
    """Return whether a layer's output may be tokens, or have its channels last.

    Where sides and channels are equally many the shape does not tell. Networks with their channels
    last normalise them: of others it is maps.
    """
    if not isinstance(output, Tensor) or output.ndim not in (3, 4):
        return False
    if output.ndim == 3:
        return True
    return _fits(output.shape[1:3], size) and (normed or not _fits(output.shape[2:], size))


def _normalises_last(module: nn.Module) -> bool:
    # torchvision's and timm's own are subclasses, or share the name with torch's.
    return isinstance(module, nn.LayerNorm) or "RMSNorm" in type(module).__name__


def _fits(grid: Sequence[int], size: tuple[int, int]) -> bool:
    """Return whether a grid may be that of images of a size: both sides have one stride.

    A grid has its sides within one place of the exact ones, which padding and the lack of it move;
    of square images they are moved alike.
    """
    if size[0] == size[1]:
        return grid[0] == grid[1]
    (low, high), (other_low, other_high) = (
        (pixels / (places + 1), pixels / (places - 1) if places > 1 else math.inf)
        for pixels, places in zip(size, grid, strict=True)
    )
    return low < other_high and other_low < high


def _is_any_order(module: nn.Module) -> bool:
    kind = type(module)
    listed = kind.__module__.startswith("torch.nn.modules.")
    return (
        listed and kind.__module__.rpartition(".")[2] in _ANY_ORDER
    ) or kind.__name__ in _ANY_ORDER_NAMES


def _axis_of(module: nn.Module, shape: tuple[int, ...]) -> int | None:
    """Return at which axis a module without parts has the channels."""
    if isinstance(module, _CHANNELS_SECOND):
        return 1
    if isinstance(module, nn.Linear):
        return -1
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor) or weight.ndim != 1:
        return None
    # A normalisation has a weight for each channel. Some take the name of LayerNorm for maps.
    axes = [axis for axis in (1, -1) if shape[axis] == len(weight)]
    if type(module) is nn.LayerNorm:
        return -1
    return axes[0] if len(axes) == 1 else None
