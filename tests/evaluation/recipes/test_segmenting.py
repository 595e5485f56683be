"""The recipe of segmentation, from pseudo masks to the report."""

import json
import shutil
from unittest import mock

import pytest
import torch
from PIL import Image

from captum_cluster.data import DigitScenes
from captum_cluster.evaluation import make_masks, read_masks
from captum_cluster.evaluation.digit_classifier import DigitNet
from captum_cluster.evaluation.recipes import (
    SegmentationRun,
    TrainingConfig,
    load_network,
    sources,
    train,
)
from captum_cluster.evaluation.recipes.course import Course
from captum_cluster.evaluation.recipes.pseudo import with_masks
from captum_cluster.evaluation.recipes.run_settings import chosen_settings
from captum_cluster.evaluation.weak_outputs.numbering import Numbers
from captum_cluster.training import PRESETS, EpochSeed, SegmentationNetwork
from captum_cluster.weak import save_palette_png
from tests.evaluation.recipes.tiny import IMAGES
from tests.evaluation.recipes.tiny import TINY as TINY_CLASSIFIER
from tests.helpers.trainings import PLAIN

TINY = {name: value for name, value in TINY_CLASSIFIER.items() if name != "metrics"}
CLASSES = [str(digit) for digit in range(10)]


def write_masks(folder, scenes, classes=CLASSES):
    """Write the true masks of scenes as pseudo masks, a stripe of each uncertain."""
    (folder / "masks").mkdir(parents=True, exist_ok=True)
    for scene in scenes:
        mask = scene.label_map()
        mask[:, :4] = 255
        file = folder / "masks" / f"{scene.name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        save_palette_png(mask, file)
    Numbers(classes).save(folder)
    return folder


def segment_tiny(pseudo, output, **options):
    """Train with a few digit scenes, of which a few watch."""
    with mock.patch.object(sources, "WATCHING_SCENES", 4):
        given = {**TINY, **options}
        return train(
            "segmentation", pseudo=None if pseudo is None else str(pseudo), output=output,
            progress=False, **given,
        )  # fmt: skip


@pytest.fixture(scope="module")
def masks(tmp_path_factory):
    """Masks of 30 of the 32 training scenes, and of 2 of the 4 that watch."""
    folder = tmp_path_factory.mktemp("masks")
    scenes = [DigitScenes(32)[number] for number in range(2, 32)]
    watching = DigitScenes(4, seed=sources.LARGEST_SEED + 1)
    return write_masks(folder, [*scenes, watching[1], watching[3]])


@pytest.fixture(scope="module")
def run(masks, tmp_path_factory):
    return segment_tiny(masks, tmp_path_factory.mktemp("run") / "out")


def test_what_is_written(run):
    assert isinstance(run, SegmentationRun)
    for name in ("network.pt", "config.yaml", "report.html", "report.md", "report.json"):
        assert (run.output / name).is_file(), name
    assert (run.output / "figures" / "segmentations.png").is_file()
    assert run.page == run.output / "report.html"
    page = run.page.read_text()
    assert "30 of 32 training images" in page
    assert "2 of 4 that watch" in page
    assert "of 3 of 3 test images" in page
    assert page.count("data:image/png;base64,") == 1
    assert "network + CRF" in page
    saved = json.loads((run.output / "report.json").read_text())
    assert saved["config"]["recipe"] == "segmentation"
    assert list(saved["segmentation"]) == ["network", "network + CRF"]
    assert list(saved["segmentation"]["network"]["iou"]) == ["background", *CLASSES]


def test_the_numbers_are_those_of_the_network_on_the_test_images(run):
    test = DigitScenes(3, split="test", seed=12)
    both, either = torch.zeros(11), torch.zeros(11)
    true = torch.zeros(11)
    with torch.no_grad():
        for scene in test:
            found, truth = run.network(scene.image[None])[0].argmax(dim=0), scene.label_map()
            for label in range(11):
                both[label] += ((found == label) & (truth == label)).sum()
                either[label] += ((found == label) | (truth == label)).sum()
                true[label] += (truth == label).sum()
    ious = both / either
    score = run.report.scores["network"]
    torch.testing.assert_close(torch.tensor(score.ious), ious, equal_nan=True)
    assert score.mean_iou.estimate == pytest.approx(float(ious[true > 0].mean()))
    assert score.mean_iou.images == 3


def test_the_network_is_built_again_from_its_file(run):
    built = load_network(run.output)
    assert isinstance(built, SegmentationNetwork)
    assert not built.training
    assert torch.equal(built(IMAGES), run.network(IMAGES))
    assert not run.network.training


