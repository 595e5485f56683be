"""Classifiers and images that affinities are learned on."""

import torch
from torch import nn

from captum_cluster.training import AffinityNet, GapClassifier

SCALE = {"mean": (0.5,) * 3, "std": (0.3,) * 3}


def classifier(seed=0):
    """Two stages, of stride 1 and 2, with running statistics and dropout."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body = nn.Sequential(
            nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 2, 2), nn.ReLU()
        )
        return GapClassifier(body, nn.Linear(6, 2), dropout=0.5)


def affinity_net(seed=0, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AffinityNet(classifier(seed), **{"num_features": 8, **SCALE, **options})


def coloured(length, seed=0):
    """Images of two regions that differ by a little red, under noise of green and blue: (N,3,16,16)
    in [0,1], and which pixels are of the second region."""
    generator = torch.Generator().manual_seed(seed)
    edges = torch.randint(5, 12, (length, 1, 1), generator=generator)
    right = torch.arange(16).expand(length, 16, 16) >= edges
    images = torch.rand(length, 3, 16, 16, generator=generator)
    images[:, 0] = 0.4 + 0.2 * right
    return images, right
