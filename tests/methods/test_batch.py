"""What a batch, its baselines and a layer's output have to be."""

import math

import numpy as np
import pytest
import torch

from captum_cluster._checks import LayerError
from captum_cluster.methods import check_baselines, check_images, check_outputs, feature_maps
from tests.helpers import nets

IMAGES = nets.images(2, 3, (4, 5))
FORMS = "images (N,c,H,W), signals (N,c,L) or volumes (N,c,D,H,W)"


def message(error, function, *args):
    with pytest.raises(error) as raised:
        function(*args)
    return str(raised.value)


# Images


@pytest.mark.parametrize(
    "inputs",
    [
        (IMAGES,),
        (IMAGES, torch.ones(2, 7)),
        (torch.ones(2), IMAGES),
        (IMAGES, nets.images(2, 1, 9)),
        (IMAGES.half(),),
        (torch.ones(2, 4, 5),),
        (torch.ones(2, 1, 3, 4, 5), torch.ones(2, 4, 5)),
    ],
)
def test_check_images_gives_their_number(inputs):
    assert check_images(inputs) == 2


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        (
            (torch.ones(3, 4),),
            f"a batch of {FORMS}, but got shape (3, 4).",
        ),
        (
            (torch.ones(2, 3), torch.ones(2)),
            f"a batch of {FORMS}, but got shape (2, 3), (2,).",
        ),
        ((), f"a batch of {FORMS}, but got shape ."),
        (
            (IMAGES, torch.ones(3, 1)),
            "tensors with the same number of rows, but got (2, 3, 4, 5), (3, 1).",
        ),
        (
            (IMAGES, torch.tensor(3.0)),
            "tensors with the same number of rows, but got (2, 3, 4, 5), ().",
        ),
        (
            (torch.ones(0, 3, 4, 5),),
            "at least one image, and no empty one, but got shape (0, 3, 4, 5).",
        ),
        (
            (torch.ones(2, 3, 0, 5),),
            "at least one image, and no empty one, but got shape (2, 3, 0, 5).",
        ),
    ],
    ids=str,
)
def test_check_images_of_other_shapes(inputs, text):
    assert message(ValueError, check_images, inputs) == f"Expected inputs to be {text}"


@pytest.mark.parametrize(
    ("value", "got"),
    [(np.ones((1, 3, 2, 2)), "array("), (None, "None (NoneType)."), ([IMAGES], "[tensor(")],
    ids=["array", "none", "list"],
)
def test_check_images_of_other_types(value, got):
    text = message(TypeError, check_images, (IMAGES, value))
    assert text.startswith(f"Expected inputs to be tensors, but got {got}")


@pytest.mark.parametrize(
    ("value", "kind"), [(math.nan, "NaN"), (math.inf, "an infinite value")], ids=str
)
@pytest.mark.parametrize("which", [0, 1])
def test_check_images_that_are_not_finite(value, kind, which):
    inputs = [IMAGES.clone(), torch.ones(2, 7)]
    inputs[which].reshape(-1)[-1] = value
    place = [[1, 2, 3, 4], [1, 6]][which]
    assert message(ValueError, check_images, inputs) == (
        f"Expected inputs to be finite, but got {kind} at index {place}."
    )


# Baselines


def test_check_baselines_without_any():
    assert check_baselines(None, (IMAGES,)) is None


@pytest.mark.parametrize(
    "baseline",
    [
        0,
        -0.5,
        np.float64(0.25),
        torch.tensor(0.5),
        IMAGES,
        IMAGES[:1],
        IMAGES[0],
        torch.ones(3, 1, 1),
    ],
    ids=lambda b: f"{type(b).__name__} {getattr(b, 'shape', '')}",
)
def test_check_baselines_of_one_input(baseline):
    for given in (baseline, (baseline,), [baseline]):
        found = check_baselines(given, (IMAGES,))
        assert isinstance(found, tuple)
        assert len(found) == 1
        assert found[0] is baseline


def test_check_baselines_of_several_inputs():
    second = torch.zeros(2, 7)
    found = check_baselines((0.5, second), (IMAGES, torch.ones(2, 7)))
    assert found[0] == 0.5
    assert found[1] is second


@pytest.mark.parametrize(("given", "inputs"), [((1, 2), 1), (1, 2), ((), 1)])
def test_check_baselines_of_the_wrong_number(given, inputs):
    number = len(given) if isinstance(given, tuple) else 1
    assert message(ValueError, check_baselines, given, (IMAGES,) * inputs) == (
        f"Expected baselines to be one for each of {inputs} inputs, but got {number}."
    )


