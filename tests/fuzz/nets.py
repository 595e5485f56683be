"""Small networks that are drawn: what a case says of one, and the module of it."""

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import nn

from tests.conformance.nets import SubHead

ACTIVATIONS = {
    "relu": nn.ReLU,
    "relu in place": lambda: nn.ReLU(inplace=True),
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid,
    "none": nn.Identity,
}
HEADS = ("pool", "largest", "flatten")
GIVEN = ("tensor", "tuple", "dict", "scalar")
"""What a network gives: its logits, in a container, or one number for each image."""

_CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_MEANS = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}
_LARGEST = {1: nn.AdaptiveMaxPool1d, 2: nn.AdaptiveMaxPool2d, 3: nn.AdaptiveMaxPool3d}


@dataclass(frozen=True)
class Stage:
    """One convolution, with what follows it.

    Attributes:
        channels: That it gives.
        side: Of its kernel, 1 or 3.
        stride: 1 or 2.
        activation: One of ``ACTIVATIONS``.
        norm: Whether batch normalisation comes between.
        skip: Whether a 1x1 convolution of the stage's input is added to what it gives.
        twice: Whether another convolution and the same activation are each called twice more.
    """

    channels: int = 2
    side: int = 3
    stride: int = 1
    activation: str = "relu"
    norm: bool = False
    skip: bool = False
    twice: bool = False


@dataclass(frozen=True)
class Plan:
    """A network.

    Attributes:
        dims: Dimensions of its grid.
        channels: Of its input.
        stages: Its convolutions.
        head: Mean over the grid, maximum over it, or all values; then a linear layer.
        labels: Number of its logits.
        gives: One of ``GIVEN``; "scalar" is for a single label.
        dropout: Whether there is a dropout layer before the head.
        dead: Whether the last stage's activation is given large negative numbers alone.
        training: Whether it is in training mode.
        seed: Of its weights.
    """

    dims: int = 2
    channels: int = 3
    stages: tuple[Stage, ...] = (Stage(),)
    head: str = "pool"
    labels: int = 3
    gives: str = "tensor"
    dropout: bool = False
    dead: bool = False
    training: bool = False
    seed: int = 0

    @property
    def pick(self):
        """The selector of the logits."""
        return {"tuple": 1, "dict": "out"}.get(self.gives)


class StageModule(nn.Module):
    """See ``Stage``."""

    def __init__(self, stage, dims, channels):
        super().__init__()
        conv, padding = _CONVOLUTIONS[dims], stage.side // 2
        self.conv = conv(channels, stage.channels, stage.side, stage.stride, padding)
        self.norm = _NORMS[dims](stage.channels) if stage.norm else nn.Identity()
        self.act = ACTIVATIONS[stage.activation]()
        self.skip = conv(channels, stage.channels, 1, stage.stride) if stage.skip else None
        self.again = conv(stage.channels, stage.channels, 3, 1, 1) if stage.twice else None

    def forward(self, x):
        """Return maps (N,C,*grid)."""
        maps = self.act(self.norm(self.conv(x)))
        if self.again is not None:
            maps = self.act(self.again(self.act(self.again(maps))))
        return maps if self.skip is None else maps + self.skip(x)


# Of the image's largest logit: some units in the last place, as sums in another order have.
ROUNDING = 1e-14


class FuzzNet(nn.Module):
    """The network of a plan, in float64, for inputs (N,c,*size).

    Attributes:
        rounding: A generator of what is added to each row's logits, of the size of rounding; None:
            nothing is.
    """

    def __init__(self, plan, size):
        super().__init__()
        self.plan, self.rounding = plan, None
        with torch.random.fork_rng(devices=[]):
            channels, stages = plan.channels, []
            for number, stage in enumerate(plan.stages):
                stages.append((f"stage{number}", StageModule(stage, plan.dims, channels)))
                channels = stage.channels
            self.features = nn.Sequential(OrderedDict(stages))
            self.dropout = nn.Dropout(0.5) if plan.dropout else nn.Identity()
            self.pool, cells = _pool(plan, size)
            self.fc = nn.Linear(channels * cells, plan.labels)
        self.sub_category_head = SubHead(plan.labels, channels)
        _draw_weights(self, plan)
        self.double().train(plan.training)

    def forward(self, x):
        """Return logits (N,L), or what ``plan.gives`` says."""
        maps = self.dropout(self.features(x))
        out = self.fc(self.pool(maps).flatten(1))
        if self.rounding is not None:
            noise = torch.randn(out.shape, generator=self.rounding, dtype=out.dtype)
            out = out + ROUNDING * noise * out.detach().abs().amax(dim=1, keepdim=True)
        if self.plan.gives == "scalar":
            return out.squeeze(1)
        forms = {"tuple": lambda: (-out, out), "dict": lambda: {"aux": -out, "out": out}}
        return forms.get(self.plan.gives, lambda: out)()


def layer_names(plan):
    """Return the layers that may be explained, and one that gives no maps."""
    names = []
    for number, stage in enumerate(plan.stages):
        parts = ["conv", "act"] + ["norm"] * stage.norm + ["skip"] * stage.skip
        parts += ["again"] * stage.twice
        names += [f"features.stage{number}"]
        names += [f"features.stage{number}.{part}" for part in parts]
    names += ["features", "dropout"] + ["pool"] * (plan.head != "flatten")
    return [*names, "fc"]


def last_layers(plan):
    """Return the layers that the head takes."""
    names = ["features", "dropout", f"features.stage{len(plan.stages) - 1}"]
    last = plan.stages[-1]
    return names + ([] if last.skip else [f"{names[2]}.act"])


def channels_of(plan, layer):
    """Return the number of maps of a layer."""
    number = len(plan.stages) - 1
    if layer.startswith("features.stage"):
        number = int(layer.split(".")[1].removeprefix("stage"))
    return plan.stages[number].channels


def _pool(plan, size):
    if plan.head == "flatten":
        cells = 1
        for side in size:
            for stage in plan.stages:
                side = -(-side // stage.stride)
            cells *= side
        return nn.Identity(), cells
    kinds = _MEANS if plan.head == "pool" else _LARGEST
    return kinds[plan.dims](1), 1


def _draw_weights(net, plan):
    generator = torch.Generator().manual_seed(plan.seed)

    def drawn(tensor):
        return torch.randn(tensor.shape, generator=generator, dtype=torch.float64)

    with torch.no_grad():
        for name, parameter in net.named_parameters():
            fan = max(1, parameter[0].numel())
            parameter.copy_(drawn(parameter) * (1.0 if name.endswith("bias") else 1.5 / fan**0.5))
        for module in net.modules():
            if isinstance(module, tuple(_NORMS.values())):
                module.running_mean.copy_(drawn(module.running_mean))
                module.running_var.copy_(drawn(module.running_var).abs() + 0.5)
        if plan.dead:
            last = net.features[-1]
            (last.norm if plan.stages[-1].norm else last.conv).bias.fill_(-1e4)
