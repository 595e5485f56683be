"""Networks, images and maps on which the metrics of confidence are compared."""

import torch

from tests.helpers import nets

NETS = {
    "small": (nets.SmallNet(), nets.images(4, 3, (19, 11)), [4, 1, 0, 2]),
    "other": (nets.SmallNet(seed=7, num_classes=3), nets.images(3, 3, 16, seed=2), [0, 0, 2]),
    "one logit": (nets.OneLogitNet(), nets.images(3, 3, (8, 9)), [0, 0, 0]),
    "tuple": (nets.TupleNet(), nets.images(2, 3, (17, 10)), [2, 1]),
}


def probabilities(net, images, targets):
    """p_c of each image."""
    with torch.no_grad():
        outputs = net(images)
    read = outputs.sigmoid() if outputs.shape[1] == 1 else outputs.softmax(dim=1)
    return read[torch.arange(len(images)), targets]


def maps_for(images, seed=3):
    """A coarse signed map for each image."""
    return nets.images(len(images), 1, (3, 4), seed=seed)[:, 0]
