"""Charts that stand inside a page."""

import re
import xml.etree.ElementTree as ET

import pytest

from captum_cluster.evaluation.reporting.plots import _looks, cost_plot, curve_plot
from captum_cluster.evaluation.reporting.report import build_report
from tests.helpers.runs import average_drop, overall, record, write_run

CURVES = {"deletion": [0.9, 0.5, 0.1], "insertion": [0.1, 0.6, 0.9]}


def report(folder, methods, sums=None, metrics=("overall",), **other):
    sums = overall(0.7, 0.2) if sums is None else sums
    records = [record(image, name, sums, **other) for image in range(3) for name in methods]
    run = write_run(folder, records, methods=methods, metrics=metrics)
    return build_report(run, resamples=20)


def words(svg):
    return [one.text for one in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_charts_name_every_method_and_axis(tmp_path):
    found = report(tmp_path, ["one", "two"], **CURVES)
    curves, costs = words(curve_plot(found)), words(cost_plot(found))
    for word in (" one", " two", "Deletion ↓", "Insertion ↑", "share of the pixels removed"):
        assert word in curves
    for word in (" one", " two", "forward passes for one image", "Insertion - Deletion ↑"):
        assert word in costs


def test_lines_have_the_methods_colours(tmp_path):
    svg = curve_plot(report(tmp_path, ["one", "two"], **CURVES))
    assert svg.count("stroke: #0072b2") == svg.count("stroke: #d55e00") == 3  # two and the legend's


def test_a_chart_takes_its_colours_from_the_page_and_brings_no_styles(tmp_path):
    for svg in (curve_plot(found := report(tmp_path, ["one"], **CURVES)), cost_plot(found)):
        assert svg.startswith("<svg")
        assert "currentColor" in svg
        assert "var(--line)" in svg
        assert "#010203" not in svg
        assert not re.search("<style|<metadata|<script|<image", svg)
        assert not re.search(r'(href|src)="(?!#)', svg)


def test_ids_of_two_charts_differ(tmp_path):
    found = report(tmp_path, ["one"], **CURVES)
    first, second = (
        set(re.findall(r' id="([^"]*)"', plot(found))) for plot in (curve_plot, cost_plot)
    )
    assert first
    assert second
    assert not first & second


def test_the_same_report_gives_the_same_charts(tmp_path):
    found = report(tmp_path, ["one", "two"], **CURVES)
    assert curve_plot(found) == curve_plot(found)
    assert cost_plot(found) == cost_plot(found)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "_hidden", "$x^2$", "a & b", "方法"])
def test_odd_names_are_words(tmp_path, name):
    found = report(tmp_path, [name], **CURVES)
    for svg in (curve_plot(found), cost_plot(found)):
        assert f" {name}" in words(svg)
        assert "<script" not in svg


def test_long_names_are_cut(tmp_path):
    assert " " + 27 * "x" + "…" in words(cost_plot(report(tmp_path, [40 * "x"])))


def test_without_curves_there_is_no_chart_of_them(tmp_path):
    assert curve_plot(report(tmp_path, ["one"])) == ""


def test_cost_against_average_drop_where_there_are_no_curves(tmp_path):
    found = report(tmp_path, ["one"], average_drop(0.5), ["average-drop"])
    assert "Average Drop ↓" in words(cost_plot(found))
    energy = {"energy": {"energy": 0.5, "pairs": 1}}
    assert cost_plot(report(tmp_path, ["one"], energy, ["energy"])) == ""


def test_a_method_without_passes_has_no_place_on_a_logarithmic_axis(tmp_path):
    assert cost_plot(report(tmp_path, ["one"], forwards=0)) == ""
    records = [
        record(0, name, overall(0.7, 0.2), forwards=name == "two") for name in ("one", "two")
    ]
    found = write_run(tmp_path, records, metrics=["overall"])
    svg = cost_plot(build_report(found, resamples=20))
    assert " one" not in words(svg)
    assert " two" in words(svg)


def test_two_dozen_methods_look_different(tmp_path):
    looks = _looks(report(tmp_path, [f"m{number}" for number in range(24)])).values()
    assert len({(one.color, one.line) for one in looks}) == 24
    assert len({(one.color, one.marker) for one in looks}) == 24


@pytest.mark.parametrize("count", [2, 24, 40])
def test_every_name_stands_inside_the_chart(tmp_path, count):
    found = report(tmp_path, [f"m{number:02}" for number in range(count)], **CURVES)
    for svg in (curve_plot(found), cost_plot(found)):
        root = ET.fromstring(svg)
        _, _, _, height = map(float, root.attrib["viewBox"].split())
        named = [
            float(one.attrib["y"])
            for one in root.iter("{http://www.w3.org/2000/svg}text")
            if re.fullmatch(r" m\d\d", one.text or "")
        ]
        assert len(named) == count
        assert 9 < min(named) < max(named) < height


@pytest.mark.parametrize(
    "forwards", [(1,), (7, 7), (7, 9), (3.5, 4), (11, 60), (1, 513), (1, 4000)]
)
def test_the_axis_of_costs_has_numbers(tmp_path, forwards):
    records = [record(0, f"m{i}", overall(0.7, 0.2), forwards=f) for i, f in enumerate(forwards)]
    names = [f"m{place}" for place in range(len(forwards))]
    run = write_run(tmp_path, records, methods=names, metrics=["overall"])
    shown = words(cost_plot(build_report(run, resamples=10)))
    across = shown[: shown.index("forward passes for one image")]
    ticks = [float(word.replace(",", "")) for word in across]
    assert 2 <= len(ticks) <= 10
    # A number on either side, or near enough to read the cost by.
    assert min(ticks) <= 2.5 * min(forwards)
    assert max(ticks) >= max(forwards) / 10
    assert all(str(tick).strip("0.")[0] in "125" for tick in ticks)


def test_curves_stand_at_their_shares(tmp_path):
    even = curve_plot(report(tmp_path, ["one"], **CURVES))
    odd = curve_plot(report(tmp_path, ["one"], **CURVES, shares=[0, 0.8, 1]))
    places = [
        [float(x) for x, _ in re.findall(r"([\d.]+) ([\d.]+)", line)]
        for svg in (even, odd)
        for line in re.findall(r'<path d="([^"]*)"[^>]*stroke: #0072b2', svg)[:1]
    ]
    for (left, middle, right), share in zip(places, (0.5, 0.8), strict=True):
        assert (middle - left) / (right - left) == pytest.approx(share, abs=1e-3)
