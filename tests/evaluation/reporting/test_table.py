"""What the text of a report says of images that are missing, of failures and of few images."""

import math

import pytest

from captum_cluster.evaluation.reporting.page import build_page
from captum_cluster.evaluation.reporting.report import build_report
from captum_cluster.evaluation.reporting.table import reason
from tests.helpers.runs import average_drop, compare_drops, failure, overall, record, write_run


def report_of(folder, records, **options):
    return build_report(write_run(folder, records, **options), resamples=20)


def both(image, drop=0.5):
    return [record(image, name, average_drop(drop)) for name in ("one", "two")]


def broken(image):
    return {"image": image, "error": f"cannot read {image}."}


EMPTY = {"image": 7, "name": "seven", "empty": True}


@pytest.mark.parametrize(
    ("records", "planned", "words"),
    [
        ([*both(0), *both(1)], 2, "2 images"),
        (both(0), 1, "1 image"),
        ([*both(0), broken(1)], 2, "1 of 2 images (1 skipped)"),
        ([*both(0), EMPTY], 2, "1 of 2 images (1 without a label)"),
        ([*both(0), failure(1, "one"), failure(1, "two")], 2, "1 of 2 images (1 failed)"),
        ([failure(0, "one"), both(0)[1]], 1, "1 image"),
        ([*both(0), both(1)[0]], 2, "1 of 2 images (1 not done)"),
        ([*both(0), *both(1)], 1500, "2 of 1,500 images (1,498 not done)"),
        (
            [*both(0), broken(1), broken(2), EMPTY],
            5,
            "1 of 5 images (2 skipped, 1 without a label, 1 not done)",
        ),
    ],
)
def test_how_many_images_the_numbers_are_of(tmp_path, records, planned, words):
    report = report_of(tmp_path, records, images=planned)
    assert report.table().splitlines()[0] == words
    page = build_page(report)
    assert f"by the same measurements: {words}.</p>" in page
    assert f"<dt>Images</dt><dd>{words}</dd>" in page
    assert ("The run is not finished" in page) == ("not done" in words)


def test_the_first_skipped_image_says_why(tmp_path):
    report = report_of(tmp_path, [*both(0), broken(4), broken(3)])
    assert "examined: 2 images, first image 3: cannot read 3.\n" in report.table() + "\n"


FAILED = [
    *(record(image, "one", average_drop(0.5)) for image in range(4)),
    record(0, "two", average_drop(0.2)),
    failure(2, "two", "ValueError: flat <b>map</b>"),
    failure(1, "two"),
    failure(3, "two"),
]


def test_failures_are_told_in_the_table_the_json_and_the_page(tmp_path):
    report = report_of(tmp_path, FAILED)
    told = (
        "two failed on 3 images, which its numbers leave out: picture 1: RuntimeError: svd did not "
        "converge; picture 2: ValueError: flat <b>map</b>."
    )
    assert told in report.table().splitlines()
    assert report.to_dict()["failed"] == {
        "two": {
            "images": 3,
            "first": [
                {"image": 1, "name": "picture 1", "error": "RuntimeError: svd did not converge"},
                {"image": 2, "name": "picture 2", "error": "ValueError: flat <b>map</b>"},
            ],
        }
    }
    page = build_page(report)
    section = page.split("<h2>Methods that failed</h2>")[1]
    assert '<th scope="row">two</th><td>3 images</td>' in section
    assert "picture 2: ValueError: flat &lt;b&gt;map&lt;/b&gt;" in section
    assert page.count("<td>failed</td>") == 3


def test_the_order_of_failures_changes_nothing(tmp_path):
    records = [*FAILED, broken(8), broken(5)]
    first = report_of(tmp_path, records)
    again = report_of(tmp_path, records[::-1])
    assert first.to_dict() == again.to_dict()
    assert build_page(first) == build_page(again)


def test_without_failures_nothing_is_said_of_them(tmp_path):
    report = report_of(tmp_path, both(0))
    assert report.to_dict()["failed"] == {}
    assert "failed" not in report.table()
    assert "Methods that failed" not in build_page(report)


def test_ground_truth_is_counted_over_what_any_method_has(tmp_path):
    records = [
        record(0, "one", average_drop(0.5)),
        failure(0, "two"),
        failure(1, "one"),
        record(1, "two", average_drop(0.5)),
    ]
    assert report_of(tmp_path, records).without_truth == {}


def test_one_image_has_no_interval(tmp_path):
    report = report_of(tmp_path, both(0, 0.25))
    lines = report.table().splitlines()
    assert lines[3:5] == ["one     0.250", "two     0.250"]
    assert "Ranges are" not in report.table()
    assert "Intervals of fewer than 20 images are rough; one image gives none." in lines
    assert [row["low"] for row in report.to_dict()["values"]] == [None, None]
    page = build_page(report)
    assert '<span class="interval">-</span>' in page
    assert 'title="1 image"' in page
    assert "nan" not in page.split("<table")[1].split("</table>")[0]


def test_one_image_beside_a_method_with_an_interval(tmp_path):
    report = report_of(tmp_path, FAILED)
    assert math.isnan(report.estimates["two", "average-drop"].low)
    assert report.table().splitlines()[3] == "one     0.500 [0.500, 0.500]"
    assert "Ranges are" in report.table()
    page = build_page(report)
    assert '<td class="number">-0.300</td><td class="number">-</td>' in page
    places = page.split('class="track" aria-hidden="true">')[1:]
    assert [one.split("</span>")[0] for one in places] == [
        '<i style="left:100.0%;width:0.0%"></i><b style="left:100.0%"></b>',
        '<i style="left:0.0%;width:0.0%"></i><b style="left:0.0%"></b>',
    ]


@pytest.mark.parametrize(("images", "rough"), [(19, True), (20, False)])
def test_few_images_are_rough(tmp_path, images, rough):
    run = compare_drops(tmp_path, [0.1 * (i % 3) for i in range(images)], [0.5] * images)
    table = build_report(run, resamples=20).table()
    assert ("Intervals of fewer than 20 images are rough; one" in table) == rough


def test_the_values_of_few_images_are_named(tmp_path):
    records = [
        record(i, name, {**average_drop(0.5), **(overall(0.5, 0.1) if i < 5 else {})})
        for i in range(25)
        for name in ("one", "two")
    ]
    table = report_of(tmp_path, records, metrics=["average-drop", "overall"]).table()
    assert "images are rough (Insertion - Deletion); one image gives none." in table


def test_reasons_fit_on_a_line_of_any_terminal():
    text = reason(1, "caf\udce9", "a\n\tb \x1b[31m " + "x" * 300)
    assert text.startswith("caf\\udce9: a b \\x1b[31m xxx")
    assert text.endswith("x…")
    assert len(text) < 220
    assert text.encode()
