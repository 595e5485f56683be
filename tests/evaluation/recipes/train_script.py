"""A training in a process of its own, for tests that start several.

python train_script.py DIRECTORY DEVICES
"""

import sys

import torch

from tests.evaluation.recipes.tiny import train_tiny

if __name__ == "__main__":
    torch.set_num_threads(1)
    run = train_tiny(
        "sub-category",
        sys.argv[1],
        rounds=1,
        n_sub_categories=2,
        devices=int(sys.argv[2]),
        accelerator="cpu",
    )
    if run is not None:
        print(", ".join(run.networks))
