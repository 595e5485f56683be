"""The real data beside the project: a ResNet-18, and photographs with boxes."""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torchvision.models import resnet18
from torchvision.transforms.functional import normalize, to_tensor

ROOT = Path(__file__).resolve().parents[2]


def data_folder() -> Path:
    """Return the folder of the real data, which may not be there."""
    named = os.environ.get("CAPTUM_CLUSTER_DATA")
    return Path(named) if named else ROOT.parent / "shared" / "data"


@dataclass(frozen=True)
class Photograph:
    """A validation image (3,224,224), normalised, its class, and the pixels inside its boxes."""

    file: str
    image: torch.Tensor
    class_index: int
    inside: torch.Tensor


def load_resnet18(folder):
    """Return torchvision's ResNet-18 with ImageNet weights, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        model = resnet18(weights=None)
    path = folder / "models" / "resnet18_imagenet_fp16.pth"
    model.load_state_dict(torch.load(path, weights_only=True))
    return model.eval()


def load_photographs(folder, per_class):
    """Return the first validation images of each of ten classes, by file name."""
    boxes = defaultdict(list)
    classes = {}
    with (folder / "imagenette" / "val_boxes.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            boxes[row["file"]].append([float(row[side]) for side in ("x0", "y0", "x1", "y1")])
            classes[row["file"]] = int(row["class_index"])
    names = defaultdict(list)
    for name in sorted(classes):
        names[classes[name]].append(name)
    photographs = []
    for name in [name for group in sorted(names) for name in names[group][:per_class]]:
        with Image.open(folder / "imagenette" / "val" / name) as picture:
            image = to_tensor(picture.convert("RGB"))
        image = normalize(image, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        inside = _inside(boxes[name], image.shape[-2:])
        photographs.append(Photograph(name, image, classes[name], inside))
    return photographs


def _inside(boxes, size):
    """Return the pixels (H,W) whose centre lies in one of the boxes (x0, y0, x1, y1)."""
    y = torch.arange(size[0])[:, None] + 0.5
    x = torch.arange(size[1])[None, :] + 0.5
    inside = torch.zeros(tuple(size), dtype=torch.bool)
    for x0, y0, x1, y1 in boxes:
        inside |= (x0 <= x) & (x < x1) & (y0 <= y) & (y < y1)
    return inside
