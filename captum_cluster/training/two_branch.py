"""Two classifiers side by side that are trained to answer differently."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from captum_cluster._checks import check_integer, describe, expected
from captum_cluster.training.gap_classifier import GapClassifier, gap_classifier


class TwoBranch(nn.Module):
    """A network of two branches without shared parameters; its logits are the mean of theirs.

    Each branch is a ``GapClassifier``. Trained with the orthogonal constraint on their maps
    (``orthogonality_loss``, ``LitTwoBranch``), the branches look at different places, and the mean
    of their maps (multi-branch CAM) covers more of an object.

    Args:
        backbone_fn: Called twice without arguments. Gives a new ``GapClassifier`` of
            ``num_classes`` labels, or a new body for one: a torchvision classifier, or a module
            from images (N,c,H,W) to maps (N,C,h,w) after a ReLU.
        num_classes: Number of labels L, at least 1.
        kernel_usage: As in ``gap_classifier``, for bodies.
        dropout: As in ``gap_classifier``, for bodies.
        bias: As in ``gap_classifier``, for bodies.

    Raises:
        TypeError: ``backbone_fn`` is not callable or gives something else, or another argument
            is of another type.
        ValueError: The two share parameters, a classifier has another number of labels, or an
            argument is outside its range.

    Shape:
        Input (N,c,H,W), output (N,L): logits.

    Example:
        >>> net = TwoBranch(lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), 5)
        >>> net(torch.rand(2, 3, 16, 16)).shape
        torch.Size([2, 5])
        >>> for logits, maps in net.forward_branches(torch.rand(2, 3, 16, 16)):
        ...     print(tuple(logits.shape), tuple(maps.shape))
        (2, 5) (2, 8, 14, 14)
        (2, 5) (2, 8, 14, 14)

    References:
        Huang et al., "Class Activation Map Generation by Multiple Level Class Grouping and
        Orthogonal Constraint", section II-C. The paper names no output of the two together: here
        the mean of the logits.
    """

    def __init__(
        self,
        backbone_fn: Callable[[], nn.Module],
        num_classes: int,
        *,
        kernel_usage: bool = False,
        dropout: float = 0.0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if not callable(backbone_fn) or isinstance(backbone_fn, nn.Module):
            what = "a function that gives a new backbone each time"
            raise TypeError(expected("backbone_fn", what, describe(backbone_fn)))
        labels = check_integer("num_classes", num_classes, 1)
        options = {"kernel_usage": kernel_usage, "dropout": dropout, "bias": bias}
        first, second = (_branch(backbone_fn(), labels, options) for _ in range(2))
        if {id(p) for p in first.parameters()} & {id(p) for p in second.parameters()}:
            what = "to give a new backbone each time"
            raise ValueError(expected("backbone_fn", what, "two that share parameters"))
        self.branches = nn.ModuleList([first, second])

    @property
    def num_labels(self) -> int:
        """The number of labels L."""
        return self._classifiers()[0].num_labels

    @property
    def explained_layers(self) -> list[nn.Module]:
        """The layers to explain: the body of each branch."""
        return [branch.body for branch in self._classifiers()]

    def forward_branches(self, images: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return of each branch the logits (N,L) and the maps (N,C,h,w) of images (N,c,H,W)."""
        maps = [branch.maps(images) for branch in self._classifiers()]
        pairs = zip(self._classifiers(), maps, strict=True)
        return [(branch.classify(found), found) for branch, found in pairs]

    def forward(self, images: Tensor) -> Tensor:
        """Return the mean (N,L) of the branches' logits of images (N,c,H,W)."""
        return torch.stack([logits for logits, _ in self.forward_branches(images)]).mean(dim=0)

    def _classifiers(self) -> list[GapClassifier]:
        return [branch for branch in self.branches if isinstance(branch, GapClassifier)]


def _branch(backbone: object, labels: int, options: dict[str, bool | float]) -> GapClassifier:
    if not isinstance(backbone, nn.Module):
        what = "to give a GapClassifier or a module that gives maps"
        raise TypeError(expected("backbone_fn", what, describe(backbone)))
    if not isinstance(backbone, GapClassifier):
        return gap_classifier(backbone, labels, **options)  # type: ignore[arg-type]
    if backbone.num_labels != labels:
        what = f"to give a classifier of {labels} labels"
        raise ValueError(expected("backbone_fn", what, f"one of {backbone.num_labels}"))
    return backbone
