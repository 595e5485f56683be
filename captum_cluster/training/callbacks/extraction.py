"""The features of all training images, each image taken by one of the processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from captum_cluster._checks import describe, expected
from captum_cluster.hooks import modes_kept

# Rows that are on the devices together while the processes exchange them.
_ROWS = 4096

Parts = Callable[[Any], tuple[Tensor, Tensor, Tensor]]


def parts_of(batch: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Return images, labels and index of a batch of these three.

    Raises:
        TypeError: It is something else.

    Example:
        >>> images, labels, index = torch.zeros(2, 3, 4, 4), torch.eye(2), torch.arange(2)
        >>> parts_of([images, labels, index])[2]
        tensor([0, 1])
    """
    if not isinstance(batch, tuple | list) or len(batch) != 3:
        got = f"{len(batch)} parts" if isinstance(batch, tuple | list) else describe(batch)
        advice = " Wrap the data set in IndexedDataset, or pass batch_parts=."
        raise TypeError(expected("a batch", "(images, labels, index)", got) + advice)
    return batch[0], batch[1], batch[2]


def multi_hot(labels: Tensor, n_labels: int) -> Tensor:
    """Return labels (N,L) from labels (N,L), or from one number each (N,).

    Example:
        >>> multi_hot(torch.tensor([1, 0]), 2)
        tensor([[0., 1.],
                [1., 0.]])
    """
    if labels.ndim == 1 and not labels.is_floating_point():
        return F.one_hot(labels.long(), n_labels).float()
    if labels.ndim != 2 or labels.shape[1] != n_labels:
        what = f"of shape (N,{n_labels}), one column for each output of parent_head"
        raise ValueError(expected("labels", what, describe(labels)))
    return labels.float()


def extract_features(
    trainer: pl.Trainer,
    pl_module: pl.LightningModule,
    n_labels: int,
    *,
    images: Dataset[Any] | None = None,
    parts: Parts = parts_of,
) -> tuple[Tensor, Tensor]:
    """Return the features (M,D) and the labels (M,L) of all training images, on the CPU.

    In evaluation mode; each process takes its share of the images, then all are gathered on all.

    Args:
        trainer: In the middle of a training.
        pl_module: With a method ``features``.
        n_labels: L.
        images: The training images, where not those of the trainer's loader.
        parts: Takes a batch apart.

    Raises:
        TypeError: There are several loaders.
        ValueError: The index of an image is not its place.
    """
    train = trainer.train_dataloader
    if not isinstance(train, DataLoader):
        raise TypeError(expected("the training data", "one DataLoader", type(train).__name__))
    dataset = train.dataset if images is None else images
    count = len(dataset)  # type: ignore[arg-type]
    share = list(range(trainer.global_rank, count, trainer.world_size))
    if count < trainer.world_size:
        what = f"images for each of the {trainer.world_size} processes"
        raise ValueError(expected("the training data", what, count))
    with modes_kept(pl_module), torch.no_grad():
        pl_module.eval()
        # What is changed on the device as long as the trainer trains stays as it is.
        trainer.validating = True
        try:
            found = _share_of(trainer, pl_module, _loader(train, dataset, share), share, parts)
        finally:
            trainer.training = True
    features, labels = found[0], multi_hot(found[1], n_labels)
    return _gathered(pl_module, features, count), _gathered(pl_module, labels, count)


def _loader(train: DataLoader[Any], dataset: Dataset[Any], share: list[int]) -> DataLoader[Any]:
    return DataLoader(
        dataset,
        train.batch_size or 32,
        sampler=share,
        num_workers=train.num_workers,
        collate_fn=train.collate_fn,
        pin_memory=train.pin_memory,
        generator=torch.Generator(),  # the global random state stays as it is
    )


def _share_of(
    trainer: pl.Trainer,
    pl_module: pl.LightningModule,
    loader: DataLoader[Any],
    share: list[int],
    parts: Parts,
) -> tuple[Tensor, Tensor]:
    features, labels, indices = [], [], []
    for batch in loader:
        batch = trainer.precision_plugin.convert_input(batch)
        images, own, index = parts(trainer.strategy.batch_to_device(batch, dataloader_idx=0))
        with trainer.precision_plugin.val_step_context():
            given = pl_module.features(images)  # type: ignore[operator]
        # Not kept on the device, which those of all images might not fit beside the network.
        features.append(given.flatten(1).float().cpu())
        labels.append(own.cpu())
        indices.append(index.cpu())
    if torch.cat(indices).tolist() != share:
        what = "each sample's place in the training data"
        raise ValueError(expected("index", what, "other numbers"))
    return torch.cat(features), torch.cat(labels)


def _gathered(pl_module: pl.LightningModule, own: Tensor, count: int) -> Tensor:
    """Return the rows (M,D) of all processes in the order of the images."""
    processes = pl_module.trainer.world_size
    if processes == 1:
        return own
    # Shares differ by one row at most, and tensors that are gathered must not differ.
    longest = -(-count // processes)
    padded = torch.cat([own, own.new_zeros(longest - len(own), own.shape[1])])
    parts = []
    for rows in torch.split(padded, _ROWS):
        everything = pl_module.all_gather(rows.to(pl_module.device))
        assert isinstance(everything, Tensor)  # as many as were given: one
        parts.append(everything.cpu())
    return torch.cat(parts, dim=1).transpose(0, 1).flatten(0, 1)[:count]
