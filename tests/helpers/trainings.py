"""Tiny trainings with Lightning: scenes, networks, a module that is not from the package."""

import logging
import warnings

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from captum_cluster.data import Preparation, Scene, SceneDataset
from captum_cluster.training import GapClassifier, IndexedDataset, SubCategoryDiscovery
from captum_cluster.training.modules import MaskData, SceneData

LABELS = 4
PLAIN = Preparation(mode="none", mean=(0.0,) * 3, std=(1.0,) * 3)


class Blobs(SceneDataset):
    """Images of 8 x 8 noise with a bright corner for each label.

    Image 0 has no label, no image has label 3, and two images alone have label 2.
    """

    classes = ("a", "b", "c", "d")

    def __init__(self, length=12):
        self.length = length
        self.asked = []

    def __len__(self):
        return self.length

    def _scene(self, index):
        self.asked.append(index)
        generator = torch.Generator().manual_seed(index)
        image = torch.rand(3, 8, 8, generator=generator) / 2
        labels = torch.zeros(LABELS, dtype=torch.bool)
        if index:
            labels[: index % 3 % 2 + 1] = True
            labels[0] = index % 4 > 0
            labels[2] = index in (1, 2)
        for label, (row, column) in enumerate([(0, 0), (0, 4), (4, 0), (4, 4)]):
            if labels[label]:
                image[:, row : row + 4, column : column + 4] += 0.4
        return Scene(image, labels, name=f"blob-{index}")


def tiny_network(labels=LABELS, *, dropout=0.3, seed=0):
    """Batch normalisation and dropout: running statistics and chance take part."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body = nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.ReLU()
        )
        return GapClassifier(body, nn.Linear(6, labels), dropout=dropout)


def scene_data(length=12, *, val=5, **options):
    options = {"preparation": PLAIN, "batch_size": 4, **options}
    return SceneData(Blobs(length), Blobs(val) if val else None, **options)


def masks_of(scene):
    """The pixels of the bright corners of a blob; the pixel between them is uncertain."""
    mask = torch.zeros(8, 8, dtype=torch.int64)
    for label, (row, column) in enumerate([(0, 0), (0, 4), (4, 0), (4, 4)]):
        if scene.labels[label]:
            mask[row : row + 4, column : column + 4] = label + 1
    mask[3, 3] = 255
    return mask


def mask_data(length=12, *, val=5, **options):
    return MaskData(
        Blobs(length),
        Blobs(val) if val else None,
        masks=lambda index: masks_of(Blobs()[index]),
        val_masks=(lambda index: masks_of(Blobs()[index])) if val else None,
        **{"preparation": PLAIN, "batch_size": 4, **options},
    )


def indexed(length=12):
    images = torch.stack([Blobs()[index].image for index in range(length)])
    labels = torch.stack([Blobs()[index].labels for index in range(length)]).float()
    return IndexedDataset(TensorDataset(images, labels))


def loader(length=12, batch_size=5):
    return DataLoader(indexed(length), batch_size, shuffle=True)


BATCHES = DataLoader(torch.zeros(1, 1))


class Counting(pl.LightningModule):
    """Its weight grows by 1 in each epoch; the losses are given."""

    def __init__(self, losses):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.losses = losses

    def training_step(self, batch, batch_idx):
        return self.weight * 1.0

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", torch.tensor(self.losses[self.current_epoch]))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1.0, maximize=True)


class UsersModule(pl.LightningModule):
    """Of the protocol, without anything of the package: `features` and `parent_head`."""

    def __init__(self, *, returns="tensor", optimizer="adam", head=None):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            self.stem = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
            self.parent_head = head or nn.Linear(5, LABELS)
        self.returns, self.optimizer = returns, optimizer
        self.steps = []

    def features(self, images):
        return self.stem(images).flatten(1)

    def forward(self, images):
        return self.parent_head(self.features(images))

    def training_step(self, batch, batch_idx):
        images, labels, index = batch
        loss = F.binary_cross_entropy_with_logits(self(images), labels)
        self.steps.append((self.current_epoch, index.tolist(), loss.item()))
        return loss if self.returns == "tensor" else {"loss": loss, "more": 1}

    def configure_optimizers(self):
        parameters = self.stem.parameters() if self.optimizer == "stem" else self.parameters()
        optimizer = torch.optim.Adam(parameters, 0.01)
        total = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=total)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


def discovery(**options):
    return SubCategoryDiscovery(
        **{"n_sub_categories": 3, "rounds": 2, "epochs_per_round": 2, **options}
    )


def trainer(epochs, *callbacks, folder=None, **options):
    """A trainer that says nothing; with a folder it writes a checkpoint after each epoch.

    On the CPU, if no other accelerator is asked for.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    callbacks = list(callbacks)
    if folder is not None:
        name = "{epoch}"
        callbacks.append(ModelCheckpoint(folder, name, save_top_k=-1, save_on_train_epoch_end=True))
    return pl.Trainer(
        max_epochs=epochs,
        callbacks=callbacks,
        accelerator=options.pop("accelerator", "cpu"),
        devices=options.pop("devices", 1),
        logger=options.pop("logger", False),
        enable_checkpointing=folder is not None,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **options,
    )


class StopAfter(pl.Callback):
    """Ends a training after an epoch, as an interruption would: nothing is wound up."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch > self.epoch:
            raise StoppedError


class StoppedError(Exception):
    """What `StopAfter` raises."""


def same(first, second):
    """Whether two state dicts are equal to the last bit."""
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )
