"""Trainings on two processes, each started as a program of its own; for test_processes.py.

    python process_script.py DIRECTORY           both trainings
    python process_script.py DIRECTORY CHECKPOINT    the sub-categories, resumed

Each process writes what it found to DIRECTORY/KIND-RANK.pt.
"""

import sys
from pathlib import Path

import torch

from captum_cluster.training import TrainingSettings
from captum_cluster.training.callbacks import EpochSeed, SubCategoryDiscovery
from captum_cluster.training.modules import LitCamClassifier
from tests.helpers.trainings import scene_data, tiny_network, trainer

LENGTH = 13  # odd: the shares of two processes differ


def sub_categories():
    module = LitCamClassifier(tiny_network(), TrainingSettings(lr=0.05))
    # without validation, in which the processes would share their running statistics
    return module, [SubCategoryDiscovery(3, rounds=1, epochs_per_round=1)], 0


def head_first():
    settings = TrainingSettings(
        optimizer="sgd", lr=0.1, schedule="plateau", head_epochs=1, top_share=0.5, epochs=2,
        restore_best=True,
    )  # fmt: skip
    return LitCamClassifier(tiny_network(), settings), [], 5


def run(directory, kind, checkpoint=None):
    module, callbacks, val = kind()
    data = scene_data(LENGTH, val=val)
    folder = Path(directory) / kind.__name__
    made = trainer(2, EpochSeed(1), *callbacks, folder=folder, devices=2, strategy="ddp")
    made.fit(module, data, ckpt_path=checkpoint)
    found = {
        "state": module.state_dict(),
        "metrics": {name: float(value) for name, value in made.callback_metrics.items()},
        "trained": data.train.scenes.asked,
        "validated": data.val.scenes.asked if val else [],
    }
    if callbacks:
        found["assignments"] = callbacks[0].assignments
        found["rounds"] = [callbacks[0].round_state(number) for number in (0, 1)]
    torch.save(found, Path(directory) / f"{kind.__name__}-{made.global_rank}.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    run(sys.argv[1], sub_categories, *sys.argv[2:])
    if len(sys.argv) == 2:
        run(sys.argv[1], head_first)
