"""In which order samples are shown, and by which of several processes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torch.utils.data.distributed import DistributedSampler

from captum_cluster._checks import expected
from captum_cluster.data import Preparation, Scene
from captum_cluster.training.augmentation import Augmentation
from captum_cluster.training.seeding import mixed_seed

Sample = tuple[Tensor, Tensor, int]


class SceneSamples(Dataset[Any]):
    """Scenes as what a network is trained with: (image, labels, index).

    A sample is asked for by its index, as it is; by (epoch, index), as it is changed in that epoch,
    which depends on the seed, the epoch and the index alone; or by a list of indices, as a batch.

    Args:
        scenes: The scenes, all of one size when they are prepared.
        preparation: What resizes and normalises them.
        augmentation: How they are changed in an epoch.
        seed: At least 0.
        keep: Keep each image, prepared, when it was asked for once.

    Example:
        >>> from captum_cluster.data import DigitScenes
        >>> samples = SceneSamples(DigitScenes(4), Preparation(64))
        >>> image, labels, index = samples[2]
        >>> image.shape, labels.dtype, index, samples[[0, 3]][2]
        (torch.Size([3, 64, 64]), torch.float32, 2, tensor([0, 3]))
    """

    def __init__(
        self,
        scenes: Dataset[Scene],
        preparation: Preparation,
        augmentation: Augmentation | None = None,
        *,
        seed: int = 0,
        keep: bool = False,
    ) -> None:
        self.scenes = scenes
        self.preparation = preparation
        self.augmentation = augmentation or Augmentation()
        self.seed = seed
        self.keep = keep
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}

    def __len__(self) -> int:
        count: int = len(self.scenes)  # type: ignore[arg-type]
        return count

    def __getitem__(self, key: int | tuple[int, int] | list[int]) -> Any:
        """Return a sample (image (3,H,W), labels (L,) float, index), or a batch of them."""
        if isinstance(key, list):
            return collate_samples([self[one] for one in key])
        epoch, index = key if isinstance(key, tuple) else (None, key)
        image, target = self._prepared(index)
        if epoch is not None and self.augmentation:
            image, target = self._changed(image, target, self._generator(epoch, index))
        return self.preparation.normalize(image), target, index

    def _target(self, scene: Scene) -> Tensor:
        """Return what is to be learned of a prepared scene."""
        return scene.labels.float()

    def _changed(
        self, image: Tensor, target: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        return self.augmentation(image, generator), target

    def _generator(self, epoch: int, index: int) -> torch.Generator:
        return torch.Generator().manual_seed(mixed_seed(self.seed, epoch, index))

    def _prepared(self, index: int) -> tuple[Tensor, Tensor]:
        found = self._kept.get(index)
        if found is None:
            scene = self.preparation.prepare(self.scenes[index])
            found = scene.image, self._target(scene)
            if self.keep:
                self._kept[index] = found
        return found


class MaskSamples(SceneSamples):
    """Scenes as what a segmentation network is trained with: (image, mask, index).

    The mask (H,W) int64 is the prepared scene's ``label_map``: 0 for background, label l as l + 1,
    255 where it is uncertain. It is mirrored and cut as the image is.

    Args:
        scenes: As in ``SceneSamples``, each with masks: its own, or ``MaskedScenes``.
        preparation: As in ``SceneSamples``.
        augmentation: As in ``SceneSamples``.
        seed: As in ``SceneSamples``.
        keep: As in ``SceneSamples``, of image and mask.

    Raises:
        ValueError: When a scene is asked for of which no pixels are known.

    Example:
        >>> from captum_cluster.data import DigitScenes
        >>> image, mask, index = MaskSamples(DigitScenes(4), Preparation(64))[2]
        >>> mask.shape, mask.dtype, (mask.unique() - 1).tolist() == [-1, *DigitScenes(4)[2].present]
        (torch.Size([64, 64]), torch.int64, True)
    """

    def _target(self, scene: Scene) -> Tensor:
        if scene.masks is None:
            what = f"known, of {scene.name!r} as of all others"
            raise ValueError(expected("the pixels of the labels", what, "none"))
        return scene.label_map()

    def _changed(
        self, image: Tensor, target: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        return self.augmentation.with_mask(image, target, generator)


def collate_samples(samples: list[Sample]) -> tuple[Tensor, Tensor, Tensor]:
    """Return samples stacked: images (N,3,H,W), labels (N,L) or masks (N,H,W), index (N,) int64.

    Raises:
        ValueError: The images differ in size.
    """
    images, targets, indices = zip(*samples, strict=True)
    sizes = sorted({tuple(image.shape[1:]) for image in images})
    if len(sizes) > 1:
        got = f"sizes {', '.join(map(str, sizes))}"
        raise ValueError(expected("preparation", "to bring all images to one size", got))
    return torch.stack(images), torch.stack(targets), torch.tensor(indices)


class EpochOrder(DistributedSampler[Any]):
    """The samples in an order of their own in each epoch, as (epoch, index).

    The order depends on the seed and the epoch alone. Of several processes each takes every
    ``processes``-th sample, so that together they show in each step what one process would. Those
    left over when the samples are divided among the processes wait for another epoch.

    A ``DistributedSampler``, so that Lightning leaves it as it is; but the epoch is asked for when
    the order is needed. After a resume Lightning tells it to the sampler too late for loaders that
    read ahead.

    Args:
        dataset: The samples.
        epoch: Gives the number of the epoch.
        rank: This process's number.
        processes: How many there are.
        seed: At least 0.

    Example:
        >>> first, second = (EpochOrder([0] * 4, lambda: 7, rank, 2) for rank in (0, 1))
        >>> sorted([*first, *second])
        [(7, 0), (7, 1), (7, 2), (7, 3)]
    """

    def __init__(
        self, dataset: Any, epoch: Callable[[], int], rank: int, processes: int, seed: int = 0
    ) -> None:
        fits = len(dataset) >= processes
        super().__init__(dataset, processes, rank, shuffle=True, seed=seed, drop_last=fits)
        self._epoch = epoch

    def __iter__(self) -> Iterator[Any]:
        """Yield (epoch, index) of this process's samples."""
        self.set_epoch(self._epoch())
        return ((self.epoch, index) for index in list(super().__iter__()))


