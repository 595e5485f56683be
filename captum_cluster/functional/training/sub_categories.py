"""Sub-categories: the clusters of a label's images, as further labels to train with."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from captum_cluster._checks import check_finite, check_integer, check_number, describe, expected
from captum_cluster.functional.attribution import kmeans_labels
from captum_cluster.functional.training.class_groups import numbered_by_first


def sub_category_assignments(
    features: Tensor, labels: Tensor, n_sub_categories: int = 10, *, seed: int = 0
) -> Tensor:
    """Return the sub-category of each image in each of its labels: k-means, label by label.

    The images of a label are clustered by their features (k-means++, best of ten runs, at most
    300 steps each). A label with fewer distinct images than K has as many sub-categories as
    distinct images, a label without images none. The order of the images changes nothing but the
    numbers: sub-category 0 is that of the label's first image, 1 that of the first other one, and
    so on. So processes that hold the same features in the same order find the same.

    Args:
        features: (N,D) floating point, the pooled features of N images, taken in evaluation mode
            and without augmentation.
        labels: (N,L), bool or 0 and 1: the labels of each image. An image may have none.
        n_sub_categories: Sub-categories of a label, K, at least 1.
        seed: Of k-means, at least 0.

    Returns:
        LongTensor (N,L) on the device of ``features``: from 0 to K - 1 where the image has the
        label, -1 where it has not.

    Raises:
        TypeError: An argument is of another type.
        ValueError: A shape does not fit, a feature is not finite, a label is neither 0 nor 1, or
            a number is outside its range.

    Example:
        >>> features = torch.tensor([[0.0], [9.0], [1.0], [5.0]])
        >>> labels = torch.tensor([[1, 0], [1, 1], [1, 0], [0, 0]])
        >>> sub_category_assignments(features, labels, 2)
        tensor([[ 0, -1],
                [ 1,  0],
                [ 0, -1],
                [-1, -1]])

    References:
        Chang et al. 2020, "Weakly-Supervised Semantic Segmentation via Sub-category Exploration",
        equation 2 and section 3.2; ten runs and 300 steps as in its authors' code.
    """
    number = check_integer("n_sub_categories", n_sub_categories, 1)
    check_integer("seed", seed, 0, 2**32 - 1)
    present = _check_labels(labels, len(_check_features(features)))
    assignments = torch.full(present.shape, -1, dtype=torch.long)
    # The host clusters on the CPU: one copy for all labels.
    points = features.detach().cpu()
    for label in range(present.shape[1]):
        images = present[:, label].nonzero().flatten()
        if len(images):
            # Each feature vector as a map of one row.
            found = kmeans_labels(points[images, None], number, n_init=10, random_state=seed)
            assignments[images, label] = numbered_by_first(found)
    return assignments.to(features.device)


def sub_category_labels(assignments: Tensor, n_sub_categories: int) -> Tensor:
    """Return the pseudo labels of images: one of K inside each label present, 0 in absent ones.

    Args:
        assignments: LongTensor (N,L), from 0 to K - 1, or -1 for an absent label.
        n_sub_categories: K.

    Returns:
        Float (N, L*K); the sub-category k of label l is column ``l*K + k``.

    Raises:
        TypeError: ``assignments`` is no LongTensor, or ``n_sub_categories`` no integer.
        ValueError: Another shape, or a number outside the range.

    Example:
        >>> sub_category_labels(torch.tensor([[1, -1], [-1, 0]]), 2)
        tensor([[0., 1., 0., 0.],
                [0., 0., 1., 0.]])

    References:
        Chang et al. 2020, "Weakly-Supervised Semantic Segmentation via Sub-category Exploration",
        section 3.2, "Sub-Category Objective".
    """
    number = check_integer("n_sub_categories", n_sub_categories, 1)
    what = "a LongTensor (N,L)"
    if not isinstance(assignments, Tensor) or assignments.dtype != torch.long:
        raise TypeError(expected("assignments", what, describe(assignments)))
    if assignments.ndim != 2:
        raise ValueError(expected("assignments", what, describe(assignments)))
    if assignments.numel() and not -1 <= assignments.min() <= assignments.max() < number:
        got = f"{assignments.min()} to {assignments.max()}"
        raise ValueError(expected("assignments", f"from -1 to {number - 1}", got))
    # Class 0 of the one-hot code is "absent", and left out.
    return F.one_hot(assignments + 1, number + 1)[..., 1:].flatten(1).float()


def sub_category_loss(
    parent_logits: Tensor,
    sub_logits: Tensor,
    labels: Tensor,
    sub_labels: Tensor,
    *,
    weight: float = 5.0,
) -> Tensor:
    """Return the joint loss ``L_p + weight * L_s`` of the labels and their sub-categories.

    Both are the multi-label soft-margin loss: binary cross-entropy of each logit, mean over the
    logits of an image, mean over the images.

    Args:
        parent_logits: (N,L) floating point, of the labels.
        sub_logits: (N, L*K) floating point, of the sub-categories.
        labels: (N,L), bool or numbers from 0 to 1.
        sub_labels: (N, L*K), bool or numbers from 0 to 1 (``sub_category_labels``).
        weight: Lambda, at least 0.

    Returns:
        Scalar, differentiable.

    Raises:
        TypeError: An argument is no tensor, or logits are not floating point.
        ValueError: Shapes differ, or ``weight`` is negative.

    Example:
        >>> parent, sub = torch.zeros(2, 3), torch.zeros(2, 12)
        >>> sub_category_loss(parent, sub, parent, sub, weight=5.0)  # 6 log 2
        tensor(4.1589)

    References:
        Chang et al. 2020, "Weakly-Supervised Semantic Segmentation via Sub-category Exploration",
        equation 3; the loss and lambda = 5 as in its authors' code.
    """
    check_number("weight", weight, 0)
    parent = _soft_margin("parent_logits", parent_logits, "labels", labels)
    return parent + weight * _soft_margin("sub_logits", sub_logits, "sub_labels", sub_labels)


def sub_category_maximum(maps: Tensor, n_sub_categories: int) -> Tensor:
    """Return each label's maximum over the maps of its sub-categories, place by place.

    The reading "sub_max" of the final map, which the paper's authors evaluate beside the map of
    the parent label.

    Args:
        maps: (N, L*K, h, w), or on a grid of one or three dimensions; the sub-category k of
            label l is map ``l*K + k``.
        n_sub_categories: K.

    Returns:
        (N,L,h,w), of the same dtype.

    Raises:
        TypeError: ``maps`` is no tensor, or ``n_sub_categories`` no integer.
        ValueError: The number of maps is no multiple of K, or the shape is another.

    Example:
        >>> maps = torch.tensor([[[[1.0, 0.0]], [[0.0, 2.0]]]])
        >>> sub_category_maximum(maps, 2)
        tensor([[[[1., 2.]]]])

    References:
        Chang et al. 2020, "Weakly-Supervised Semantic Segmentation via Sub-category Exploration",
        its authors' code.
    """
    number = check_integer("n_sub_categories", n_sub_categories, 1)
    what = f"a tensor (N, L*{number}, h, w)"
    if not isinstance(maps, Tensor):
        raise TypeError(expected("maps", what, describe(maps)))
    if maps.ndim not in (3, 4, 5) or maps.shape[1] % number:
        raise ValueError(expected("maps", what, describe(maps)))
    images, count, *grid = maps.shape
    return maps.reshape(images, count // number, number, *grid).amax(dim=2)


def _soft_margin(name: str, logits: Tensor, labels_name: str, labels: Tensor) -> Tensor:
    what = "a floating-point tensor (N, number of labels)"
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        raise TypeError(expected(name, what, describe(logits)))
    if logits.ndim != 2:
        raise ValueError(expected(name, what, describe(logits)))
    wanted = f"a tensor {tuple(logits.shape)} like {name}"
    if not isinstance(labels, Tensor):
        raise TypeError(expected(labels_name, wanted, describe(labels)))
    if labels.shape != logits.shape:
        raise ValueError(expected(labels_name, wanted, describe(labels)))
    return F.multilabel_soft_margin_loss(logits, labels.to(logits))


def _check_features(features: Tensor) -> Tensor:
    what = "a floating-point tensor (N,D)"
    if not isinstance(features, Tensor) or not features.is_floating_point():
        raise TypeError(expected("features", what, describe(features)))
    if features.ndim != 2:
        raise ValueError(expected("features", what, describe(features)))
    return check_finite("features", features)


def _check_labels(labels: Tensor, length: int) -> Tensor:
    """Return the labels (N,L) as bool, on the CPU."""
    what = f"a tensor ({length},L) of 0 and 1, a row for each row of features"
    if not isinstance(labels, Tensor):
        raise TypeError(expected("labels", what, describe(labels)))
    if labels.ndim != 2 or len(labels) != length:
        raise ValueError(expected("labels", what, describe(labels)))
    present = labels.detach().cpu().bool()
    if not torch.equal(present.to(labels.dtype), labels.detach().cpu()):
        raise ValueError(expected("labels", what, "other numbers"))
    return present
