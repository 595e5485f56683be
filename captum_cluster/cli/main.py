"""The commands: arguments and printing, nothing else."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from captum_cluster import __version__
from captum_cluster._checks import expected
from captum_cluster.cli.evaluating import add_evaluate
from captum_cluster.cli.training import add_train
from captum_cluster.cli.weak_outputs import add_masks, add_proposals

_ERRORS = (ValueError, TypeError, OSError, ImportError, RuntimeError)
_OUTPUT = "directory for the results (default: %(default)s)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0, or 2 after an error in one line.

    Example:
        >>> main(["explain", "no-such.jpg", "--model", "resnet18", "--weights", "none.pth"])
        2
    """
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of a pipe has had enough ("| head"); Python would complain at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except _ERRORS as error:
        print(f"captum-cluster: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("captum-cluster: interrupted", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="captum-cluster",
        description="Class activation maps for PyTorch models, ours beside the stock ones.",
    )
    parser.add_argument("--version", action="version", version=f"captum-cluster {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, (summary, add) in _commands().items():
        add(commands.add_parser(name, help=summary))
    return parser


def _commands() -> dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]]:
    """Return of each command what it does, and what adds its arguments."""
    return {
        "explain": ("explain one image by one method", _add_explain),
        "compare": ("explain one image by several methods", _add_compare),
        "ablation": ("vary one choice of a method, and measure", _add_ablation),
        "evaluate": ("judge methods on many images", add_evaluate),
        "train": ("train a network that gives better maps, or segments", add_train),
        "masks": ("write pseudo masks of many images", add_masks),
        "proposals": ("write object proposals of many images", add_proposals),
        "methods": ("list every method, ours and stock", _add_methods),
        "demo": ("train a small network and see the methods at work", _add_demo),
    }


def _add_explain(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``explain``."""
    _add_image(parser)
    parser.add_argument("--method", default="cluster-cam", help="default: %(default)s")
    parser.add_argument(
        "--labels", help="class indices of the labels present, with commas, for minmax methods"
    )
    parser.set_defaults(run=_explain)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``compare``."""
    _add_image(parser)
    parser.add_argument(
        "--methods", default="grad-cam,score-cam,cluster-cam", help="default: %(default)s"
    )
    parser.add_argument(
        "--labels",
        metavar="LABELS",
        help="class indices of the labels present, with commas: one row for each; or 'predicted' "
        "for a multi-label model",
    )
    parser.set_defaults(run=_compare)


def _add_ablation(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ablation``."""
    parser.add_argument(
        "study",
        metavar="STUDY",
        help="cluster-cam-layers, cluster-cam-clusters, cluster-cam-eigenvectors, "
        "cluster-cam-clustering or collection-cam-layers",
    )
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="picture files or folders")
    _add_model(parser)
    parser.add_argument(
        "--layers", help="names of the model's stages with commas, shallow to final"
    )
    parser.add_argument(
        "--stride",
        type=int,
        default=1,
        help="take every so many steps of Insertion and Deletion (default: %(default)s)",
    )
    parser.set_defaults(run=_ablation)


def _add_methods(parser: argparse.ArgumentParser) -> None:
    """Add what ``methods`` does, which takes no arguments."""
    parser.set_defaults(run=_methods)


def _add_demo(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``demo``."""
    parser.add_argument("--output", default="captum-cluster-demo", metavar="DIR", help=_OUTPUT)
    parser.add_argument("--retrain", action="store_true", help="train again, ignore the cache")
    parser.set_defaults(run=_demo)


def _add_image(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a command that explains an image."""
    parser.add_argument("image", metavar="IMAGE", help="a picture file")
    _add_model(parser)
    parser.add_argument("--target", type=int, help="class index (default: the top class)")
    parser.add_argument(
        "--layer",
        help="module name, or several with commas, shallow to final, for methods that take them "
        "(default: the last in which every place counts)",
    )


def _add_model(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a command that loads a model and writes files."""
    parser.add_argument("--model", default="resnet18", help="a torchvision model (%(default)s)")
    parser.add_argument(
        "--weights",
        default="DEFAULT",
        metavar="DEFAULT|FILE",
        help="torchvision's default weights, or a file with a state dict",
    )
    parser.add_argument("--output", default="captum-cluster-output", metavar="DIR", help=_OUTPUT)


def _explain(options: argparse.Namespace) -> None:
    from captum_cluster.data import load_image
    from captum_cluster.evaluation import check_directory, check_method, explain, load_model

    check_directory(options.output)
    check_method(options.method)
    load_image(options.image)  # before weights are loaded, or downloaded in vain
    model = load_model(options.model, options.weights)
    one = explain(
        model,
        options.image,
        options.method,
        options.target,
        _layers(options.layer),
        labels=_labels(options.labels),
    )
    print(f"{one.subject.name}: {one.subject.title}")
    print(f"{one.method} at {one.layer_name}: {one.cost}")
    for path in one.save(options.output):
        print(path)


def _compare(options: argparse.Namespace) -> None:
    from captum_cluster.data import load_image
    from captum_cluster.evaluation import check_directory, check_method, compare, load_model

    check_directory(options.output)
    methods = [check_method(name.strip()) for name in options.methods.split(",")]
    load_image(options.image)
    model = load_model(options.model, options.weights)
    labels = options.labels if options.labels == "predicted" else _labels(options.labels)
    layers = _layers(options.layer)
    comparison = compare(model, options.image, methods, options.target, layers, labels=labels)
    for subject in comparison.subjects:
        print(f"{subject.name}: {subject.title}")
        for one in comparison.explanations:
            if one.subject is subject:
                print(f"{one.method:<26} {one.cost}")
    print(comparison.save(options.output))


def _layers(names: str | None) -> list[str] | None:
    """Return layer names that are separated by commas."""
    return None if names is None else [name.strip() for name in names.split(",")]


def _labels(text: str | None) -> list[int] | None:
    """Return class indices that are separated by commas."""
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        what = "class indices with commas between them"
        raise ValueError(expected("--labels", what, repr(text))) from error


def _methods(options: argparse.Namespace) -> None:
    from captum_cluster.evaluation import methods

    heading = ("method", "from", "gradient", "forward passes", "labels", "layers", "paper")
    rows = [heading] + [
        (
            one.name,
            one.host,
            "yes" if one.gradient else "no",
            one.passes,
            one.labels,
            one.layers,
            one.paper,
        )
        for one in methods()
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip())


def _ablation(options: argparse.Namespace) -> None:
    from captum_cluster.evaluation import check_directory, find_images, load_model, run_ablation

    check_directory(options.output)
    images = find_images(options.images)
    found = run_ablation(
        load_model(options.model, options.weights),
        images,
        options.study,
        layers=_layers(options.layers),
        stride=options.stride,
        progress=True,
    )
    print(f"{options.study}: means over {found.images} images, in per cent\n")
    print(found.table())
    print(f"\nFigure: {found.save(options.output)}")


def _demo(options: argparse.Namespace) -> None:
    from captum_cluster.evaluation import run_demo

    report = run_demo(options.output, retrain=options.retrain, say=print)
    print(f"Means over {report.explanations} digits in unseen scenes:\n")
    print(report.table())
    print(f"\nFigure: {report.figure}")
