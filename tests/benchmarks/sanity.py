"""Do maps depend on what the network has learnt? Its parameters randomised, on photographs.

    python -m tests.benchmarks.sanity --images 20

Mean Spearman rank correlation and SSIM of the saliency maps with those of the trained ResNet-18,
while its blocks are randomised one after the other from the last to the first.
"""

from __future__ import annotations

import argparse

import torch

from captum_cluster.evaluation import sanity_check
from tests.helpers.realdata import data_folder, load_photographs, load_resnet18

METHODS = ["grad-cam", "cam", "layercam", "cluster-cam", "collection-cam"]
BLOCKS = ["fc", "layer4", "layer3", "layer2", "layer1", "conv1"]


def main() -> None:
    parser = argparse.ArgumentParser(description="Check maps against randomised parameters.")
    parser.add_argument("--images", type=int, default=20, help="photographs, over all classes")
    parser.add_argument("--methods", default=",".join(METHODS), help="names with commas")
    options = parser.parse_args()
    model = load_resnet18(data_folder())
    photographs = load_photographs(data_folder(), 15)
    step = max(1, len(photographs) // options.images)
    chosen = photographs[::step][: options.images]
    images = torch.stack([one.image for one in chosen])
    targets = [one.class_index for one in chosen]
    for method in options.methods.split(","):
        found = sanity_check(model, model.layer4, images, targets, method, modules=BLOCKS)
        print(found.table(), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
