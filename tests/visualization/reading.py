"""What can be read on a figure, and where."""

from __future__ import annotations

import itertools

from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox


def words(figure: Figure) -> list[Text]:
    """All words of a figure that are drawn and not empty."""
    beyond = {
        label
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks()
        for label in (tick.label1, tick.label2)
        # Matplotlib keeps ticks beyond the ends of an axis, and does not draw them.
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
    }
    return [
        text
        for text in figure.findobj(Text)
        if text.get_text() and text.get_visible() and text not in beyond
    ]


def boxes(figure: Figure) -> list[Bbox]:
    """The places of all words and pictures, in pixels."""
    figure.canvas.draw()
    places = [text.get_window_extent() for text in words(figure)]
    return places + [axes.get_window_extent() for axes in figure.axes]


def assert_readable(figure: Figure) -> None:
    """Nothing overlaps, nothing is clipped, no letter is tiny."""
    places = boxes(figure)
    page = figure.bbox
    for place in places:
        assert place.x0 >= page.x0 - 1, place
        assert place.y0 >= page.y0 - 1, place
        assert place.x1 <= page.x1 + 1, place
        assert place.y1 <= page.y1 + 1, place
    for one, other in itertools.combinations(places, 2):
        overlap = Bbox.intersection(one, other)
        assert overlap is None or min(overlap.width, overlap.height) < 1.5, (one, other)
    assert all(text.get_fontsize() >= 9 for text in words(figure))
