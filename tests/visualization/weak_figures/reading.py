"""What a figure's pictures and legend show."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure


def pixels(axes: Axes) -> Any:
    """The picture (H,W,3) in the axes."""
    return np.asarray(axes.images[0].get_array())


def legend_words(figure: Figure) -> list[str]:
    """The words of the legend, in order."""
    return [text.get_text() for text in figure.legends[0].get_texts()]


def legend_colours(figure: Figure) -> dict[str, tuple[float, float, float]]:
    """The colour beside each word of the legend."""
    handles = figure.legends[0].legend_handles
    return {
        word: to_rgb(handle.get_facecolor())
        for word, handle in zip(legend_words(figure), handles, strict=True)
    }
