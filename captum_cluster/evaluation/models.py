"""torchvision's classifiers, with their default weights or with a state dict from a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import torchvision
from PIL import Image
from torch import Tensor, nn

from captum_cluster.training.pretrained import pretrained_classifier


@dataclass(frozen=True)
class LoadedModel:
    """A classifier with all that is needed to show it a picture.

    Attributes:
        name: The architecture ("resnet18").
        model: In evaluation mode, on the CPU; one tensor of logits (N,L) comes out.
        transform: From a PIL image to the model's input, a float tensor (3,H,W).
        categories: The labels' names, in the order of the outputs; None if unknown.
    """

    name: str
    model: nn.Module
    transform: Callable[[Image.Image], Tensor]
    categories: list[str] | None


def load_model(name: str, weights: str | os.PathLike[str] = "DEFAULT") -> LoadedModel:
    """Return a torchvision classifier in evaluation mode, with its transform and label names.

    A file may hold a state dict or a checkpoint with one under "state_dict", "model" or
    "model_state_dict"; a "module." prefix (``DataParallel``) is taken off, half precision becomes
    the model's own, and the auxiliary heads of GoogLeNet and Inception, which only training uses,
    are left out. The number of classes is the file's. Its transform is that of torchvision's
    default weights, and so are the label names where the number of classes is the same. Only
    tensors are read from a file; code in it is never run.

    Args:
        name: An architecture of ``torchvision.models.list_models(module=torchvision.models)``.
        weights: "DEFAULT" for torchvision's default weights, downloaded once; else a file.

    Raises:
        TypeError: ``name`` is no string, or ``weights`` neither a string nor a path.
        ValueError: ``name`` is unknown, or the file holds no weights of this architecture.
        FileNotFoundError: There is no such file.
        IsADirectoryError: ``weights`` is a directory.
        OSError: The default weights cannot be downloaded.

    Example:
        >>> import tempfile, torch
        >>> net = torchvision.models.squeezenet1_1(num_classes=5)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save(net.state_dict(), f"{folder}/five.pt")
        ...     loaded = load_model("squeezenet1_1", f"{folder}/five.pt")
        >>> loaded.transform(Image.new("RGB", (300, 300))).shape
        torch.Size([3, 224, 224])
        >>> loaded.model(torch.zeros(1, 3, 224, 224)).shape, loaded.categories
        (torch.Size([1, 5]), None)
    """
    model, classes = pretrained_classifier(name, weights)
    default = torchvision.models.get_model_weights(name).DEFAULT
    names = list(default.meta["categories"])
    categories = names if classes == len(names) else None
    return LoadedModel(name, model.eval(), default.transforms(), categories)
