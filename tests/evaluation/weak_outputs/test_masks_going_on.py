"""Masks of many images: runs that were broken off, are done, or are others."""

import dataclasses
import functools
import os

import pytest
import torch

from captum_cluster.evaluation import read_masks
from captum_cluster.evaluation.running.records import Records
from captum_cluster.evaluation.weak_outputs import label_masks
from captum_cluster.evaluation.weak_outputs import mask_tasks as module
from captum_cluster.weak import DenseCRF, RandomWalk, save_palette_png
from tests.evaluation.weak_outputs.tiny import (
    files,
    masks,
    net,
    pictures,
    scene,
    scenes,
    stopped_at,
)
from tests.helpers.trees import write_picture


@pytest.mark.parametrize("form", ["png", "coco"])
@pytest.mark.parametrize("call", [1, 3])
def test_a_run_that_was_interrupted_goes_on_to_the_same_files(tmp_path, monkeypatch, form, call):
    options = {"format": form, "model": net(1000), "classes": None, "background": 0.0}
    images = [scene(name, [label], labels=1000) for name, label in (("a", 9), ("b", 2), ("c", 9))]
    masks(tmp_path / "whole", images, **options)
    with (
        stopped_at(monkeypatch, module, "label_mask", call),
        pytest.raises(KeyboardInterrupt),
    ):
        masks(tmp_path / "broken", images, **options)
    kept = files(tmp_path / "broken")
    assert len(kept["records-0.jsonl"].splitlines()) == call - 1
    with (tmp_path / "broken" / "records-0.jsonl").open("a") as file:
        file.write('{"image": 2, "na')  # a line that a kill has torn
    calls = []
    original = module.label_mask
    monkeypatch.setattr(module, "label_mask", lambda *a: calls.append(a) or original(*a))
    masks(tmp_path / "broken", images, **options)
    assert len(calls) == 3 - (call - 1)
    assert files(tmp_path / "broken") == files(tmp_path / "whole")


def test_a_run_that_is_done_makes_nothing_again(tmp_path, monkeypatch):
    first = masks(tmp_path)
    before = files(tmp_path)
    monkeypatch.setattr(module, "label_mask", None)
    assert masks(tmp_path) == first
    assert files(tmp_path) == before


def test_a_mask_that_is_gone_is_made_again(tmp_path):
    first = masks(tmp_path)
    before = files(tmp_path)
    (tmp_path / "masks" / "c.png").unlink()
    assert masks(tmp_path) == first
    assert files(tmp_path / "masks") == {
        name.removeprefix("masks/"): one for name, one in before.items() if "masks" in name
    }


def test_a_picture_that_was_mended_is_read_again(tmp_path):
    photos = pictures(tmp_path / "in")
    assert len(masks(tmp_path / "out", photos).failed) == 1
    write_picture(photos / "torn.png", (5, 6))
    run = masks(tmp_path / "out", photos)
    assert (run.images, run.failed) == (5, ())


def test_a_run_of_which_every_image_failed_gives_way(tmp_path):
    photos = tmp_path / "in"
    photos.mkdir()
    (photos / "a.png").write_bytes(b"torn")
    assert masks(tmp_path / "out", photos).images == 0
    write_picture(photos / "a.png", (5, 6))
    run = masks(tmp_path / "out", photos, background=0.4)
    assert (run.images, run.failed) == (1, ())
    masks(tmp_path / "plain", photos, background=0.4)
    assert files(tmp_path / "out") == files(tmp_path / "plain")


def test_what_is_no_run_of_masks_does_not_give_way(tmp_path):
    (tmp_path / "run.json").write_text('{"recipe": "baseline"}')
    with pytest.raises(ValueError, match="output to be a directory for this run"):
        masks(tmp_path)
    assert files(tmp_path) == {"run.json": b'{"recipe": "baseline"}'}


def test_a_run_that_is_writing_does_not_give_way(tmp_path):
    def broken(model, layer, image, target):
        raise RuntimeError("no svd")

    with pytest.raises(RuntimeError):
        masks(tmp_path, method=broken)
    before = files(tmp_path)
    with Records(tmp_path), pytest.raises(ValueError, match="where another run is writing"):
        masks(tmp_path)
    assert files(tmp_path) == before


class Features(torch.nn.Module):
    """Gives features of pictures, as a network and by a method of it."""

    def __init__(self, weight):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.full((1, 1, 1), weight))

    def forward(self, image):
        return image * self.weight


def held(network):
    return lambda image: network(image)


def scaled(network, image):
    return network(image)


WALK = {"refine": [RandomWalk(stride=2)]}
KINDS = {
    "method": lambda network: network.forward,
    "network": lambda network: network,
    "closure": held,
    "partial": lambda network: functools.partial(scaled, network),
}


@pytest.mark.parametrize("kind", KINDS)
def test_features_of_another_network_are_another_run(tmp_path, kind):
    masks(tmp_path, walk_features=KINDS[kind](Features(1.0)), **WALK)
    again = masks(tmp_path, walk_features=KINDS[kind](Features(1.0)), **WALK)
    assert again.images == 3
    with pytest.raises(ValueError, match="walk_features: networks"):
        masks(tmp_path, walk_features=KINDS[kind](Features(2.0)), **WALK)
    with pytest.raises(ValueError, match='walk_features: .*"none" here'):
        masks(tmp_path, **WALK)


