"""One call of a row in either face, for tests that ask the same of both."""

import pytest
import torch
from torch import nn

from tests.conformance.cases import labels_of
from tests.conformance.nets import SmallNet, SubHead, images

FACES = ("captum", "grad-cam")
SIZE = (16, 24)
TARGETS = [3, 0, 2]

both_faces = pytest.mark.parametrize("face", FACES)


def net(dtype=torch.float64, **kwargs):
    return SmallNet(**kwargs).eval().to(dtype)


def batch(n=3, dtype=torch.float64, size=SIZE, **kwargs):
    return images(n, size=size, dtype=dtype, **kwargs)


def explainer(case, face, model, layer, *, of=None, rows=None, **options):
    """Return a function of images and targets that gives one call's maps (N,1,h,w).

    All calls go through one CAM object. In both faces the maps are those of the result, neither
    enlarged nor scaled, so that nothing hides behind a picture.

    Args:
        of: The network behind a model that hides it, whose heads are read.
        rows: Images in one masked pass, at most.
    """
    if face == "captum":
        cam = case.build(model, layer, of)
        size = {} if rows is None else {"perturbations_per_eval": rows}
        return lambda x, targets: cam.attribute(x, targets, **case._options(x, options | size))
    heads = {}
    if of is not None and case.closed_form:
        heads = {"classifier": of.fc}
    if of is not None and case.sub_head:
        heads = {"head": of.sub_category_head}
    size = {} if rows is None else {"batch_size": rows}
    cam = case.cam(model, [layer], **heads, **size, **options)

    def maps(x, targets):
        cam(x, case.targets(targets, x, labels_of(x)))
        return cam.results[0].maps

    return maps


def explained(case, face, model, layer, x, targets, **kwargs):
    """Return the maps (N,1,h,w) of one call of one object."""
    return explainer(case, face, model, layer, **kwargs)(x, targets)


def with_sub_categories(model, labels, channels):
    """Give any network the head that ``sub-category-cam`` reads."""
    model.sub_category_head = SubHead(labels, channels)
    return model


class TinyNet(nn.Module):
    """Runs ``layers``: a convolution, its activation, pooling and a linear classifier."""

    def __init__(self, layers):
        super().__init__()
        self.layers = layers

    def forward(self, x):
        return self.layers(x)


def tiny_net(channels_in=3, channels=6, labels=3, *, dtype=torch.float64):
    """Return a `TinyNet` of random weights; ``layers[1]`` gives maps of half the size."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = nn.Sequential(
            nn.Conv2d(channels_in, channels, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(channels, labels),
        )
    return with_sub_categories(TinyNet(layers), labels, channels).eval().to(dtype)
