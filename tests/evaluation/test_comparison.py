"""Several methods on one image."""

import pytest
import torch
from PIL import Image

from captum_cluster import compare
from tests.helpers.nets import SmallNet, images


@pytest.fixture(scope="module")
def comparison():
    return compare(
        SmallNet().float().eval(),
        images(1, size=32, dtype=torch.float32),
        ["grad-cam", "score-cam", "cluster-cam", "gradcam++"],
        target=1,
        layer="relu2",
    )


def test_one_subject_for_all(comparison):
    assert [one.method for one in comparison.explanations] == [
        "grad-cam",
        "score-cam",
        "cluster-cam",
        "gradcam++",
    ]
    assert {one.subject for one in comparison.explanations} == {comparison.subject}
    assert [one.forwards for one in comparison.explanations] == [1, 13, 7, 1]


def test_the_figure_names_each_method_with_time_and_passes(comparison):
    figure = comparison.figure()
    words = " ".join(text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text")))
    for one in comparison.explanations:
        assert one.method in words
        assert f"{one.seconds:.2f} s" in words
    assert "13 forward passes" in words
    assert "1 forward pass" in words


def test_save(comparison, tmp_path):
    path = comparison.save(tmp_path / "new")
    assert path.name == "image-comparison.png"
    assert Image.open(path).size[0] > 500
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("methods", [[], "grad-cam"])
def test_methods_must_be_a_list(methods):
    with pytest.raises(ValueError, match="Expected methods to be a list of names"):
        compare(SmallNet().eval(), images(1), methods)


def test_an_unknown_method_stops_before_anything_runs():
    with pytest.raises(ValueError, match="'scorecm'"):
        compare(SmallNet().eval(), images(1), ["grad-cam", "scorecm"])


def test_many_methods_go_on_in_another_row():
    image, layer = images(1, size=16, dtype=torch.float32), "relu2"
    many = compare(SmallNet().float().eval(), image, ["grad-cam"] * 7, layer=layer)
    places = [axes.get_position() for axes in many.figure().axes]
    assert len(places) == 8
    assert len({round(place.y1, 3) for place in places}) == 2
