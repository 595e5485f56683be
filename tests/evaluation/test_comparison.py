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


def test_a_row_for_each_label():
    net, image = SmallNet().float().eval(), images(1, size=32, dtype=torch.float32)
    found = compare(net, image, ["cam", "minmax-cam"], layer="relu2", labels=[4, 1])
    assert [(one.target, one.method) for one in found.explanations] == [
        (4, "cam"),
        (4, "minmax-cam"),
        (1, "cam"),
        (1, "minmax-cam"),
    ]
    plain, contrasted = found.explanations[0].maps, found.explanations[1].maps
    assert torch.allclose(contrasted, plain - found.explanations[2].maps, atol=1e-6)
    figure = found.figure()
    labels = [text.get_text() for text in figure.texts]
    assert "class 4" in labels
    assert "class 1" in labels
    assert len(figure.axes) == 6
    assert len({round(axes.get_position().y1, 3) for axes in figure.axes}) == 2


def test_a_map_without_a_positive_part_says_so():
    net, image = SmallNet().float().eval(), images(1, size=32, dtype=torch.float32)
    with torch.no_grad():
        net.fc.weight[2] = -net.fc.weight[1].abs()
    found = compare(net, image, ["cam", "cluster-cam"], 2, "relu2")
    assert (found.explanations[0].maps <= 0).all()
    captions = [axes.get_xlabel() for axes in found.figure().axes]
    assert "no positive part" in captions[1]
    assert "no positive part" not in captions[2]


def test_predicted_labels():
    net, image = SmallNet().float().eval(), images(1, size=32, dtype=torch.float32)
    with torch.no_grad():
        logits = net(image)[0]
        net.fc.bias += torch.tensor([1.0, -1.0, 1.0, -1.0, -1.0]) * 9 - logits
    found = compare(net, image, ["minmax-grad-cam"], layer="relu2", labels="predicted")
    assert [one.target for one in found.subjects] == [0, 2]
    with torch.no_grad():
        net.fc.bias -= 30
    with pytest.raises(ValueError, match="to predict a label with a sigmoid above 0.5"):
        compare(net, image, ["minmax-grad-cam"], layer="relu2", labels="predicted")


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([], "a list of class indices"),
        ("all", "class indices or 'predicted'"),
        ([1, 5], "labels to be an integer from 0 to 4, but got 5"),
        (3, "a list of class indices"),
    ],
)
def test_labels_that_are_none(labels, words):
    with pytest.raises(ValueError, match=words):
        compare(SmallNet().float().eval(), images(1).float(), ["cam"], labels=labels)


def test_a_target_and_labels():
    with pytest.raises(ValueError, match="target to be None where labels are given"):
        compare(SmallNet().float().eval(), images(1).float(), ["cam"], 1, labels=[1])
