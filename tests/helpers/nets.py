"""Toy networks for the tests: one with weights set by hand, the others small and random.

Every network is the same for the same seed and leaves the global random state alone. Like any
module they start in training mode; most tests want ``.eval()``. Weights are rounded to float32, so
``.double()`` gives the same network.

The hand-worked numbers of `HandNet`
------------------------------------
Image (one channel) and the four maps after the ReLU (block mean, top-left pixel, bottom-right
pixel, left column minus right column of each 2x2 block)::

    4 4 |  2 2        A_0 = 4 2    A_1 = 4  2    A_2 = 4 2    A_3 = 0  0
    4 4 |  2 2              0 4          0 16          0 0          0 16
    ----+-----
    0 0 | 16 0        sums over the grid: 10, 22, 6, 16
    0 0 |  0 0

With s_k the sum of map k over its grid (the mean is s_k / 4) the logits are ::

    logit_0 = (s_0 + s_2 - s_3 / 2) / 4 + 1/2         whole image: 2.5
    logit_1 = (s_1 / 2 + s_3 / 2) / 4 - 1/2           whole image: 4.25

and a black image has the logits 0.5 and -0.5. Enlarged to 4x4, a map [[a, b], [c, d]] is
a u u' + b u v' + c v u' + d v v' with u = (1, 3/4, 1/4, 0) and v = 1 - u; the corners keep their
values, so the mask is the enlarged min-max of the map. The masked images give ::

    mask                        s_0          s_1      s_2       s_3     logit_0        logit_1
    M_0 = Up [1 1/2; 0 1]       7.421875     16.75    4.125     12.4375 1.83203125     3.1484375
    M_1 = Up [1/4 1/8; 0 1]     3.75390625   10.9375  1.59375   9.625   0.6337890625   2.0703125
    M_2 = Up [1 1/2; 0 0]       4.890625     7.75     3.375     3.8125  2.08984375     0.9453125
    M_3 = Up [0 0; 0 1]         2.53125      9        0.75      9       0.1953125      1.75

Two clusters: {0, 2} and {1, 3}, the only clustering into two that a k-means step leaves alone::

    F_0 = 4 2    F_1 = 2  1     F_0 behind Up [1 1/2; 0 1/2], F_1 behind Up [1/8 1/16; 0 1]
          0 2          0 16

    mask of F_0                 6.15625      12.25    3.75      8.125   1.9609375      2.046875
    mask of F_1                 3.142578125  9.96875  1.171875  9.3125  0.41455078125  1.91015625

The probability of label 0 is the sigmoid of logit_0 - logit_1: of -0.0859375 for F_0 and of
-1.49560546875 for F_1. So for label 0 the base is F_0, the scissors F_1 and, with beta = 1/2, the
map [[1, 1/2], [0, -7]]; for label 1 it is the negative. By the logit instead of the probability
label 1 has base F_0 too: the two ways to read the output differ here.
"""

import math

import torch
from torch import nn


def _quiet():
    """The constructors of layers draw from the global random state: put it back afterwards."""
    return torch.random.fork_rng(devices=[])


def _seed(module, seed):
    """Draw every parameter and running statistic of ``module`` anew, from ``seed`` alone."""
    generator = torch.Generator().manual_seed(seed)

    def normal(tensor, mean, std):
        draw = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        tensor.copy_(mean + std * draw)

    with torch.no_grad():
        for part in module.modules():
            for name, tensor in part.named_parameters(recurse=False):
                if name.endswith("bias"):
                    normal(tensor, 0.0, 0.1)
                elif isinstance(part, nn.BatchNorm2d | nn.LayerNorm):
                    normal(tensor, 1.0, 0.1)
                else:
                    normal(tensor, 0.0, 1.5 / math.sqrt(tensor[0].numel()))
            if isinstance(part, nn.BatchNorm2d):
                normal(part.running_mean, 0.0, 0.1)
                draw = torch.rand(part.running_var.shape, generator=generator, dtype=torch.float64)
                part.running_var.copy_(0.5 + draw)


