"""Whether the words of a figure can be read: figures whose words may stand inside axes."""

from __future__ import annotations

import itertools

from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from tests.visualization.reading import words


def assert_words_apart(figure: Figure) -> None:
    """No two words overlap, none is cut off by the page, none is tiny."""
    figure.canvas.draw()
    # Text's own: that of an annotation would hold its line as well.
    placed = [(text.get_text(), Text.get_window_extent(text)) for text in words(figure)]
    page = figure.bbox
    for word, box in placed:
        assert box.x0 >= page.x0 - 1, word
        assert box.y0 >= page.y0 - 1, word
        assert box.x1 <= page.x1 + 1, word
        assert box.y1 <= page.y1 + 1, word
    for (one, box), (other, place) in itertools.combinations(placed, 2):
        overlap = Bbox.intersection(box, place)
        assert overlap is None or min(overlap.width, overlap.height) < 1.5, (one, other)
    assert all(text.get_fontsize() >= 9 for text in words(figure))
