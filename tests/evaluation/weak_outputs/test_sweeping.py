"""Which background makes the best masks of many images."""

import json

import pytest
import torch

from captum_cluster.cli import main
from captum_cluster.data import Scene
from captum_cluster.evaluation import MasksConfig, make_masks
from captum_cluster.evaluation.weak_outputs import opening, sweeping
from captum_cluster.evaluation.weak_outputs.explaining import explaining
from captum_cluster.evaluation.weak_outputs.going_on import work_through
from captum_cluster.evaluation.weak_outputs.label_masks import MaskSettings
from captum_cluster.evaluation.weak_outputs.sweeping import Levels, SweepTask
from tests.evaluation.weak_outputs.tiny import (
    NAMES,
    SMALL,
    files,
    loaded,
    masks,
    net,
    pictures,
    scene,
    scenes,
    stopped_at,
)


@pytest.fixture
def models(monkeypatch):
    """Small networks in place of torchvision's and of the demo's."""
    monkeypatch.setattr(opening, "load_model", lambda name, weights: loaded())
    monkeypatch.setattr(opening, "load_digit_net", lambda: (net(10), False))


def sweep(output, text, images=None, figures=0, **settings):
    what = explaining(
        net(), "relu2", scenes() if images is None else images, "grad-cam", labels=None,
        classes=NAMES, probability="probability", preparation=SMALL, limit=None,
        reshape_transform=None, strict=False,
    )  # fmt: skip
    task = SweepTask(what, output, MaskSettings(**settings), Levels.read(text), figures)
    return work_through(task, progress=False)


@pytest.mark.parametrize(
    "settings",
    [{}, {"refine": ["random-walk"]}, {"refine": ["crf"], "longest": 20}],
    ids=str,
)
@pytest.mark.parametrize(
    ("kind", "values"), [("background", (0.1, 0.5, 0.8)), ("power", (1.0, 16.0))]
)
def test_each_value_is_that_of_a_run_with_this_background(tmp_path, kind, values, settings):
    text = f"{kind}={','.join(map(str, values))}"
    run = sweep(tmp_path / "sweep", text, **settings)
    ones = [masks(tmp_path / f"{value}", **{kind: value}, **settings).mean_iou for value in values]
    assert (run.kind, run.values) == (kind, values)
    assert run.mean_ious == pytest.approx(ones)
    assert len(set(ones)) > 1
    assert run.best == values[ones.index(max(ones))]
    assert (run.images, run.judged, run.empty, run.failed) == (3, 3, 1, ())
    assert json.loads(run.path.read_text()) == {
        "kind": kind,
        "values": list(values),
        "mean_iou": list(run.mean_ious),
        "best": run.best,
        "judged": 3,
    }


def test_features_of_the_layer_guide_the_walk(tmp_path):
    settings = {"refine": ["random-walk"], "walk_features": "layer"}
    run = sweep(tmp_path / "sweep", "power=4", **settings)
    assert run.mean_ious[0] == pytest.approx(masks(tmp_path / "one", power=4, **settings).mean_iou)
    plain = sweep(tmp_path / "plain", "power=4", refine=["random-walk"])
    assert run.mean_ious != plain.mean_ious


def test_images_without_true_masks_do_not_count(tmp_path):
    bare = scene("bare", [1], 4)
    bare = Scene(bare.image, bare.labels, name="bare")
    run = sweep(tmp_path / "more", "power=4", [*scenes(), bare])
    assert (run.images, run.judged) == (4, 3)
    assert run.mean_ious == sweep(tmp_path / "few", "power=4").mean_ious
    with pytest.raises(ValueError, match="the images of a sweep to have true masks .* none that"):
        sweep(tmp_path / "none", "power=4", [bare])


def test_without_true_masks_nothing_is_refined(tmp_path, monkeypatch):
    refined = []
    original = sweeping.swept_label_masks
    monkeypatch.setattr(
        sweeping,
        "swept_label_masks",
        lambda scene, *rest: refined.append(scene.name) or original(scene, *rest),
    )
    bare = scene("bare", [1], 4)
    bare = Scene(bare.image, bare.labels, name="bare")
    sweep(tmp_path, "power=4", [bare, scene("a", [0])], figures=2)
    assert refined == ["a"]
    assert sorted(files(tmp_path / "figures")) == ["a.png", "bare.png"]


def test_without_a_result_the_first_failure_is_told(tmp_path):
    class Broken:
        def __len__(self):
            return 2

        def __getitem__(self, position):
            raise OSError(f"no picture {position}")

    with pytest.raises(ValueError, match="none that has; 2 failed, the first: .*no picture 0"):
        sweep(tmp_path, "power=4", Broken())


def test_images_of_which_nothing_is_known(tmp_path):
    one = scene("a", [0])
    ignored = torch.ones(one.size, dtype=torch.bool)
    hidden = Scene(one.image, one.labels, one.masks, ignore=ignored, name="a")
    with pytest.raises(ValueError, match="the images of a sweep to have true masks"):
        sweep(tmp_path, "background", [hidden])