def images(n, channels=3, size=8, *, seed=0, dtype=torch.float64):
    """``n`` normally distributed images (n, channels, size, size); ``size`` may be (H, W)."""
    height, width = (size, size) if isinstance(size, int) else size
    generator = torch.Generator().manual_seed(seed)
    draw = torch.randn(n, channels, height, width, generator=generator, dtype=torch.float64)
    return draw.to(dtype)


HAND_IMAGE = [
    [4.0, 4.0, 2.0, 2.0],
    [4.0, 4.0, 2.0, 2.0],
    [0.0, 0.0, 16.0, 0.0],
    [0.0, 0.0, 0.0, 0.0],
]
HAND_MAPS = [
    [[4.0, 2.0], [0.0, 4.0]],
    [[4.0, 2.0], [0.0, 16.0]],
    [[4.0, 2.0], [0.0, 0.0]],
    [[0.0, 0.0], [0.0, 16.0]],
]
HAND_LOGITS = [2.5, 4.25]
HAND_BLACK_LOGITS = [0.5, -0.5]
HAND_CHANNEL_LOGITS = [  # one row per channel's mask, one column per label
    [1.83203125, 3.1484375],
    [0.6337890625, 2.0703125],
    [2.08984375, 0.9453125],
    [0.1953125, 1.75],
]
HAND_CLUSTERS = [0, 1, 0, 1]
HAND_MEANS = [[[4.0, 2.0], [0.0, 2.0]], [[2.0, 1.0], [0.0, 16.0]]]
HAND_CLUSTER_LOGITS = [[1.9609375, 2.046875], [0.41455078125, 1.91015625]]
HAND_CLUSTER_CAM = [[1.0, 0.5], [0.0, -7.0]]  # label 0, beta 1/2; label 1: the negative
HAND_INCREASE = [[12.22265625, 6.111328125], [0.0, 2.59375]]  # Score-CAM of label 0, "increase"


class HandNet(nn.Module):
    """Numbers that can be checked on paper: four 2x2 maps of a 4x4 image, two labels.

    ``conv`` (2x2, stride 2) -> ``relu`` -> mean over the grid -> ``fc``. The numbers for
    `HAND_IMAGE` are in the docstring of this module, for the layer ``relu``; ``conv`` gives the
    same there, as no value of the whole image is negative.
    """

    def __init__(self):
        super().__init__()
        with _quiet():
            self.conv = nn.Conv2d(1, 4, 2, stride=2, bias=False)
            self.relu = nn.ReLU()
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.fc = nn.Linear(4, 2)
        kernels = [
            [[0.25, 0.25], [0.25, 0.25]],
            [[1.0, 0.0], [0.0, 0.0]],
            [[0.0, 0.0], [0.0, 1.0]],
            [[1.0, -1.0], [1.0, -1.0]],
        ]
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor(kernels)[:, None])
            self.fc.weight.copy_(torch.tensor([[1.0, 0.0, 1.0, -0.5], [0.0, 0.5, 0.0, 0.5]]))
            self.fc.bias.copy_(torch.tensor([0.5, -0.5]))

    @staticmethod
    def image(dtype=torch.float64):
        """`HAND_IMAGE` as a batch (1,1,4,4)."""
        return torch.tensor(HAND_IMAGE, dtype=dtype)[None, None]

    def forward(self, x):
        return self.fc(self.pool(self.relu(self.conv(x))).flatten(1))


class SmallNet(nn.Module):
    """The ordinary case: a small classifier with batch norm and dropout, any input from 8x8.

    conv1-bn1-relu1-conv2-relu2, both convolutions of stride 2, then dropout, mean, ``fc``: (N,L).
    ``relu2`` follows ``conv2`` without anything between, so that with ``inplace=True`` it
    overwrites what a hook on ``conv2`` has been handed.
    """

    def __init__(
        self, in_channels=3, channels=12, num_classes=5, inplace=False, dropout=0.5, seed=0
    ):
        super().__init__()
        with _quiet():
            self.conv1 = nn.Conv2d(in_channels, 8, 3, stride=2, padding=1)
            self.bn1 = nn.BatchNorm2d(8)
            self.relu1 = nn.ReLU(inplace=inplace)
            self.conv2 = nn.Conv2d(8, channels, 3, stride=2, padding=1)
            self.relu2 = nn.ReLU(inplace=inplace)
            self.dropout = nn.Dropout(dropout)
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.fc = nn.Linear(channels, num_classes)
        _seed(self, seed)

    def forward(self, x):
        x = self.relu1(self.bn1(self.conv1(x)))
        x = self.relu2(self.conv2(x))
        return self.fc(self.pool(self.dropout(x)).flatten(1))


