"""Every method on the same photographs: the papers' measures of faithfulness, and the cost.

    python -m tests.benchmarks.faithfulness --half B --cache out
    python -m tests.benchmarks.faithfulness --seconds 2

ResNet-18, the 150 validation photographs of the real data, ground-truth class: Average Drop and
Average Increase, Insertion - Deletion (28 steps), Proportion inside the boxes, in per cent. Half A
(a random half, seed 0) is where defaults were chosen, half B where they are reported. Score-CAM
needs 513 forward passes an image and RISE 401 here (its default is 4001): with `--cache` a run
that is broken off goes on where it was, and several runs may share the work by `--methods`.

Two stock methods take a short cut to the map they would give: Score-CAM is ours with
`align_corners=True`, which `tests/conformance/test_parity.py` finds equal to pytorch-grad-cam's,
and Ablation-CAM is pytorch-grad-cam's on the head behind `layer4`, which is all that its ablations
change. `--seconds N` times the stock classes themselves on N photographs, without a short cut.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.fx.experimental.optimization import fuse

from captum_cluster import LayerClusterCam, LayerCollectionCam, LayerRise, LayerScoreCam
from captum_cluster.evaluation.faithfulness import Faithfulness, measure, summarize
from captum_cluster.evaluation.registry import run_method, warm_up
from captum_cluster.grad_cam.stock import stock_map
from captum_cluster.hooks import capture, count_forwards
from tests.helpers.realdata import Photograph, data_folder, load_photographs, load_resnet18


class Head(nn.Module):
    """What follows `layer4`, with a layer in front that stands for it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.layer, self.pool, self.fc = nn.Identity(), model.avgpool, model.fc

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return self.fc(self.pool(self.layer(maps)).flatten(1))


