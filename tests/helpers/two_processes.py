"""All trainings on two processes, one after the other, for one start of two processes is slow.

    python two_processes.py DIRECTORY

Each process writes what it found to files of DIRECTORY, which the fixture `two_processes` gives.
"""

import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LENGTH = 13  # odd: the shares of two processes differ


def start(folder):
    """Run this file as a program, which becomes two processes."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]


def sub_categories():
    from captum_cluster.training import LitCamClassifier, SubCategoryDiscovery, TrainingSettings
    from tests.helpers.trainings import tiny_network

    module = LitCamClassifier(tiny_network(), TrainingSettings(lr=0.05))
    # without validation, in which the processes would share their running statistics
    return module, [SubCategoryDiscovery(3, rounds=1, epochs_per_round=1)], 0


def head_first():
    from captum_cluster.training import LitCamClassifier, TrainingSettings
    from tests.helpers.trainings import tiny_network

    settings = TrainingSettings(
        optimizer="sgd", lr=0.1, schedule="plateau", head_epochs=1, top_share=0.5, epochs=2,
        restore_best=True,
    )  # fmt: skip
    return LitCamClassifier(tiny_network(), settings), [], 5


def run(directory, name, kind, checkpoint=None):
    import torch

    from captum_cluster.training import EpochSeed
    from tests.helpers.trainings import scene_data, trainer

    module, callbacks, val = kind()
    data = scene_data(LENGTH, val=val)
    options = {"folder": directory / name, "devices": 2, "strategy": "ddp"}
    made = trainer(2, EpochSeed(1), *callbacks, **options)
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
    torch.save(found, directory / f"{name}-{made.global_rank}.pt")


@contextmanager
def two():
    """Make two processes of this one, as Lightning would, but after the slow imports."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(free.getsockname()[1]))
    child = os.fork()
    os.environ["LOCAL_RANK"] = "0" if child else "1"
    yield
    if child:
        assert os.waitpid(child, 0)[1] == 0, "the second process failed"


def main(directory):
    import torch

    from tests.evaluation.monitoring import training

    torch.set_num_threads(1)
    with two():
        trainings(directory, training.watch)


def trainings(directory, watch):
    run(directory, "sub_categories", sub_categories)
    run(directory, "head_first", head_first)
    run(directory, "resumed", sub_categories, directory / "sub_categories" / "epoch=0.ckpt")
    watch(directory / "watched")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
