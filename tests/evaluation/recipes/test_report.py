"""What a training's report says, of runs written by hand."""

import json

from PIL import Image

from captum_cluster.evaluation.recipes.pages import Picture
from captum_cluster.evaluation.recipes.report import TrainingReport
from captum_cluster.evaluation.recipes.scores import Scores
from captum_cluster.evaluation.reporting.report import build_report
from tests.helpers.runs import average_drop, record, write_run

BASE, OURS = "baseline: cam", "network: cam"


def report(folder, theirs, ours, **options):
    """Return the report of two networks with these average drops, an image after the other."""
    records = [
        record(image, name, average_drop(drop))
        for name, drops in ((BASE, theirs), (OURS, ours))
        for image, drop in enumerate(drops)
    ]
    maps = build_report(write_run(folder / "maps", records, methods=(BASE, OURS)))
    given = {
        "recipe": "kernel-usage",
        "facts": [("Seed", "0")],
        "scores": {"baseline": Scores(0.5, 0.25, 0.75), "network": Scores(1.0, 0.5, 0.25)},
        "maps": maps,
        "main": OURS,
    }
    return TrainingReport(**{**given, **options})


STEADY = [0.5, 0.6] * 10


def test_the_files(tmp_path):
    Image.new("RGB", (300, 100)).save(tmp_path / "one.png", dpi=(150, 150))
    made = report(
        tmp_path,
        STEADY,
        [0.1] * 20,
        pictures=[Picture("Some <title>", "What it shows.", "one.png")],
        numbers={"groups": [["a", "{b, c}"]]},
        config={"recipe": "kernel-usage"},
    )
    page = made.save(tmp_path).read_text()
    assert "Some &lt;title&gt;" in page
    assert 'width="192"' in page
    assert page.count("data:image/png;base64,") == 1
    assert '<td class="number better">better</td>' in page
    assert "http" not in page.replace("http-equiv", "")
    words = (tmp_path / "report.md").read_text()
    assert "| Average Drop ↓ | 0.550 (" in words
    assert "**0.100 (0.100 to 0.100) **" in words
    assert "![Some <title>](one.png)" in words
    assert "| network | 1.000 | 0.500 | 0.250 |" in words
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["groups"] == [["a", "{b, c}"]]
    assert found["classifiers"]["baseline"] == {"f1": 0.5, "f2": 0.25, "average_precision": 0.75}
    assert found["verdicts"] == [str(one) for one in made.verdicts]
    assert {row["method"] for row in found["maps"]["values"]} == {BASE, OURS}


def test_the_table_for_a_terminal(tmp_path):
    lines = report(tmp_path, STEADY, [0.1] * 20).table().splitlines()
    assert lines[0].split() == ["network", "F1", "F2", "Average", "precision"]
    assert lines[1].split() == ["baseline", "0.500", "0.250", "0.750"]
    assert any(line.startswith(OURS) and "0.100" in line for line in lines)
    assert lines[-1].startswith("Average Drop: better")


def test_tiny_numbers_have_more_digits(tmp_path):
    made = report(tmp_path, [0.0005] * 20, [0.0001] * 20)
    page = made.save(tmp_path).read_text()
    assert "0.00010 (0.00010 to 0.00010) **" in (tmp_path / "report.md").read_text()
    assert "0.00050 to 0.00010 (-0.00040, -0.00040 to -0.00040)" in page
