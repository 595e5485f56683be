"""Our ScoreCAM and ClusterCAM beside pytorch-grad-cam's ScoreCAM: times, ratios, and our overhead.

    python -m tests.benchmarks.score_cam [--rounds 3] [--threads 2]

ResNet-18 at 224x224, layer4, one image. The contestants take turns (A B C A B C ...), and every
figure is a median over the rounds of one run: machines differ, ratios less so.
"""

from __future__ import annotations

import argparse
import contextlib
import io

import numpy as np
import pytorch_grad_cam
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torchvision.models import resnet18

from captum_cluster.grad_cam import ClusterCAM, ScoreCAM
from tests.benchmarks.timing import Stopwatch, measure, plain


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model = resnet18().eval()
    image = torch.randn(1, 3, 224, 224)
    targets = [ClassifierOutputTarget(217)]
    layers = [model.layer4]

    def host() -> np.ndarray:
        # Made anew each time: its hooks would stay on the model in everybody's passes.
        with pytorch_grad_cam.ScoreCAM(model, layers) as cam:
            return cam(image, targets)

    same = ScoreCAM(model, layers, align_corners=True)
    cluster = ClusterCAM(model, layers)
    watch = Stopwatch(model)
    contestants = {
        "plain forward": plain(model, image, batch=8),
        "pytorch-grad-cam ScoreCAM": host,
        "captum_cluster ScoreCAM": lambda: same(image, targets),
        "captum_cluster ClusterCAM": lambda: cluster(image, targets),
    }
    medians = measure(contestants, watch, options.rounds)
    unit = medians["plain forward"][0] / 8
    base = medians["pytorch-grad-cam ScoreCAM"][0]
    print(f"{options.threads} threads, {options.rounds} rounds; one plain forward: {unit:.4f} s")
    print(f"{'':<26} {'seconds':>8} {'forwards':>9} {'in model':>9} {'rest':>7} {'speed':>7}")
    for name, (total, inside) in list(medians.items())[1:]:
        print(
            f"{name:<26} {total:>8.3f} {total / unit:>9.1f} {inside:>9.3f} "
            f"{total - inside:>7.3f} {base / total:>6.1f}x"
        )
    with contextlib.redirect_stderr(io.StringIO()):
        difference = np.abs(host() - same(image, targets)).max()
    print(f"largest difference between the two ScoreCAMs: {difference:.1e}")


if __name__ == "__main__":
    main()
