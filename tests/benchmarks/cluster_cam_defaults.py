"""Cluster-CAM's defaults on real photographs: each setting on both halves of the images.

    python -m tests.benchmarks.cluster_cam_defaults

ResNet-18, layer4, the 150 validation images of the real data, ground-truth class: mean share of
the map's energy inside the boxes (Proportion), and how many maps have no positive part. The
clustering and the masked passes are made once for each `map_scale`; every beta is read from them.
"""

from __future__ import annotations

import torch
from captum.attr import LayerGradCam

from captum_cluster import LayerClusterCam
from captum_cluster.functional.attribution import base_scissors_weights, fuse
from captum_cluster.functional.metrics import energy_inside
from tests.helpers.realdata import data_folder, load_photographs, load_resnet18

BETAS = [0.5, 0.6, 0.7, 0.8, 0.9, 1.0]


def maps_of_settings(model: torch.nn.Module, image: torch.Tensor, target: int) -> dict:
    """Return the map (h,w) of each setting for one image (1,3,H,W)."""
    cam = LayerClusterCam(model, model.layer4)
    maps = {("grad-cam", "", ""): LayerGradCam(model, model.layer4).attribute(image, target)[0, 0]}
    for scale in ("none", "unit"):
        result = cam.explain(image, [target], map_scale=scale)
        for beta in BETAS:
            weights = base_scissors_weights(
                result.base, result.scissors, beta, result.cluster_maps.shape[1]
            )
            own = fuse(weights.transpose(1, 2), result.cluster_maps)
            maps["base_scissors", scale, f"{beta:.1f}"] = own[0, 0]
        own = cam.attribute(image, target, map_scale=scale, combine="score")
        maps["score", scale, ""] = own[0, 0]
    return {name: one.detach() for name, one in maps.items()}


def main() -> None:
    model = load_resnet18(data_folder())
    photographs = load_photographs(data_folder(), per_class=15)
    order = torch.randperm(len(photographs), generator=torch.Generator().manual_seed(0))
    half = len(photographs) // 2
    shares: dict = {}
    black: dict = {}
    for photograph in photographs:
        maps = maps_of_settings(model, photograph.image[None], photograph.class_index)
        for name, one in maps.items():
            share = float(energy_inside(one[None], photograph.inside[None])[0])
            shares.setdefault(name, []).append(share)
            black[name] = black.get(name, 0) + int(not (one > 0).any())
    print(
        f"{'combine':<14}{'map_scale':<11}{'beta':<6}{'half A':>8}{'half B':>8}{'no positive':>13}"
    )
    for name, values in shares.items():
        first = torch.tensor(values)[order[:half]].mean()
        second = torch.tensor(values)[order[half:]].mean()
        print(
            f"{name[0]:<14}{name[1]:<11}{name[2]:<6}{first:>8.4f}{second:>8.4f}"
            f"{black[name]:>8} / {len(values)}"
        )


if __name__ == "__main__":
    main()
