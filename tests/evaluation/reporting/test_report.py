"""Reports of runs written by hand: numbers, table, files, bad input."""

import csv
import io
import json
import math
import random

import pytest

from captum_cluster.evaluation.reporting.files import FIELDS
from captum_cluster.evaluation.reporting.report import build_report
from tests.helpers.runs import average_drop, compare_drops, overall, record, write_run

THEIRS = [0.6, 0.5, 0.7, 0.4, 0.55, 0.65, 0.5, 0.6, 0.45, 0.5]
OURS = [0.3, 0.2, 0.4, 0.1, 0.25, 0.3, 0.2, 0.35, 0.1, 0.2]


@pytest.fixture
def run(tmp_path):
    return compare_drops(tmp_path / "run", OURS, THEIRS)


ENDS = ("json", "csv", "html")


def strict(text):
    """Return JSON that holds no NaN and no infinity."""

    def refuse(constant):
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)


def test_numbers_by_hand(run):
    report = build_report(run, resamples=500)
    assert (report.methods, report.reference, report.images) == (("one", "two"), "one", 10)
    assert report.value("one", "average-drop") == pytest.approx(0.545)
    assert report.value("two", "average-drop") == pytest.approx(0.24)
    assert report.mark("two", "average-drop") == "**"
    assert report.mark("one", "average-drop") == ""
    assert math.isnan(report.value("one", "energy"))


def test_the_reference_can_be_chosen(run):
    report = build_report(run, reference="two", resamples=500)
    found = {row["method"]: row for row in report.to_dict()["values"]}
    assert found["one"]["difference"] == pytest.approx(0.305)
    assert found["two"]["difference"] is None


def test_marks_are_corrected_for_the_number_of_methods(tmp_path):
    names = [f"m{number}" for number in range(4)]
    records = [
        record(image, name, average_drop(drop - 0.1 * (name == "m3") * (image != 4)))
        for name in names
        for image, drop in enumerate(THEIRS)
    ]
    report = build_report(write_run(tmp_path, records, methods=names), resamples=999)
    estimate = report.estimates["m3", "average-drop"]
    assert estimate.p == 0.002  # the others are the reference over again: p = 1
    assert report.corrected["m3", "average-drop"] == pytest.approx(0.006)
    assert [report.mark(name, "average-drop") for name in names] == ["", "", "", "**"]


def test_the_table(run):
    table = build_report(run, resamples=500).table().splitlines()
    assert table[0] == "10 images"
    assert table[2].split() == ["method", "Average", "Drop", "↓"]
    assert table[3].startswith("one     0.545 [0.")
    assert table[4].startswith("two     0.240 [0.")
    assert table[4].endswith("] **")
    assert "Holm-corrected" in table[-2]


def test_a_wide_table_is_broken_into_lines_that_fit(tmp_path):
    metrics = ["average-drop", "overall", "deletion", "insertion", "increase"]
    area = {"area": 0.5, "pairs": 1}
    sums = {
        **average_drop(0.5),
        **overall(0.9, 0.1),
        "deletion": area,
        "insertion": area,
        "increase": {"increase": 1, "pairs": 1},
    }
    records = [record(0, name, sums) for name in ("one", "a-method-with-a-long-name")]
    run = write_run(
        tmp_path, records, methods=["one", "a-method-with-a-long-name"], metrics=metrics
    )
    table = build_report(run, resamples=10).table()
    lines = [line for line in table.splitlines() if line.startswith(("one", "a-m", "method"))]
    assert len(lines) == 6
    assert max(map(len, lines)) <= 100
    assert "Insertion - Deletion ↑" in table


def test_an_unfinished_run_says_so(tmp_path):
    run = compare_drops(tmp_path, [0.1, 0.2], [0.3, 0.4, 0.5], images=150)
    report = build_report(run, resamples=10)
    assert report.table().startswith("2 of 150 images (148 not done)")
    assert report.images == 3