def test_another_function_of_features_is_another_run(tmp_path):
    masks(tmp_path, walk_features=lambda image: image[:1], **WALK)
    with pytest.raises(ValueError, match="walk_features: function"):
        masks(tmp_path, walk_features=lambda image: image[1:], **WALK)


@pytest.mark.parametrize("installed", [True, False])
def test_the_crf_goes_on_with_the_backend_it_began_with(tmp_path, monkeypatch, installed):
    used, original = [], label_masks.pseudo_masks

    def watched(*arguments, **options):
        used.extend(step.backend for step in options["refine"])
        torch_only = [dataclasses.replace(step, backend="torch") for step in options["refine"]]
        return original(*arguments, **{**options, "refine": torch_only})

    monkeypatch.setattr(label_masks, "pseudo_masks", watched)
    monkeypatch.setattr(label_masks, "find_spec", lambda name: object() if installed else None)
    masks(tmp_path, refine=["crf"])
    backend = "pydensecrf" if installed else "torch"
    assert used == [backend, backend]
    assert f"backend='{backend}'" in (tmp_path / "run.json").read_text()
    monkeypatch.setattr(label_masks, "find_spec", lambda name: None if installed else object())
    with pytest.raises(ValueError, match="refine: .*(pydensecrf|torch)"):
        masks(tmp_path, refine=["crf"])
    assert masks(tmp_path, refine=[DenseCRF(backend=backend)]).images == 3


DAMAGES = {
    "empty": lambda whole: b"",
    "another file": lambda whole: b"no picture",
    "no end": lambda whole: whole[:-12],
    "half": lambda whole: whole[: len(whole) // 2],
    "no data": lambda whole: whole[:60],
    "a bit": lambda whole: whole[:-30] + bytes([whole[-30] ^ 1]) + whole[-29:],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_mask_that_is_damaged_is_made_again(tmp_path, damage):
    first = masks(tmp_path)
    before = files(tmp_path / "masks")
    file = tmp_path / "masks" / "a.png"
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    assert masks(tmp_path) == first
    assert files(tmp_path / "masks") == before


def test_a_mask_that_somebody_has_mended_is_kept(tmp_path):
    masks(tmp_path)
    mended = torch.zeros(20, 30, dtype=torch.uint8)
    save_palette_png(mended, tmp_path / "masks" / "a.png")
    masks(tmp_path)
    assert torch.equal(read_masks(tmp_path).mask_of("a"), mended.long())


@pytest.mark.parametrize("form", ["png", "coco"])
def test_a_picture_that_is_another_one_is_done_again(tmp_path, monkeypatch, form):
    photos, options = pictures(tmp_path / "in"), {"format": form, "background": 0.4}
    masks(tmp_path / "out", photos, **options)
    state = os.stat(photos / "a.png")
    write_picture(photos / "a.png", (12, 20), seed=9)
    os.utime(photos / "a.png", ns=(state.st_atime_ns, state.st_mtime_ns))
    os.utime(photos / "a.jpg", ns=(0, 0))
    calls, original = [], module.label_mask
    monkeypatch.setattr(module, "label_mask", lambda *a: calls.append(a[0].name) or original(*a))
    run = masks(tmp_path / "out", photos, **options)
    assert calls == ["a.png"]
    fresh = masks(tmp_path / "fresh", photos, **options)
    assert results(tmp_path / "out") == results(tmp_path / "fresh")
    assert (run.images, run.failed) == (fresh.images, fresh.failed)
    masks(tmp_path / "out", photos, **options)
    assert len(calls) == 1 + 4


def results(folder):
    """The files that users read."""
    found = files(folder)
    return {name: one for name, one in found.items() if "records" not in name}


def test_a_picture_that_cannot_be_read_any_more_has_no_mask(tmp_path):
    photos = pictures(tmp_path / "in")
    write_picture(photos / "b.png", (5, 6))
    assert masks(tmp_path / "out", photos).images == 5
    whole = (photos / "b.png").read_bytes()
    (photos / "b.png").write_bytes(b"torn")
    run = masks(tmp_path / "out", photos)
    assert (run.images, len(run.failed)) == (4, 2)
    assert not (tmp_path / "out" / "masks" / "b.png").exists()
    (photos / "b.png").write_bytes(whole)
    assert masks(tmp_path / "out", photos).images == 5
    assert (tmp_path / "out" / "masks" / "b.png").is_file()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": net(5).double()}, "model: state"),
        ({"method": "cluster-cam"}, 'method: name "grad-cam" there, "cluster-cam" here'),
        ({"images": scenes()[:2]}, "dataset: length 3 there, 2 here"),
        ({"background": 0.3}, "background: 0.15 there, 0.3 here"),
        ({"layer": "relu1"}, 'layer: "relu2" there, "relu1" here'),
        ({"format": "coco"}, 'results: "masks as PNG files" there'),
        ({"refine": ["crf"]}, "refine: "),
        ({"classes": ["a", "b", "c", "d", "e"]}, "classes: "),
        ({"limit": 1}, "images: 3 there, 1 here"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_another_run_is_refused(tmp_path, changed, message):
    masks(tmp_path)
    before = files(tmp_path)
    with pytest.raises(ValueError, match="output to be a directory for this run") as raised:
        masks(tmp_path, **changed)
    assert message in str(raised.value)
    assert files(tmp_path) == before
