"""One image's maps of one method, and the sums that each metric draws from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from captum_cluster.data import Scene
from captum_cluster.evaluation.running.passes import Answers
from captum_cluster.functional import metrics as maths

Sums = Mapping[str, Tensor]

_IGNORED = -1


@dataclass(frozen=True)
class Case:
    """All that is known of the maps of one method for one image, ready to be measured.

    Attributes:
        scene: The image and its ground truth, at the size the model saw.
        saliency: (P,H,W) in [0,1], one for each label explained.
        targets: LongTensor (P,), the labels explained.
        present: (L,) bool, the labels the image is taken to have.
        whole: (L,), the model's probabilities of the image.
        answers: What the model says behind the saliency maps.
        steps: The numbers of changed pixels of deletion and insertion.
    """

    scene: Scene
    saliency: Tensor
    targets: Tensor
    present: Tensor
    whole: Tensor
    answers: Answers
    steps: Sequence[int]

    @property
    def before(self) -> Tensor:
        """The targets' probabilities (P,) for the whole image."""
        return self.whole[self.targets]

    @property
    def after(self) -> Tensor:
        """The targets' probabilities (P,) for the image times the saliency maps."""
        assert self.answers.masked is not None
        return self.answers.masked.gather(1, self.targets[:, None])[:, 0]


def drop_sums(case: Case, *, signed: bool) -> Sums:
    """Return the sums of Average Drop, or with the sign Confidence Drop."""
    return maths.average_drop_update(case.before, case.after, signed=signed)


def increase_sums(case: Case) -> Sums:
    """Return the sums of Increase in Confidence."""
    return maths.increase_update(case.before, case.after)


def deletion_sums(case: Case) -> Sums:
    """Return the sums of Deletion."""
    return maths.area_update(_curves(case)[0], steps=case.steps)


def insertion_sums(case: Case) -> Sums:
    """Return the sums of Insertion."""
    return maths.area_update(_curves(case)[1], steps=case.steps)


def overall_sums(case: Case) -> Sums:
    """Return the sums of Insertion less Deletion."""
    return maths.overall_update(*_curves(case), steps=case.steps)


def _curves(case: Case) -> tuple[Tensor, Tensor]:
    assert case.answers.deletion is not None
    assert case.answers.insertion is not None
    return case.answers.deletion, case.answers.insertion


def multi_label_sums(case: Case) -> Sums:
    """Return the sums of the metrics of several labels."""
    answers = case.answers
    assert answers.masked is not None
    assert answers.complement is not None
    whole, present = (one.expand_as(answers.masked) for one in (case.whole, case.present))
    return maths.multi_label_confidence_update(
        whole, answers.masked, answers.complement, case.targets, present
    )


def _shares_labels(case: Case) -> bool:
    """Return whether the scene's labels are the model's; else a number means two things."""
    return len(case.scene.labels) == len(case.whole)


def _regions(case: Case) -> tuple[Tensor, Tensor] | None:
    """Return maps (P,H,W) and regions (P,H,W) of the labels whose place is known."""
    if not _shares_labels(case):
        return None
    found = [case.scene.region(label) for label in case.targets.tolist()]
    known = [place for place, region in enumerate(found) if region is not None]
    if not known:
        return None
    return case.saliency[known], torch.stack([one for one in found if one is not None])


def energy_sums(case: Case) -> Sums | None:
    """Return the sums of Proportion; None without the ground truth."""
    found = _regions(case)
    return None if found is None else maths.energy_update(found[0], masks=found[1])


def pointing_sums(case: Case, *, tolerance: float = 0.0) -> Sums | None:
    """Return the sums of the Pointing Game; None without the ground truth."""
    found = _regions(case)
    if found is None:
        return None
    return maths.pointing_update(found[0], masks=found[1], tolerance=tolerance)


def localization_sums(case: Case, *, threshold: float = 0.15, iou: float = 0.5) -> Sums | None:
    """Return the sums of mLEV; None without the ground truth."""
    if not _shares_labels(case):
        return None
    boxes = [case.scene.boxes_of(label) for label in case.targets.tolist()]
    if not any(boxes):
        return None
    return maths.localization_update(
        case.saliency,
        case.targets,
        boxes,
        num_classes=len(case.whole),
        threshold=threshold,
        iou=iou,
    )


def object_sums(case: Case, *, update: Callable[..., Sums], threshold: float = 0.15) -> Sums | None:
    """Return the sums of Object IoU, recall or precision; None without the ground truth."""
    if not _shares_labels(case):
        return None
    masks = torch.stack([case.scene.mask(label) for label in case.targets.tolist()])
    known = masks.flatten(1).any(dim=1)
    if not bool(known.any()):
        return None
    return update(
        case.saliency[known],
        case.targets[known],
        masks[known],
        num_classes=len(case.whole),
        threshold=threshold,
    )


def segmentation_sums(case: Case, *, background: float = 0.15) -> Sums | None:
    """Return the sums of mIoU and F-score; None without the ground truth."""
    scene, count = case.scene, len(case.whole)
    if scene.masks is None or not _shares_labels(case):
        return None
    # The model's labels are many, those of one image few: only these are compared.
    labels = torch.tensor(sorted({*case.targets.tolist(), *scene.present}))
    explained = labels[:, None] == case.targets
    maps = torch.zeros(1, len(labels), *scene.size)
    maps[0, explained.any(dim=1)] = case.saliency[case.targets.argsort()]
    truth = scene.label_map(_IGNORED)
    numbered = torch.where(truth > 0, torch.searchsorted(labels, truth - 1) + 1, truth)
    sums = maths.segmentation_update(
        maps,
        explained.any(dim=1)[None],
        numbered[None],
        background=background,
        ignore_index=_IGNORED,
    )
    places = torch.cat([torch.tensor([0]), labels + 1])
    zeros = torch.zeros(count + 1, dtype=torch.int64)
    return {name: zeros.index_copy(0, places, value) for name, value in sums.items()}


def best_object_sums(case: Case, *, threshold: float = 0.15) -> Sums | None:
    """Return the sums of the thing that each map overlaps most; None without the ground truth."""
    things = case.scene.things()
    if not len(things):
        return None
    found = [maths.best_object(one, things, threshold=threshold) for one in case.saliency]
    matches = [match for match in found if match is not None]
    if not matches:
        return None
    return {
        "iou": torch.tensor(sum(match.iou for match in matches), dtype=torch.float64),
        "energy": torch.tensor(sum(match.energy for match in matches), dtype=torch.float64),
        "pairs": torch.tensor(len(matches)),
    }
