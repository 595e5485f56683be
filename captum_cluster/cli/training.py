"""The command ``train``: its arguments, and what it prints."""

from __future__ import annotations

import argparse
import os
from typing import Any

from captum_cluster._checks import expected
from captum_cluster.cli.options import add_crf_numbers, crf_numbers, given_options

_RECIPES = (
    "baseline, sub-category, class-grouping, kernel-usage, or segmentation: a segmentation network "
    "on the pseudo masks of --pseudo"
)


def add_train(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``train``.

    None of them has a default of its own: those given go before the configuration file's, and
    what is in neither is left to ``TrainingConfig``.
    """
    parser.add_argument("--config", metavar="FILE", help="a YAML file of these options")
    parser.add_argument("--recipe", help=_RECIPES)
    parser.add_argument(
        "--data",
        metavar="KIND[:PATH]",
        help="digits (the default), imagenet-boxes:DIR, voc:DIR, folder:DIR and all else that "
        "evaluate takes",
    )
    parser.add_argument(
        "--backbone",
        help="a convolutional torchvision classifier, or digit-net (default: by the data)",
    )
    parser.add_argument(
        "--weights",
        metavar="DEFAULT|none|FILE",
        help="where the backbone begins: torchvision's weights, random ones, or a state dict",
    )
    parser.add_argument(
        "--preset",
        help="small (the default); paper: the settings of the recipe's paper, of class-grouping "
        "also --hierarchy fit and its share of groups, but never its backbone; or a name of "
        "captum_cluster.training.PRESETS, such as sub-category-code",
    )
    _add_settings(parser)
    _add_recipes(parser)
    _add_segmentation(parser)
    parser.add_argument("--seed", type=int, help="default: 0")
    parser.add_argument("--limit", type=int, help="number of training images, evenly spread")
    parser.add_argument("--test-limit", type=int, help="number of images judged, evenly spread")
    parser.add_argument("--metrics", help="of the maps: 'all', or names with commas")
    parser.add_argument("--devices", type=int, help="number of devices, one process each")
    parser.add_argument("--accelerator", help="Lightning's: cpu, cuda, auto")
    parser.add_argument(
        "--output",
        default="captum-cluster-training",
        metavar="DIR",
        help="directory of networks and report; a training that was broken off goes on there "
        "(default: %(default)s)",
    )
    parser.set_defaults(run=run_train)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("settings, in place of the preset's")
    group.add_argument("--epochs", type=int, help="of each network, and of each round")
    group.add_argument("--batch-size", type=int, help="images at once, of all devices together")
    group.add_argument("--lr", type=float, help="learning rate")
    group.add_argument(
        "--top-share", type=float, help="share of the backbone's layers trained, the last ones"
    )
    group.add_argument("--size", type=int, help="height and width that images are brought to")


def _add_recipes(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("options of the recipes")
    group.add_argument("--rounds", type=int, help="of sub-category, after the baseline (3)")
    group.add_argument("--n-sub-categories", type=int, metavar="K", help="of each label (10)")
    group.add_argument("--sub-weight", type=float, help="of the sub-categories' loss (5)")
    group.add_argument(
        "--warm-start",
        dest="restart",
        action="store_false",
        default=None,
        help="rounds go on from the weights of the one before",
    )
    group.add_argument(
        "--map", help="the report's: parent (the default), or sub_max, over the sub-categories"
    )
    group.add_argument(
        "--sizes",
        help="groups of each level, with commas (default: by the preset); none: branches without "
        "levels",
    )
    group.add_argument(
        "--hierarchy", help="from-weights, or fit as in the paper (default: by the preset)"
    )
    group.add_argument("--branches", type=int, help="2 (the default), or 1: groups alone")
    group.add_argument("--orthogonality", type=float, help="weight of the branches' loss (1e-4)")
    group.add_argument("--rest", help="present (the default), groupmates or all")
    group.add_argument(
        "--kernel-usage",
        action="store_true",
        default=None,
        help="regularise the heads' kernel usage in another recipe",
    )


def _add_segmentation(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("options of the recipe segmentation")
    group.add_argument(
        "--pseudo", metavar="DIR", help="the masks to learn: the folder of captum-cluster masks"
    )
    group.add_argument(
        "--output-stride", type=int, help="pixels of the image per pixel of the maps, at most (8)"
    )
    group.add_argument(
        "--no-crf",
        dest="crf",
        action="store_false",
        default=None,
        help="judge the network without the CRF only",
    )
    add_crf_numbers(group)


def run_train(options: argparse.Namespace) -> None:
    """Train, and print what came out."""
    from captum_cluster.evaluation.recipes import TrainingConfig, run_training

    given = crf_numbers(given_options(options))
    if "sizes" in given:
        given["sizes"] = _sizes(given["sizes"])
    if "metrics" in given and given["metrics"] != "all":
        given["metrics"] = [part.strip() for part in given["metrics"].split(",")]
    if options.config is not None:
        given = {**TrainingConfig.load(options.config).to_dict(), **given}
    if "recipe" not in given:
        raise ValueError(expected("--recipe", "given, here or in the --config file", "neither"))
    found = run_training(TrainingConfig.from_mapping(given), options.output, say=print)
    if found is not None:
        print(f"\n{found.report.table()}")
        print(f"\nReport: {os.path.join(options.output, 'report.html')}")


def _sizes(text: str) -> list[Any]:
    """Return the numbers of groups, none of "none"."""
    if text.strip() == "none":
        return []
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        what = "integers with commas between them, or none"
        raise ValueError(expected("--sizes", what, repr(text))) from None
