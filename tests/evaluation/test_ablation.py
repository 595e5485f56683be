"""The papers' ablations: what is varied, and what is printed and drawn."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets.folder import IMG_EXTENSIONS
from torchvision.models import resnet18, vgg11

from captum_cluster._checks import LayerError
from captum_cluster.evaluation import STUDIES, find_images, run_ablation
from captum_cluster.methods import stages
from tests.helpers.trees import write_picture, write_text

STAGES = ["layer1", "layer2", "layer3", "layer4"]


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return resnet18(num_classes=10).eval()


@pytest.fixture(scope="module")
def pictures():
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)).unbind()


def settings(study, channels=64):
    found = STUDIES[study].settings(STAGES, channels)
    return [(one.name, one.layers, one.options) for one in found]


def test_what_is_varied():
    assert settings("cluster-cam-layers") == [(name, (name,), {}) for name in STAGES]
    assert settings("cluster-cam-clusters") == [
        (str(q), (), {"n_clusters": q}) for q in range(2, 9)
    ]
    assert all(
        one[2] == {"clustering": "spectral", "n_clusters": 6, "n_eigenvectors": number}
        for number, one in enumerate(settings("cluster-cam-eigenvectors"), start=1)
    )
    assert [one[0] for one in settings("cluster-cam-clustering")] == [
        "k-means",
        "spectral",
        "spectral, SSIM",
    ]
    assert [one[1] for one in settings("collection-cam-layers")] == [
        ("layer4",),
        ("layer3", "layer4"),
        ("layer2", "layer3", "layer4"),
        ("layer1", "layer2", "layer3", "layer4"),
    ]


def test_a_layer_with_few_maps_has_fewer_settings():
    assert [one[0] for one in settings("cluster-cam-clusters", 4)] == ["2", "3", "4"]
    assert [one[0] for one in settings("cluster-cam-eigenvectors", 4)] == ["1", "2", "3"]
    assert all(one[2]["n_clusters"] == 4 for one in settings("cluster-cam-clustering", 4))


def test_stages(model, pictures):
    assert stages(model, pictures[0][None]) == STAGES


def test_stages_of_a_network_with_one_part(pictures):
    images = pictures[0][None]
    assert stages(vgg11(num_classes=2).eval(), images) == [
        "features.1",
        "features.4",
        "features.9",
        "features.14",
        "features.19",
    ]
    with pytest.raises(LayerError, match="Expected layers to be given for a model without parts"):
        stages(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12288, 2)).eval(), images)


def test_clusters(model, pictures, tmp_path):
    found = run_ablation(model, pictures, "cluster-cam-clusters", stride=4)
    assert [row.passes for row in found.rows] == [1 + q for q in range(2, 9)]
    table = found.table().splitlines()
    assert len(table) == 8
    assert table[0].split() == ["setting", "AD", "AI", "I", "-", "D", "passes", "seconds"]
    assert f"{found.rows[3].summary.overall:.1f}" in table[4]
    figure = found.figure()
    assert [axes.get_title() for axes in figure.axes] == [
        "Average Drop in %",
        "Average Increase in %",
        "Insertion - Deletion in %",
    ]
    bars = [patch.get_width() for patch in figure.axes[0].patches]
    assert bars == [row.summary.drop for row in found.rows]
    assert Image.open(found.save(tmp_path / "new")).size[0] > 500


def test_layer_sets_take_their_layers(model, pictures):
    names = ["layer3", "layer4"]
    found = run_ablation(model, pictures[:1], "collection-cam-layers", layers=names, stride=4)
    assert [row.setting.name for row in found.rows] == ["layer4", "layer3, layer4"]
    assert found.rows[1].passes > found.rows[0].passes


def test_bad_input(model, pictures):
    with pytest.raises(ValueError, match="Expected study to be one of 'cluster-cam-layers'"):
        run_ablation(model, pictures, "cluster-cam")
    with pytest.raises(ValueError, match="Expected images to be at least one image"):
        run_ablation(model, [], "cluster-cam-layers")
    for stride in (0, 5):  # 64 rows of pixels are 8 steps
        with pytest.raises(ValueError, match="Expected stride to be an integer"):
            run_ablation(model, pictures, "cluster-cam-clustering", stride=stride)
    with pytest.raises(ValueError, match="layers to be None for cluster-cam-clusters"):
        run_ablation(model, pictures, "cluster-cam-clusters", layers=["layer4"])
    with pytest.raises(LayerError, match="'layer9'"):
        run_ablation(model, pictures, "cluster-cam-layers", layers=["layer1", "layer9"])


@pytest.mark.parametrize("ending", sorted({*IMG_EXTENSIONS, ".gif", ".GIF", ".Ppm"}))
def test_a_picture_of_each_kind_of_file_is_found(ending, tmp_path):
    for name in (f"b{ending}", f"deep/a{ending}"):
        write_picture(tmp_path / name)
    write_text(tmp_path / "notes.txt", "no picture")
    assert [path.name for path in find_images([tmp_path])] == [f"b{ending}", f"a{ending}"]


def test_find_images(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ("b.png", "deep/a.JPG"):
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / name, format="PNG")
    (tmp_path / "notes.txt").write_text("no picture")
    assert [path.name for path in find_images([tmp_path])] == ["b.png", "a.JPG"]
    assert find_images([tmp_path / "b.png"]) == [tmp_path / "b.png"]
    with pytest.raises(FileNotFoundError, match="an existing file or folder"):
        find_images([tmp_path / "missing"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="a folder with pictures in it"):
        find_images([tmp_path / "empty"])
