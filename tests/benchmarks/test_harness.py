"""That the benchmarks still run, on images so small that their figures mean nothing."""

import json
import sys

import pytest

from tests.benchmarks import __main__ as harness
from tests.benchmarks import contestants, growth, memory, speed
from tests.benchmarks.profiling import profile
from tests.benchmarks.subjects import subject
from tests.benchmarks.timing import in_units, interleave, plain


@pytest.fixture(scope="module")
def small():
    return subject("resnet18", 48, images=2)


def test_contestants_take_turns():
    order = []
    runs = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    found = interleave(runs, 3)
    assert order == ["a", "b"] * 4
    assert [len(seconds) for seconds in found.values()] == [3, 3]


def test_units_are_those_of_the_plain_pass(small):
    plain_batch = plain(small.model, small.images[:1], 2)
    twice = plain(small.model, small.images[:1], 2, times=2)
    found = in_units({"twice": (twice, 5)}, (small.model, plain_batch, 2), at_least=0.01)
    units = sorted(took.units for took in found["twice"])[2]
    inside = sorted(took.inside for took in found["twice"])[2]
    assert 2 < units < 8  # four images; the machine may be busy
    assert 0.8 < inside / units < 1.02


def test_a_profile_adds_up_and_leaves_the_classes_as_they_were(small):
    (found,) = (c for c in contestants.cluster_cam(small, 1) if c.name == "Cluster-CAM")
    before = vars(type(small.model)).get("__call__")
    shares = profile(small.model, found.run)
    assert {"forward passes", "masks", "clustering", "other"} == set(shares)
    assert sum(shares.values()) == pytest.approx(1)
    assert all(share > 0 for share in shares.values())
    assert vars(type(small.model)).get("__call__") is before


@pytest.mark.parametrize(
    "group", ["plain_passes", "gradient_maps", "cluster_cam", "collection_cam"]
)
def test_every_contestant_runs(small, group):
    field = getattr(contestants, group)(small, 2)
    rows = speed.race(small, field, 1)
    assert [row.name for row in rows] == [c.name for c in field]
    # A model whose weights lie otherwise is another one, inside which no time is measured.
    inside = [row.inside for row in rows if row.name != "images and weights channels-last"]
    assert all(0 < share <= 1.05 for share in inside)
    assert all(row.units > 0 for row in rows)
    assert [bool(row.profile) for row in rows] == [c.ours for c in field]
    text = speed.table(rows)
    assert len(text.splitlines()) == 2 + len(rows)
    if group == "collection_cam":  # what is needed holds what was measured beside it
        base, ours = rows[:2]
        assert ours.needed == pytest.approx(base.units + field[1].needed)


@pytest.mark.parametrize("group", ["score_cam", "ablation_cam"])
def test_every_contestant_of_every_map_runs_once(small, group):
    options = {"with_stock": True} if group == "ablation_cam" else {}
    field = getattr(contestants, group)(small, **options)
    assert len({c.name for c in field}) == len(field) >= 3
    for contestant in field:
        contestant.run()


@pytest.mark.parametrize("name", ["resnet50", "vgg16", "mobilenet_v2"])
def test_the_layers_of_the_networks_have_maps(name):
    one = subject(name, 32, images=1)
    found = contestants.collection_cam(one, 1)
    assert [c.name for c in found] == [speed.BASE, "Collection-CAM"] * 2
    assert one.channels >= 512


def test_growth_measures_each_series(monkeypatch):
    monkeypatch.setattr(growth, "SIZES", (32,))
    monkeypatch.setattr(growth, "SIZE", 32)
    monkeypatch.setattr(growth, "CLUSTERS", (2,))
    monkeypatch.setattr(growth, "IMAGES", (1,))
    monkeypatch.setattr(growth, "TARGETS", (3,))
    monkeypatch.setattr(growth, "subject", lambda name, *_, **__: subject(name, 32, images=1))
    rows = list(growth.growth(1))
    assert len({row.group for row in rows}) == 5
    assert [row.needed for row in rows] == [7, 3, 7, 7, 65, 129, 257]


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_the_peak_of_a_plain_pass_holds_its_activations():
    peak = memory.peak_of("resnet18", "plain pass", 2)
    # the first convolution gives 2 x 64 x 112 x 112 numbers of 4 bytes, 6.4 MB
    assert 6 < peak < 200


def test_the_command_writes_what_it_prints(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(harness, "subject", lambda name: subject(name, 48, images=2))
    file = tmp_path / "found.json"
    line = ["x", "--parts", "speed", "--batch", "1", "--rounds", "1", "--json", str(file)]
    monkeypatch.setattr(sys, "argv", line)
    harness.main()
    found = json.loads(file.read_text())
    assert found["rounds"] == 1
    printed = capsys.readouterr().out
    assert all(row["name"] in printed for row in found["speed"])
    assert {"units", "needed", "ratio", "profile"} <= set(found["speed"][0])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["--models", "resnet19"], "'resnet19' is not among resnet18"),
        (["--parts", "pace"], "'pace' is not among speed"),
        (["--batch", "0"], "'0' is no integer of at least 1"),
        (["--batch", "one"], "'one' is no integer of at least 1"),
        (["--rounds", "-3"], "'-3' is no integer of at least 1"),
        (["--threads", "0"], "'0' is no integer of at least 1"),
        (["--json", "nowhere/found.json"], "is no file in a folder that is there"),
        (["--batch", "17"], "batches hold 1 to 16 images"),
    ],
)
def test_bad_arguments(monkeypatch, capsys, line, message):
    monkeypatch.setattr(sys, "argv", ["x", *line])
    with pytest.raises(SystemExit):
        harness.main()
    assert message in capsys.readouterr().err
