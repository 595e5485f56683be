"""Lightning's callbacks: what happens around a training."""

from captum_cluster.training.callbacks.early_stopping import EarlyStoppingAfterHead
from captum_cluster.training.callbacks.epoch_seed import EpochSeed
from captum_cluster.training.callbacks.fixed_statistics import FixedStatistics
from captum_cluster.training.callbacks.head_first import HeadFirst
from captum_cluster.training.callbacks.protocol import add_sub_category_head
from captum_cluster.training.callbacks.restore_best import RestoreBest
from captum_cluster.training.callbacks.sub_category_discovery import SubCategoryDiscovery

__all__ = [
    "EarlyStoppingAfterHead",
    "EpochSeed",
    "FixedStatistics",
    "HeadFirst",
    "RestoreBest",
    "SubCategoryDiscovery",
    "add_sub_category_head",
]
