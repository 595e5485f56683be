"""Trainings of a few seconds."""

from unittest import mock

import torch

from captum_cluster.evaluation.recipes import sources, train

TINY = {
    "limit": 32,
    "test_limit": 3,
    "epochs": 1,
    "batch_size": 16,
    "metrics": ["energy", "object-iou"],
}

OPTIONS = {
    "baseline": {},
    "sub-category": {"rounds": 2, "n_sub_categories": 3},
    "class-grouping": {"sizes": [4]},
    "kernel-usage": {},
}
"""Of each recipe what its run is made with in these tests."""
IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def train_tiny(recipe, output, **options):
    """Train with a few digit scenes, of which a few watch."""
    with mock.patch.object(sources, "WATCHING_SCENES", 4):
        return train(recipe, output=output, progress=False, **{**TINY, **options})
