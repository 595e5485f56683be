"""The second derivation of Ablation-CAM, against numbers worked by hand and the host's own."""

import io
from contextlib import redirect_stderr

import numpy as np
import pytest
import pytorch_grad_cam
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from tests.helpers import ablation_references as ref
from tests.helpers import nets

# The means of the hand-made net's maps are 2.5, 5.5, 1.5 and 4.
LOST = {0: [2.5, 0.0, 1.5, -2.0], 1: [0.0, 2.75, 0.0, 2.0]}


@pytest.mark.parametrize("target", [0, 1])
def test_by_hand(target):
    net = nets.HandNet().double().eval()
    cam, weights, scores = ref.ablation_cam(net, net.relu, nets.HandNet.image()[0], target)
    y = nets.HAND_LOGITS[target]
    np.testing.assert_allclose(scores, y - np.array(LOST[target]), rtol=1e-14)
    np.testing.assert_allclose(weights, np.array(LOST[target]) / y, rtol=1e-14, atol=1e-15)
    maps = np.array(nets.HAND_MAPS)
    np.testing.assert_allclose(cam, np.tensordot(weights, maps, 1), rtol=1e-14)


def test_a_score_of_0():
    net = nets.HandNet().double().eval()
    with torch.no_grad():
        net.fc.bias[0] -= 2.5
    _, weights, scores = ref.ablation_cam(net, net.relu, nets.HandNet.image()[0], 0)
    np.testing.assert_allclose(weights, LOST[0], rtol=1e-14)
    np.testing.assert_allclose(scores, -np.array(LOST[0]), rtol=1e-14)


@pytest.mark.parametrize(("layer", "fill"), [("relu2", "zero"), ("conv1", "low")])
def test_the_weights_are_the_hosts(layer, fill):
    net, x = nets.SmallNet().double().eval(), nets.images(1)
    module, targets = getattr(net, layer), [ClassifierOutputTarget(2)]
    with redirect_stderr(io.StringIO()):
        cam = pytorch_grad_cam.AblationCAM(net, [module], batch_size=1)
        cam(x, targets)
        maps = cam.activations_and_grads.activations[0].numpy()
        expected = cam.get_cam_weights(x, module, targets, maps, None)
    _, weights, _ = ref.ablation_cam(net, module, x[0], 2, fill=fill)
    np.testing.assert_allclose(weights, expected[0], rtol=1e-4, atol=1e-6)
    assert abs(weights).max() > 0.01


def test_only_the_last_call_counts():
    net, x = nets.ReusedReLU().double().eval(), nets.images(1)[0]
    _, _, scores = ref.ablation_cam(net, net.relu, x, 1)
    assert len(scores) == 6, "the second call gives six maps, the first four"
    with torch.no_grad():
        maps = net.relu(net.conv2(net.relu(net.conv1(x[None]))))
        for channel in range(6):
            without = maps.clone()
            without[:, channel] = 0
            assert float(net.fc(without.mean(dim=(2, 3)))[0, 1]) == pytest.approx(scores[channel])
