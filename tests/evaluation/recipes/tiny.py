"""Trainings of a few seconds."""

from unittest import mock

from captum_cluster.evaluation.recipes import sources, train

TINY = {
    "limit": 32,
    "test_limit": 3,
    "epochs": 1,
    "batch_size": 16,
    "metrics": ["energy", "object-iou"],
}


def train_tiny(recipe, output, **options):
    """Train with a few digit scenes, of which a few watch."""
    with mock.patch.object(sources, "WATCHING_SCENES", 4):
        return train(recipe, output=output, progress=False, **{**TINY, **options})
