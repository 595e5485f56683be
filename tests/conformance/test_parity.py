"""Both faces give the same maps, and Score-CAM those of pytorch-grad-cam's own class."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import pytorch_grad_cam
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torchvision.models import resnet18

from captum_cluster import ClusterCAM, LayerClusterCam, ScoreCAM
from tests.conformance.cases import CASES, ids
from tests.helpers.nets import SmallNet, TokenNet, images

LABELS = [3, 0, 2]
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-6}

every_case = pytest.mark.parametrize("case", CASES, ids=ids(CASES))
every_dtype = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)


def targets(labels):
    return [ClassifierOutputTarget(label) for label in labels]


@every_case
@every_dtype
@pytest.mark.parametrize("layer", ["bn1", "conv2", "relu2"])
def test_both_faces_give_the_same_maps(case, dtype, layer):
    model = SmallNet().eval().to(dtype)
    x = images(3, size=(16, 24), dtype=dtype)
    module = getattr(model, layer)
    maps = case.attribute(model, module, x, LABELS)
    cam = case.cam(model, [module])
    cam(x, targets(LABELS))
    theirs = cam.results[0].maps
    assert theirs.dtype == maps.dtype == dtype
    torch.testing.assert_close(theirs, maps, rtol=0, atol=TOLERANCE[dtype])
    assert maps.std() > 0


@every_case
@every_dtype
def test_both_faces_give_the_same_masks_scores_and_weights(case, dtype):
    model = SmallNet().eval().to(dtype)
    x = images(3, size=(16, 24), dtype=dtype)
    result = case.explain(model, model.relu2, x, [[label] for label in LABELS])
    cam = case.cam(model, [model.relu2])
    cam(x, targets(LABELS))
    theirs = cam.results[0]
    close = {"rtol": 0, "atol": TOLERANCE[dtype]}
    torch.testing.assert_close(theirs.scores, result.scores, **close)
    for i in range(3):
        ours = result.render_masks(i, (16, 24))
        torch.testing.assert_close(theirs.render_masks(i, (16, 24)), ours, **close)
    if case.weighted:
        torch.testing.assert_close(theirs.weights, result.weights, **close)


@every_case
def test_both_faces_give_the_same_maps_of_tokens_and_with_a_baseline(case):
    model = TokenNet().eval().double()
    x = images(2, size=(8, 12))
    captum = case.captum(model, model.block, reshape_transform=model.reshape_transform)
    maps = captum.attribute(x, [0, 1], baselines=0.3, **case.options)
    cam = case.cam(model, [model.block], model.reshape_transform, baselines=0.3)
    cam(x, targets([0, 1]))
    torch.testing.assert_close(cam.results[0].maps, maps, rtol=0, atol=1e-12)
    plain = captum.attribute(x, [0, 1], **case.options)
    assert not torch.allclose(plain, maps)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("layer", ["relu1", "conv2", "relu2"])
def test_score_cam_is_that_of_pytorch_grad_cam(seed, layer, capsys):
    model = SmallNet(seed=seed).eval()
    x = images(3, size=(16, 24), dtype=torch.float32, seed=seed)
    module = [getattr(model, layer)]
    stock = pytorch_grad_cam.ScoreCAM(model, module)(x, targets(LABELS))
    ours = ScoreCAM(model, module, align_corners=True)(x, targets(LABELS))
    torch.testing.assert_close(torch.tensor(ours), torch.tensor(stock), rtol=0, atol=1e-5)
    other = ScoreCAM(model, module)(x, targets(LABELS))
    assert not torch.allclose(torch.tensor(other), torch.tensor(stock), rtol=0, atol=1e-5)
    capsys.readouterr()


def test_score_cam_is_that_of_pytorch_grad_cam_on_a_resnet(capsys):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = resnet18(weights=None).eval()
    x = images(1, size=64, dtype=torch.float32)
    with torch.no_grad():
        label = int(model(x).argmax())
    stock = pytorch_grad_cam.ScoreCAM(model, [model.layer3])
    stock.batch_size = 128
    expected = torch.tensor(stock(x, targets([label])))
    ours = ScoreCAM(model, [model.layer3], align_corners=True)
    torch.testing.assert_close(torch.tensor(ours(x, targets([label]))), expected, rtol=0, atol=1e-5)
    assert expected.std() > 0.01
    capsys.readouterr()


class Parts(torch.nn.Module):
    """Gives its maps in a tuple or in a dictionary."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def forward(self, x):
        return {"maps": x} if self.kind is dict else (x, x.sum(dim=1))


@pytest.mark.parametrize(("kind", "key"), [(dict, "maps"), (tuple, 0)])
def test_reshape_transform_takes_what_the_layer_gives_in_both_faces(kind, key):
    small = SmallNet().double().eval()
    parts = Parts(kind)

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.small, self.parts = small, parts

        def forward(self, x):
            found = self.parts(small.relu1(small.bn1(small.conv1(x))))[key]
            return small.fc(small.pool(small.relu2(small.conv2(found))).flatten(1))

    model, x = Net().eval(), images(2)
    cam = ClusterCAM(model, [parts], lambda found: found[key], n_clusters=3)
    cam(x, [ClassifierOutputTarget(1)] * 2)
    ours = LayerClusterCam(model, parts, reshape_transform=lambda found: found[key])
    maps = ours.attribute(x, 1, n_clusters=3)
    assert torch.allclose(cam.results[0].maps, maps, atol=1e-12)
    assert torch.allclose(
        maps, LayerClusterCam(model, small.relu1).attribute(x, 1, n_clusters=3), atol=1e-12
    )


def test_the_classes_can_be_subclassed():
    class Captum(LayerClusterCam):
        def attribute(self, *args, **kwargs):
            return 2 * super().attribute(*args, **kwargs)

    class Cam(ClusterCAM):
        pass

    model, x = SmallNet().double().eval(), images(2)
    once = LayerClusterCam(model, model.relu2).attribute(x, 1)
    assert torch.equal(Captum(model, model.relu2).attribute(x, 1), 2 * once)
    targets = [ClassifierOutputTarget(1)] * 2
    assert (
        Cam(model, [model.relu2])(x, targets) == ClusterCAM(model, [model.relu2])(x, targets)
    ).all()


def test_threads_do_not_disturb_each_other():
    model = SmallNet().double().eval()
    inputs = [images(1, seed=seed) for seed in range(6)]
    cam = LayerClusterCam(model, model.relu2)
    alone = [cam.attribute(x, 1) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda x: cam.attribute(x, 1), inputs * 5))
    assert all(torch.equal(maps, alone[i % 6]) for i, maps in enumerate(together))
