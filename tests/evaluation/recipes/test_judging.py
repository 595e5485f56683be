"""Several networks in one report."""

import json

import pytest
import torch
from torch import nn

from captum_cluster.evaluation import evaluate
from captum_cluster.evaluation.recipes import open_sources
from captum_cluster.evaluation.recipes.judging import Judged, judge
from captum_cluster.training import gap_classifier


def network(seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body = nn.Sequential(nn.Conv2d(3, 8, 5, stride=4), nn.ReLU())
        return gap_classifier(body, 10).eval()


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("maps")
    sources = open_sources("digits", limit=1, test_limit=4)
    networks = [
        Judged("baseline", network(0), ("cam",)),
        Judged("round 1", network(1), ("cam", {"name": "own", "method": "grad-cam"})),
    ]
    report = judge(networks, sources, folder, metrics=["energy"], progress=False)
    return folder, sources, networks, report


def test_methods_are_called_after_their_network(judged):
    folder, _, _, report = judged
    assert report.methods == ("baseline: cam", "round 1: cam", "round 1: own")
    assert report.reference == "baseline: cam"
    saved = json.loads((folder / "run.json").read_text())
    assert saved["model"] == {"baseline": "GapClassifier", "round 1": "GapClassifier"}
    assert (folder / "round-1" / "report.html").is_file()
    assert "data:image" in (folder / "report.html").read_text()


def test_numbers_are_those_of_each_network_alone(judged):
    _, sources, networks, report = judged
    for one in networks:
        alone = evaluate(
            one.network, list(one.network.explained_layers), sources.test, ["cam"], ["energy"],
            probability="sigmoid", preparation=sources.preparation, progress=False,
        )  # fmt: skip
        assert report.value(f"{one.name}: cam", "energy") == alone.value("cam", "energy")


def test_networks_are_compared_image_by_image(judged):
    report = judged[3]
    own = report.estimates["round 1: cam", "energy"]
    before = report.estimates["baseline: cam", "energy"]
    assert own.difference == pytest.approx(own.estimate - before.estimate)


def test_judged_again_it_is_the_same_report(judged):
    folder, sources, networks, report = judged
    records = (folder / "baseline" / "records-0.jsonl").read_text()
    again = judge(networks, sources, folder, metrics=["energy"], progress=False)
    assert again.to_dict() == report.to_dict()
    assert (folder / "baseline" / "records-0.jsonl").read_text() == records


def test_what_has_changed_is_judged_anew(tmp_path):
    sources = open_sources("digits", limit=1, test_limit=3)

    def judged(networks, metrics=("energy",), sources=sources):
        report = judge(networks, sources, tmp_path, metrics=list(metrics), progress=False)
        alone = judge(
            networks, sources, tmp_path / "alone" / str(len(list(tmp_path.glob("alone/*")))),
            metrics=list(metrics), progress=False,
        )  # fmt: skip
        assert report.to_dict()["values"] == alone.to_dict()["values"]
        return report

    def written():
        return [(tmp_path / name / "records-0.jsonl").read_text() for name in ("a", "b")]

    networks = [Judged("a", network(0), ("cam",)), Judged("b", network(1), ("cam",))]
    judged(networks)
    first = written()
    judged([Judged("a", network(5), ("cam",)), networks[1]])
    assert [now == then for now, then in zip(written(), first, strict=True)] == [False, True]
    report = judged(networks, ["energy", "object-iou"])
    assert {value.name for value in report.values} >= {"energy", "object-iou"}
    judged([networks[0], Judged("b", networks[1].network, ("grad-cam",))])
    report = judged(networks, sources=open_sources("digits", limit=1, test_limit=2))
    assert report.images == 2
