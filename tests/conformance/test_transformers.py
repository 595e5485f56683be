"""Both faces on transformers of torchvision, with the transforms that are found for them."""

import pytest
import torch
from torchvision.models import SwinTransformer, VisionTransformer

from captum_cluster import find_layer, find_reshape_transform
from captum_cluster._checks import LayerError
from tests.conformance.cases import CASES, each, hooks_of, ids

CLASSES = 3
LABELS = [0, 1]

pytestmark = pytest.mark.filterwarnings("ignore:Target .* is not in its labels")


def built(model, channels):
    """A model in float64 whose head is not zero, with a head of sub-categories."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = model()
        for parameter in made.parameters():
            torch.nn.init.normal_(parameter, std=0.4)
        made.sub_category_head = torch.nn.Linear(channels, CLASSES * 2)
    return made.double().eval()


def vit():
    options = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32}
    return VisionTransformer(32, 8, num_classes=CLASSES, **options)


def swin():
    options = {"depths": [1, 1], "num_heads": [2, 2], "window_size": [4, 4]}
    return SwinTransformer([4, 4], 12, num_classes=CLASSES, **options)


MODELS = {"vit": (vit, 16, (4, 4)), "swin": (swin, 24, (4, 4))}


@pytest.fixture(params=MODELS)
def explained(request):
    """A model, its layer, what makes maps of it, two images, and the grid."""
    model, channels, grid = MODELS[request.param]
    model = built(model, channels)
    images = torch.rand(
        2, 3, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    name, layer = find_layer(model, images)
    return model, layer, find_reshape_transform(model, name, images), images, grid


@each(closed_form=False)
def test_both_faces_give_the_same_maps(case, explained):
    model, layer, transform, images, grid = explained
    before = hooks_of(model)
    result = case.explain(
        model, layer, images, [[label] for label in LABELS], reshape_transform=transform
    )
    cam = case.cam(model, [layer], transform)
    saliency = cam(images, case.targets(LABELS, images))
    torch.testing.assert_close(cam.results[0].maps, result.maps, rtol=0, atol=1e-12)
    assert result.maps.shape == (2, 1, *(grid if case.at_layer else (32, 32)))
    assert float(result.maps.std()) > 0
    assert saliency.shape == (2, 32, 32)
    assert hooks_of(model) == before


@each(closed_form=False)
def test_each_image_has_its_map_alone(case, explained):
    model, layer, transform, images, _ = explained
    both = case.explain(model, layer, images, [[1], [1]], reshape_transform=transform)
    one = case.explain(model, layer, images[:1], [[1]], reshape_transform=transform)
    torch.testing.assert_close(one.maps, both.maps[:1], rtol=1e-9, atol=1e-9)


@each(closed_form=True)
def test_a_class_token_leaves_no_closed_form(case):
    model = built(vit, 16)
    images = torch.rand(2, 3, 32, 32, dtype=torch.float64)
    _, layer = find_layer(model, images)
    transform = find_reshape_transform(model, layer, images)
    message = "Expected the model to be global average pooling and a linear classifier behind the"
    with pytest.raises(LayerError, match=message):
        case.explain(model, layer, images, [[0], [1]], reshape_transform=transform)
    with pytest.raises(LayerError, match=message):
        case.cam(model, [layer], transform)(images, case.targets(LABELS, images))


@each(closed_form=True)
def test_swin_has_a_closed_form_at_its_last_normalisation_alone(case):
    model = built(swin, 24)
    images = torch.rand(2, 3, 32, 32, dtype=torch.float64)
    transform = find_reshape_transform(model, "norm", images)
    given = {"reshape_transform": transform}
    result = case.explain(model, model.norm, images, [[0], [1]], **given)
    cam = case.cam(model, [model.norm], transform)
    cam(images, case.targets(LABELS, images))
    torch.testing.assert_close(cam.results[0].maps, result.maps, rtol=0, atol=1e-12)
    with pytest.raises(LayerError, match="Expected the model to be global average pooling"):
        case.explain(model, model.features[3], images, [[0], [1]], **given)


def test_cam_of_swin_is_the_share_of_each_place_in_the_logit():
    case = next(case for case in CASES if case.name == "cam")
    model = built(swin, 24)
    images = torch.rand(2, 3, 32, 32, dtype=torch.float64)
    transform = find_reshape_transform(model, "norm", images)
    result = case.explain(model, model.norm, images, [[2], [2]], reshape_transform=transform)
    with torch.no_grad():
        logits = model(images)[:, 2] - model.head.bias[2]
    torch.testing.assert_close(result.maps.mean(dim=(1, 2, 3)), logits)


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_without_a_transform_tokens_are_refused(case):
    model = built(vit, 16)
    images = torch.rand(1, 3, 32, 32, dtype=torch.float64)
    _, layer = find_layer(model, images)
    with pytest.raises(LayerError, match=r"feature maps of shape \(N,C,h,w\).*reshape_transform="):
        case.explain(model, layer, images, [[0]])
    with pytest.raises(LayerError, match=r"feature maps of shape \(N,C,h,w\).*reshape_transform="):
        case.cam(model, [layer])(images, case.targets([0], images))
