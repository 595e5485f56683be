"""Which linear layer the closed forms read, above all beside a head of sub-categories."""

import pytest
from torch import nn

from captum_cluster._checks import LayerError
from captum_cluster.methods import find_classifier
from captum_cluster.training import SubCategoryHead
from tests.helpers import nets


class Protocol(nn.Module):
    """The head of the labels, between two other linear layers."""

    def __init__(self):
        super().__init__()
        self.first, self.parent_head = nn.Linear(2, 2), nn.Linear(4, 3)
        self.last = nn.Linear(5, 5)


def test_the_head_of_the_protocol_comes_first():
    model = Protocol()
    assert find_classifier(model) is model.parent_head
    assert find_classifier(model.forward) is model.parent_head
    assert find_classifier(model, model.last) is model.last
    model.parent_head = nn.ReLU()
    assert find_classifier(model) is model.last


def test_the_last_linear_layer_that_is_no_head_of_sub_categories():
    net = nets.SmallNet()
    net.sub_category_head = SubCategoryHead(12, 5, 3)
    assert find_classifier(net) is net.fc
    assert find_classifier(nets.Wrapped(nets.Wrapped(net))) is net.fc
    alone = nn.Module()
    alone.sub_category_head = nn.Linear(2, 2)
    with pytest.raises(LayerError, match="^Expected the model to hold an nn.Linear"):
        find_classifier(alone)
