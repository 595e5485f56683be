"""Small datasets in the layouts of the originals, and what all datasets must hold to."""

from __future__ import annotations

import csv
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image


def write_picture(path, size=(6, 8), seed=0, **options):
    """Write a picture of noise of (H,W) pixels, lossless where the format is; return its pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return pixels


def write_mask(path, numbers, palette=False):
    """Write an index mask (H,W)."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(numbers, dtype=np.uint8))
    if palette:
        image = image.convert("L")
        image.putpalette([value * 37 % 256 for value in range(768)])
    image.save(path)


def write_table(path, header, rows):
    """Write a CSV file."""
    with Path(path).open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def write_text(path, text):
    """Write a text file, and the folders that it lies in."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def annotation(objects, size=None):
    """Return the XML of VOC's form for objects (name, difficult, xmin, ymin, xmax, ymax)."""
    text = ""
    if size is not None:
        text += f"<size><width>{size[1]}</width><height>{size[0]}</height></size>"
    for name, difficult, *corners in objects:
        tags = zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
        box = "".join(f"<{tag}>{value}</{tag}>" for tag, value in tags)
        # A part's box comes first: VOC's persons have them, and they are no objects.
        part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
        text += f"<object><name>{name}</name>{part}<difficult>{difficult}</difficult>"
        text += f"<bndbox>{box}</bndbox></object>"
    return f"<annotation>{text}</annotation>"


def same(first, second):
    """Return whether two scenes are equal in everything."""
    if (first.name, first.boxes) != (second.name, second.boxes):
        return False
    parts = [(scene.image, scene.labels, scene.dense_masks()) for scene in (first, second)]
    parts[0] += (first.things(), first.label_map(-1))
    parts[1] += (second.things(), second.label_map(-1))
    return all(torch.equal(one, other) for one, other in zip(*parts, strict=True))


def check_dataset(dataset):
    """Check what every dataset of scenes promises."""
    scenes = [dataset[number] for number in range(len(dataset))]
    assert len(scenes) > 0
    names = [scene.name for scene in scenes]
    assert len(set(names)) == len(names)
    assert all(names)
    for number, name in enumerate(names):  # they name files, of masks for example
        assert not Path(name).is_absolute()
        assert not {".", "..", ""} & set(name.split("/"))
        picture = dataset.picture_of(number)
        if picture is not None:
            assert picture.path.is_file()
            assert picture.name.startswith(name)
    copy = pickle.loads(pickle.dumps(dataset))
    for number in reversed(range(len(scenes))):
        assert same(copy[number], scenes[number])
        assert dataset.labels_of(number) == scenes[number].present
        assert len(scenes[number].labels) == len(dataset.classes)
    assert same(dataset[-1], scenes[-1])
    assert len(list(dataset)) == len(dataset)
    for index in (len(dataset), -len(dataset) - 1):
        with pytest.raises(IndexError, match="Expected index to be within"):
            dataset[index]
    return scenes
