"""How time grows with channels, clusters, image size, images and targets, on ResNet-18.

In each series one number grows and all else stays. What grows with the passes it needs, and no
faster, has the same ratio along its series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from captum_cluster import LayerClusterCam, LayerScoreCam
from tests.benchmarks.contestants import Contestant
from tests.benchmarks.speed import Row, race
from tests.benchmarks.subjects import SIZE, TARGET, subject

SIZES = (96, 160, SIZE, 320)
CLUSTERS = (2, 6, 12, 24, 48)
IMAGES = (1, 4, 16)
TARGETS = (1, 10, 100)


def growth(rounds: int) -> Iterator[Row]:
    """Yield the rows of all series."""
    for size in SIZES:
        one = subject("resnet18", size, images=1)
        cam = LayerClusterCam(one.model, one.layer)
        run = _call(cam.attribute, one.images, TARGET)
        yield from race(one, [_point("image size", size, run, 7)], rounds)
    one = subject("resnet18")
    cam = LayerClusterCam(one.model, one.layer)
    image = one.images[:1]
    points = [
        _point("clusters", count, _call(cam.attribute, image, TARGET, n_clusters=count), 1 + count)
        for count in CLUSTERS
    ]
    points += [
        _point("images", count, _call(cam.attribute, one.images[:count], TARGET), 7, count)
        for count in IMAGES
    ]
    points += [
        _point("targets", count, _call(cam.attribute_targets, image, list(range(count))), 7)
        for count in TARGETS
    ]
    for layer, channels in zip(one.layers, (64, 128, 256), strict=False):
        run = _call(LayerScoreCam(one.model, layer).attribute, image, TARGET)
        points.append(_point("channels", channels, run, 1 + channels))
    yield from race(one, points, rounds)


def _call(function: Callable[..., object], *args: object, **kwargs: object) -> Callable[[], object]:
    return lambda: function(*args, **kwargs)


def _point(
    series: str, value: int, run: Callable[[], object], needed: int, images: int = 1
) -> Contestant:
    method = "Score-CAM" if series == "channels" else "Cluster-CAM"
    return Contestant(f"{method} by {series}", str(value), run, images, float(needed))
