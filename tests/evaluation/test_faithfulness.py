"""The papers' measures of one map, against the slow derivations."""

import pytest
import torch

from captum_cluster.evaluation.faithfulness import Faithfulness, measure, summarize
from tests.helpers import metric_references as ref
from tests.helpers.nets import SmallNet, images


@pytest.fixture
def net():
    return SmallNet().double().eval()


def test_the_measures_are_those_of_the_slow_derivation(net):
    image = images(1, size=(20, 12))
    saliency = torch.rand(20, 12, generator=torch.Generator().manual_seed(1)).double()
    region = saliency > 0.6
    one = measure(net, image, 3, saliency, region=region)
    assert one.before == pytest.approx(ref.probability(net, image[0], 3))
    assert one.insertion == pytest.approx(ref.insertion(net, image[0], saliency, 3))
    assert one.deletion == pytest.approx(ref.deletion(net, image[0], saliency, 3))
    assert one.inside == pytest.approx(ref.proportion(saliency, region))
    drop = ref.drop(net, image[0], saliency, 3)
    assert summarize([one]).drop == pytest.approx(100 * drop)


def test_a_stride_takes_fewer_steps(net):
    passes = []
    net.register_forward_hook(lambda _, args, __: passes.append(len(args[0])))
    measure(net, images(1, size=(64, 64)), 3, torch.rand(4, 4), stride=4)
    assert sum(passes) == 2 + 2 * 2  # steps 0, 4 and 8; the curves share their ends
    passes.clear()
    measure(net, images(1, size=(64, 64)), 3, torch.rand(4, 4))
    assert sum(passes) == 2 + 2 * 8


def test_an_empty_map_is_measured(net):
    one = measure(net, images(1, size=16), 3, torch.zeros(4, 4), region=torch.ones(16, 16) > 0)
    assert one.inside == 0
    assert 0 < one.after < 1


def test_summary():
    rows = [Faithfulness(0.5, 0.25, 0.5, 0.25, 1.0), Faithfulness(0.5, 0.75, 0.25, 0.25, 0.5)]
    mean = summarize(rows)
    assert (mean.drop, mean.increase, mean.overall, mean.inside) == (25.0, 50.0, 12.5, 75.0)
