"""Whether proposed boxes hold the objects: CorLoc, recall, and the overlap of the best box."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from captum_cluster._checks import check_choice, check_number, expected
from captum_cluster.functional.metrics.multi_label import AVERAGES
from captum_cluster.functional.metrics.probabilities import check_target
from captum_cluster.functional.metrics.regions import Box, box_tensor, pairwise_iou
from captum_cluster.functional.metrics.sums import Sums, by_class, mean_of_classes, ratio


def box_iou(boxes: Sequence[Box] | Tensor, others: Sequence[Box] | Tensor) -> Tensor:
    """Return the IoU (K,M) of boxes (K,4) with boxes (M,4), float64 on the CPU.

    Args:
        boxes: x0, y0, x1, y1 in pixels, with x0 < x1 and y0 < y1.
        others: The same.

    Raises:
        TypeError: They are no numbers.
        ValueError: They are no groups of four, not finite, or without an area.

    Example:
        >>> box_iou([(0, 0, 2, 2)], [(1, 0, 3, 2), (5, 5, 6, 6)])
        tensor([[0.3333, 0.0000]], dtype=torch.float64)
    """
    return pairwise_iou(_areal("boxes", boxes), _areal("others", others))


def _areal(name: str, boxes: Sequence[Box] | Tensor) -> Tensor:
    """Return boxes as float64 (K,4) if each has an area."""
    found = box_tensor(name, boxes)
    flat = (found[:, :2] >= found[:, 2:]).any(dim=1)
    if bool(flat.any()):
        raise ValueError(expected(name, "with x0 < x1 and y0 < y1", found[flat][0].tolist()))
    return found


def corloc(
    proposals: Sequence[Sequence[Box] | Tensor],
    boxes: Sequence[Sequence[Box] | Tensor],
    *,
    iou: float = 0.5,
) -> Tensor:
    """Return for each pair whether its first proposal is right: (P,) bool.

    Right is a box whose IoU with one of the object boxes is at least ``iou``. A pair without a
    proposal is wrong, and so is one without an object.

    Args:
        proposals: For each pair (image, label) the proposed boxes x0, y0, x1, y1, best first.
        boxes: For each pair the boxes of its objects.
        iou: Above 0 and at most 1.

    Raises:
        TypeError: The boxes are no numbers, or ``iou`` is none.
        ValueError: A box has no area or is not finite, ``iou`` is outside its range, or there is
            another number of pairs.

    Example:
        >>> corloc([[(0, 0, 2, 2), (1, 0, 3, 2)], []], [[(1, 0, 3, 2)], [(0, 0, 1, 1)]])
        tensor([False, False])

    References:
        Deselaers, Alexe, Ferrari 2012, "Weakly Supervised Localization and Learning with Generic
        Knowledge", section 6.
    """
    least = check_number("iou", iou, 0.0, 1.0, open_low=True)
    overlaps = _overlaps(proposals, boxes)
    hits = [bool((overlap[:1] >= least).any()) for overlap in overlaps]
    return torch.tensor(hits, dtype=torch.bool)


def best_overlaps(
    proposals: Sequence[Sequence[Box] | Tensor], boxes: Sequence[Sequence[Box] | Tensor]
) -> list[Tensor]:
    """Return for each pair the IoU (M,) of each of its objects with the best of all proposals.

    0 where nothing is proposed.

    Args:
        proposals: As in ``corloc``, in any order.
        boxes: As in ``corloc``.

    Raises:
        TypeError: As in ``corloc``.
        ValueError: As in ``corloc``.

    Example:
        >>> best_overlaps([[(0, 0, 2, 2), (1, 0, 3, 2)]], [[(1, 0, 3, 2), (7, 7, 8, 8)]])
        [tensor([1., 0.], dtype=torch.float64)]

    References:
        Uijlings et al. 2013, "Selective Search for Object Recognition", equation 7.
    """
    # A row of zeros, so that there is a best where there is no proposal.
    return [
        torch.cat([overlap, overlap.new_zeros(1, overlap.shape[1])]).amax(dim=0)
        for overlap in _overlaps(proposals, boxes)
    ]


def proposal_recall(
    proposals: Sequence[Sequence[Box] | Tensor],
    boxes: Sequence[Sequence[Box] | Tensor],
    *,
    iou: float = 0.5,
) -> Tensor:
    """Return for each pair the share of its objects that a proposal finds: (P,) float64.

    Found is an object with which some proposal has an IoU of at least ``iou``. NaN without objects.

    Args:
        proposals: As in ``corloc``, in any order.
        boxes: As in ``corloc``.
        iou: Above 0 and at most 1.

    Raises:
        TypeError: As in ``corloc``.
        ValueError: As in ``corloc``.

    Example:
        >>> proposal_recall([[(0, 0, 2, 2), (1, 0, 3, 2)]], [[(1, 0, 3, 2), (7, 7, 8, 8)]])
        tensor([0.5000], dtype=torch.float64)
    """
    least = check_number("iou", iou, 0.0, 1.0, open_low=True)
    shares = [(best >= least).double().mean() for best in best_overlaps(proposals, boxes)]
    return torch.stack(shares) if shares else torch.zeros(0, dtype=torch.float64)


def _overlaps(
    proposals: Sequence[Sequence[Box] | Tensor], boxes: Sequence[Sequence[Box] | Tensor]
) -> list[Tensor]:
    """Return the IoU (K,M) of each pair's proposals with its objects."""
    if len(proposals) != len(boxes):
        what = f"one list for each of the {len(boxes)} pairs"
        raise ValueError(expected("proposals", what, len(proposals)))
    return [
        pairwise_iou(_areal("proposals", some), _areal("boxes", others))
        for some, others in zip(proposals, boxes, strict=True)
    ]


