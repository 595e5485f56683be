"""Networks, layers, images and targets on which every method is compared with its reference."""

import numpy as np
import torch

from captum_cluster.hooks import capture
from tests.helpers import nets
from tests.helpers import references as ref


def assert_close(actual, expected, rtol=1e-9, atol=1e-11):
    np.testing.assert_allclose(ref.array(actual), ref.array(expected), rtol=rtol, atol=atol)


def squared(outputs):
    """A score_function that is neither monotone nor one of the names."""
    return outputs**2 + outputs[:, :1]


def margin(output):
    """A target as pytorch-grad-cam takes them: a function of one image's output."""
    return output[0] - output[-1]


# network, its layer, the images, a target for each image
CASES = {
    "small": (nets.SmallNet(), "relu2", nets.images(2, 3, (9, 12)), [4, 1]),
    "before the relu": (nets.SmallNet(), "conv2", nets.images(2), [0, 3]),
    "early": (nets.SmallNet(), "relu1", nets.images(1), [2]),
    "callable": (nets.SmallNet(), "relu2", nets.images(2), [margin, margin]),
    "one logit": (nets.OneLogitNet(), "relu", nets.images(2), [0, 0]),
    "dense": (nets.DenseNet2d(), "relu", nets.images(2), [(2, 1, 7), (0, 4, 4)]),
    "flat": (nets.FlatNet(), "layer", nets.images(2), [0, 2]),
    "reused": (nets.ReusedReLU(), "relu", nets.images(2), [1, 1]),
    "hand": (nets.HandNet(), "relu", nets.HandNet.image(), [0]),
}


def case(name):
    net, layer, images, targets = CASES[name]
    net = net.double().eval()
    return net, getattr(net, layer), images, targets


def maps_of(net, layer, images):
    with torch.no_grad(), capture([layer]) as captured:
        net(images)
    return captured.activations(0)[0]
