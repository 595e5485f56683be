"""The page of a report: what it shows, that names stay text, that it needs nothing else."""

import base64
import html
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

from captum_cluster.evaluation.reporting import page as page_module
from captum_cluster.evaluation.reporting.page import build_page
from captum_cluster.evaluation.reporting.report import build_report
from captum_cluster.evaluation.running.examination import thumbnail
from tests.helpers.runs import average_drop, compare_drops, overall, record, write_run

CURVES = {"deletion": [0.9, 0.5, 0.1], "insertion": [0.1, 0.6, 0.9]}
EVIL = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"
VOID = {"meta", "link", "br", "img"}


class Outline(HTMLParser):
    """Checks that tags are closed in order, and collects elements and words."""

    def __init__(self):
        super().__init__()
        self.open, self.elements, self.words = [], [], []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def outline(page):
    found = Outline()
    found.feed(page)
    found.close()
    assert found.open == []
    return found


def tags(page, tag):
    return [attributes for name, attributes in outline(page).elements if name == tag]


def run_of(folder, methods=("one", "two"), images=3, **other):
    records = [
        record(image, name, {**overall(0.5 + image / 10, 0.1), **average_drop(0.5)}, **CURVES)
        for image in range(images)
        for name in methods
    ]
    for one in records:
        one.update(other)
    return write_run(folder, records, methods=methods, metrics=["average-drop", "overall"])


@pytest.fixture
def charts():
    """Have real charts in the page."""


@pytest.fixture(autouse=True)
def plain_charts(request, monkeypatch):
    """Replace the charts, which take their time, where no test asks for them."""
    if "charts" not in request.fixturenames:
        monkeypatch.setattr(page_module, "curve_plot", lambda report: "<svg></svg>")
        monkeypatch.setattr(page_module, "cost_plot", lambda report: "<svg></svg>")


@pytest.fixture
def report(tmp_path):
    return build_report(run_of(tmp_path / "run"), resamples=50)


def picture(image):
    return torch.full((3, 30, 20), image / 10)


def pictures_in(page):
    """Return the pictures of a page as arrays."""
    found = []
    for attributes in tags(page, "img"):
        kind, data = attributes["src"].split(",")
        assert kind == "data:image/jpeg;base64"
        found.append(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))))
    return found


def test_the_page_has_every_part(report, charts):
    page = build_page(report)
    words = " ".join(outline(page).words)
    for part in (
        "The run",
        "Results",
        "Differences from one",
        "Deletion and insertion",
        "Cost against faithfulness",
        "Images by methods",
        "Best and worst images",
        "Insertion - Deletion",
        "those that the image has",
        "SmallNet",
        "class DigitScenes, length 9",
        "3 images",
    ):
        assert part in words
    assert "Skipped images" not in words
    assert page.count("<svg") == 2


def test_the_page_needs_nothing_but_itself(report, charts):
    page = build_page(report, picture)
    for _, attributes in outline(page).elements:
        for name in ("src", "href", "xlink:href", "action", "data", "srcset"):
            assert re.match(r"data:|#|$", attributes.get(name) or "")
    assert not re.search(r"@import|url\((?!#)", page)
    policy = tags(page, "meta")[-1]["content"]
    assert policy.startswith("default-src 'none'")


def test_names_stay_text(tmp_path, charts):
    methods = [EVIL, f"{EVIL}2"]
    facts = {"categories": [EVIL], "model": EVIL, "layer": EVIL, "dataset": {EVIL: EVIL}}
    records = [
        record(image, name, overall(0.5, 0.1), name=EVIL, targets=[0], **CURVES)
        for image in range(2)
        for name in methods
    ]
    records.append({"image": 7, "name": EVIL, "error": EVIL})
    folder = write_run(tmp_path, records, methods=methods, metrics=["overall"], **facts)
    page = build_page(build_report(folder, resamples=10))
    found = outline(page)
    assert [tag for tag, _ in found.elements].count("script") == 1
    assert not any("onerror" in attributes for _, attributes in found.elements)
    assert "alert" not in page.split("<script>")[1]
    assert page.count(html.escape(EVIL)[:20]) > 10


def test_the_best_of_each_column_is_bold(tmp_path):
    folder = compare_drops(tmp_path, [0.2, 0.2, 0.1], [0.2, 0.3, 0.4])
    page = build_page(build_report(folder, resamples=50))
    cells = re.findall(r'class="number( best)?" data-value="([^"]*)" title', page)
    assert [best for best, _ in cells] == ["", " best"]
    assert float(cells[1][1]) == pytest.approx(0.5 / 3)


def test_values_that_read_the_same_are_both_the_best(tmp_path):
    folder = compare_drops(tmp_path, [0.2, 0.2 + 1e-7], [0.2, 0.2])
    page = build_page(build_report(folder, resamples=50))
    assert page.count('class="number best"') == 2


def test_marks_and_intervals_are_shown(tmp_path):
    theirs = [0.6, 0.5, 0.7, 0.4, 0.55, 0.65, 0.5, 0.6, 0.45]
    folder = compare_drops(tmp_path, [one - 0.3 for one in theirs], theirs)
    report = build_report(folder, resamples=999)
    page = build_page(report)
    one = report.estimates["two", "average-drop"]
    assert f'<span class="interval">{one.low:.3f} to {one.high:.3f}</span>' in page
    assert '<span class="figure">0.250</span> <span class="mark">**</span>' in page
    assert '<td class="number">-0.300 to -0.300</td>' in page


