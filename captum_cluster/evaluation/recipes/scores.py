"""How well a network tells labels: F1, F2 and average precision."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from captum_cluster.data import Preparation, SceneDataset
from captum_cluster.hooks import modes_kept

_ROWS = 32


@dataclass(frozen=True)
class Scores:
    """What a classifier reaches on images it has not learned from: means over the labels.

    Attributes:
        f1: The harmonic mean of precision and recall, from 0 to 1; at a probability of 0.5, or of
            the most probable label where an image has one.
        f2: The same with recall counting twice.
        average_precision: The area under the curve of precision over recall.
    """

    f1: float
    f2: float
    average_precision: float

    def to_dict(self) -> dict[str, float]:
        """Return the numbers by name."""
        return asdict(self)


def classifier_scores(
    network: nn.Module, dataset: SceneDataset, preparation: Preparation, *, several: bool
) -> Scores:
    """Return how well a network tells the labels of images.

    As ``LitCamClassifier`` logs it in training. Labels that no image has, and none is said to have,
    are left out of the means; of one-label data images without any count as wrongly labelled.

    Args:
        network: From images (N,3,H,W) to logits (N,L); put into evaluation mode meanwhile.
        dataset: Scenes that become of one size.
        preparation: How.
        several: Whether an image can have several labels.

    Returns:
        Numbers from 0 to 1; NaN where no label counts.

    Example:
        >>> from captum_cluster.data import DigitScenes
        >>> net = nn.Sequential(nn.Conv2d(3, 10, 9), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> found = classifier_scores(
        ...     net, DigitScenes(6), Preparation(64, mode="none"), several=True
        ... )
        >>> 0 <= found.f1 <= 1
        True
    """
    from captum_cluster.training.modules.scores import LabelScores  # needs Lightning

    probabilities, labels = _answers(network, dataset, preparation, several=several)
    # Of this process alone: the others of a training do not judge.
    scores = LabelScores(multi_label=several, sync_on_compute=False)
    scores.update(probabilities, labels)
    found = scores.compute()
    return Scores(*(float(found[name]) for name in ("f1", "f2", "map")))


@torch.no_grad()
def _answers(
    network: nn.Module, dataset: SceneDataset, preparation: Preparation, *, several: bool
) -> tuple[Tensor, Tensor]:
    """Return probabilities (N,L) and labels (N,L) bool of all images, on the CPU."""
    device = next((one.device for one in network.parameters()), torch.device("cpu"))
    logits, labels = [], []
    with modes_kept(network):
        network.eval()
        for start in range(0, len(dataset), _ROWS):
            numbers = range(start, min(start + _ROWS, len(dataset)))
            scenes = [preparation.prepare(dataset[number]) for number in numbers]
            images = torch.stack([preparation.normalize(scene.image) for scene in scenes])
            logits.append(network(images.to(device)).float().cpu())
            labels.append(torch.stack([scene.labels for scene in scenes]))
    said = torch.cat(logits)
    return said.sigmoid() if several else said.softmax(dim=1), torch.cat(labels)
