"""Pseudo masks and object proposals of many images, written for the standard tools."""

from captum_cluster.evaluation.weak_outputs.config import MasksConfig, ProposalsConfig
from captum_cluster.evaluation.weak_outputs.mask_tasks import MaskRun
from captum_cluster.evaluation.weak_outputs.masks import make_masks
from captum_cluster.evaluation.weak_outputs.proposals import ProposalRun, make_proposals
from captum_cluster.evaluation.weak_outputs.reading import WrittenMasks, read_masks
from captum_cluster.evaluation.weak_outputs.sweeping import SweepRun

__all__ = [
    "MaskRun",
    "MasksConfig",
    "ProposalRun",
    "ProposalsConfig",
    "SweepRun",
    "WrittenMasks",
    "make_masks",
    "make_proposals",
    "read_masks",
]
