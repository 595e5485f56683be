"""What surrounds a training."""

import logging
import random
import warnings

import numpy as np
import pytest
import torch

from captum_cluster.evaluation.recipes.course import quiet, random_state_kept


def test_random_states_are_put_back_after_an_error():
    def draw():
        return random.random(), float(np.random.rand()), float(torch.rand(1))

    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    wanted = draw()
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    with pytest.raises(RuntimeError, match="out of memory"), random_state_kept():
        draw()
        raise RuntimeError("out of memory")
    assert draw() == wanted


def test_what_says_nothing_of_a_run_is_left_out():
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with quiet():
            assert logger.level == logging.ERROR
            warnings.warn(
                "The 'train_dataloader' does not have many workers which may ...", stacklevel=1
            )
    assert logger.level == level


def test_other_warnings_pass():
    with pytest.warns(UserWarning, match="The loss is NaN"), quiet():
        warnings.warn("The loss is NaN", stacklevel=1)
