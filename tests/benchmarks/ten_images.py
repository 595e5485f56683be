"""A figure of ten photographs, one of each class, by every method.

    python -m tests.benchmarks.ten_images --output out --cache out

With the cache of `tests/benchmarks/faithfulness.py` its maps are used and not made again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from captum_cluster.visualization import Panel, overlay, save_figure, side_by_side
from tests.benchmarks.faithfulness import METHODS, Cache, halves
from tests.helpers.realdata import data_folder, load_photographs, load_resnet18

MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
DEVIATION = torch.tensor([0.229, 0.224, 0.225])[:, None, None]


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw ten photographs by every method.")
    parser.add_argument("--output", default=".", help="folder of the figure")
    parser.add_argument("--methods", help="names with ; between them (default: all)")
    parser.add_argument("--cache", help="folder where maps are kept")
    options = parser.parse_args()
    model = load_resnet18(data_folder())
    names = options.methods.split(";") if options.methods else list(METHODS)
    cache = Cache(options.cache)
    by_class = {one.class_index: one for one in halves(load_photographs(data_folder(), 15))["B"]}
    panels = []
    for index in sorted(by_class):
        photograph = by_class[index]
        picture = (photograph.image * DEVIATION + MEAN).clamp(0, 1)
        panels.append(Panel(picture, title="" if panels else "input"))
        for name in names:
            maps = cache.maps(name, model, photograph)["maps"]
            title = name if len(panels) <= len(names) else ""
            panels.append(Panel(overlay(picture, maps), title=title))
    figure = side_by_side(panels, rows=[f"class {index}" for index in sorted(by_class)])
    print(save_figure(figure, Path(options.output) / "ten-images.png", dpi=80))


if __name__ == "__main__":
    main()