def test_a_number_counts_once():
    assert Levels.read("power=2,4,2.0").values == (2.0, 4.0)


def test_usual_numbers():
    assert Levels.read("background").values == sweeping.BACKGROUNDS
    assert Levels.read("power").values == (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


def test_the_first_of_equal_ones_is_the_best(tmp_path):
    run = sweep(tmp_path, "power=1e-9,1e-8,1e-7")  # (1 - max) ** 1e-7 is 1: all background
    assert len(set(run.mean_ious)) == 1
    assert run.best == 1e-9


def test_figures_of_up_to_eight_backgrounds(tmp_path, monkeypatch):
    drawn = []
    original = sweeping.mask_figure
    monkeypatch.setattr(
        sweeping, "mask_figure", lambda *given: drawn.append(list(given[2])) or original(*given)
    )
    sweep(tmp_path, "background", figures=2)
    assert sorted(files(tmp_path / "figures")) == ["a.png", "folder/b.png"]
    assert drawn[0] == [f"background {value:g}" for value in sweeping.BACKGROUNDS[::3]]


def test_from_a_shell(tmp_path, capsys, models):
    arguments = ["--model", "digit-net", "--data", "digit-scenes:4", "--layer", "relu2"]
    out = tmp_path / "out"
    arguments += ["--output", str(out), "--sweep"]
    assert main(["masks", *arguments, "power=4,0.5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"4 true segmentations of 4 images: {out / 'sweep.json'}"
    assert lines[-3].split() == ["power", "mIoU", "with", "the", "background"]
    assert [line.split()[0] for line in lines[-2:]] == ["4", "0.5"]
    assert sum("best" in line for line in lines) == 1
    assert not (out / "masks").exists()
    config = MasksConfig.load(out / "config.yaml")
    assert config.sweep == "power=4,0.5"
    assert config.run(out, progress=False).mean_ious == pytest.approx(
        json.loads((out / "sweep.json").read_text())["mean_iou"]
    )


def test_the_command_line_counts_more_than_a_file(tmp_path, capsys, models):
    arguments = ["--model", "digit-net", "--data", "digit-scenes:2", "--layer", "relu2"]
    first, swept, last = (str(tmp_path / name) for name in ("first", "swept", "last"))
    assert main(["masks", *arguments, "--output", first, "--power", "3"]) == 0
    given = ["--config", f"{first}/config.yaml", "--output", swept, "--sweep", "power=2"]
    assert main(["masks", *given]) == 0
    given = ["--config", f"{swept}/config.yaml", "--output", last, "--power", "2"]
    assert main(["masks", *given]) == 0
    config = MasksConfig.load(f"{last}/config.yaml")
    assert (config.sweep, config.power) == (None, 2.0)
    iou = json.loads((tmp_path / "swept" / "sweep.json").read_text())["mean_iou"][0]
    assert f"{100 * iou:.1f} %" in capsys.readouterr().out.splitlines()[-1]


def test_a_sweep_that_was_broken_off_goes_on(tmp_path, monkeypatch):
    whole = sweep(tmp_path / "whole", "power=4,8")
    stop = stopped_at(monkeypatch, sweeping, "swept_label_masks", 2)
    with stop, pytest.raises(KeyboardInterrupt):
        sweep(tmp_path / "out", "power=4,8")
    assert sweep(tmp_path / "out", "power=4,8").mean_ious == whole.mean_ious
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    with pytest.raises(ValueError, match="sweep"):
        sweep(tmp_path / "out", "power=4,9")
    with pytest.raises(ValueError, match='results: "a sweep of backgrounds" there'):
        make_masks(
            net(), "relu2", scenes(), output=tmp_path / "out", preparation=SMALL, progress=False,
            classes=NAMES,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("best", "sweep to be 'background' or 'power'"),
        ("power=", "sweep to be 'background' or 'power'"),
        ("power=a", "but got 'power=a'"),
        ("power=0", "power to be"),
        ("background=0.1,2", "background to be"),
        (3, "but got 3|int"),
    ],
)
def test_what_cannot_be_tried(given, text):
    with pytest.raises((ValueError, TypeError), match=text):
        MasksConfig(data="digit-scenes:4", sweep=given)


@pytest.mark.parametrize(
    "other", [{"background": 0.1}, {"power": 3}, {"uncertain": 0.2}, {"format": "coco"}], ids=str
)
def test_what_a_sweep_excludes(other):
    (name,) = other
    with pytest.raises(ValueError, match=f"{name} to be left out with a sweep"):
        MasksConfig(data="digit-scenes:4", sweep="power", **other)


def test_pictures_have_no_true_masks(tmp_path, capsys, models):
    arguments = [str(pictures(tmp_path / "in")), "--output", str(tmp_path / "out")]
    assert main(["masks", *arguments, "--sweep", "power"]) == 2
    error = capsys.readouterr().err
    assert "Expected the images of a sweep to be given as data with true masks" in error
    assert not (tmp_path / "out").exists()
