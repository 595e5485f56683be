"""Runs written by hand: ``run.json`` and records as an examination leaves them."""

import json

import torch

from captum_cluster.evaluation.running.examination import thumbnail


def average_drop(drop, pairs=1):
    return {"average-drop": {"drop": drop, "pairs": pairs}}


def overall(insertion, deletion, pairs=1):
    return {"overall": {"deletion": deletion, "insertion": insertion, "pairs": pairs}}


def vector(size, **values):
    """Return a sum over classes; ``c3=1`` is 1 at class 3."""
    found = {int(name[1:]): value for name, value in values.items()}
    return {"size": size, "at": sorted(found), "values": [found[at] for at in sorted(found)]}


def spot(place=0):
    """Return a thumbnail with a bright spot."""
    marks = torch.zeros(8, 8)
    marks[place % 8, place // 8 % 8] = 1
    return thumbnail(marks)


def record(image, method, sums, **other):
    """Return what one method gave for one image."""
    return {
        "image": image,
        "name": f"picture {image}",
        "targets": [3],
        "labels": 1,
        "before": [0.5],
        "method": method,
        "seconds": 0.25,
        "forwards": 7,
        "finite": True,
        "marked": [True],
        "sums": sums,
        "thumbnails": [spot(image)],
        **other,
    }


def failure(image, method, error="RuntimeError: svd did not converge"):
    """Return what is left where a method fails on an image."""
    return {"image": image, "name": f"picture {image}", "method": method, "error": error}


def write_run(folder, records, *, methods=("one", "two"), metrics=("average-drop",), **facts):
    """Write a run into a folder, over what is there, and return the folder.

    Methods are names, or as ``run.json`` holds them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    known = {
        "captum_cluster": "0.1.0",
        "model": "SmallNet",
        "dataset": {"class": "DigitScenes", "length": 9},
        "methods": [
            {"name": one, "method": one, "options": {}} if isinstance(one, str) else one
            for one in methods
        ],
        "metrics": list(metrics),
        "layer": "conv2",
        "explained": "truth",
        "probability": "sigmoid",
        "images": len({one["image"] for one in records}),
        **facts,
    }
    (folder / "run.json").write_text(json.dumps(known))
    lines = [json.dumps(one) + "\n" for one in records]
    for rank in range(2):  # as two processes would
        (folder / f"records-{rank}.jsonl").write_text("".join(lines[rank::2]))
    return folder


def compare_drops(folder, ours, theirs, **options):
    """Write a run of two methods with these average drops, an image after the other."""
    records = [
        record(image, name, average_drop(drop))
        for name, drops in (("one", theirs), ("two", ours))
        for image, drop in enumerate(drops)
        if drop is not None
    ]
    return write_run(folder, records, **options)