@pytest.mark.parametrize("skipped", [[], [{"image": 0, "name": "x", "error": "broken"}]])
def test_a_run_without_a_result(tmp_path, skipped):
    report = build_report(write_run(tmp_path, skipped, images=5))
    assert report.images == 0
    parts = "1 skipped, 4 not done" if skipped else "5 not done"
    assert f"0 of 5 images ({parts})" in report.table()
    assert "No image has a result yet" in report.table()
    assert math.isnan(report.value("one", "average-drop"))
    report.save(tmp_path / "out")
    assert strict((tmp_path / "out" / "report.json").read_text())["values"] == []


def test_what_is_missing_is_counted_and_said(tmp_path):
    records = [
        record(0, "one", average_drop(0.5), marked=[True, False]),
        record(
            1, "one", {**average_drop(0.5), "energy": {"energy": 0.5, "pairs": 1}}, finite=False
        ),
        {"image": 2, "name": "two.png", "error": "cannot be read"},
        {"image": 3, "name": "three.png", "empty": True},
    ]
    run = write_run(
        tmp_path, records, methods=["one"], metrics=["average-drop", "energy", "segmentation"]
    )
    report = build_report(run, resamples=10)
    table = report.table()
    assert table.startswith("2 of 4 images (1 skipped, 1 without a label)")
    assert "could not be examined: 1 image, two.png: cannot be read." in table
    assert "Without a label to explain: 1 image." in table
    assert "Without the ground truth for energy: 1 image." in table
    assert "Without the ground truth for segmentation: 2 images." in table
    assert "one: 1 of 3 maps have no positive part." in table
    assert "one: 1 image with a map that is not finite" in table
    assert "mIoU" not in table
    images = report.to_dict()["images"]
    assert images["skipped"] == [{"image": 2, "name": "two.png", "error": "cannot be read"}]
    assert images["without_label"] == [{"image": 3, "name": "three.png"}]
    assert images["without_ground_truth"] == {"energy": 1, "segmentation": 2}
    assert [row["images"] for row in report.to_dict()["values"]] == [2, 1]


MULTI_LABEL = {
    "multi-label": {
        name: {"size": 5, "at": [3], "values": [1]}
        for name in ("ic", "ad", "ado", "ar", "aro", "pairs", "shared")
    }
}


@pytest.mark.parametrize(("labels", "shown"), [(1, 0), (2, 7)])
def test_values_of_several_labels_need_an_image_that_has_several(tmp_path, labels, shown):
    records = [record(0, "one", MULTI_LABEL, labels=labels)]
    run = write_run(tmp_path, records, methods=["one"], metrics=["multi-label"])
    assert len(build_report(run, resamples=10).values) == shown


def test_files(run, tmp_path):
    report = build_report(run, resamples=50)
    page = report.save(tmp_path / "new" / "out")
    assert page == tmp_path / "new" / "out" / "report.html"
    names = ["report.csv", "report.html", "report.json"]
    assert sorted(path.name for path in page.parent.iterdir()) == names
    assert strict((page.parent / "report.json").read_text()) == report.to_dict()
    rows = list(csv.DictReader((page.parent / "report.csv").open(newline="")))
    assert tuple(rows[0]) == FIELDS
    assert [(row["method"], row["value"]) for row in rows] == [
        ("one", "average-drop"),
        ("two", "average-drop"),
    ]
    assert float(rows[1]["estimate"]) == report.value("two", "average-drop")
    assert (rows[0]["difference"], rows[0]["p"], rows[0]["direction"]) == ("", "", "lower")


def test_json_holds_the_facts_and_the_best_and_worst(run):
    found = build_report(run, resamples=50).to_dict()
    assert found["run"]["layer"] == "conv2"
    assert found["bootstrap"] == {"resamples": 50, "seed": 0, "level": 0.95}
    assert [one["name"] for one in found["methods"]] == ["one", "two"]
    assert found["methods"][0]["forwards"] == 7
    assert found["extremes"]["value"] == "average-drop"
    best = found["extremes"]["best"]["one"]
    assert best[0] == {"image": 3, "name": "picture 3", "value": 0.4}
    assert [one["image"] for one in best] == [3, 8, 1, 6]


