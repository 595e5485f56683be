"""The commands ``masks`` and ``proposals``: their arguments, and what they print."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from captum_cluster._checks import expected
from captum_cluster.cli.options import add_crf_numbers, crf_numbers, given_options, names, numbers

if TYPE_CHECKING:
    from captum_cluster.evaluation import MaskRun, ProposalRun, SweepRun

_SHOWN = 3
# What is given on the command line instead of what a file holds that cannot stand beside it.
_INSTEAD = {
    "sweep": ("background", "power", "uncertain", "format"),
    **dict.fromkeys(("background", "power", "uncertain", "format"), ("sweep",)),
}


def add_masks(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``masks``.

    None of them has a default of its own: those given go before the configuration file's, and
    what is in neither is left to ``MasksConfig``.
    """
    _add_common(parser, "captum-cluster-masks", run_masks)
    group = parser.add_argument_group("masks")
    group.add_argument(
        "--background",
        type=float,
        help="the background's score, from 0 to 1 (0.15 without --refine)",
    )
    group.add_argument(
        "--power", type=float, help="of (1 - max) ** POWER, its score instead (2 with --refine)"
    )
    group.add_argument(
        "--uncertain",
        type=float,
        help="a second background, or with --power a second power: pixels whose label is not the "
        "same with both become 255",
    )
    group.add_argument("--refine", help="random-walk, crf or both with a comma, in order")
    group.add_argument(
        "--stride", type=int, help="of the random walk, in pixels (8; for small images less)"
    )
    group.add_argument(
        "--walk-colour", type=float, help="of the random walk, the weight of the colours (30)"
    )
    group.add_argument(
        "--walk-log-steps", type=int, help="of the random walk, the logarithm of its steps (8)"
    )
    add_crf_numbers(group)
    group.add_argument(
        "--walk-features",
        help="what the walk compares pixels by beside colour and position: none (the default), or "
        "the explained layer's maps (layer)",
    )
    group.add_argument(
        "--longest",
        type=int,
        help="make masks of larger pictures at this longest side in pixels (default: 512 with "
        "--refine, else the picture's own); they are written at the picture's size in any case",
    )
    group.add_argument(
        "--sweep",
        metavar="KIND",
        help="write no masks, and measure by the true masks of --data which background makes the "
        "best ones; KIND: background or power, or with numbers to try power=4,8,16",
    )
    group.add_argument(
        "--format",
        help="png: palette files, and a table of their classes (the default); coco: JSON",
    )