@pytest.mark.parametrize(
    ("given", "got"),
    [(True, "True"), ("zero", "'zero' (str)"), (1j, "1j")],
)
def test_check_baselines_of_other_types(given, got):
    assert message(TypeError, check_baselines, given, (IMAGES,)) == (
        f"Expected baselines to be a number or a tensor, but got {got}."
    )


@pytest.mark.parametrize("shape", [(3, 3, 4, 5), (2, 1), (1, 2, 3, 4, 5), (5, 4)])
def test_check_baselines_of_other_shapes(shape):
    baseline = torch.zeros(shape)
    assert message(ValueError, check_baselines, baseline, (IMAGES,)) == (
        "Expected baselines to be a tensor that broadcasts to the input's shape (2, 3, 4, 5), "
        f"but got a tensor of shape {shape} and dtype torch.float32."
    )


@pytest.mark.parametrize(
    ("given", "got"),
    [
        (math.nan, "NaN"),
        (math.inf, "an infinite value"),
        (torch.tensor([[[0.0]], [[math.nan]], [[0.0]]]), "NaN at index [1, 0, 0]"),
    ],
    ids=str,
)
def test_check_baselines_that_are_not_finite(given, got):
    assert message(ValueError, check_baselines, given, (IMAGES,)) == (
        f"Expected baselines to be finite, but got {got}."
    )


# Feature maps


@pytest.mark.parametrize(
    ("dtype", "wider"),
    [
        (torch.float64, torch.float64),
        (torch.float32, torch.float32),
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
    ],
    ids=str,
)
def test_feature_maps_are_float32_or_better(dtype, wider):
    maps = IMAGES.to(dtype)
    found = feature_maps(maps, 2)
    assert found.dtype == wider
    assert torch.equal(found, maps.to(wider))


def test_feature_maps_through_a_transform():
    net = nets.TokenNet().double().eval()
    tokens = nets.images(2, 1, (7, 6))[:, 0]
    found = feature_maps(tokens, 2, net.reshape_transform)
    assert found.shape == (2, 6, 2, 3)
    for channel in range(6):
        assert found[1, channel].flatten().tolist() == tokens[1, 1:, channel].tolist()


HINT = (
    " Pass reshape_transform=, a function of the layer's output that returns such maps "
    "(for a vision transformer: drop the class token and fold the others into the grid)."
)


@pytest.mark.parametrize(
    ("output", "got"),
    [
        (torch.ones(2, 7, 6), "a tensor of shape (2, 7, 6) and dtype torch.float32"),
        (torch.ones(2, 7), "a tensor of shape (2, 7) and dtype torch.float32"),
        (torch.ones(3, 6, 2, 2), "a tensor of shape (3, 6, 2, 2) and dtype torch.float32"),
        (torch.ones(2, 0, 2, 2), "a tensor of shape (2, 0, 2, 2) and dtype torch.float32"),
        (torch.ones(2, 6, 2, 0), "a tensor of shape (2, 6, 2, 0) and dtype torch.float32"),
        (None, "None (NoneType)"),
    ],
    ids=str,
)
def test_feature_maps_of_other_shapes(output, got):
    rule = "to give feature maps of shape (N,C,h,w) with N = 2, but got"
    assert message(LayerError, feature_maps, output, 2) == f"Expected layer {rule} {got}.{HINT}"
    transformed = message(LayerError, feature_maps, IMAGES, 2, lambda _: output)
    assert transformed == f"Expected reshape_transform {rule} {got}."


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_feature_maps_that_are_not_finite(value):
    maps = IMAGES.clone()
    maps[1, 2, 3, 4] = value
    assert message(LayerError, feature_maps, maps, 2) == (
        "Expected layer to give finite feature maps, but got NaN or infinity."
    )


def test_images_of_integers_are_refused():
    # a mask between 0 and 1 would be rounded to one of them
    assert message(TypeError, check_images, (torch.ones(1, 3, 4, 4, dtype=torch.uint8),)) == (
        "Expected inputs to be images of a floating-point dtype, as a mask scales them, "
        "but got a tensor of shape (1, 3, 4, 4) and dtype torch.uint8."
    )


def test_no_baseline_for_one_of_several_inputs_is_zero():
    given = check_baselines((0.5, None), (IMAGES, torch.ones(2, 7)))
    assert given == (0.5, 0.0)


@pytest.mark.parametrize("outputs", [{"logits": 1}, torch.tensor(1.0), torch.ones(3, 2)], ids=str)
def test_check_outputs(outputs):
    assert check_outputs(torch.ones(2, 5), 2).shape == (2, 5)
    assert message(ValueError, check_outputs, outputs, 2).startswith(
        "Expected the model to give a tensor with one row for each of 2 images, but got "
    )
