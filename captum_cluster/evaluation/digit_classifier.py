"""A small multi-label classifier of digit scenes, trained on the spot in about a minute."""

from __future__ import annotations

import hashlib
import inspect
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from captum_cluster._checks import check_flag, check_integer, expected
from captum_cluster.data import DigitScenes, Scene, collate_scenes, digit_scenes
from captum_cluster.evaluation.cache import cache_directory, load_state, save_state
from captum_cluster.hooks import modes_kept

SCENES = 4800
EPOCHS = 5
BATCH = 32
LEARNING_RATE = 0.01
WEIGHT_DECAY = 0.01


class DigitNet(nn.Module):
    """A network from images (N,3,H,W) in [0,1] to logits (N,10), one for each digit.

    Convolution, batch normalisation and ReLU, five times; then the mean of each map and one linear
    layer, so the original CAM applies too. The maps of the last block, ``features``, have a quarter
    of the image's height and width: 64 maps of 16 x 16 at 64 pixels.

    Example:
        >>> net = DigitNet()
        >>> images = torch.rand(2, 3, 64, 64)
        >>> tuple(net.features(images).shape), tuple(net(images).shape)
        ((2, 64, 16, 16), (2, 10))
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _block(3, 16, stride=2),
            _block(16, 32),
            _block(32, 64, stride=2),
            _block(64, 64),
            # Dilated: each place of the maps then sees 35 pixels, more than the largest digit.
            _block(64, 64, dilation=2),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64, 10)
        # A digit fills few places of a map, so the map's mean hardly tells: large first weights
        # carry it to the logits, and halve the training. The bias: a label is in 1 scene of 4.
        nn.init.uniform_(self.fc.weight, -1, 1)
        nn.init.constant_(self.fc.bias, math.log(1 / 3))

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N,10) of images (N,3,H,W)."""
        logits: Tensor = self.fc(self.pool(self.features(images)).flatten(1))
        return logits


def load_digit_net(*, retrain: bool = False, progress: bool = True) -> tuple[DigitNet, bool]:
    """Return the trained network, from the cache if it is there, and whether it was trained now.

    The file is named after the source of the recipe (this file and the scenes'), so a changed
    recipe trains anew. A file that cannot be read is replaced, with a warning; where none can be
    written, a warning says so and the network is returned all the same.

    Args:
        retrain: Train even if a trained network is in the cache, and replace it.
        progress: Show progress bars while training.

    Returns:
        model: In evaluation mode.
        trained: True if it was trained now, False if it came from the cache.

    Raises:
        TypeError: An option is no bool.

    Example:
        >>> model, trained = load_digit_net()  # doctest: +SKIP
    """
    check_flag("retrain", retrain)
    path = cache_directory() / f"digit-net-{_fingerprint()}.pt"
    with _own_random_state(0):
        model = DigitNet().eval()
    if not retrain and load_state(model, path):
        return model, False
    model = train_digit_net(progress=progress)
    save_state(model, path)
    return model, True


def train_digit_net(
    *, seed: int = 0, scenes: int = SCENES, epochs: int = EPOCHS, progress: bool = True
) -> DigitNet:
    """Return a network trained on the scenes of the training split, in evaluation mode.

    Binary cross-entropy on each of the ten logits, AdamW, one cycle of the learning rate. Equal
    seeds give equal networks on one machine; the caller's random state is left as it is.

    Args:
        seed: Of the scenes, the first weights and the order, at least 0.
        scenes: How many are made, at least 32 (one batch).
        epochs: How often each is seen, at least 1.
        progress: Show a bar with the loss and the time left.

    Raises:
        TypeError: An argument is of another type.
        ValueError: An argument is outside its range.

    Example:
        >>> model = train_digit_net(scenes=64, epochs=1, progress=False)
        >>> model.training
        False
    """
    check_integer("scenes", scenes, BATCH)
    check_integer("epochs", epochs, 1)
    check_flag("progress", progress)
    data = _draw(DigitScenes(scenes, seed=seed), progress)
    # The caller may be inside no_grad or inference_mode, as explainers often are.
    with _own_random_state(seed), torch.inference_mode(False), torch.enable_grad():
        model = DigitNet().to(memory_format=torch.channels_last)  # a third faster on a CPU
        _fit(model, *data, epochs, progress)
    return model.to(memory_format=torch.contiguous_format).eval()