class Fast(nn.Module):
    """The same network, with batch norms folded and in the memory format that is faster here."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = fuse(model).to(memory_format=torch.channels_last)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.model(images.contiguous(memory_format=torch.channels_last))


def on_the_head(name: str) -> Callable:
    def maps(model: nn.Module, image: torch.Tensor, target: int) -> torch.Tensor:
        with torch.no_grad(), capture([model.layer4]) as captured:
            model(image)
        head = Head(model).eval()
        with contextlib.redirect_stderr(io.StringIO()):  # the host's progress bar
            found = stock_map(name, head, head.layer, captured.activations(0)[0], target)
        return found[0, 0]

    return maps


def ours(face: type, layers: str | list[str] = "layer4", **options) -> Callable:
    def maps(model: nn.Module, image: torch.Tensor, target: int) -> torch.Tensor:
        names = layers if isinstance(layers, list) else [layers]
        modules = [model.get_submodule(name) for name in names]
        cam = face(model, modules if isinstance(layers, list) else modules[0])
        return cam.attribute(image, target, **options)[0, 0].detach()

    return maps


FOUR = ["layer1", "layer2", "layer3", "layer4"]
METHODS = {
    "Grad-CAM": on_the_head("gradcam"),
    "Grad-CAM++": on_the_head("gradcam++"),
    "Layer-CAM": on_the_head("layercam"),
    "Score-CAM": ours(LayerScoreCam, align_corners=True),
    "Ablation-CAM": on_the_head("ablationcam"),
    "RISE, 400 masks": ours(LayerRise, n_masks=400),
    "Cluster-CAM": ours(LayerClusterCam),
    "Cluster-CAM, letter": ours(LayerClusterCam, combine="base_scissors"),
    "Collection-CAM, 1 layer": ours(LayerCollectionCam),
    "Collection-CAM, 4 layers": ours(LayerCollectionCam, FOUR),
    "Collection-CAM, 4 layers, letter": ours(
        LayerCollectionCam, FOUR, partition_sizes=range(2, 11), denoise_quantile=0.1
    ),
    "Sufficient Collection-CAM, 1 layer": ours(LayerCollectionCam, sufficient=True),
    "Sufficient Collection-CAM, 4 layers": ours(LayerCollectionCam, FOUR, sufficient=True),
}
TIMED = {
    "Grad-CAM": ("gradcam", "layer4", {}),
    "Grad-CAM++": ("gradcam++", "layer4", {}),
    "Layer-CAM": ("layercam", "layer4", {}),
    "Score-CAM": ("scorecam", "layer4", {}),
    "Ablation-CAM": ("ablationcam", "layer4", {}),
    "RISE, 400 masks": ("rise", "layer4", {"n_masks": 400}),
    "Cluster-CAM": ("cluster-cam", "layer4", {}),
    "Collection-CAM, 1 layer": ("collection-cam", "layer4", {}),
    "Collection-CAM, 4 layers": ("collection-cam", FOUR, {}),
    "Sufficient Collection-CAM, 1 layer": ("sufficient-collection-cam", "layer4", {}),
    "Sufficient Collection-CAM, 4 layers": ("sufficient-collection-cam", FOUR, {}),
}


def halves(photographs: list[Photograph]) -> dict[str, list[Photograph]]:
    """Return the two random halves, and all."""
    order = torch.randperm(len(photographs), generator=torch.Generator().manual_seed(0)).tolist()
    middle = len(order) // 2
    chosen = {"A": order[:middle], "B": order[middle:], "all": order}
    return {half: [photographs[place] for place in places] for half, places in chosen.items()}


class Cache:
    """Maps and measurements of each method and photograph, in files where a folder is given."""

    def __init__(self, folder: str | None) -> None:
        self.folder = None if folder is None else Path(folder)

    def _path(self, name: str, photograph: Photograph, ending: str) -> Path | None:
        if self.folder is None:
            return None
        slug = name.lower().replace(", ", "-").replace(" ", "-")
        return self.folder / slug / f"{Path(photograph.file).stem}.{ending}"

    def maps(self, name: str, model: nn.Module, photograph: Photograph) -> dict:
        """Return the map (h,w) and the number of forward passes."""
        path = self._path(name, photograph, "pt")
        if path is not None and path.exists():
            return torch.load(path, weights_only=True)
        with count_forwards(model) as count:
            maps = METHODS[name](model, photograph.image[None], photograph.class_index)
        found = {"maps": maps, "forwards": count.images}
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.save(found, path)
        return found

    def measured(
        self, name: str, model: nn.Module, fast: nn.Module, photograph: Photograph
    ) -> tuple[Faithfulness, int]:
        """Return the measures and the number of forward passes."""
        found = self.maps(name, model, photograph)
        path = self._path(name, photograph, "json")
        if path is not None and path.exists():
            return Faithfulness(**json.loads(path.read_text())), found["forwards"]
        image, target = photograph.image[None], photograph.class_index
        one = measure(fast, image, target, found["maps"], region=photograph.inside)
        if path is not None:
            path.write_text(json.dumps(dataclasses.asdict(one)))
        return one, found["forwards"]


def report(names: list[str], half: str, folder: str | None) -> None:
    model = load_resnet18(data_folder())
    fast = Fast(load_resnet18(data_folder())).eval()
    photographs = halves(load_photographs(data_folder(), per_class=15))[half]
    cache = Cache(folder)
    print(f"{len(photographs)} photographs of half {half}")
    print(f"{'method':<38}{'AD':>7}{'AI':>7}{'I - D':>7}{'inside':>8}{'passes':>9}{'most':>6}")
    for name in names:
        rows = [cache.measured(name, model, fast, photograph) for photograph in photographs]
        mean = summarize(one for one, _ in rows)
        passes = [514 if name == "Ablation-CAM" else forwards for _, forwards in rows]
        print(
            f"{name:<38}{mean.drop:>7.1f}{mean.increase:>7.1f}{mean.overall:>7.1f}"
            f"{mean.inside:>8.1f}{sum(passes) / len(passes):>9.1f}{max(passes):>6}",
            flush=True,
        )


def report_seconds(count: int) -> None:
    """Time each method itself on some photographs, interleaved."""
    model = load_resnet18(data_folder())
    photographs = load_photographs(data_folder(), per_class=15)[:: 150 // count][:count]
    seconds: dict[str, list[float]] = {name: [] for name in TIMED}
    for method, _, _ in TIMED.values():
        warm_up(method)
    for photograph in photographs:
        for name, (method, layers, options) in TIMED.items():
            listed = layers if isinstance(layers, list) else [layers]
            modules = [model.get_submodule(layer) for layer in listed]
            with contextlib.redirect_stderr(io.StringIO()):
                run = run_method(
                    method,
                    model,
                    modules,
                    photograph.image[None],
                    photograph.class_index,
                    **options,
                )
            seconds[name].append(run.seconds)
    slowest = sum(seconds["Score-CAM"])
    print(f"{'method':<38}{'seconds':>9}{'Score-CAM is slower by':>24}")
    for name, values in seconds.items():
        total = sum(values)
        print(f"{name:<38}{total / len(values):>9.3f}{slowest / total:>23.1f}x")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure every method on the same photographs.")
    parser.add_argument("--half", choices=["A", "B", "all"], default="B")
    parser.add_argument("--methods", help="names with ; between them (default: all)")
    parser.add_argument("--cache", help="folder where maps and measurements are kept")
    parser.add_argument("--seconds", type=int, help="only time the methods, on so many photographs")
    options = parser.parse_args()
    if options.seconds:
        report_seconds(options.seconds)
        return
    names = options.methods.split(";") if options.methods else list(METHODS)
    report(names, options.half, options.cache)


if __name__ == "__main__":
    main()