def test_it_learns_the_masks_and_not_the_truth(run, tmp_path):
    """Masks of background alone make a network that says nothing else."""
    folder = tmp_path / "masks" / "masks"
    folder.mkdir(parents=True)
    for number in range(32):
        save_palette_png(torch.zeros(64, 64).long(), folder / f"train-0-{number}.png")
    Numbers(CLASSES).save(tmp_path / "masks")
    other = segment_tiny(tmp_path / "masks", tmp_path / "out", epochs=4, crf=False)
    assert set(other.report.scores) == {"network"}
    assert not other.network(IMAGES).argmax(dim=1).any()
    assert not any(one > 0 for one in other.report.scores["network"].ious[1:])
    assert "0 of 4 that watch" in other.page.read_text()


def test_started_again_it_gives_its_report_without_training(run, masks, monkeypatch):
    monkeypatch.setattr(Course, "fit", mock.Mock(side_effect=AssertionError("trained again")))
    again = segment_tiny(masks, run.output)
    assert again.report.to_dict() == run.report.to_dict()
    assert torch.equal(again.network(IMAGES), run.network(IMAGES))


def test_judging_may_be_another_but_not_the_masks(run, masks, tmp_path, monkeypatch):
    folder = shutil.copytree(run.output, tmp_path / "out")
    moved = shutil.copytree(masks, tmp_path / "masks")
    with monkeypatch.context() as patch:
        patch.setattr(Course, "fit", mock.Mock(side_effect=AssertionError("trained again")))
        again = segment_tiny(moved, folder, crf_bilateral=[20.0, 13.0, 4.0], test_limit=2)
    assert again.report.scores["network"].mean_iou.images == 2
    save_palette_png(torch.zeros(64, 64).long(), moved / "masks" / "train-0-5.png")
    with pytest.raises(ValueError, match="which holds another"):
        segment_tiny(moved, folder)
    with pytest.raises(ValueError, match=r"holds another \(output_stride: 8 there, 4 here"):
        segment_tiny(masks, folder, output_stride=4)


def test_a_training_that_was_broken_off_goes_on(masks, tmp_path, monkeypatch):
    whole = segment_tiny(masks, tmp_path / "whole", epochs=3, crf=False)
    begun, begin = [], EpochSeed.on_train_epoch_start

    def start(self, trainer, module):
        if len(begun) == 2:
            raise RuntimeError("power cut")
        begun.append(trainer.current_epoch)
        begin(self, trainer, module)

    with monkeypatch.context() as patch:
        patch.setattr(EpochSeed, "on_train_epoch_start", start)
        with pytest.raises(RuntimeError, match="power cut"):
            segment_tiny(masks, tmp_path / "cut", epochs=3, crf=False)
    rest = segment_tiny(masks, tmp_path / "cut", epochs=3, crf=False)
    wanted = whole.network.state_dict()
    assert all(torch.equal(one, wanted[key]) for key, one in rest.network.state_dict().items())


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of pictures of different sizes, two labels, and their pseudo masks."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = torch.Generator().manual_seed(0)
    masks = folder / "pseudo"
    for label, name in enumerate(("cat", "dog")):
        (folder / "data" / name).mkdir(parents=True)
        (masks / "masks" / name).mkdir(parents=True)
        for number in range(10):
            high, wide = 24 + number, 40 - number
            noise = torch.randint(0, 255, (high, wide, 3), generator=generator)
            file = folder / "data" / name / f"{number}.png"
            Image.fromarray(noise.byte().numpy()).save(file)
            mask = torch.zeros(high, wide).long()
            mask[8:16] = label + 1
            save_palette_png(mask, masks / "masks" / name / f"{number}.png")
    Numbers(["cat", "dog"]).save(masks)
    return folder


def test_data_without_true_masks(pictures, tmp_path):
    said = []
    run = segment_tiny(
        pictures / "pseudo", tmp_path, data=f"folder:{pictures / 'data'}", backbone="digit-net",
        size=32, say=said.append, batch_size=4,
    )  # fmt: skip
    assert run.report.scores == {}
    for text in (run.report.table(), (tmp_path / "report.md").read_text(), run.page.read_text()):
        assert "Nothing can be judged: none of the test images has a true mask." in text
    assert json.loads((tmp_path / "report.json").read_text())["segmentation"] == {}
    assert (tmp_path / "figures" / "segmentations.png").is_file()
    assert said[0] == "Pseudo masks: of 17 of 17 training images, and of 1 of 1 that watch"
    assert load_network(tmp_path)(torch.rand(1, 3, 32, 40)).shape == (1, 3, 32, 40)