def proposals_update(
    proposals: Sequence[Sequence[Box] | Tensor],
    target: Tensor | Sequence[int],
    boxes: Sequence[Sequence[Box] | Tensor],
    *,
    num_classes: int,
    iou: float = 0.5,
    wrong: Tensor | Sequence[bool] | None = None,
) -> Sums:
    """Return the sums by class of what the proposals find.

    A pair without an object is skipped and counted, unless its label is known to be wrong.

    Args:
        proposals: For each pair (image, label) the proposed boxes x0, y0, x1, y1, best first.
        target: (P,) int, the pairs' labels.
        boxes: For each pair the boxes of the label's objects in the image.
        num_classes: Number of labels L.
        iou: Above 0 and at most 1.
        wrong: (P,) bool, the pairs whose label the image is known not to have: misses of CorLoc.
            None: of no pair is that known.

    Returns:
        ``hits`` (pairs whose first proposal is right) and ``pairs`` (L,), ``found`` (objects),
        ``overlap`` (the sum of the objects' best IoU) and ``objects`` (L,), and ``skipped``.

    Raises:
        TypeError: The boxes or ``iou`` are no numbers, or ``target`` holds no integers.
        ValueError: A value is outside its range, there is another number of pairs, or a wrong one
            has an object.

    Example:
        >>> sums = proposals_update([[(0, 0, 2, 2)]], [1], [[(0, 0, 2, 2)]], num_classes=2)
        >>> corloc_compute(sums)
        tensor(1., dtype=torch.float64)
    """
    labels = check_target(target, len(boxes), num_classes).cpu()
    least = check_number("iou", iou, 0.0, 1.0, open_low=True)
    right, best = corloc(proposals, boxes, iou=iou), best_overlaps(proposals, boxes)
    counts = torch.tensor([len(one) for one in best], dtype=torch.long)
    # Every object beside the label of its pair.
    own, overlap = labels.repeat_interleave(counts), torch.cat([torch.zeros(0).double(), *best])
    pairs = (counts > 0) | _wrong(wrong, counts)
    return {
        "hits": by_class(right, labels, num_classes),
        "pairs": by_class(pairs, labels, num_classes),
        "found": by_class(overlap >= least, own, num_classes),
        "overlap": by_class(overlap, own, num_classes),
        "objects": by_class(torch.ones_like(own, dtype=torch.bool), own, num_classes),
        "skipped": (~pairs).sum(),
    }


def _wrong(wrong: Tensor | Sequence[bool] | None, counts: Tensor) -> Tensor:
    """Return which pairs (P,) are known to be wrong, beside the numbers (P,) of their objects."""
    if wrong is None:
        return torch.zeros(len(counts), dtype=torch.bool)
    found = torch.as_tensor(wrong, dtype=torch.bool).cpu()
    if found.shape != counts.shape:
        what = f"one for each of the {len(counts)} pairs"
        raise ValueError(expected("wrong", what, f"of shape {tuple(found.shape)}"))
    if bool((found & (counts > 0)).any()):
        raise ValueError(expected("wrong", "False for pairs with an object", "True"))
    return found


def corloc_compute(sums: Sums, *, average: str = "macro") -> Tensor:
    """Return CorLoc (B,), the share of pairs whose first proposal is right, of sums (B,L).

    Args:
        sums: From ``proposals_update``.
        average: "macro": the mean over classes of the class shares, classes without a pair left
            out; "micro": over all pairs.

    Raises:
        TypeError: ``average`` is no string.
        ValueError: It is another string.

    Example:
        >>> sums = {"hits": torch.tensor([1, 2]), "pairs": torch.tensor([1, 4])}
        >>> corloc_compute(sums), corloc_compute(sums, average="micro")
        (tensor(0.7500, dtype=torch.float64), tensor(0.6000, dtype=torch.float64))

    References:
        Deselaers, Alexe, Ferrari 2012, "Weakly Supervised Localization and Learning with Generic
        Knowledge", section 6.
    """
    return _share(sums["hits"], sums["pairs"], average)


def proposal_recall_compute(sums: Sums, *, average: str = "macro") -> Tensor:
    """Return the share of objects found (B,) of sums (B,L); ``average`` as in ``corloc_compute``.

    Raises:
        TypeError: ``average`` is no string.
        ValueError: It is another string.

    Example:
        >>> proposal_recall_compute({"found": torch.tensor([1]), "objects": torch.tensor([4])})
        tensor(0.2500, dtype=torch.float64)
    """
    return _share(sums["found"], sums["objects"], average)


def best_overlap_compute(sums: Sums, *, average: str = "macro") -> Tensor:
    """Return the objects' mean best IoU (B,) of sums (B,L); ``average`` as in ``corloc_compute``.

    The Mean Average Best Overlap for "macro".

    Raises:
        TypeError: ``average`` is no string.
        ValueError: It is another string.

    Example:
        >>> best_overlap_compute({"overlap": torch.tensor([1.5]), "objects": torch.tensor([2])})
        tensor(0.7500, dtype=torch.float64)

    References:
        Uijlings et al. 2013, "Selective Search for Object Recognition", equation 7.
    """
    return _share(sums["overlap"], sums["objects"], average)


def _share(part: Tensor, whole: Tensor, average: str) -> Tensor:
    if check_choice("average", average, AVERAGES) == "macro":
        return mean_of_classes(part, whole)
    return ratio(part.sum(dim=-1), whole.sum(dim=-1))
