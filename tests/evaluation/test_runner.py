"""Whole runs: what they write, going on after a kill, several processes, and what they refuse."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from captum_cluster import LayerClusterCam
from captum_cluster.data import DigitScenes, Preparation, Scene
from captum_cluster.evaluation import evaluate
from captum_cluster.evaluation.models import LoadedModel
from captum_cluster.evaluation.running.records import read_records
from captum_cluster.functional.attribution import saliency
from captum_cluster.functional.metrics import average_drop, deletion_insertion, energy_inside
from captum_cluster.hooks import count_forwards
from captum_cluster.training import MultiLevelNetwork, TwoBranch
from tests.evaluation.run_script import IMAGES, digit_net, judge, slow

SCRIPT = Path(__file__).with_name("run_script.py")
ROOT = Path(__file__).resolve().parents[2]


def numbers(directory):
    """The report without the times, which differ from run to run."""
    report = json.loads((Path(directory) / "report.json").read_text())

    def without(value):
        if isinstance(value, dict):
            return {key: without(one) for key, one in value.items() if "second" not in key}
        return [without(one) for one in value] if isinstance(value, list) else value

    return without(report)


def start(*arguments, **environment):
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.Popen(
        command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process):
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    return out, err


# Values


@pytest.mark.parametrize("step", [None, 1500])
def test_the_values_are_those_of_the_functions(step):
    net, scenes = digit_net(), DigitScenes(4, split="test")
    report = judge(None, scenes, metrics=["average-drop", "energy", "overall"], step=step)
    before, after, inside, overall = [], [], [], []

    def read(images):
        with torch.no_grad():
            return net(images).sigmoid()

    prepare = Preparation(64)
    for scene in scenes:
        image = prepare.normalize(scene.image)[None]
        for label in scene.present:
            maps = LayerClusterCam(net, net[1]).attribute(image, label)[0]
            mask = saliency(maps, scene.size)
            before.append(read(image)[0, label])
            after.append(read(image * mask)[0, label])
            inside.append(energy_inside(maps, scene.mask(label)[None])[0])
            deletion, insertion = deletion_insertion(read, image, maps, label, step=step)
            changed = torch.arange(deletion.shape[1], dtype=torch.float64) * (step or 8 * 64)
            share = changed.clamp(max=64 * 64) / 64**2
            areas = [torch.trapezoid(one.double(), share)[0] for one in (insertion, deletion)]
            overall.append(areas[0] - areas[1])
    found = {name: report.value("cluster-cam", name) for name in ("average-drop", "energy")}
    drop = average_drop(torch.stack(before), torch.stack(after))
    assert found["average-drop"] == pytest.approx(float(drop), abs=1e-6)
    assert found["energy"] == pytest.approx(float(torch.stack(inside).mean()), abs=1e-6)
    value = report.value("cluster-cam", "overall")
    assert value == pytest.approx(float(torch.stack(overall).mean()), abs=1e-6)


def test_larger_steps_of_the_curves_cost_less():
    with count_forwards(net := digit_net()) as count:
        evaluate(
            net, "1", DigitScenes(1, split="test", max_digits=1), ["grad-cam"], ["overall"],
            probability="sigmoid", preparation=Preparation(64), step=2048, progress=False,
        )  # fmt: skip
    whole, method, curves, baseline = 1, 1, 2, 1  # steps 0, 2048, 4096 share their two ends
    assert count.images == whole + method + curves + baseline


def test_the_whole_image_is_shown_once_for_all_methods():
    net, scenes = digit_net(), DigitScenes(3, split="test", max_digits=1)
    methods = ["cluster-cam", {"name": "twice", "method": "cluster-cam"}]
    with count_forwards(net) as count:
        evaluate(
            net, "1", scenes, methods, ["average-drop", "overall", "multi-label"],
            probability="sigmoid", preparation=Preparation(64), progress=False,
        )  # fmt: skip
    # the warm-up runs on a net of its own; steps 0 to 8 of the curves share their two ends
    method, masked, curves, baseline = 7, 2, 2 * 7, 1
    assert count.images == len(scenes) * (1 + 2 * (method + masked + curves)) + baseline


def test_methods_of_every_kind_stand_beside_each_other():
    from captum.attr import LayerGradCam
    from pytorch_grad_cam import GradCAM

    methods = [
        "grad-cam",
        LayerGradCam,
        GradCAM,
        slow,
        {"name": "few", "method": "cluster-cam", "options": {"n_clusters": 2}, "layer": "0"},
    ]
    report = judge(None, DigitScenes(3), methods=methods)
    assert report.methods == ("grad-cam", "LayerGradCam", "GradCAM", "slow", "few")
    same = [report.value(name, "energy") for name in report.methods[:3]]
    assert same[0] == same[1] == pytest.approx(same[2], abs=1e-3)


def test_options_of_masked_passes_in_a_run():
    fast = {"precision": "bfloat16", "resolution": 0.5}
    entries = [
        "cluster-cam",
        {"name": "fast", "method": "cluster-cam", "options": fast},
        {"name": "same", "method": "cluster-cam", "options": {"precision": None, "resolution": 1}},
    ]
    report = judge(None, DigitScenes(2), methods=entries)
    exact, changed, same = (report.value(name, "energy") for name in report.methods)
    assert changed != exact == same


def test_images_are_spread_evenly(tmp_path):
    judge(tmp_path, DigitScenes(10), limit=4, methods=["grad-cam"])
    assert [record["image"] for record in read_records(tmp_path)] == [0, 2, 5, 7]


def test_the_model_is_left_as_it_was():
    net = digit_net().train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.warns(UserWarning, match="eval"):
        evaluate(net, "1", DigitScenes(1), ["grad-cam"], ["energy"], preparation=Preparation(64))
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())


# Going on


def test_killed_three_times_the_report_is_that_of_an_undisturbed_run(tmp_path):
    # in a process like the others: another one may round differently
    finish(start(tmp_path / "whole"))
    for lines in (4, 11, 20):
        process = start(tmp_path / "killed", SLOW="0.1")
        deadline = time.monotonic() + 120
        while sum(1 for _ in read_records(tmp_path / "killed")) < lines:
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        process.stderr.close()
    finish(start(tmp_path / "killed"))
    assert numbers(tmp_path / "killed") == numbers(tmp_path / "whole")
    keys = [(record["image"], record["method"]) for record in read_records(tmp_path / "killed")]
    assert len(keys) == len(set(keys)) == 3 * IMAGES


@pytest.mark.parametrize("strategy", ["ddp", "ddp_spawn"])
def test_two_processes_give_what_one_gives(tmp_path, strategy):
    pytest.importorskip("lightning")
    judge(tmp_path / "one")
    finish(start(tmp_path / "two", 2, strategy))
    ranks = sorted(path.name for path in (tmp_path / "two").glob("records-*"))
    assert ranks == ["records-0.jsonl", "records-1.jsonl"]
    close(numbers(tmp_path / "two"), numbers(tmp_path / "one"))


def close(found, wanted):
    """Compare two reports, numbers to 1e-6: another number of threads rounds differently."""
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        for key in wanted:
            close(found[key], wanted[key])
    elif isinstance(wanted, list):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            close(one, other)
    else:
        assert found == (pytest.approx(wanted, abs=1e-6) if type(wanted) is float else wanted)


def test_a_finished_run_makes_no_more_passes(tmp_path):
    judge(tmp_path)
    first = numbers(tmp_path)
    calls = []

    class Unreadable(DigitScenes):
        def __getitem__(self, index):
            calls.append(index)
            return super().__getitem__(index)

    Unreadable.__name__ = "DigitScenes"
    judge(tmp_path, Unreadable(IMAGES, split="test"))
    assert numbers(tmp_path) == first
    assert len(list(read_records(tmp_path))) == 3 * IMAGES


def test_another_run_is_refused(tmp_path):
    judge(tmp_path, DigitScenes(3))
    before = sorted((path.name, path.stat().st_mtime_ns) for path in tmp_path.iterdir())
    with pytest.raises(ValueError, match="holds another") as error:
        judge(tmp_path, DigitScenes(3), explained="top", methods=["grad-cam"])
    assert 'explained: "truth" there, "top" here' in str(error.value)
    assert "methods: " in str(error.value)
    with pytest.raises(ValueError, match="dataset: length 3 there, 4 here"):
        judge(tmp_path, DigitScenes(4))
    with pytest.raises(ValueError, match="dataset: seed 0 there, 1 here, digest "):
        judge(tmp_path, DigitScenes(3, seed=1))
    assert before == sorted((path.name, path.stat().st_mtime_ns) for path in tmp_path.iterdir())


def test_lists_and_functions_of_another_run_are_refused(tmp_path):
    def method(by):
        def mine(model, layer, image, target):
            return layer(image).mean(dim=1) * by

        return mine

    scenes = list(DigitScenes(2))
    judge(tmp_path, scenes, methods=[method(1)])
    with pytest.raises(ValueError, match='dataset: digest "[0-9a-f]{16}" there, "[0-9a-f]{16}" h'):
        judge(tmp_path, scenes[::-1], methods=[method(1)])
    with pytest.raises(ValueError, match='methods: .*"mine [0-9a-f]{16}".* there'):
        judge(tmp_path, scenes, methods=[method(2)])
    assert judge(tmp_path, list(DigitScenes(2)), methods=[method(1)]).images == 2


def test_a_full_disk_keeps_what_was_written(tmp_path):
    code = (
        "import resource, signal, sys; sys.argv = ['x', sys.argv[1]];"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000));"
        "from tests.evaluation.run_script import judge; judge(sys.argv[1])"
    )
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env=variables, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "to take the next result; those before it are kept" in done.stderr
    kept = len(list(read_records(tmp_path)))
    assert 0 < kept < 3 * IMAGES
    judge(tmp_path)
    assert len(list(read_records(tmp_path))) == 3 * IMAGES


# Images that give nothing


class Damaged(DigitScenes):
    """Some scenes cannot be read."""

    broken = (1, 4)

    def __getitem__(self, index):
        if index in self.broken:
            raise ValueError(f"Expected image to be an image, but got the empty file {index}.png.")
        return super().__getitem__(index)


def test_an_image_that_cannot_be_read_is_counted_and_skipped(tmp_path):
    report = judge(tmp_path, Damaged(6))
    assert report.images == 4
    skipped = [record for record in read_records(tmp_path) if "error" in record]
    assert [record["image"] for record in skipped] == [1, 4]
    assert "1.png" in (tmp_path / "report.json").read_text()
    with pytest.raises(ValueError, match=r"1\.png"):
        judge(tmp_path / "strict", Damaged(6), strict=True)


def test_an_image_that_was_skipped_is_tried_again(tmp_path, monkeypatch):
    methods = ["grad-cam", slow]
    first = judge(tmp_path / "mended", Damaged(6), methods=methods)
    assert (first.images, list(first.totals.skipped)) == (4, [1, 4])
    monkeypatch.setattr(Damaged, "broken", (4,))
    second = judge(tmp_path / "mended", Damaged(6), methods=methods)
    assert (second.images, list(second.totals.skipped)) == (5, [4])
    monkeypatch.setattr(Damaged, "broken", ())
    third = judge(tmp_path / "mended", Damaged(6), methods=methods, strict=True)
    assert (third.images, third.totals.skipped) == (6, {})
    judge(tmp_path / "whole", Damaged(6), methods=methods)
    assert numbers(tmp_path / "mended") == numbers(tmp_path / "whole")
    found = [record for record in read_records(tmp_path / "mended") if "error" not in record]
    keys = [(record["image"], record["method"]) for record in found]
    assert len(keys) == len(set(keys)) == 2 * 6  # what was done is not done again


def test_a_run_that_goes_on_strictly_stops_at_what_was_skipped(tmp_path):
    judge(tmp_path, Damaged(6), methods=["grad-cam"])
    before = numbers(tmp_path)
    with pytest.raises(ValueError, match=r"1\.png"):
        judge(tmp_path, Damaged(6), methods=["grad-cam"], strict=True)
    judge(tmp_path, Damaged(6), methods=["grad-cam"])
    assert numbers(tmp_path) == before


# Methods that fail

UNLUCKY = []


def unlucky(model, layer, image, target):
    """The mean map; it fails on the images in ``UNLUCKY``."""
    if any(torch.equal(image, one) for one in UNLUCKY):
        raise RuntimeError("svd did not converge")
    return layer(image).mean(dim=1)


def fails_on(monkeypatch, *scenes):
    """Choose the images on which the method fails."""
    shown = [Preparation(64).normalize(scene.image)[None] for scene in scenes]
    monkeypatch.setitem(globals(), "UNLUCKY", shown)


def test_a_method_that_fails_on_one_image_is_counted_and_tried_again(tmp_path, monkeypatch):
    scenes = DigitScenes(4)
    failed = {2: (scenes[2].name, "RuntimeError: svd did not converge")}
    fails_on(monkeypatch, scenes[2])
    for _ in range(2):  # again with nothing else left to do
        report = judge(tmp_path / "mended", scenes, methods=["grad-cam", unlucky])
        assert report.images == report.totals.done == 4
        assert report.totals.failed == {"grad-cam": {}, "unlucky": failed}
        assert [report.totals.methods[name].images for name in report.methods] == [4, 3]
        assert numbers(tmp_path / "mended")["failed"]["unlucky"]["images"] == 1
    with pytest.raises(RuntimeError, match=f"unlucky on {scenes[2].name}: svd did not converge"):
        judge(tmp_path / "mended", scenes, methods=["grad-cam", unlucky], strict=True)
    fails_on(monkeypatch)
    report = judge(tmp_path / "mended", scenes, methods=["grad-cam", unlucky], strict=True)
    assert report.totals.failed == {"grad-cam": {}, "unlucky": {}}
    judge(tmp_path / "whole", scenes, methods=["grad-cam", unlucky])
    assert numbers(tmp_path / "mended") == numbers(tmp_path / "whole")


def test_a_method_that_fails_on_the_first_image_stops_the_run(tmp_path, monkeypatch):
    scenes = DigitScenes(3)
    fails_on(monkeypatch, scenes[0])
    with pytest.raises(RuntimeError, match=f"unlucky on {scenes[0].name}: svd did not converge"):
        judge(tmp_path, scenes, methods=["grad-cam", unlucky])
    assert [record["method"] for record in read_records(tmp_path)] == ["grad-cam"]
    fails_on(monkeypatch)
    assert judge(tmp_path, scenes, methods=["grad-cam", unlucky]).images == 3
    keys = [(record["image"], record["method"]) for record in read_records(tmp_path)]
    assert len(keys) == len(set(keys)) == 6


def test_an_image_that_the_model_fails_on_is_skipped(tmp_path):
    """Also when it is all that a run has left to do."""
    scenes = list(DigitScenes(3))
    scenes[1] = Scene(scenes[1].image * 0, scenes[1].labels, name="black")
    black = Preparation(64).normalize(scenes[1].image)[None]

    def judged():
        net = digit_net()
        hidden = net[0].register_forward_pre_hook(
            lambda _, args: args[0] * float("nan") if torch.equal(args[0], black) else None
        )
        report = evaluate(
            net, "1", scenes, ["grad-cam"], ["energy"], output=tmp_path,
            preparation=Preparation(64), progress=False,
        )  # fmt: skip
        hidden.remove()
        return report

    for _ in range(2):
        report = judged()
        assert report.images == 2
        [(image, (name, error))] = report.totals.skipped.items()
        assert (image, name) == (1, "black")
        assert error.startswith("ValueError: Expected the model's output to be finite")


def test_an_image_without_a_label_is_counted():
    class Empty(DigitScenes):
        def __getitem__(self, index):
            scene = super().__getitem__(index)
            return Scene(scene.image, torch.zeros(10, dtype=torch.bool)) if index == 0 else scene

    report = judge(None, Empty(3), methods=["grad-cam"])
    assert report.images == 2


def test_metrics_without_ground_truth_are_left_out():
    class Bare(DigitScenes):
        def __getitem__(self, index):
            scene = super().__getitem__(index)
            return Scene(scene.image, scene.labels, name=scene.name)

    report = judge(None, Bare(2), methods=["grad-cam"], metrics=["average-drop", "energy"])
    assert 0 <= report.value("grad-cam", "average-drop") <= 1
    assert "Proportion" not in report.table()


# What is refused


def test_labels_that_are_not_the_models(tmp_path):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    with pytest.raises(ValueError, match=r"the dataset to have the model's 4 labels .* but got 10"):
        evaluate(net, "0", DigitScenes(2), ["grad-cam"], progress=False)
    report = evaluate(
        net, "0", DigitScenes(2), ["grad-cam"], ["average-drop"], explained="top", progress=False
    )
    assert report.images == 2


@pytest.mark.parametrize("loaded", [True, False])
@pytest.mark.parametrize("explained", ["truth", "predicted", "top"])
def test_class_names_are_those_of_what_is_explained(tmp_path, loaded, explained):
    """The dataset's names are the model's only where its labels are."""
    names = [f"class {number}" for number in range(10)]
    for categories in (names, None) if loaded else (None,):
        folder = tmp_path / str(bool(categories))
        model = LoadedModel("mine", digit_net(), str, categories) if loaded else digit_net()
        report = evaluate(
            model, "1", DigitScenes(1), ["grad-cam"], ["energy"], output=folder,
            explained=explained, preparation=Preparation(64), probability="sigmoid",
            progress=False,
        )  # fmt: skip
        digits = DigitScenes(1).classes if explained == "truth" else None
        assert report.facts["categories"] == (categories or digits)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"methods": []}, ValueError, "methods to be at least one method"),
        ({"methods": ["gradcam", "gradcam"]}, ValueError, "'gradcam' more than once"),
        ({"methods": ["clustercam"]}, ValueError, "cluster-cam"),
        ({"metrics": ["mean-iou"]}, ValueError, "or among .*, segmentation, .* got 'mean-iou'"),
        ({"metrics": ["drop"]}, ValueError, "metrics to be 'all' or among average-drop"),
        ({"explained": "all"}, ValueError, "explained to be one of 'truth'"),
        ({"probability": "softmax"}, ValueError, "probability to be one of"),
        ({"limit": 0}, ValueError, "limit to be an integer of at least 1"),
        ({"rows": 0}, ValueError, "rows to be an integer of at least 1"),
        ({"devices": 0}, ValueError, "devices to be an integer of at least 1"),
        ({"devices": 2, "strategy": "fsdp"}, ValueError, "strategy to be one of ddp"),
        ({"reference": "score-cam"}, ValueError, "reference to be one of 'grad-cam'"),
        ({"strict": 1}, TypeError, "strict to be True or False"),
        ({"baseline": float("nan")}, ValueError, "baseline to be a finite number"),
        ({"step": 0}, ValueError, "step to be an integer of at least 1"),
    ],
)
def test_what_is_refused(change, error, message):
    with pytest.raises(error, match=message):
        judge(None, DigitScenes(2), **change)


def test_datasets_that_are_refused():
    with pytest.raises(ValueError, match="dataset to be one of at least one image"):
        judge(None, DigitScenes(0))
    with pytest.raises(TypeError, match="dataset to be a dataset with a length"):
        judge(None, iter([1]))
    with pytest.raises(TypeError, match="to give a captum_cluster.data.Scene"):
        judge(None, [torch.rand(3, 8, 8)])
    with pytest.raises(TypeError, match="model to be an nn.Module"):
        evaluate(lambda x: x, "0", DigitScenes(1), ["grad-cam"])


def test_a_layer_that_is_not_there():
    with pytest.raises(ValueError, match="layer"):
        evaluate(digit_net(), "conv9", DigitScenes(1), ["grad-cam"], preparation=Preparation(64))


def test_metrics_with_options(tmp_path):
    near = {"metric": "pointing-game", "options": {"tolerance": 90}}
    report = judge(tmp_path, DigitScenes(4), methods=["grad-cam"], metrics=[near])
    assert report.value("grad-cam", "pointing-game") == 1
    plain = judge(None, DigitScenes(4), methods=["grad-cam"], metrics=["pointing-game"])
    assert plain.value("grad-cam", "pointing-game") < 1
    with pytest.raises(ValueError, match="metrics: "):
        judge(tmp_path, DigitScenes(4), methods=["grad-cam"], metrics=["pointing-game"])


# Several sizes of an image, several networks


def test_a_method_at_several_scales_stands_beside_itself(tmp_path):
    scaled = {"method": "cam", "name": "scaled", "scales": [0.5, 1, 1.5, 2], "flip": True}
    methods = ["cam", scaled, {"method": slow, "name": "mine", "scales": [2]}]
    report = judge(tmp_path, DigitScenes(3), methods=methods)
    assert report.methods == ("cam", "scaled", "mine")
    forwards = {record["method"]: record["forwards"] for record in read_records(tmp_path)}
    assert (forwards["cam"], forwards["scaled"]) == (1, 8)
    facts = json.loads((tmp_path / "run.json").read_text())["methods"]
    assert facts[1]["scales"] == [0.5, 1.0, 1.5, 2.0]
    assert facts[1]["flip"] is True
    assert "scales" not in facts[0]
    assert report.value("cam", "energy") != report.value("scaled", "energy")
    judge(tmp_path, DigitScenes(3), methods=methods)
    with pytest.raises(ValueError, match=r'holds another.*methods: .*"flip": true.*"flip": false'):
        judge(tmp_path, DigitScenes(3), methods=["cam", {**scaled, "flip": False}, methods[2]])


def multi_level():
    def body():
        return nn.Sequential(nn.Conv2d(3, 4, 5, stride=4), nn.ReLU())

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        groups = [torch.arange(10) // 2]
        return MultiLevelNetwork(TwoBranch(body, 10), [TwoBranch(body, 5)], groups).eval()


def test_a_model_of_several_networks_is_judged_at_its_own_layers():
    seen = []

    def own(model, layer, image, target):
        seen.append(layer)
        return image.mean(dim=1)

    net = multi_level()
    methods = ["multi-level-cam", "multi-branch-cam", "grad-cam", "gradcam", own]
    report = evaluate(
        net, None, DigitScenes(2), methods, ["energy"], probability="sigmoid",
        preparation=Preparation(64), progress=False, strict=True,
    )  # fmt: skip
    assert report.methods == (*methods[:4], "own")
    assert set(seen) == {net.base.explained_layers[1]}