def test_the_order_of_the_records_changes_no_byte(tmp_path):
    draw = random.Random(3)
    records = [
        record(
            image,
            name,
            {**average_drop(draw.random()), **overall(draw.random(), draw.random())},
            deletion=[draw.random() for _ in range(5)],
            insertion=[draw.random() for _ in range(5)],
            shares=[0, 0.3, 0.6 + image % 3 / 20, 0.9, 1],
        )
        for image in range(20)
        for name in ("one", "two")
    ]
    texts = []
    for _ in range(2):
        run = write_run(tmp_path / "run", records, metrics=["average-drop", "overall"])
        build_report(run, resamples=100).save(tmp_path / "out")
        texts.append([(tmp_path / "out" / f"report.{end}").read_bytes() for end in ENDS])
        draw.shuffle(records)
    assert texts[0] == texts[1]


def test_nothing_is_written_where_a_file_cannot_go(run, tmp_path):
    out = tmp_path / "out"
    (out / "report.html").mkdir(parents=True)
    with pytest.raises(IsADirectoryError, match=r"Expected output to be free for a file"):
        build_report(run, resamples=10).save(out)
    assert [path.name for path in out.iterdir()] == ["report.html"]


def test_names_that_are_no_text_can_be_written(tmp_path):
    odd = "caf\udce9 \u2028 ü"  # a byte of another encoding, as the file system gives it
    records = [record(0, "one", average_drop(0.5), name=odd)]
    records.append({"image": 1, "name": odd, "error": f"cannot read {odd}"})
    run = write_run(tmp_path, records, methods=["one"])
    build_report(run, resamples=10).save(tmp_path / "out")
    found = strict((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert found["images"]["skipped"][0]["name"] == odd


def test_methods_with_commas_and_quotes_stay_one_cell(tmp_path):
    name = 'say "hi", twice\nover'
    run = write_run(tmp_path, [record(0, name, average_drop(0.5))], methods=[name])
    build_report(run, resamples=10).save(tmp_path)
    text = (tmp_path / "report.csv").read_bytes().decode()
    assert next(csv.DictReader(io.StringIO(text, newline="")))["method"] == name


def test_the_default_is_enough_resamples_for_two_stars_among_many_methods(run):
    report = build_report(run)
    assert report.estimates["two", "average-drop"].p * 50 <= 0.1
    assert report.resamples == 10_000


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"reference": "three"}, ValueError, "reference to be one of 'one', 'two'"),
        ({"reference": 1}, TypeError, "reference to be one of 'one', 'two'"),
        ({"resamples": 0}, ValueError, "resamples to be an integer of at least 1"),
        ({"resamples": 1.5}, TypeError, "resamples to be an integer of at least 1"),
        ({"seed": -1}, ValueError, "seed to be an integer of at least 0"),
    ],
)
def test_bad_options(run, options, error, message):
    with pytest.raises(error, match=f"Expected {message}"):
        build_report(run, **options)


def test_bad_questions(run):
    report = build_report(run, resamples=10)
    with pytest.raises(ValueError, match=r"Expected method to be one of 'one', 'two', but got 'x'"):
        report.value("x", "average-drop")
    with pytest.raises(ValueError, match=r"Expected the value to be one of .*, but got 'x'"):
        report.value("one", "x")


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"methods": []}, r"the run to have methods with names, but got \[\]"),
        ({"methods": ["one"]}, "the run to have methods with names"),
        ({"metrics": ["beauty"]}, "the run to have metrics of this version"),
    ],
)
def test_damaged_facts(run, facts, message):
    known = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**known, **facts}))
    with pytest.raises(ValueError, match=f"Expected {message}"):
        build_report(run)


def test_a_directory_without_a_run(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"without run.json"):
        build_report(tmp_path)


def test_a_damaged_record_is_named(run):
    with (run / "records-0.jsonl").open("a") as file:
        file.write("no json\n")
    with pytest.raises(ValueError, match=r"records-0.jsonl to hold one record in line 11"):
        build_report(run)


def test_half_a_record_is_left_out(run):
    with (run / "records-0.jsonl").open("a") as file:
        file.write('{"image": 99')
    assert build_report(run, resamples=10).images == 10
