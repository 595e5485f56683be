"""The command ``evaluate``: its arguments, and what it prints."""

from __future__ import annotations

import argparse
import os
from typing import Any

from captum_cluster._checks import expected
from captum_cluster.cli.options import given_options, names

_LISTS = ("methods", "metrics", "layer")


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``evaluate``.

    None of them has a default of its own: those given go before the configuration file's, and
    what is in neither is left to ``RunConfig``.
    """
    parser.add_argument("--config", metavar="FILE", help="a YAML file of these options")
    parser.add_argument(
        "--data",
        metavar="KIND:PATH",
        help="folder:DIR[,BOXES.csv], imagenet-boxes:DIR, voc:DIR, sbd:DIR, coco:IMAGES,JSON, "
        "masks:IMAGES,MASKS, cub:DIR, tags:IMAGES,CSV, grids:DIR or digit-scenes:NUMBER",
    )
    parser.add_argument(
        "--model", help="a torchvision model, or digit-net, the demo's (default: resnet18)"
    )
    parser.add_argument(
        "--weights",
        metavar="DEFAULT|FILE",
        help="torchvision's default weights, or a file with a state dict",
    )
    parser.add_argument("--layer", help="module name, or several with commas, shallow to final")
    parser.add_argument("--methods", help="names with commas (default: grad-cam,cluster-cam)")
    parser.add_argument("--metrics", help="'all', or names with commas")
    parser.add_argument(
        "--explained", help="truth (the image's labels; the default), predicted or top"
    )
    parser.add_argument("--probability", help="probability (softmax) or sigmoid")
    parser.add_argument(
        "--preparation", help="squash (the default), center-crop or none (images as they are)"
    )
    parser.add_argument("--baseline", type=float, help="what stands for nothing (default: 0)")
    parser.add_argument(
        "--step",
        type=int,
        help="pixels changed at once in deletion and insertion (8 rows)",
    )
    parser.add_argument("--limit", type=int, help="number of images, evenly spread")
    parser.add_argument("--rows", type=int, help="images in one forward pass")
    parser.add_argument("--reference", help="the method that the others are compared with")
    parser.add_argument(
        "--strict", action="store_true", default=None, help="stop at an image that cannot be read"
    )
    parser.add_argument("--devices", type=int, help="number of processes, with Lightning")
    parser.add_argument("--strategy", help="how they start: ddp (default), ddp_spawn or ddp_fork")
    parser.add_argument("--accelerator", help="Lightning's: cpu, cuda, auto")
    parser.add_argument(
        "--output",
        default="captum-cluster-evaluation",
        metavar="DIR",
        help="directory of results and report; a run that was broken off goes on there "
        "(default: %(default)s)",
    )
    parser.set_defaults(run=run_evaluate)


def run_evaluate(options: argparse.Namespace) -> None:
    """Judge methods on images, and print the table."""
    from captum_cluster.evaluation.run_config import RunConfig

    given = given_options(options)
    for name in _LISTS:
        if name in given:
            given[name] = _listed(name, given[name])
    if options.config is not None:
        given = {**vars(RunConfig.load(options.config)), **given}
    if "data" not in given:
        raise ValueError(expected("--data", "given, here or in the --config file", "neither"))
    report = RunConfig.from_mapping(given).run(options.output)
    if _first_process():
        print(report.table())
        print(f"\nReport: {os.path.join(options.output, 'report.html')}")
    if not report.images:
        what = "to have an image that can be judged"
        raise ValueError(expected("the dataset", what, "none; the report says why"))


def _listed(name: str, text: str) -> Any:
    """Return the parts of a list with commas; one layer, and 'all', stay as they are."""
    parts = names(name, text)
    return parts[0] if len(parts) == 1 and name != "methods" else parts


def _first_process() -> bool:
    """Return whether this is the process that a person started, of those of one run."""
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0"
