"""Where the papers leave a choice open: each setting measured on the half where it is chosen.

    python -m tests.benchmarks.defaults cluster-cam
    python -m tests.benchmarks.defaults collection-cam

ResNet-18, the photographs of half A (see `tests/benchmarks/faithfulness.py`, which reports half B),
ground-truth class: Average Drop and Increase, Insertion - Deletion (every fourth step), Proportion
inside the boxes, in per cent, and forward passes. The first row is Grad-CAM, the last but for the
defaults is the letter of the paper.
"""

from __future__ import annotations

import argparse

import torch

from captum_cluster import LayerClusterCam, LayerCollectionCam
from captum_cluster.evaluation.faithfulness import measure, summarize
from captum_cluster.hooks import count_forwards
from tests.benchmarks.faithfulness import FOUR, METHODS, Fast, halves, ours
from tests.helpers.realdata import data_folder, load_photographs, load_resnet18

STRIDE = 4


def base_scissors(**options):
    return ours(LayerClusterCam, combine="base_scissors", **options)


def collection_cam(layers, **options):
    return ours(LayerCollectionCam, layers, **options)


SETTINGS = {
    "cluster-cam": {
        "unit, beta 0.5": base_scissors(map_scale="unit", beta=0.5),
        "unit, beta 0.7": base_scissors(map_scale="unit", beta=0.7),
        "unit, beta 0.9": base_scissors(map_scale="unit", beta=0.9),
        "unit, score": ours(LayerClusterCam, map_scale="unit"),
        "none, beta 0.7": base_scissors(beta=0.7),
        "none, beta 0.9": base_scissors(beta=0.9),
        "none, score": ours(LayerClusterCam),
        "none, score, probability": ours(LayerClusterCam, score_function="probability"),
        "letter: none, beta 0.5": base_scissors(beta=0.5),
    },
    "collection-cam": {
        **{
            f"4 layers, sizes 2-3, quantile {quantile}": collection_cam(
                FOUR, partition_sizes=(2, 3), denoise_quantile=quantile
            )
            for quantile in (0.1, 0.3, 0.4, 0.5, 0.6)
        },
        **{
            f"the same, sufficient, quantile {quantile}": collection_cam(
                FOUR, partition_sizes=(2, 3), denoise_quantile=quantile, sufficient=True
            )
            for quantile in (0.3, 0.4, 0.5)
        },
        "4 layers, sizes 2-4, quantile 0.4": collection_cam(
            FOUR, partition_sizes=(2, 3, 4), denoise_quantile=0.4
        ),
        "default, 4 layers, probability": collection_cam(FOUR, score_function="probability"),
        "default, 4 layers, standardized": collection_cam(FOUR, standardize=True),
        "default, 2 layers": collection_cam(FOUR[2:]),
        "default, 1 layer": collection_cam("layer4"),
        "default, sufficient, 1 layer": collection_cam("layer4", sufficient=True),
        "default, sufficient, logit": collection_cam(
            FOUR, sufficient=True, sufficient_score="logit"
        ),
        "default, sufficient, 3 exponents": collection_cam(
            FOUR, sufficient=True, exponents=(2.0, 1.0, 0.5)
        ),
        "1 layer, sizes 2-10, quantile 0.1": collection_cam(
            "layer4", partition_sizes=range(2, 11), denoise_quantile=0.1
        ),
        "letter: 4 layers, sizes 2-10, quantile 0.1": collection_cam(
            FOUR, partition_sizes=range(2, 11), denoise_quantile=0.1
        ),
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the settings of a method on half A.")
    parser.add_argument("method", choices=list(SETTINGS))
    parser.add_argument("--settings", help="some of them, with ; between them (default: all)")
    options = parser.parse_args()
    settings = SETTINGS[options.method]
    if options.settings:
        settings = {name: settings[name] for name in options.settings.split(";")}
    model = load_resnet18(data_folder())
    fast = Fast(load_resnet18(data_folder())).eval()
    photographs = halves(load_photographs(data_folder(), per_class=15))["A"]
    print(f"{'setting':<44}{'AD':>7}{'AI':>7}{'I - D':>7}{'inside':>8}{'passes':>8}")
    for name, maps in {"Grad-CAM": METHODS["Grad-CAM"], **settings}.items():
        rows, passes = [], 0
        for one in photographs:
            image, target = one.image[None], one.class_index
            with count_forwards(model) as count:
                found = maps(model, image, target)
            passes += count.images
            rows.append(measure(fast, image, target, found, region=one.inside, stride=STRIDE))
        mean = summarize(rows)
        print(
            f"{name:<44}{mean.drop:>7.1f}{mean.increase:>7.1f}{mean.overall:>7.1f}"
            f"{mean.inside:>8.1f}{passes / len(rows):>8.1f}",
            flush=True,
        )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
