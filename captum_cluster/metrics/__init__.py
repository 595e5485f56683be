"""torchmetrics classes: sums and counts of what they are shown, over batches and processes."""

from captum_cluster.metrics.faithfulness import AverageDrop, IncreaseInConfidence
from captum_cluster.metrics.localization import (
    EnergyProportion,
    LocalizationError,
    PointingGame,
)
from captum_cluster.metrics.multi_label import MultiLabelConfidence
from captum_cluster.metrics.objects import ObjectIoU, ObjectPrecision, ObjectRecall
from captum_cluster.metrics.perturbation import Deletion, Insertion, Overall
from captum_cluster.metrics.proposals import BestOverlap, CorLoc, ProposalRecall
from captum_cluster.metrics.segmentation import MeanIoU, PixelFScore

__all__ = [
    "AverageDrop",
    "BestOverlap",
    "CorLoc",
    "Deletion",
    "EnergyProportion",
    "IncreaseInConfidence",
    "Insertion",
    "LocalizationError",
    "MeanIoU",
    "MultiLabelConfidence",
    "ObjectIoU",
    "ObjectPrecision",
    "ObjectRecall",
    "Overall",
    "PixelFScore",
    "PointingGame",
    "ProposalRecall",
]
