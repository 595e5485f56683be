"""A tiny training with Lightning, for the callbacks that watch it."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import lightning.pytorch as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from captum_cluster.data import DigitScenes, Preparation, collate_scenes
from captum_cluster.evaluation import CamImageCallback, CamMetricsCallback

AS_IT_IS = Preparation(mode="none", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
SCENES = DigitScenes(20, split="test")
QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


def digit_net() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(8, 10),
    )


class Module(pl.LightningModule):
    """A module that holds its network as ``network``."""

    def __init__(self) -> None:
        super().__init__()
        self.network = digit_net()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(images)

    def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
        return nn.functional.binary_cross_entropy_with_logits(self(batch[0]), batch[1])

    def validation_step(self, batch: list[torch.Tensor], index: int) -> None:
        self.log("val_loss", self.training_step(batch, index), sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


class Bare(Module):
    """A module that is the network itself."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu, self.pool, self.flat, self.drop, self.fc = self.network
        del self.network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.drop(self.flat(self.pool(self.relu(self.conv(images))))))


def loaders() -> list[DataLoader]:
    images, labels, _ = collate_scenes(list(DigitScenes(8)))
    data = TensorDataset(images, labels.float())
    return [DataLoader(data, 4, shuffle=True), DataLoader(data, 4)]


def train(
    callbacks: list[pl.Callback], kind: type[Module] = Module, seed: int = 0, **options: object
) -> tuple[pl.Trainer, Module]:
    """Return the trainer and the module after a training of some epochs."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.manual_seed(seed)
    module = kind()
    trainer = pl.Trainer(**{**QUIET, "max_epochs": 2, **options}, callbacks=callbacks)
    trainer.fit(module, *loaders())
    return trainer, module


def watch(folder: Path) -> None:
    """Train on two processes, and write what each of them has found; for two_processes.py."""
    watchers: list[pl.Callback] = [
        # The stock method calls backward() in one process alone, which must not wait for the other.
        CamMetricsCallback(SCENES, ["cam", "gradcam"], layer="1", limit=2, preparation=AS_IT_IS),
        CamImageCallback(SCENES, ["cam"], layer="1", limit=1, preparation=AS_IT_IS),
    ]
    trainer, module = train(
        watchers, devices=2, strategy="ddp", max_epochs=1, default_root_dir=folder
    )
    found = {name: float(value) for name, value in trainer.callback_metrics.items()}
    total = float(sum(parameter.detach().double().sum() for parameter in module.parameters()))
    folder.mkdir(exist_ok=True)
    report = json.dumps({"metrics": found, "total": total})
    (folder / f"{trainer.global_rank}.json").write_text(report)
