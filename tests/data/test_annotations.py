import pytest

from captum_cluster.data.annotations import read_annotation
from tests.helpers.trees import annotation, write_text


def test_objects_in_order_with_their_boxes(tmp_path):
    text = annotation([("cat", 0, 1, 2, 3.5, 4), ("dog", 1, 5, 6, 7, 8)], size=(10, 20))
    found = read_annotation(write_text(tmp_path / "a.xml", text))
    assert [(item.name, item.box, item.difficult) for item in found.objects] == [
        ("cat", (1.0, 2.0, 3.5, 4.0), False),
        ("dog", (5.0, 6.0, 7.0, 8.0), True),
    ]
    assert found.size == (10, 20)


@pytest.mark.parametrize("size", [None, (0, 0)])
def test_without_size_and_objects(tmp_path, size):
    found = read_annotation(write_text(tmp_path / "a.xml", annotation([], size=size)))
    assert found.objects == ()
    assert found.size is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation>", "no element found"),
        ("", "no element found"),
        ("<a><object/></a>", "an object without a name"),
        ("<a><object><name>cat</name></object></a>", "an object without bndbox/xmin"),
        (annotation([("cat", 0, 1, "x", 3, 4)]), "could not convert string to float"),
    ],
)
def test_damaged_files_are_named(tmp_path, text, message):
    path = write_text(tmp_path / "a.xml", text)
    with pytest.raises(
        ValueError, match=rf"XML in the form of VOC, but got '.*a\.xml': .*{message}"
    ):
        read_annotation(path)