class _ConvNet(nn.Module):
    """conv (stride 2) -> relu -> mean -> fc, the stem of the special cases below."""

    def __init__(self, in_channels=3, channels=6, num_classes=3, seed=0):
        super().__init__()
        with _quiet():
            self.conv = nn.Conv2d(in_channels, channels, 3, stride=2, padding=1)
            self.relu = nn.ReLU()
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.fc = nn.Linear(channels, num_classes)
        _seed(self, seed)

    def forward(self, x):
        return self.fc(self.pool(self.relu(self.conv(x))).flatten(1))


class ReusedReLU(nn.Module):
    """One ``relu`` module called twice in a forward pass: a hook on it fires twice.

    The two outputs differ in shape: (N,4,H/2,W/2), then (N,6,H/4,W/4).
    """

    def __init__(self, in_channels=3, num_classes=3, seed=0):
        super().__init__()
        with _quiet():
            self.conv1 = nn.Conv2d(in_channels, 4, 3, stride=2, padding=1)
            self.conv2 = nn.Conv2d(4, 6, 3, stride=2, padding=1)
            self.relu = nn.ReLU()
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.fc = nn.Linear(6, num_classes)
        _seed(self, seed)

    def forward(self, x):
        x = self.relu(self.conv1(x))
        x = self.relu(self.conv2(x))
        return self.fc(self.pool(x).flatten(1))


class _TwoMaps(nn.Module):
    """A layer that returns a tuple of two tensors of maps."""

    def __init__(self, in_channels, channels):
        super().__init__()
        self.first = nn.Conv2d(in_channels, channels, 3, stride=2, padding=1)
        self.second = nn.Conv2d(in_channels, channels, 5, stride=2, padding=2)

    def forward(self, x):
        return torch.relu(self.first(x)), torch.relu(self.second(x))


class TupleNet(nn.Module):
    """``layer`` returns a tuple of two tensors (N,C,h,w); both feed the classifier."""

    def __init__(self, in_channels=3, channels=6, num_classes=3, seed=0):
        super().__init__()
        with _quiet():
            self.layer = _TwoMaps(in_channels, channels)
            self.fc = nn.Linear(2 * channels, num_classes)
        _seed(self, seed)

    def forward(self, x):
        first, second = self.layer(x)
        return self.fc(torch.cat([first, second], dim=1).mean(dim=(2, 3)))


class OneLogitNet(_ConvNet):
    """A binary classifier with one output: (N,1)."""

    def __init__(self, in_channels=3, channels=6, seed=0):
        super().__init__(in_channels, channels, 1, seed)


class ScalarNet(OneLogitNet):
    """One number per image without an axis for labels: (N,), target None."""

    def forward(self, x):
        return super().forward(x).squeeze(1)


class DenseNet2d(nn.Module):
    """Logits for every pixel (N,L,H,W), as in segmentation: the targets are (label, y, x)."""

    def __init__(self, in_channels=3, channels=6, num_classes=3, seed=0):
        super().__init__()
        with _quiet():
            self.conv = nn.Conv2d(in_channels, channels, 3, stride=2, padding=1)
            self.relu = nn.ReLU()
            self.head = nn.Conv2d(channels, num_classes, 3, padding=1)
        _seed(self, seed)

    def forward(self, x):
        logits = self.head(self.relu(self.conv(x)))
        return nn.functional.interpolate(
            logits, size=x.shape[2:], mode="bilinear", align_corners=False
        )


