"""Images whose labels, and pixels or boxes, are known: scenes, and datasets of them."""

from captum_cluster.data.boxes import clip_boxes
from captum_cluster.data.coco import CocoScenes
from captum_cluster.data.cub import Cub200
from captum_cluster.data.digit_scenes import DigitScenes
from captum_cluster.data.grids import Grids
from captum_cluster.data.image_folder import ImageFolder, imagenet_names
from captum_cluster.data.imagenet_boxes import ImageNetBoxes
from captum_cluster.data.images import as_rgb, load_image, load_index_mask
from captum_cluster.data.mask_folder import MaskFolder
from captum_cluster.data.opening import open_dataset
from captum_cluster.data.picture_file import PictureFile
from captum_cluster.data.preparation import Preparation
from captum_cluster.data.scene import Scene, collate_scenes
from captum_cluster.data.scene_dataset import SceneDataset
from captum_cluster.data.tagged_folder import TaggedFolder
from captum_cluster.data.voc import SbdScenes, VocScenes

__all__ = [
    "CocoScenes",
    "Cub200",
    "DigitScenes",
    "Grids",
    "ImageFolder",
    "ImageNetBoxes",
    "MaskFolder",
    "PictureFile",
    "Preparation",
    "SbdScenes",
    "Scene",
    "SceneDataset",
    "TaggedFolder",
    "VocScenes",
    "as_rgb",
    "clip_boxes",
    "collate_scenes",
    "imagenet_names",
    "load_image",
    "load_index_mask",
    "open_dataset",
]
