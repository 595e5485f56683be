"""The commands ``masks`` and ``proposals``: their arguments, and what they print."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from captum_cluster._checks import expected

if TYPE_CHECKING:
    from captum_cluster.evaluation import MaskRun, ProposalRun

_NOT_OPTIONS = ("config", "output", "run")
_LISTS = ("layer", "refine")
_SHOWN = 3


def add_masks(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``masks``.

    None of them has a default of its own: those given go before the configuration file's, and
    what is in neither is left to ``MasksConfig``.
    """
    _add_images(parser)
    _add_maps(parser)
    group = parser.add_argument_group("masks")
    group.add_argument(
        "--background", type=float, help="the background's score, from 0 to 1 (default: 0.15)"
    )
    group.add_argument(
        "--power", type=float, help="of (1 - max) ** POWER, the background's score instead"
    )
    group.add_argument(
        "--uncertain",
        type=float,
        help="a second background, or with --power a second power: pixels whose label is not the "
        "same with both become 255",
    )
    group.add_argument("--refine", help="random-walk, crf or both with a comma, in order")
    group.add_argument("--stride", type=int, help="of the random walk, in pixels (default: 8)")
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
        "--format",
        help="png: palette files, and a table of their classes (the default); coco: JSON",
    )
    _add_output(parser, "captum-cluster-masks")
    parser.set_defaults(run=run_masks)


def add_proposals(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``proposals``, in the same way."""
    _add_images(parser)
    _add_maps(parser)
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
    _add_output(parser, "captum-cluster-proposals")
    parser.set_defaults(run=run_proposals)


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


def _add_output(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument(
        "--output",
        default=name,
        metavar="DIR",
        help="directory of the results; a run that was broken off goes on there "
        "(default: %(default)s)",
    )


def run_masks(options: argparse.Namespace) -> None:
    """Make masks, and say what was made."""
    from captum_cluster.evaluation import MasksConfig

    found = MasksConfig.from_mapping(_given(options, MasksConfig)).run(options.output)
    _report(found, "mask", found.images, "all background")
    if found.mean_iou is not None:
        print(f"mIoU with the background: {100 * found.mean_iou:.1f} %")
    _check_some(found)


def run_proposals(options: argparse.Namespace) -> None:
    """Make proposals, and say what was made."""
    from captum_cluster.evaluation import ProposalsConfig

    found = ProposalsConfig.from_mapping(_given(options, ProposalsConfig)).run(options.output)
    _report(found, "proposal", found.proposals, "without a proposal")
    if found.corloc is not None:
        print(f"CorLoc: {100 * found.corloc:.1f} %")
    _check_some(found)


def _given(options: argparse.Namespace, config: Any) -> dict[str, Any]:
    """Return what was given: on the command line, else in the file."""
    given = {
        name: value
        for name, value in vars(options).items()
        if name not in _NOT_OPTIONS and value not in (None, [])
    }
    for name in _LISTS:
        if name in given:
            given[name] = _listed(name, given[name])
    if len(given.get("layer", "")) == 1:
        given["layer"] = given["layer"][0]
    if "scales" in given:
        given["scales"] = _numbers(given["scales"])
    if options.config is not None:
        given = {**config.load(options.config).to_dict(), **given}
    return given


def _listed(name: str, text: str) -> list[str]:
    """Return the parts of a list with commas."""
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise ValueError(expected(f"--{name}", "names with commas between them", repr(text)))
    return parts


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        what = "numbers with commas between them"
        raise ValueError(expected("--scales", what, repr(text))) from None


def _report(found: MaskRun | ProposalRun, what: str, count: int, empty: str) -> None:
    """Print how much was made, and what was not."""
    print(f"{_counted(count, what)} of {_counted(found.images, 'image')}: {found.path}")
    if found.empty:
        print(f"{_counted(found.empty, 'image')} without a label to explain: {empty}")
    if found.failed:
        print(f"{_counted(len(found.failed), 'image')} failed:")
        for text in found.failed[:_SHOWN]:
            print(f"  {text}")
        if len(found.failed) > _SHOWN:
            print(f"  and {len(found.failed) - _SHOWN} more")


def _counted(count: int, what: str) -> str:
    """Return a number of things as a person reads it."""
    return f"{count} {what}" + ("" if count == 1 else "s")


def _check_some(found: MaskRun | ProposalRun) -> None:
    if not found.images:
        what = "to have one that can be read and explained"
        raise ValueError(expected("the images", what, "none"))