def macro_average_precision(
    model: nn.Module, dataset: Dataset[Scene], batch_size: int = 64
) -> float:
    """Return the mean over the labels of the average precision of the model's logits.

    Labels that no scene has, or that every scene has, say nothing and are left out.

    Args:
        model: From images (N,3,H,W) to logits (N,L); put into evaluation mode meanwhile.
        dataset: Scenes of one size.
        batch_size: Scenes at once, at least 1.

    Returns:
        From 0 to 1 (1: every scene with a label is ranked above every scene without it).

    Raises:
        ValueError: No label is present in some scenes and absent from others.

    Example:
        >>> 0 <= macro_average_precision(DigitNet(), DigitScenes(20, split="test")) <= 1
        True
    """
    from sklearn.metrics import average_precision_score

    labels, logits = _predict(model, dataset, check_integer("batch_size", batch_size, 1))
    telling = labels.any(dim=0) & ~labels.all(dim=0)
    if not telling.any():
        what = "scenes of which some have a label and others have not"
        raise ValueError(expected("dataset", what, f"{len(labels)} scenes without such a label"))
    precision = average_precision_score(labels[:, telling].numpy(), logits[:, telling].numpy())
    return float(precision)


def _block(inputs: int, outputs: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=dilation, dilation=dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def _fingerprint() -> str:
    """Return 12 hex digits of the source of all that decides what the network becomes."""
    sources = (inspect.getsource(part) for part in (digit_scenes, sys.modules[__name__]))
    return hashlib.sha256("".join(sources).encode()).hexdigest()[:12]


@contextmanager
def _own_random_state(seed: int) -> Iterator[None]:
    # torch.manual_seed would also seed the accelerators, which fork_rng(devices=[]) leaves alone.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch use one thread: at scenes this small several wait for each other.

    On a machine whose cores are busy, six times as long.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _draw(dataset: DigitScenes, progress: bool) -> tuple[Tensor, Tensor]:
    """Return all images (M,3,H,W) and labels (M,L) as float: drawn once, seen in each epoch."""
    numbers = tqdm(range(len(dataset)), "Drawing digit scenes", disable=not progress)
    with _one_thread():
        images, labels, _ = collate_scenes([dataset[number] for number in numbers])
    return images.contiguous(memory_format=torch.channels_last), labels.float()


def _fit(model: DigitNet, images: Tensor, labels: Tensor, epochs: int, progress: bool) -> None:
    steps = epochs * (len(images) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    bar = tqdm(total=steps, desc="Training the digit network", disable=not progress)
    with bar:
        for chosen in _batches(len(images), epochs):
            loss = F.binary_cross_entropy_with_logits(model(images[chosen]), labels[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
            bar.update()


def _batches(length: int, epochs: int) -> Iterator[Tensor]:
    """Yield the numbers (BATCH,) of each batch, shuffled in each epoch, the rest left out."""
    for _ in range(epochs):
        order = torch.randperm(length)
        yield from order[: length - length % BATCH].reshape(-1, BATCH).unbind()


@torch.no_grad()
def _predict(model: nn.Module, dataset: Dataset[Scene], batch_size: int) -> tuple[Tensor, Tensor]:
    """Return labels (M,L) bool and logits (M,L) of all scenes, on the CPU."""
    first = next(model.parameters(), torch.empty(0))
    # With a generator of its own the loader leaves the global random state alone.
    loader = DataLoader(dataset, batch_size, collate_fn=collate_scenes, generator=torch.Generator())
    pairs = []
    with modes_kept(model):
        model.eval()
        for images, labels, _ in loader:
            pairs.append((labels, model(images.to(first.device)).float().cpu()))
    if not pairs:
        raise ValueError(expected("dataset", "scenes", "none"))
    labels, logits = zip(*pairs, strict=True)
    return torch.cat(labels), torch.cat(logits)
