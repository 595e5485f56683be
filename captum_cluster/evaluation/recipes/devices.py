"""The devices of a training, made sure of before anything is trained or written."""

from __future__ import annotations

import os
import warnings
from typing import Any

import torch

from captum_cluster._checks import expected
from captum_cluster.evaluation.recipes.config import TrainingConfig
from captum_cluster.evaluation.recipes.course import place, quiet
from captum_cluster.training import TrainingSettings


def check_devices(config: TrainingConfig, settings: TrainingSettings) -> None:
    """Check that a training can have the devices that it names, and that they share its batches.

    Raises:
        ValueError: One of the two is not so.

    Example:
        >>> check_devices(TrainingConfig("baseline", accelerator="cpu"), TrainingSettings())
    """
    import lightning.pytorch as pl
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    if settings.batch_size % config.devices:
        what = f"a multiple of the number of devices ({config.devices})"
        raise ValueError(expected("batch_size", what, settings.batch_size))
    silent: dict[str, Any] = {"logger": False, "enable_checkpointing": False}
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the training itself gives them
            pl.Trainer(**place(config), **silent)
    except (MisconfigurationException, ValueError, ImportError) as error:
        reason = " ".join(str(error).split()).rstrip(".!")
        what = "available on this machine"
        got = f"{config.accelerator!r} and {config.devices} ({reason})"
        raise ValueError(expected("accelerator and devices", what, got)) from error


def judging_device(config: TrainingConfig) -> torch.device:
    """Return where networks are judged: where they were trained."""
    on_gpu = config.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return torch.device("cuda" if on_gpu else "cpu")


def first_process() -> bool:
    """Return whether this is the process that writes."""
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0"
