"""Images whose labels and pixels are known: scenes, and datasets of them."""

from captum_cluster.data.digit_scenes import DigitScenes
from captum_cluster.data.images import as_rgb, load_image
from captum_cluster.data.scene import Scene, collate_scenes

__all__ = ["DigitScenes", "Scene", "as_rgb", "collate_scenes", "load_image"]
