"""Annotations in the XML form of PASCAL VOC, which ImageNet uses too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from captum_cluster._checks import expected
from captum_cluster.data.boxes import Box

CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class AnnotatedObject:
    """One object: the name of its class, its box as it is written, and VOC's mark."""

    name: str
    box: Box
    difficult: bool


@dataclass(frozen=True)
class Annotation:
    """The objects of a picture, and its height and width if the file says so."""

    objects: tuple[AnnotatedObject, ...]
    size: tuple[int, int] | None


def read_annotation(path: Path) -> Annotation:
    """Return what an XML file of VOC's form says of a picture.

    Raises:
        ValueError: It is no XML, or an object lacks its name or a corner; the message names it.
        OSError: It cannot be read.

    Example:
        >>> import tempfile
        >>> text = '''<annotation><object><name>cat</name><bndbox><xmin>1</xmin><ymin>2</ymin>
        ... <xmax>5</xmax><ymax>6</ymax></bndbox></object></annotation>'''
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.xml").write_text(text)
        ...     read_annotation(Path(folder, "a.xml")).objects[0].box
        (1.0, 2.0, 5.0, 6.0)
    """
    try:
        root = ElementTree.parse(path).getroot()
        return Annotation(tuple(map(_object, root.iter("object"))), _size(root))
    except (ElementTree.ParseError, ValueError) as error:
        got = f"{str(path)!r}: {error}"
        raise ValueError(expected("the annotation", "XML in the form of VOC", got)) from error


def _object(node: ElementTree.Element) -> AnnotatedObject:
    name = node.findtext("name", "").strip()
    if not name:
        raise ValueError("an object without a name")
    # Not by iter: the parts of VOC's persons have boxes too.
    x0, y0, x1, y1 = (_number(node, f"bndbox/{corner}") for corner in CORNERS)
    return AnnotatedObject(name, (x0, y0, x1, y1), node.findtext("difficult", "0").strip() == "1")


def _number(node: ElementTree.Element, path: str) -> float:
    text = node.findtext(path, "").strip()
    if not text:
        raise ValueError(f"an object without {path}")
    return float(text)


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    """Return height and width; some files say 0 where they mean that it is unknown."""
    height, width = (root.findtext(f"size/{side}", "0").strip() for side in ("height", "width"))
    size = int(float(height or 0)), int(float(width or 0))
    return size if min(size) > 0 else None
