"""The networks of `tests.helpers.nets` with sub-categories of their labels.

`sub-category-cam` reads a head of sub-categories; no other method looks at it. It has no parameters
and is not in the state dict.
"""

import torch
from torch import nn

from tests.helpers import grid_nets, nets
from tests.helpers.nets import HAND_MAPS, HandNet, Wrapped, images

__all__ = [
    "HAND_MAPS",
    "ArgsNet",
    "DenseNet2d",
    "FlatNet",
    "GridNet",
    "HandNet",
    "NaNNet",
    "OneLogitNet",
    "RaisingNet",
    "ReusedReLU",
    "ScalarNet",
    "SmallNet",
    "TokenNet",
    "TupleNet",
    "Wrapped",
    "images",
]

SUB_CATEGORIES = 3


class SubHead(nn.Module):
    """Only what the method reads: ``weight`` (L*K,C) and ``n_sub_categories``."""

    def __init__(self, labels, channels):
        super().__init__()
        self.n_sub_categories = SUB_CATEGORIES
        generator = torch.Generator().manual_seed(labels)
        weight = torch.randn(labels * SUB_CATEGORIES, channels, generator=generator)
        self.register_buffer("weight", weight, persistent=False)


class _WithSubCategories:
    """Adds the head, for as many channels as the labels' head takes of each layer before it."""

    layers = 1

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        head = self.head if hasattr(self, "head") else self.fc
        labels, channels = head.weight.shape[:2]
        self.sub_category_head = SubHead(labels, channels // self.layers)


class ArgsNet(_WithSubCategories, nets.ArgsNet):
    """See there."""


class DenseNet2d(_WithSubCategories, nets.DenseNet2d):
    """See there."""


class FlatNet(_WithSubCategories, nets.FlatNet):
    """See there."""


class GridNet(_WithSubCategories, grid_nets.GridNet):
    """See there."""


class NaNNet(_WithSubCategories, nets.NaNNet):
    """See there."""


class OneLogitNet(_WithSubCategories, nets.OneLogitNet):
    """See there."""


class RaisingNet(_WithSubCategories, nets.RaisingNet):
    """See there."""


class ReusedReLU(_WithSubCategories, nets.ReusedReLU):
    """See there."""


class ScalarNet(_WithSubCategories, nets.ScalarNet):
    """See there."""


class SmallNet(_WithSubCategories, nets.SmallNet):
    """See there."""


class TokenNet(_WithSubCategories, nets.TokenNet):
    """See there."""


class TupleNet(_WithSubCategories, nets.TupleNet):
    """See there."""

    layers = 2
