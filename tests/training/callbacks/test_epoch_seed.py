"""Random numbers that depend on the epoch."""

import os
import random

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback

from captum_cluster.training.callbacks import EpochSeed
from tests.helpers.trainings import UsersModule, loader, trainer


class Drawing(Callback):
    def __init__(self):
        self.drawn = []

    def on_train_epoch_start(self, trainer, pl_module):
        numbers = random.random(), float(np.random.rand()), float(torch.rand(()))
        self.drawn.append(numbers)


def drawn(seed, epochs=2):
    drawing = Drawing()
    trainer(epochs, EpochSeed(seed), drawing).fit(module := UsersModule(), loader())
    return drawing.drawn, [step[1] for step in module.steps]


def test_all_generators_are_seeded_by_seed_and_epoch():
    (first, second), order = drawn(0)
    random.seed(9)
    np.random.seed(9)
    torch.manual_seed(9)
    assert drawn(0) == ([first, second], order)
    (other, _), _ = drawn(1)
    for numbers in zip(first, second, other, strict=True):
        assert len({*numbers}) == 3
    assert order[:3] != order[3:]


def test_a_later_epoch_does_not_depend_on_those_before():
    class Wasteful(Drawing):
        def on_train_epoch_end(self, trainer, pl_module):
            torch.rand(100), random.random(), np.random.rand(3)

    wasteful = Wasteful()
    trainer(2, EpochSeed(0), wasteful).fit(UsersModule(), loader())
    assert wasteful.drawn == drawn(0)[0]


def test_the_environment_is_left_alone():
    drawn(5)
    assert "PL_GLOBAL_SEED" not in os.environ


@pytest.mark.parametrize(("seed", "error"), [(-1, ValueError), (0.5, TypeError)])
def test_bad_seeds(seed, error):
    with pytest.raises(error, match="Expected seed to be an integer of at least 0"):
        EpochSeed(seed)