def test_a_torchvision_backbone(pictures, tmp_path):
    run = segment_tiny(
        pictures / "pseudo", tmp_path, data=f"folder:{pictures / 'data'}", weights="none", size=32,
        backbone="mobilenet_v3_small", output_stride=16, batch_size=4, limit=4, crf=False,
    )  # fmt: skip
    rates = [conv[0].dilation[0] for conv in run.network.parent_head[0].convs[1:4]]
    assert rates == [6, 12, 18]
    assert torch.equal(load_network(tmp_path)(IMAGES), run.network(IMAGES))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"pseudo": "nowhere"},
            FileNotFoundError,
            "one that captum-cluster masks wrote PNG files to, but got 'no",
        ),
        ({"batch_size": 1}, ValueError, "batch_size to be at least 2 of each device, but got 1"),
        ({"devices": 16}, ValueError, "batch_size to be at least 2 of each device, but got 16"),
        ({"seed": 1}, ValueError, r"with masks of none \(the first one without: 'train-1-0'\)"),
        ({"limit": 3}, ValueError, r"with masks of 1 of 3 \(the first one without: 'train-0-0'\)"),
        ({"backbone": "vgg11"}, ValueError, "output_stride to be at least 16 for this backbone, w"),
    ],
    ids=["nowhere", "batch", "devices", "none", "one", "pooling"],
)
def test_what_is_refused_before_anything_is_written(options, error, message, masks, tmp_path):
    given = {"pseudo": masks, "weights": "none", "accelerator": "cpu", **options}
    with pytest.raises(error, match=message):
        segment_tiny(given.pop("pseudo"), tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([*CLASSES[:9], "ten"], "the 10 labels of the data, in their order, but got 'ten' in the"),
        (CLASSES[:9], "masks of the 10 labels of the data, in their order, but got 9 labels"),
    ],
)
def test_masks_of_other_labels(classes, message, tmp_path):
    write_masks(tmp_path / "masks", [], classes)
    with pytest.raises(ValueError, match=message):
        segment_tiny(tmp_path / "masks", tmp_path / "out")


def test_data_of_more_labels_than_masks_can_number(masks):
    opened = sources.open_sources("digits", limit=2, test_limit=1)
    opened.train.classes = [str(label) for label in range(255)]
    with pytest.raises(ValueError, match="data to be data of at most 254 labels, which masks can"):
        with_masks(opened, str(masks))


def test_the_masks_of_make_masks(tmp_path):
    """From the maps of a classifier to a segmentation network."""
    made = make_masks(
        DigitNet().eval(), "features", DigitScenes(6), "cam", output=tmp_path / "masks",
        preparation=PLAIN, progress=False,
    )  # fmt: skip
    assert made.images == 6
    run = segment_tiny(tmp_path / "masks", tmp_path / "out", limit=6, crf=False)
    assert "of 6 of 6 training images" in dict(run.report.facts)["Pseudo masks"]
    learned = with_masks(sources.open_sources("digits", limit=6), str(tmp_path / "masks")).train
    for scene in learned:
        assert torch.equal(scene.label_map(), read_masks(tmp_path / "masks").mask_of(scene.name))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.zeros(64, 63).byte(), r"'train-0-1' to be of the image's size \(64, 64\), but got"),
        (torch.full((64, 64), 11), r"numbers from 0 to the number of labels \(10\), or 255"),
        (b"no picture", r"to be an image in a format that Pillow reads, but got .*train-0-1\.png"),
        ("RGB", r"train-0-1\.png.: an index mask has one channel of integers, not mode RGB"),
    ],
    ids=["size", "label", "damaged", "colours"],
)
def test_masks_that_are_none(content, message, tmp_path):
    folder = write_masks(tmp_path / "masks", [DigitScenes(2)[0]])
    file = folder / "masks" / "train-0-1.png"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif isinstance(content, str):
        Image.new(content, (64, 64)).save(file)
    else:
        save_palette_png(content, file)
    with pytest.raises(ValueError, match=message):
        segment_tiny(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_preset_that_looks_at_a_validation_needs_masks_of_it(tmp_path):
    folder = write_masks(tmp_path / "masks", [DigitScenes(4)[0], DigitScenes(4)[1]])
    with pytest.raises(ValueError, match="preset to be one without plateaus, early stopping and"):
        segment_tiny(folder, tmp_path / "out", preset="kernel-usage")


def test_the_papers_preset():
    config = TrainingConfig("segmentation", "voc:x", pseudo="masks", preset="paper")
    assert chosen_settings(config) == PRESETS["segmentation"]
    assert chosen_settings(TrainingConfig("segmentation", pseudo="masks")).top_share == 1