def add_proposals(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``proposals``, in the same way."""
    _add_common(parser, "captum-cluster-proposals", run_proposals)
    group = parser.add_argument_group("proposals")
    group.add_argument(
        "--boxes",
        help="selective-search: the best box around each peak of a map (the default); component: "
        "the box around what a map marks",
    )
    group.add_argument(
        "--without-maps",
        action="store_true",
        default=None,
        help="the best box of selective search for each label, whatever the maps say",
    )
    group.add_argument(
        "--threshold",
        type=float,
        help="of a peak, as a share of the map's highest (0.5); with --boxes component of what a "
        "map marks (0.15)",
    )
    group.add_argument(
        "--longest",
        type=int,
        help="look for boxes of larger pictures at this longest side in pixels (default: 512 with "
        "selective search)",
    )
    group.add_argument("--format", help="coco")


def _add_common(
    parser: argparse.ArgumentParser, output: str, run: Callable[[argparse.Namespace], None]
) -> None:
    """Add what both commands take: the images, the directory and how maps are made."""
    _add_images(parser)
    parser.add_argument(
        "--output",
        default=output,
        metavar="DIR",
        help="directory of the results; a run that was broken off goes on there "
        "(default: %(default)s)",
    )
    _add_maps(parser)
    parser.set_defaults(run=run)


def _add_images(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", metavar="PATH", nargs="*", help="picture files or folders")
    parser.add_argument("--config", metavar="FILE", help="a YAML file of these options")
    parser.add_argument(
        "--data", metavar="KIND:PATH", help="in place of PATH: what evaluate takes (voc:DIR, ...)"
    )
    parser.add_argument(
        "--part",
        help="with --network and neither PATH nor --data: its training's images (train, the "
        "default), or those it was judged on (test)",
    )
    parser.add_argument("--limit", type=int, help="number of images, evenly spread")
    parser.add_argument(
        "--figures",
        type=int,
        metavar="N",
        help="of the first N images write a figure into DIR/figures: picture, map, what was made "
        "of them, and the truth where it is known (0)",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        default=None,
        help="stop at an image that cannot be read, instead of counting it",
    )


def _add_maps(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("maps")
    group.add_argument(
        "--model", help="a torchvision model, or digit-net, the demo's (default: resnet18)"
    )
    group.add_argument(
        "--weights",
        metavar="DEFAULT|FILE",
        help="torchvision's default weights, or a file with a state dict",
    )
    group.add_argument(
        "--network", metavar="DIR", help="in place of --model: the output of captum-cluster train"
    )
    group.add_argument(
        "--network-name", metavar="NAME", help="of its networks (network), such as baseline"
    )
    group.add_argument("--method", help="a name that captum-cluster methods lists (grad-cam)")
    group.add_argument("--layer", help="module name, or several with commas, shallow to final")
    group.add_argument(
        "--scales", help="sizes at which images are seen, with commas, such as 0.5,1,1.5,2"
    )
    group.add_argument(
        "--flip", action="store_true", default=None, help="see images mirrored as well"
    )
    group.add_argument(
        "--labels",
        help="whose maps are made: truth (the default with --data or a training's images), "
        "predicted or top (the default with PATH)",
    )
    group.add_argument("--probability", help="probability (softmax) or sigmoid")
    group.add_argument("--size", type=int, help="height and width of what the model sees")
    group.add_argument("--device", help="auto (the default), cpu, cuda, ...")


def run_masks(options: argparse.Namespace) -> None:
    """Make masks, and say what was made."""
    from captum_cluster.evaluation import MasksConfig, SweepRun

    found = MasksConfig.from_mapping(_given(options, MasksConfig)).run(options.output)
    if isinstance(found, SweepRun):
        _report_sweep(found)
        return
    measures = {"mIoU with the background": found.mean_iou}
    _report(found, _counted(found.images, "mask"), "all background", measures)
    if found.uncertain:
        print(f"uncertain pixels: {100 * found.uncertain:.1f} %")


def _report_sweep(found: SweepRun) -> None:
    """Print how good the masks are with each background."""
    _report(found, _counted(found.judged, "true segmentation"), "all background", {})
    print(f"\n{found.kind:>10}  mIoU with the background")
    for value, iou in zip(found.values, found.mean_ious, strict=True):
        print(f"{value:>10g}  {100 * iou:.1f} %" + ("  best" if value == found.best else ""))


def run_proposals(options: argparse.Namespace) -> None:
    """Make proposals, and say what was made."""
    from captum_cluster.evaluation import ProposalsConfig

    found = ProposalsConfig.from_mapping(_given(options, ProposalsConfig)).run(options.output)
    measures = {
        "CorLoc": found.corloc,
        "recall": found.recall,
        "mean best overlap": found.best_overlap,
    }
    _report(found, _counted(found.proposals, "proposal"), "without a proposal", measures)


def _given(options: argparse.Namespace, config: Any) -> dict[str, Any]:
    """Return what was given: on the command line, else in the file."""
    given = crf_numbers(given_options(options))
    for name in ("layer", "refine"):
        if name in given:
            given[name] = names(name, given[name])
    if len(given.get("layer", "")) == 1:
        given["layer"] = given["layer"][0]
    if "scales" in given:
        given["scales"] = numbers("scales", given["scales"])
    if options.config is not None:
        loaded = config.load(options.config).to_dict()
        for name in {other for one in given for other in _INSTEAD.get(one, ())}:
            loaded.pop(name, None)
        given = {**loaded, **given}
    return given


def _report(
    found: MaskRun | ProposalRun | SweepRun,
    made: str,
    empty: str,
    measures: Mapping[str, float | None],
) -> None:
    """Print what was made, what was not, and how good it is.

    Raises:
        ValueError: Nothing was made.
    """
    print(f"{made} of {_counted(found.images, 'image')}: {found.path}")
    if found.empty:
        print(f"{_counted(found.empty, 'image')} without a label to explain: {empty}")
    if found.failed:
        print(f"{_counted(len(found.failed), 'image')} failed:")
        for text in found.failed[:_SHOWN]:
            print(f"  {text}")
        if len(found.failed) > _SHOWN:
            print(f"  and {len(found.failed) - _SHOWN} more")
    for title, value in measures.items():
        if value is not None:
            print(f"{title}: {100 * value:.1f} %")
    if not found.images:
        what = "to have one that can be read and explained"
        raise ValueError(expected("the images", what, "none"))


def _counted(count: int, what: str) -> str:
    """Return a number of things as a person reads it."""
    return f"{count} {what}" + ("" if count == 1 else "s")
