"""The pictures of a page: maps over images, as data URIs, with the words below them."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from captum_cluster.evaluation.reporting.table import number
from captum_cluster.evaluation.running.examination import decode_thumbnail
from captum_cluster.visualization import overlay

if TYPE_CHECKING:
    from captum_cluster.evaluation.reporting.report import Report

_SIDE = 160
_QUALITY = 78

Picture = NDArray[np.uint8]
Look = Callable[[int], Picture | None]
"""Gives the small picture of an image; None where there is none."""


def gallery_rows(report: Report, look: Look) -> list[dict[str, Any]]:
    """Return the rows of the gallery: an image and one of its labels, with all methods."""
    rows = []
    for image in report.gallery.images:
        known = [name for name in report.methods if (image, name) in report.gallery.shown]
        first = report.gallery.shown[image, known[0]]
        picture = look(image)
        for place, target in enumerate(first.targets):
            cells = [
                _cell(report, image, method, look, place)
                if method in known
                else _absent(report, image, method)
                for method in report.methods
            ]
            rows.append(
                {
                    "picture": None if picture is None or place else _uri(picture),
                    "name": "" if place else first.name or f"image {image}",
                    "label": _label(report, target),
                    "cells": cells,
                }
            )
    return rows


def extreme_rows(report: Report, look: Look) -> list[dict[str, Any]]:
    """Return the best and worst images of each method."""
    return [
        {
            "method": method,
            "kinds": [
                (kind, [_cell(report, image, method, look, 0) for image in chosen[method]])
                for kind, chosen in (("best", report.gallery.best), ("worst", report.gallery.worst))
                if chosen[method]
            ],
        }
        for method in report.methods
        if report.gallery.best.get(method)
    ]


def _cell(report: Report, image: int, method: str, look: Look, place: int) -> dict[str, Any]:
    """Return the map of one of an image's labels over the picture, with its words."""
    shown = report.gallery.shown[image, method]
    name = shown.name or f"image {image}"
    label, uri, empty = "", "", False
    if place < len(shown.thumbnails):
        marks = decode_thumbnail(shown.thumbnails[place]).astype(np.float32)
        label, empty = _label(report, shown.targets[place]), not marks.any()
        uri = _uri(_over(look(image), marks))
    return {
        "uri": uri,
        "words": "-",
        "alt": f"{method} on {name}, {label}",
        "name": name,
        "label": label,
        # The value is the image's, not the label's: it stands once.
        "value": "" if place else number(shown.value),
        "empty": empty,
    }


def _absent(report: Report, image: int, method: str) -> dict[str, Any]:
    """Return the cell of a method that has no map of an image."""
    return {"uri": "", "words": "failed" if image in report.totals.failed[method] else "-"}


def _label(report: Report, target: int) -> str:
    """Return what a label is called."""
    names: Sequence[str] = report.facts.get("categories") or ()
    return str(names[target]) if target < len(names) else f"label {target}"


def small_picture(pictures: Callable[[int], Tensor | None] | None, image: int) -> Picture | None:
    """Return the picture of an image at the size shown; None where there is none."""
    if pictures is None:
        return None
    try:
        found = pictures(image)
    except (OSError, ValueError):  # a file may be gone by now: the numbers need it no more
        return None
    if found is None:
        return None
    pixels = (found.detach().cpu().float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
    small = Image.fromarray(pixels.numpy())
    small.thumbnail((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    return np.asarray(small)


def _over(picture: Picture | None, marks: NDArray[np.float32]) -> Picture:
    """Return a saliency map over the picture, or alone where there is none."""
    if picture is not None:
        return overlay(picture, marks)
    scale = _SIDE / max(marks.shape)
    size = [max(1, round(side * scale)) for side in marks.shape]
    return overlay(np.zeros((*size, 3), dtype=np.uint8), marks, alpha=1.0)


def _uri(pixels: Picture) -> str:
    """Return a picture as a data URI."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="JPEG", quality=_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
