"""Fixtures for every test: one thread, and the real data where it is there."""

import os

# The tests' networks are tiny, where threads only wait for each other. Read when torch is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from tests.helpers import realdata


def pytest_configure(config):
    """Workers of pytest-xdist share the cores, so they get one thread each in any case."""
    if hasattr(config, "workerinput"):
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data_folder():
    """The folder of the real data; skips where it is absent."""
    folder = realdata.data_folder()
    if not (folder / "imagenette" / "val_boxes.csv").is_file():
        pytest.skip(f"no real data: {folder} has no imagenette/val_boxes.csv")
    return folder


@pytest.fixture(scope="session")
def two_processes(tmp_path_factory):
    """The folder of what trainings on two processes found; they run once."""
    from tests.helpers.two_processes import start

    folder = tmp_path_factory.mktemp("two_processes")
    start(folder)
    return folder


@pytest.fixture(scope="session")
def real_resnet18(data_folder):
    """torchvision's ResNet-18 with ImageNet weights, in eval mode."""
    return realdata.load_resnet18(data_folder)


@pytest.fixture(scope="session")
def real_photographs(data_folder):
    """Three validation images of each of ten classes, always the same ones: 30 in all."""
    return realdata.load_photographs(data_folder, per_class=3)
