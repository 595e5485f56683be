"""Lightning's modules: what is trained, and with which data."""

from captum_cluster.training.modules.affinity import LitAffinity
from captum_cluster.training.modules.classifier import LitCamClassifier
from captum_cluster.training.modules.mask_data import MaskData
from captum_cluster.training.modules.scene_data import SceneData
from captum_cluster.training.modules.segmentation import LitSegmentation
from captum_cluster.training.modules.two_branch import LitTwoBranch

__all__ = [
    "LitAffinity",
    "LitCamClassifier",
    "LitSegmentation",
    "LitTwoBranch",
    "MaskData",
    "SceneData",
]