class RaisingNet(_ConvNet):
    """Raises RuntimeError in forward pass number ``after``, counted from 1, and only in that one.

    ``calls`` is the number of passes so far.
    """

    def __init__(self, after=2, in_channels=3, channels=6, num_classes=3, seed=0):
        super().__init__(in_channels, channels, num_classes, seed)
        self.after = after
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        features = self.relu(self.conv(x))  # hooks on the layer have fired before the error
        if self.calls == self.after:
            raise RuntimeError(f"forward pass {self.calls} fails")
        return self.fc(self.pool(features).flatten(1))


class NaNNet(_ConvNet):
    """Finite in the first forward pass, NaN in every later one, that is for masked images.

    Set ``calls`` to 0 before explaining another batch.
    """

    def __init__(self, in_channels=3, channels=6, num_classes=3, seed=0):
        super().__init__(in_channels, channels, num_classes, seed)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        logits = super().forward(x)
        return logits if self.calls == 1 else logits * float("nan")


class Wrapped(nn.Module):
    """Another network as ``.module``, as in data-parallel and compiled wrappers."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, *args, **kwargs):
        return self.module(*args, **kwargs)


class _FlatLayer(nn.Module):
    """Every channel has one value over the whole grid (the value differs between channels)."""

    def __init__(self, in_channels, channels, grid):
        super().__init__()
        self.fc = nn.Linear(in_channels, channels)
        self.grid = grid

    def forward(self, x):
        values = self.fc(x.mean(dim=(2, 3)))
        return values[:, :, None, None].repeat(1, 1, *self.grid)


class FlatNet(nn.Module):
    """The maps of ``layer`` are all flat, (N,C,3,2): every mask is 0."""

    def __init__(self, in_channels=3, channels=6, num_classes=3, seed=0):
        super().__init__()
        with _quiet():
            self.layer = _FlatLayer(in_channels, channels, (3, 2))
            self.fc = nn.Linear(channels, num_classes)
        _seed(self, seed)

    def forward(self, x):
        return self.fc(self.layer(x).mean(dim=(2, 3)))


class _TokenBlock(nn.Module):
    """Each token plus what a linear layer makes of it and of the mean token."""

    def __init__(self, channels):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.linear = nn.Linear(channels, channels)

    def forward(self, tokens):
        normed = self.norm(tokens)
        return tokens + torch.relu(self.linear(normed + normed.mean(dim=1, keepdim=True)))


class TokenNet(nn.Module):
    """A class token and patches: ``block`` returns (N, 1 + h*w, C); logits from the class token.

    ``block2`` mixes the tokens once more, so that the patches that leave ``block`` have a gradient.
    ``reshape_transform`` turns the tokens into maps (N,C,h,w).
    """

    def __init__(
        self, in_channels=3, channels=6, num_classes=3, image_size=(8, 12), patch=4, seed=0
    ):
        super().__init__()
        self.grid = (image_size[0] // patch, image_size[1] // patch)
        with _quiet():
            self.embed = nn.Conv2d(in_channels, channels, patch, stride=patch)
            self.class_token = nn.Parameter(torch.zeros(1, 1, channels))
            self.block = _TokenBlock(channels)
            self.block2 = _TokenBlock(channels)
            self.fc = nn.Linear(channels, num_classes)
        _seed(self, seed)

    def forward(self, x):
        patches = self.embed(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(len(x), -1, -1), patches], dim=1)
        return self.fc(self.block2(self.block(tokens))[:, 0])

    def reshape_transform(self, tokens):
        """(N, 1 + h*w, C) -> (N,C,h,w), without the class token."""
        return tokens[:, 1:].transpose(1, 2).unflatten(2, self.grid)


class ArgsNet(_ConvNet):
    """Needs a second argument: ``forward(x, scale, flag=True)``, ``scale`` (N,1).

    The logits times ``scale``, or plus ``scale`` with ``flag=False``.
    """

    def forward(self, x, scale, flag=True):
        logits = super().forward(x)
        return logits * scale if flag else logits + scale