def test_the_gallery_shows_maps_over_pictures(report):
    page = build_page(report, picture)
    alone = build_page(report)
    # 3 images by 2 methods, and best and worst of 3 images for each method.
    assert len(pictures_in(alone)) == 3 * 2 + 3 * 2
    found = pictures_in(page)
    assert len(found) == 3 * 3 + 3 * 2
    assert found[0].shape == (30, 20, 3)
    assert abs(found[3].astype(int) - 0.1 * 255).max() <= 3  # image 1, without a map
    assert pictures_in(alone)[0].shape == (160, 160, 3)


def test_each_picture_is_asked_for_once(report):
    asked = []
    build_page(report, lambda image: asked.append(image) or picture(image))
    assert sorted(asked) == [0, 1, 2]


@pytest.mark.parametrize("error", [FileNotFoundError, ValueError])
def test_pictures_that_are_gone_leave_the_maps(report, error):
    def gone(image):
        raise error("gone")

    assert build_page(report, gone) == build_page(report, lambda image: None) == build_page(report)


def test_large_pictures_are_made_small(report):
    found = pictures_in(build_page(report, lambda image: torch.rand(3, 400, 800)))
    assert {one.shape for one in found} == {(80, 160, 3)}


def test_a_map_without_a_positive_part_says_so(tmp_path):
    folder = run_of(tmp_path, thumbnails=[thumbnail(torch.zeros(8, 8))])
    page = build_page(build_report(folder, resamples=10))
    assert "no positive part" in page


def test_several_labels_have_a_row_each(tmp_path):
    folder = run_of(tmp_path, targets=[3, 5], thumbnails=[thumbnail(torch.eye(8))] * 2, labels=2)
    page = build_page(build_report(folder, resamples=10), picture)
    rows = page.split('class="pictures"')[1].split("</table>")[0].count("<tr>")
    assert rows == 1 + 3 * 2
    assert "label 3" in page
    assert "label 5" in page


def test_labels_have_the_names_of_their_categories(tmp_path):
    records = [record(0, "one", average_drop(0.5), targets=[1])]
    for categories, word in ((["cat", "tench"], "tench"), (["cat"], "label 1"), (None, "label 1")):
        folder = write_run(tmp_path, records, methods=["one"], categories=categories)
        assert word in build_page(build_report(folder, resamples=10))


def test_records_without_maps_still_give_a_page(tmp_path):
    folder = run_of(tmp_path, thumbnails=[])
    page = build_page(build_report(folder, resamples=10))
    assert tags(page, "img") == []
    assert "Best and worst images" in page


def test_an_image_that_only_one_method_has(tmp_path):
    records = [record(0, "two", overall(0.5, 0.1))]
    folder = write_run(tmp_path, records, metrics=["overall"], images=4)
    page = build_page(build_report(folder, resamples=10))
    outline(page)
    assert "The run is not finished: 0 of 4 images (4 not done)" in page


def test_skipped_images_are_listed(tmp_path):
    records = [{"image": i, "name": f"file {i}", "error": f"broken {i}"} for i in range(203)]
    page = build_page(build_report(write_run(tmp_path, records)))
    outline(page)
    assert "broken 199" in page
    assert "broken 200" not in page
    assert "And 3 more, listed in report.json." in page
    assert "No image has a result yet" in page


def test_options_of_methods_are_shown(tmp_path):
    wide = {"name": "wide", "method": "cluster-cam", "options": {"n_clusters": 9}, "layer": None}
    records = [record(0, name, average_drop(0.5)) for name in ("one", "wide")]
    folder = write_run(tmp_path, records, methods=["one", wide])
    page = build_page(build_report(folder, resamples=10))
    assert "<dt>wide</dt><dd><code>method cluster-cam, options n_clusters 9</code></dd>" in page
    assert "<dt>one</dt>" not in page


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
SORT = """<script>
const heads = document.querySelectorAll("table.sortable th button");
const order = () => [...document.querySelectorAll("table.sortable tbody th")]
  .map((head) => head.firstChild.textContent.trim()).join(" ");
const found = [order()];
for (const place of [1, 1, 0]) { heads[place].click(); found.push(order()); }
console.log("wide " + (document.documentElement.scrollWidth > innerWidth));
document.body.dataset.found = found.join("; ");
</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_a_browser_opens_the_page_and_sorts_the_table(tmp_path, charts):
    drops = {"b": 0.4, "a": 0.2, "c": 0.3}
    records = [
        record(i, name, {**average_drop(drop), **overall(0.5, 0.1)}, **CURVES)
        for i in range(3)
        for name, drop in drops.items()
    ]
    run = write_run(tmp_path, records, methods=list(drops), metrics=["average-drop", "overall"])
    page = build_page(build_report(run, resamples=10), picture)
    (tmp_path / "page.html").write_text(page.replace("</body>", SORT + "</body>"), "utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += ["--enable-logging=stderr", "--v=0", "--window-size=600,800"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", f"file://{tmp_path / 'page.html'}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert 'data-found="b a c; a c b; b c a; a b c"' in done.stdout
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert len(said) == 1
    assert "wide false" in said[0]
