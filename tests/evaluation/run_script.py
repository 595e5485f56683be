"""A run of `evaluate` in a process of its own, for tests that kill it or start it several times.

    python run_script.py DIRECTORY [DEVICES STRATEGY]

The method sleeps a little, so that a kill finds the run in the middle.
"""

import os
import sys
import time

import torch
from torch import nn

from captum_cluster.data import DigitScenes, Preparation
from captum_cluster.evaluation import evaluate

IMAGES = 12


def digit_net():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return nn.Sequential(
            nn.Conv2d(3, 8, 5, stride=4),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 10),
        ).eval()


def slow(model, layer, image, target):
    """The mean map; it takes its time where the test says so."""
    time.sleep(float(os.environ.get("SLOW", "0")))
    return layer(image).mean(dim=1) * (1 + target)


def judge(directory, dataset=None, **options):
    options = {"probability": "sigmoid", "preparation": Preparation(64), **options}
    scenes = DigitScenes(IMAGES, split="test") if dataset is None else dataset
    return evaluate(
        digit_net(),
        "1",
        scenes,
        options.pop("methods", ["grad-cam", "cluster-cam", slow]),
        options.pop("metrics", ["average-drop", "energy", "multi-label"]),
        output=directory,
        progress=False,
        **options,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) > 2:
        judge(sys.argv[1], devices=int(sys.argv[2]), strategy=sys.argv[3], accelerator="cpu")
    else:
        judge(sys.argv[1])
