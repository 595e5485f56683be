"""Figures of clusters and of collections say what the result says, and can be read."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from captum_cluster.attr import LayerClusterCam, LayerCollectionCam
from captum_cluster.functional.attribution.masks import JoinedMasks, MapMasks
from captum_cluster.functional.attribution.weights import (
    base_and_scissors,
    base_scissors_weights,
    fuse,
    softmax_weights,
    spread_over_members,
)
from captum_cluster.methods import ClusterCamResult, CollectionCamResult, LayerCollections
from captum_cluster.visualization import overlay, plot_clusters, plot_collections
from tests.visualization.reading import assert_readable, words

SIZE = (12, 16)
PICTURE = torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(0))


def cluster_result(
    labels: Sequence[Sequence[int]], scores: Tensor, *, beta: float = 0.5, normalize: bool = True
) -> ClusterCamResult:
    """A result of these labels (N,C) and scores (N,K,T), of random maps."""
    numbers = torch.tensor(labels)
    clusters = scores.shape[1]
    generator = torch.Generator().manual_seed(1)
    means = torch.rand(len(labels), clusters, 3, 4, generator=generator)
    valid = torch.arange(clusters) <= numbers.amax(dim=1, keepdim=True)
    base, scissors = base_and_scissors(scores)
    weights = base_scissors_weights(base, scissors, beta, clusters, dtype=torch.float32)
    return ClusterCamResult(
        method="cluster-cam",
        maps=fuse(weights.transpose(1, 2), means),
        weights=spread_over_members(weights, numbers),
        masks=MapMasks(means, valid, normalize=normalize),
        scores=scores,
        labels=numbers,
        cluster_maps=means,
        base=base,
        scissors=scissors,
    )


NAN = float("nan")
# Two images and two targets; the second image has two clusters only.
SCORES = torch.tensor(
    [[[0.1234, 5.0], [0.9, -3.5], [0.5, 0.25]], [[0.75, 1.0], [0.25, 2.0], [NAN, NAN]]]
)
CLUSTERS = cluster_result([[0, 0, 1, 2, 2, 2], [0, 1, 1, 1, 1, 1]], SCORES, beta=0.75)


def frames(figure: Figure) -> list[str | None]:
    """The colour of the frame of each picture: "green", "red" or None."""
    names = {to_rgba("green"): "green", to_rgba("red"): "red"}
    return [
        names[tuple(axes.spines["left"].get_edgecolor())]
        if axes.spines["left"].get_visible()
        else None
        for axes in figure.axes
    ]


def pixels(axes: Axes) -> Any:
    """The picture in the axes."""
    return axes.images[0].get_array()


def test_clusters_tell_the_result() -> None:
    figure = plot_clusters(CLUSTERS, PICTURE, title="A picture")
    assert [axes.get_title() for axes in figure.axes] == [
        "scissors\ncluster 0, 2 maps",
        "base\ncluster 1, 1 map",
        "cluster 2, 3 maps",
        "picture",
        *["", "", ""],
        "Cluster-CAM",
    ]
    assert [axes.get_xlabel() for axes in figure.axes] == [
        *[""] * 4,
        "score 0.123, weight -0.25",
        "score 0.9, weight +0.75",
        "score 0.5",
        "",
    ]
    assert frames(figure) == ["red", "green", None, None, "red", "green", None, None]
    assert {"A picture", "cluster maps", "masked pictures"} < {
        text.get_text() for text in words(figure)
    }
    assert_readable(figure)


def test_the_other_target_has_other_roles() -> None:
    figure = plot_clusters(CLUSTERS, PICTURE, target=1)
    assert frames(figure)[:4] == ["green", "red", None, None]
    assert figure.axes[0].get_title().startswith("base\n")
    assert figure.axes[5].get_xlabel() == "score -3.5, weight -0.25"


def test_pictures_of_clusters() -> None:
    figure = plot_clusters(CLUSTERS, PICTURE, image=0, target=1)
    masks = CLUSTERS.render_masks(0, SIZE)
    for cluster in range(3):
        over = overlay(PICTURE, CLUSTERS.cluster_maps[0, cluster])
        np.testing.assert_array_equal(pixels(figure.axes[cluster]), over)
        masked = (PICTURE * masks[cluster]).permute(1, 2, 0).numpy() * 255
        np.testing.assert_allclose(pixels(figure.axes[4 + cluster]), masked, atol=0.51)
    np.testing.assert_array_equal(
        pixels(figure.axes[3]), np.rint(PICTURE.permute(1, 2, 0).numpy() * 255)
    )
    np.testing.assert_array_equal(pixels(figure.axes[7]), overlay(PICTURE, CLUSTERS.maps[0, 1]))


def test_fewer_clusters_than_the_batch() -> None:
    figure = plot_clusters(CLUSTERS, PICTURE, image=1)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:3] == ["base\ncluster 0, 1 map", "scissors\ncluster 1, 5 maps", "picture"]
    assert len(titles) == 6
    assert not any("nan" in text.get_text() for text in words(figure))


def test_a_single_cluster_has_no_scissors() -> None:
    result = cluster_result([[0, 0, 0]], torch.tensor([[[0.5]]]))
    assert result.scissors.tolist() == [[-1]]
    figure = plot_clusters(result, PICTURE)
    assert frames(figure) == ["green", None, "green", None]
    assert figure.axes[0].get_title() == "base\ncluster 0, 3 maps"
    assert_readable(figure)


def test_equal_scores_and_a_map_without_positive_part() -> None:
    result = cluster_result([[0, 1]], torch.tensor([[[0.5], [0.5]]]), beta=0.5)
    figure = plot_clusters(result, PICTURE)
    assert figure.axes[0].get_title() == "base and scissors\ncluster 0, 1 map"
    assert frames(figure)[:2] == ["green", None]
    assert figure.axes[3].get_xlabel() == "score 0.5", "the coefficients cancel"
    assert figure.axes[5].get_xlabel() == "no positive part"
    np.testing.assert_array_equal(pixels(figure.axes[5]), pixels(figure.axes[2]))
    flat = replace(result, maps=torch.full((1, 1, 3, 4), 2.0))
    assert plot_clusters(flat, PICTURE).axes[5].get_xlabel() == "the same everywhere"


def test_all_clusters_weighted_by_score() -> None:
    weights = softmax_weights(SCORES)
    spread = spread_over_members(weights, CLUSTERS.labels)
    figure = plot_clusters(replace(CLUSTERS, weights=spread), PICTURE)
    for cluster in range(3):
        words_below = figure.axes[4 + cluster].get_xlabel()
        assert words_below.endswith(f"weight +{weights[0, cluster, 0]:.3g}")


def test_no_weights() -> None:
    figure = plot_clusters(replace(CLUSTERS, weights=None), PICTURE)
    assert figure.axes[4].get_xlabel() == "score 0.123"


def test_masks_that_are_not_normalised() -> None:
    result = cluster_result([[0, 1]], torch.tensor([[[0.5], [0.1]]]), normalize=False)
    result = replace(result, masks=replace(result.masks, maps=5 * result.masks.maps))
    assert result.render_masks(0, SIZE).max() > 1
    assert_readable(plot_clusters(result, PICTURE))


def test_many_clusters_continue_below() -> None:
    scores = torch.arange(17.0).reshape(1, 17, 1)
    figure = plot_clusters(cluster_result([list(range(17))], scores), PICTURE)
    assert len(figure.axes) == 36
    titles = [axes.get_title() for axes in figure.axes]
    numbers = [title.split("cluster ")[1].split(",")[0] for title in titles if "map" in title]
    assert numbers == [str(number) for number in range(17)]
    places = [(axes.get_position().x0, axes.get_position().y0) for axes in figure.axes]
    above, below = places[titles.index("cluster 7, 1 map")], places[24]
    assert len({round(x, 3) for x, _ in places}) == 7, "six clusters and the map in a row"
    assert above[1] > below[1]
    assert_readable(figure)


@pytest.mark.parametrize(
    "picture",
    [
        Image.new("RGB", (40, 20), (10, 200, 30)),
        np.zeros((20, 40), np.uint8),
        np.ones((64, 20, 3)),
        torch.zeros(3, 20, 40, dtype=torch.uint8),
    ],
)
def test_kinds_of_picture(picture: Any) -> None:
    assert_readable(plot_clusters(CLUSTERS, picture))
    assert_readable(plot_collections(COLLECTIONS, picture))


def collection_result(
    sizes: Sequence[Sequence[int]], scores: Tensor, validity: Tensor
) -> CollectionCamResult:
    """A result of one image and layers of these sizes (L,T), of scores (1,K,T), 8 maps a layer."""
    layers, parts, start = [], [], 0
    generator = torch.Generator().manual_seed(2)
    for own in sizes:
        most = max(own)
        layers.append(
            LayerCollections(
                torch.stack([torch.arange(8).clamp(max=size - 1) for size in own])[None],
                torch.tensor([own]),
                (2, 3, 5),
                validity,
                torch.rand(1, len(own), most, 3, 4, generator=generator),
                slice(start, start + most),
            )
        )
        start += most
    for target, layer in itertools.product(range(len(sizes[0])), layers):
        valid = torch.arange(layer.maps.shape[2]) < layer.sizes[:, target, None]
        parts.append(MapMasks(layer.maps[:, target], valid, denoise_quantile=0.1))
    return CollectionCamResult(
        method="collection-cam",
        maps=torch.rand(1, len(sizes[0]), *SIZE, generator=generator),
        weights=None,
        masks=JoinedMasks(tuple(parts)),
        scores=scores,
        mask_weights=softmax_weights(scores),
        layers=tuple(layers),
        increase=None,
        exponents=None,
    )


# Two layers and two targets: 2 and 3 collections, and 3 and 2. The second layer's masks start
# at number 3, whatever the target. Size 5 was dropped for the first target.
VALIDITY = torch.tensor([[[0.5, 0.75, NAN], [-0.5, -0.25, -0.75]]], dtype=torch.float64)
COLLECTION_SCORES = torch.tensor(
    [[[1.0, 2.0], [-200.0, 1.0], [NAN, 4.0], [0.5, 3.0], [2.5, 0.0], [1.5, NAN]]]
)
COLLECTIONS = collection_result([[2, 3], [3, 2]], COLLECTION_SCORES, VALIDITY)


def test_collections_tell_the_result() -> None:
    figure = plot_collections(COLLECTIONS, PICTURE, layer_names=["early", "late"], title="All")
    weights = [f"{value:.3g}" for value in COLLECTIONS.mask_weights[0, :, 0].tolist()]
    assert [axes.get_title() for axes in figure.axes] == [
        "validity (DSRA)",
        "collection 0, 1 map",
        "collection 1, 7 maps",
        "validity (DSRA)",
        "collection 0, 1 map",
        "collection 1, 1 map",
        "collection 2, 6 maps",
        "picture",
        "Collection-CAM",
    ]
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "partition size: 2 chosen",
        f"weight {weights[0]}, score 1",
        "weight 0, score -200",
        "partition size: 3 chosen",
        f"weight {weights[3]}, score 0.5",
        f"weight {weights[4]}, score 2.5",
        f"weight {weights[5]}, score 1.5",
        "",
        "",
    ]
    found = {text.get_text() for text in words(figure)}
    assert {"early", "late", "all layers", "All"} < found
    assert_readable(figure)


@pytest.mark.parametrize("target", [0, 1])
def test_pictures_of_collections(target: int) -> None:
    figure = plot_collections(COLLECTIONS, PICTURE, target=target)
    masks = COLLECTIONS.render_masks(0, SIZE, target)
    shown = [axes for axes in figure.axes if axes.get_title().startswith("collection ")]
    own = [0, 1, 3, 4, 5] if target == 0 else [0, 1, 2, 3, 4]
    for axes, number in zip(shown, own, strict=True):
        np.testing.assert_array_equal(pixels(axes), overlay(PICTURE, masks[number]))
    final = overlay(PICTURE, COLLECTIONS.maps[0, target])
    np.testing.assert_array_equal(pixels(figure.axes[-1]), final)


def test_the_chosen_size_is_marked_on_the_validity() -> None:
    chosen = collection_result([[3, 3]], COLLECTION_SCORES[:, :3], VALIDITY)
    for target, (sizes, values) in enumerate(
        [([2, 3], [0.5, 0.75]), ([2, 3, 5], [-0.5, -0.25, -0.75])]
    ):
        axes = plot_collections(chosen, PICTURE, target=target).axes[0]
        line, upright, mark = axes.lines
        assert list(line.get_xdata()) == sizes
        assert list(line.get_ydata()) == values
        best = sizes[int(np.argmax(values))]
        assert list(mark.get_xdata()) == [best]
        assert list(mark.get_ydata()) == [max(values)]
        assert list(upright.get_xdata()) == [best, best]
        assert axes.get_xlabel() == f"partition size: {best} chosen"


@pytest.mark.parametrize(
    "values", [(0.71234, 0.71235, 0.71236), (-0.0001, 0.0, -1.0), (0.5, 0.5, 0.5), (1.0, NAN, NAN)]
)
def test_charts_are_readable(values: Sequence[float]) -> None:
    validity = torch.tensor([[values]], dtype=torch.float64)
    result = collection_result([[2]] * 2, torch.zeros(1, 4, 1), validity)
    figure = plot_collections(result, PICTURE)
    assert_readable(figure)
    ticks = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert len(set(ticks)) == len(ticks) >= 2
    low, high = figure.axes[0].get_xlim()
    marks = [float(x) for x in figure.axes[0].get_xticks() if low <= x <= high]
    assert marks
    assert all(mark.is_integer() for mark in marks)


def test_names_of_layers() -> None:
    figure = plot_collections(COLLECTIONS, PICTURE)
    assert {"layer 1 of 2", "final layer"} < {text.get_text() for text in words(figure)}
    one = collection_result([[2]], torch.zeros(1, 2, 1), VALIDITY[:, :1])
    found = {text.get_text() for text in words(plot_collections(one, PICTURE))}
    assert "final layer" in found
    assert "layer 1 of 1" not in found


def test_many_collections_continue_below_the_chart() -> None:
    validity = torch.tensor([[[0.1, 0.2, 0.3]]], dtype=torch.float64)
    result = collection_result([[2], [8]], torch.zeros(1, 10, 1), validity)
    result = replace(
        result, layers=(result.layers[0], replace(result.layers[1], partition_sizes=(2, 3, 8)))
    )
    figure = plot_collections(result, PICTURE)
    assert len(figure.axes) == 1 + 2 + 1 + 8 + 2
    first, fifth = figure.axes[4].get_position(), figure.axes[8].get_position()
    assert fifth.x0 == pytest.approx(first.x0)
    assert fifth.y1 < first.y0
    assert_readable(figure)


def test_an_empty_mask_is_called_empty() -> None:
    layer = COLLECTIONS.layers[0]
    masks = MapMasks(torch.zeros(1, 6, 3, 4), denoise_quantile=0.1)
    figure = plot_collections(replace(COLLECTIONS, masks=masks, layers=(layer,)), PICTURE)
    assert figure.axes[1].get_xlabel().endswith("\nempty mask")
    np.testing.assert_array_equal(pixels(figure.axes[1]), pixels(figure.axes[-2]))


def test_a_sharpened_map_is_named() -> None:
    sharpened = replace(COLLECTIONS, exponents=torch.tensor([[1.5, 0.7]]))
    axes = plot_collections(sharpened, PICTURE, target=1).axes[-1]
    assert axes.get_title() == "Sufficient Collection-CAM"
    assert axes.get_xlabel() == "raised to the power 0.7"


def test_what_the_methods_return() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = torch.nn.Sequential(
            torch.nn.Conv2d(3, 12, 3),
            torch.nn.ReLU(),
            torch.nn.Conv2d(12, 16, 3, stride=2),
            torch.nn.AdaptiveAvgPool2d(1),
            torch.nn.Flatten(),
            torch.nn.Linear(16, 5),
        ).eval()
    images = torch.stack([PICTURE, 1 - PICTURE])
    clusters = LayerClusterCam(model, model[2]).explain(images, [1, 4], n_clusters=4)
    figure = plot_clusters(clusters, 1 - PICTURE, image=1, target=1)
    assert_readable(figure)
    base = int(clusters.scores[1, :, 1].argmax())
    assert figure.axes[base].get_title().startswith(f"base\ncluster {base}, ")
    cam = LayerCollectionCam(model, [model[0], model[2]])
    collections = cam.explain(images, [1, 4], partition_sizes=range(2, 7))
    figure = plot_collections(collections, 1 - PICTURE, image=1, target=1)
    assert_readable(figure)
    for layer, axes in zip(
        collections.layers, [axes for axes in figure.axes if axes.lines], strict=True
    ):
        best = layer.partition_sizes[int(layer.validity[1, 1].argmax())]
        assert list(axes.lines[2].get_xdata()) == [best]


def test_wrong_arguments() -> None:
    with pytest.raises(TypeError, match="Expected result to be a ClusterCamResult, but got"):
        plot_clusters(COLLECTIONS, PICTURE)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Expected result to be a CollectionCamResult, but got"):
        plot_collections(CLUSTERS, PICTURE)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="result to be a ClusterCamResult, but got a tensor"):
        plot_clusters(CLUSTERS.maps, PICTURE)  # type: ignore[arg-type]
    plots: list[tuple[Any, Any]] = [(plot_clusters, CLUSTERS), (plot_collections, COLLECTIONS)]
    for plot, result in plots:
        with pytest.raises(ValueError, match=r"image to be an integer from 0 to the last image"):
            plot(result, PICTURE, image=2)
        with pytest.raises(ValueError, match=r"image to be an integer .*, but got -1"):
            plot(result, PICTURE, image=-1)
        with pytest.raises(ValueError, match=r"target to be .* the last target \(1\), but got 2"):
            plot(result, PICTURE, target=2)
        with pytest.raises(TypeError, match="target to be an integer"):
            plot(result, PICTURE, target="cat")
        with pytest.raises(ValueError, match=r"picture to be of shape .* got shape \(1, 3, 12"):
            plot(result, PICTURE[None])
        with pytest.raises(ValueError, match=r"picture to be in \[0, 1\]"):
            plot(result, PICTURE - 2)
        with pytest.raises(TypeError, match="picture to be a PIL image"):
            plot(result, "cat.png")
    with pytest.raises(ValueError, match="layer_names to be a list of 2 names, .* but got 1"):
        plot_collections(COLLECTIONS, PICTURE, layer_names=["one"])
    with pytest.raises(TypeError, match="layer_names to be a list of 2 names"):
        plot_collections(COLLECTIONS, PICTURE, layer_names="ab")