class EvenBatches(DistributedSampler[Any]):
    """Lists of indices: each process its share of the samples in as many batches as the others.

    Each sample is in one batch of one process, while torch's own sampler repeats some to make the
    shares equal. Batches differ by a sample where the shares do. Processes need as many batches as
    the others where each batch is a meeting of all.

    Args:
        length: How many samples there are.
        batch_size: Of one process, at least 1.
        rank: This process's number.
        processes: How many there are, at most ``length``.

    Raises:
        ValueError: There are fewer samples than processes.

    Example:
        >>> list(EvenBatches(5, 2, 0, 2)), list(EvenBatches(5, 2, 1, 2))
        ([[0, 2], [4]], [[1], [3]])
    """

    def __init__(self, length: int, batch_size: int, rank: int, processes: int) -> None:
        if length < processes:
            what = f"at least one for each of the {processes} processes"
            raise ValueError(expected("the number of samples", what, length))
        super().__init__(range(length), processes, rank, shuffle=False)  # type: ignore[arg-type]
        self.share = list(range(rank, length, processes))
        # A share has one sample more than the smallest at most: batches of one may have to hold 2.
        wanted = math.ceil(math.ceil(length / processes) / batch_size)
        self.batches = min(wanted, length // processes)

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[Any]:
        """Yield the lists of indices of this process's batches."""
        whole, more = divmod(len(self.share), self.batches)
        start = 0
        for batch in range(self.batches):
            end = start + whole + (batch < more)
            yield self.share[start:end]
            start = end
