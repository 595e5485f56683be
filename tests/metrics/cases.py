"""Every metric with batches to show it, its slow reference, and what it cannot leave.

A batch is the arguments of one ``update``; ``expected`` derives the value of some batches together.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from captum_cluster import metrics
from tests.helpers import localization_references as where
from tests.helpers import metric_references as ref
from tests.helpers import proposal_references as proposing

SIZE, CLASSES = (6, 7), 3
STEPS = [0, 16, 32, 42]


@dataclass(frozen=True)
class Case:
    """One metric.

    Attributes:
        make: The metric with its options.
        batch: Gives the positional and the keyword arguments of ``update`` for a seed.
        expected: The value of a list of such batches, from the slow reference.
        bounds: The least and the greatest value.
        perfect: A batch of perfect explanations and the value it has.
        worst: The same of the worst ones.
    """

    make: Callable[[], Any]
    batch: Callable[[int], tuple[tuple, dict]]
    expected: Callable[[list], Any]
    bounds: tuple[float, float] = (0.0, 1.0)
    perfect: tuple = field(default=())
    worst: tuple = field(default=())


def _draw(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


def _mean(values):
    values = [value for value in values if value is not None]
    return sum(values) / len(values)


# Probabilities of one label


def _probabilities(seed):
    original, masked = _draw(seed, 2, 4 + seed % 3)
    return (original * (original > 0.15), masked), {}


def _drops(batches, *, signed=False):
    changes = [
        0.0 if y == 0 else ((y - o) if signed else max(0.0, y - o)) / y
        for (original, masked), _ in batches
        for y, o in zip(original.tolist(), masked.tolist(), strict=True)
    ]
    return _mean(changes)


def _increases(batches):
    return _mean([float(o > y) for (a, b), _ in batches for y, o in zip(a, b, strict=True)])


def _values(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


# Probabilities of all labels


def _rows(seed):
    whole, masked, complement = _draw(seed, 3, 5, CLASSES)
    target = torch.arange(5) % CLASSES
    return (whole, masked, complement, target, _draw(seed + 50, 5, CLASSES) < 0.7), {}


def _multi_label(average, single_label):
    def expected(batches):
        rows = [
            (*(part.tolist() for part in row[:3]), int(row[3]), row[4].nonzero().flatten().tolist())
            for arguments, _ in batches
            for row in zip(*arguments, strict=True)
        ]
        return ref.multi_label(rows, average, single_label)

    return expected


_BOTH = torch.ones(1, 2, dtype=torch.bool)
_PAIR = torch.tensor([0])
_SHOWN, _KEPT, _LOST = _values(0.9, 0.8)[None], _values(0.9, 0.0)[None], _values(0.0, 0.8)[None]
_BEST = {"ic": 0, "ad": 0, "ado": 1, "ar": 1, "aro": 0, "f1_minus": 0, "f1_plus": 1}
_WORST = {"ic": 0, "ad": 1, "ado": 0, "ar": 0, "aro": 1, "f1_minus": 1, "f1_plus": 0}


# Curves


def _curves(seed):
    return (_draw(seed, 3, len(STEPS)),), {"steps": STEPS}


def _both_curves(seed):
    return (_draw(seed, 3, len(STEPS)), _draw(seed + 50, 3, len(STEPS))), {"steps": STEPS}


def _area(batches, place=0):
    shares = [count / STEPS[-1] for count in STEPS]
    return _mean([ref.area(shares, row) for a, _ in batches for row in a[place].tolist()])


_FULL, _EMPTY, _EVEN = torch.ones(1, 3), torch.zeros(1, 3), {"steps": [0, 1, 2]}


# Maps and where the object is


def _maps(seed):
    return _draw(seed, 4, *SIZE) - 0.3, torch.tensor([0, 2, 0, 1])


def _boxed(seed):
    corners = (_draw(seed + 50, 4, 2, 2) * 4 - 1).tolist()
    boxes = [[(x, y, x + 3.5, y + 3.5) for x, y in some[: n % 3]] for n, some in enumerate(corners)]
    return _maps(seed), {"boxes": boxes}


def _masked(seed):
    masks = _draw(seed + 50, 4, *SIZE) < 0.4
    masks[seed % 4] = False
    return _maps(seed), {"masks": masks}


def _truth(keywords):
    """The regions of a batch as arrays; None where there is no pixel."""
    if "masks" in keywords:
        regions = list(keywords["masks"].numpy())
    else:
        regions = [ref.boxes_mask(boxes, SIZE) for boxes in keywords["boxes"]]
    return [region if region.any() else None for region in regions]


def _mean_of_pairs(function):
    def expected(batches):
        return _mean(
            [
                function(a, region)
                for (maps, _), keywords in batches
                for a, region in zip(maps, _truth(keywords), strict=True)
                if region is not None
            ]
        )

    return expected


def _errors(batches):
    values, targets = [], []
    for (maps, target), keywords in batches:
        values += map(where.localization_error, maps, keywords["boxes"])
        targets += target.tolist()
    return where.mean_of_classes(values, targets)


def _overlaps(function):
    def expected(batches):
        values, targets = [], []
        for (maps, target), keywords in batches:
            regions = _truth(keywords)
            values += [
                None if region is None else function(a, region)
                for a, region in zip(maps, regions, strict=True)
            ]
            targets += target.tolist()
        return where.mean_of_classes(values, targets)

    return expected


_OBJECT = torch.zeros(1, *SIZE, dtype=torch.bool)
_OBJECT[:, 1:4, 2:6] = True
_CORNER = torch.zeros(1, *SIZE)
_CORNER[:, 5, 0] = 1
_RIGHT = (((_OBJECT.double(), _PAIR), {"masks": _OBJECT}), 1.0)
_WRONG = (((_CORNER.double(), _PAIR), {"masks": _OBJECT}), 0.0)


# Segmentation


def _images(seed):
    truth = (_draw(seed + 50, 2, *SIZE) * (CLASSES + 1)).long()
    truth[_draw(seed + 60, 2, *SIZE) < 0.1] = 255
    return (_draw(seed, 2, CLASSES, *SIZE), _draw(seed + 70, 2, CLASSES) < 0.7, truth), {}


def _counted(compute):
    def expected(batches):
        found, truth = [], []
        for (maps, present, masks), _ in batches:
            truth += list(masks)
            for a, here in zip(maps, present, strict=True):
                found.append(where.label_map(a, here.nonzero().flatten().tolist(), SIZE))
        return compute(where.class_counts(found, truth, CLASSES + 1))

    return expected


_SEGMENTS = torch.stack([_OBJECT, ~_OBJECT, ~_OBJECT], dim=1)
_SEGMENTED = ((_SEGMENTS.double(), torch.tensor([[True, False, False]]), _OBJECT.long()), {})
_MISTAKEN = ((_SEGMENTS.double().flip(1), torch.tensor([[True, False, False]]), _OBJECT.long()), {})


# Proposals


def _proposed(seed):
    generator = torch.Generator().manual_seed(seed)

    def boxes(most):
        count = int(torch.randint(0, most, (), generator=generator))
        low = torch.randint(0, 4, (count, 2), generator=generator)
        side = torch.randint(1, 4, (count, 2), generator=generator)
        return torch.cat([low, low + side], dim=1).tolist()

    pairs = {"proposals": [boxes(4) for _ in range(6)], "boxes": [boxes(3) for _ in range(6)]}
    return (), {**pairs, "target": torch.randint(0, CLASSES, (6,), generator=generator)}


def _judged(part, whole, average="macro"):
    def expected(batches):
        names = ("proposals", "target", "boxes")
        pairs = [
            (proposed, int(label), objects)
            for _, keywords in batches
            for proposed, label, objects in zip(*(keywords[name] for name in names), strict=True)
        ]
        return proposing.share_of(proposing.judge(pairs), part, whole, average)

    return expected


def _one_pair(proposals):
    return (), {"proposals": [proposals], "target": _PAIR, "boxes": [[(0, 0, 2, 2)]]}


_MET, _MISSED = (_one_pair([(0, 0, 2, 2)]), 1.0), (_one_pair([(5, 5, 6, 6)]), 0.0)


CASES = {
    "average drop": Case(
        metrics.AverageDrop,
        _probabilities,
        _drops,
        perfect=(((_values(0.5), _values(0.7)), {}), 0.0),
        worst=(((_values(0.5), _values(0.0)), {}), 1.0),
    ),
    "average drop, signed": Case(
        lambda: metrics.AverageDrop(signed=True),
        _probabilities,
        lambda batches: _drops(batches, signed=True),
        bounds=(-float("inf"), 1.0),
        perfect=(((_values(0.5), _values(1.0)), {}), -1.0),
        worst=(((_values(0.5), _values(0.0)), {}), 1.0),
    ),
    "increase": Case(
        metrics.IncreaseInConfidence,
        _probabilities,
        _increases,
        perfect=(((_values(0.5), _values(0.7)), {}), 1.0),
        worst=(((_values(0.5), _values(0.5)), {}), 0.0),
    ),
    **{
        f"multi-label, {average}, {single_label}": Case(
            lambda average=average, single_label=single_label: metrics.MultiLabelConfidence(
                CLASSES, average, single_label
            ),
            _rows,
            _multi_label(average, single_label),
        )
        for average in ("macro", "micro")
        for single_label in ("zero", "exclude")
    },
    "multi-label, two labels": Case(
        lambda: metrics.MultiLabelConfidence(2),
        lambda seed: ((*_draw(seed, 3, 2, 2), torch.tensor([0, 1]), _BOTH.expand(2, 2)), {}),
        _multi_label("macro", "zero"),
        perfect=(((_SHOWN, _KEPT, _LOST, _PAIR, _BOTH), {}), _BEST),
        worst=(((_SHOWN, _LOST, _KEPT, _PAIR, _BOTH), {}), _WORST),
    ),
    "deletion": Case(
        metrics.Deletion,
        _curves,
        _area,
        perfect=(((_EMPTY,), _EVEN), 0.0),
        worst=(((_FULL,), _EVEN), 1.0),
    ),
    "insertion": Case(
        metrics.Insertion,
        _curves,
        _area,
        perfect=(((_FULL,), _EVEN), 1.0),
        worst=(((_EMPTY,), _EVEN), 0.0),
    ),
    "overall": Case(
        metrics.Overall,
        _both_curves,
        lambda batches: _area(batches, 1) - _area(batches, 0),
        bounds=(-1.0, 1.0),
        perfect=(((_EMPTY, _FULL), _EVEN), 1.0),
        worst=(((_FULL, _EMPTY), _EVEN), -1.0),
    ),
    "energy, boxes": Case(
        metrics.EnergyProportion,
        _boxed,
        _mean_of_pairs(ref.proportion),
        perfect=_RIGHT,
        worst=_WRONG,
    ),
    "energy, masks": Case(metrics.EnergyProportion, _masked, _mean_of_pairs(ref.proportion)),
    "pointing, boxes": Case(
        metrics.PointingGame, _boxed, _mean_of_pairs(where.pointing), perfect=_RIGHT, worst=_WRONG
    ),
    "pointing, masks, near": Case(
        lambda: metrics.PointingGame(tolerance=1),
        _masked,
        _mean_of_pairs(lambda a, region: where.pointing(a, region, 1)),
    ),
    "localization error": Case(
        lambda: metrics.LocalizationError(CLASSES),
        _boxed,
        _errors,
        perfect=(_RIGHT[0], 0.0),
        worst=(_WRONG[0], 1.0),
    ),
    **{
        f"object {name}, {kind}": Case(
            lambda make=make: make(CLASSES),
            batch,
            _overlaps(function),
            perfect=_RIGHT,
            worst=_WRONG,
        )
        for name, make, function in (
            ("IoU", metrics.ObjectIoU, where.object_iou),
            ("recall", metrics.ObjectRecall, where.object_recall),
            ("precision", metrics.ObjectPrecision, where.object_precision),
        )
        for kind, batch in (("masks", _masked), ("boxes", _boxed))
    },
    "mIoU": Case(
        lambda: metrics.MeanIoU(CLASSES),
        _images,
        _counted(where.mean_iou),
        perfect=(_SEGMENTED, 1.0),
        worst=(_MISTAKEN, 0.0),
    ),
    "mIoU, all": Case(
        lambda: metrics.MeanIoU(CLASSES, average="all"),
        _images,
        _counted(lambda counts: where.mean_iou(counts, "all")),
    ),
    "F-score": Case(
        lambda: metrics.PixelFScore(CLASSES),
        _images,
        _counted(where.mean_f_score),
        perfect=(_SEGMENTED, 1.0),
        worst=(_MISTAKEN, 0.0),
    ),
    "CorLoc": Case(
        lambda: metrics.CorLoc(CLASSES), _proposed, _judged(0, 1), perfect=_MET, worst=_MISSED
    ),
    "CorLoc, micro": Case(
        lambda: metrics.CorLoc(CLASSES, average="micro"), _proposed, _judged(0, 1, "micro")
    ),
    "proposal recall": Case(
        lambda: metrics.ProposalRecall(CLASSES),
        _proposed,
        _judged(2, 4),
        perfect=_MET,
        worst=_MISSED,
    ),
    "best overlap": Case(
        lambda: metrics.BestOverlap(CLASSES), _proposed, _judged(3, 4), perfect=_MET, worst=_MISSED
    ),
}


def shown(case, batches):
    """The case's metric after some batches."""
    metric = case.make()
    for arguments, keywords in batches:
        metric.update(*arguments, **keywords)
    return metric


def numbers(value):
    """A metric's value as plain numbers."""
    if isinstance(value, dict):
        return {name: float(part) for name, part in value.items()}
    return float(value)
