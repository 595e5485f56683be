"""Trainings that give better maps, from the images to a report beside the baseline."""

from captum_cluster.evaluation.recipes.config import RECIPES, TrainingConfig
from captum_cluster.evaluation.recipes.networks import load_network
from captum_cluster.evaluation.recipes.report import TrainingReport
from captum_cluster.evaluation.recipes.segmentation_report import SegmentationReport
from captum_cluster.evaluation.recipes.segmenting import SegmentationRun
from captum_cluster.evaluation.recipes.sources import Sources, open_sources
from captum_cluster.evaluation.recipes.training_run import TrainingRun, run_training, train

__all__ = [
    "RECIPES",
    "SegmentationReport",
    "SegmentationRun",
    "Sources",
    "TrainingConfig",
    "TrainingReport",
    "TrainingRun",
    "load_network",
    "open_sources",
    "run_training",
    "train",
]
