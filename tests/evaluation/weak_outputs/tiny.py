"""Small classifiers, data and runs of masks and proposals."""

import contextlib
import json

import numpy as np
import torch
from PIL import Image
from torchvision.transforms._presets import ImageClassification

from captum_cluster.data import Preparation, Scene
from captum_cluster.evaluation import LoadedModel, make_masks, make_proposals
from captum_cluster.evaluation.registry import run_method
from tests.helpers.nets import SmallNet
from tests.helpers.trees import write_picture, write_text

SMALL = Preparation(32)
NAMES = ["cat", "dog", "owl", "elk", "emu"]


def net(labels=5):
    return SmallNet(num_classes=labels).float().eval()


def loaded(labels=5, categories=NAMES):
    """What `load_model` gives."""
    transform = ImageClassification(crop_size=32, resize_size=32)
    return LoadedModel("small", net(labels), transform, categories)


def scene(name, present, seed=0, size=(20, 30), labels=5):
    """A scene of noise; of each label a band of rows is marked, from the first label down."""
    generator = torch.Generator().manual_seed(seed)
    flags = torch.zeros(labels, dtype=torch.bool)
    flags[list(present)] = True
    masks = torch.zeros(labels, *size, dtype=torch.bool)
    for label in present:
        masks[label, 4 * label : 4 * label + 4] = True
    return Scene(torch.rand(3, *size, generator=generator), flags, masks, name=name)


def scenes():
    """Three scenes: two labels, none, one."""
    return [scene("a", [0, 3], 1), scene("folder/b", [], 2, size=(9, 7)), scene("c", [4], 3)]


def masks(output, images=None, **options):
    options = {"preparation": SMALL, "progress": False, "classes": NAMES, **options}
    chosen = scenes() if images is None else images
    return make_masks(
        options.pop("model", None) or net(),
        options.pop("layer", "relu2"),
        chosen,
        options.pop("method", "grad-cam"),
        output=output,
        **options,
    )


def proposals(output, images=None, **options):
    options = {"preparation": SMALL, "progress": False, "classes": NAMES, **options}
    chosen = scenes() if images is None else images
    return make_proposals(
        options.pop("model", None) or net(),
        options.pop("layer", "relu2"),
        chosen,
        options.pop("method", "grad-cam"),
        output=output,
        **options,
    )


def maps_by_hand(one, method="grad-cam"):
    """The maps (P,h,w) of the labels of a scene with the public functions alone."""
    model = net()
    prepared = SMALL.normalize(SMALL.prepare(one).image)[None]
    run = run_method(method, model, model.relu2, prepared, one.present, labels=one.present)
    return run.maps[0].float()


def sometimes(model, layer, image, target):
    """Fails for one label."""
    if target == 4:
        raise RuntimeError("no svd")
    return layer(image).mean(dim=1)


def files(folder):
    """The bytes of all files below a folder."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def pictures(folder):
    """Grey, RGBA and RGB pictures that are not square, in several folders; one is damaged."""
    write_picture(folder / "a.png", (12, 20), seed=1)
    write_picture(folder / "a.jpg", (12, 20), seed=2)
    grey = np.random.default_rng(3).integers(0, 256, (16, 10), dtype=np.uint8)
    (folder / "deep").mkdir()
    Image.fromarray(grey).save(folder / "deep" / "grey.png")
    opaque = np.random.default_rng(4).integers(0, 256, (9, 14, 4), dtype=np.uint8)
    Image.fromarray(opaque).save(folder / "deep" / "opaque.png")
    (folder / "torn.png").write_bytes(b"no picture")
    return folder


def coco_tree(folder):
    """Two pictures with a pixel of a cat and of a dog, and numbers of their own."""
    notes, images = [], []
    for number, category in ((70, 9), (30, 4)):
        write_picture(folder / f"{number}.png", (8, 12), seed=number)
        images.append({"id": number, "file_name": f"{number}.png", "height": 8, "width": 12})
        box = {"bbox": [1, 1, 6, 5], "area": 30, "iscrowd": 0}
        outline = [[1, 1, 7, 1, 7, 6, 1, 6]]
        place = {"id": number, "image_id": number, "category_id": category}
        notes.append({**place, **box, "segmentation": outline})
    categories = [{"id": 4, "name": "cat"}, {"id": 9, "name": "dog"}]
    content = {"images": images, "annotations": notes, "categories": categories}
    file = write_text(folder.parent / "instances.json", json.dumps(content))
    return f"coco:{folder},{file}", file


@contextlib.contextmanager
def stopped_at(monkeypatch, target, name, call):
    """Interrupt the call of a function, counted from 1, as Ctrl+C would."""
    original, calls = getattr(target, name), []

    def counted(*arguments, **options):
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(target, name, counted)
        yield
