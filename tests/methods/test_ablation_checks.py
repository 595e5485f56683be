"""Networks that look as if a shorter way would do, and where Ablation-CAM must not take it."""

import pytest
import torch
from torch import nn

from captum_cluster.attr import LayerAblationCam
from tests.helpers import ablation_references as ref
from tests.helpers import nets
from tests.helpers.method_cases import assert_close

X = nets.images(2)


class Behind(nn.Module):
    """A convolution, something behind it, mean and ``fc``, and something behind the outputs."""

    def __init__(self, behind=lambda maps: maps, last=lambda outputs: outputs):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.conv, self.fc = nn.Conv2d(3, 6, 3), nn.Linear(6, 3)
        self.conv.bias.data += 4  # all maps of the whole image are above 0
        self.behind, self.last = behind, last
        self.double().eval()

    def forward(self, x):
        return self.last(self.fc(self.behind(self.conv(x)).mean(dim=(2, 3))))


def check(net, layer, way, **options):
    result = LayerAblationCam(net, layer).explain(X, [1], **options)
    assert result.way == way
    known = {key: options[key] for key in options if key == "fill"}
    for n, x in enumerate(X):
        expected, _, _ = ref.ablation_cam(net, layer, x, 1, **known)
        assert_close(result.maps[n, 0], expected, rtol=0, atol=1e-8 * abs(expected).max() + 1e-12)


@pytest.mark.parametrize("fill", ["zero", "low"])
def test_a_bound_on_the_maps_that_only_ablated_ones_reach(fill):
    net = Behind(lambda maps: maps.clamp(0.5, 99))
    check(net, net.conv, "shared", fill=fill)


def test_a_relu_that_only_low_values_reach():
    net = Behind(torch.relu)
    check(net, net.conv, "closed")
    check(net, net.conv, "shared", fill="low")


def test_a_bound_on_the_outputs_that_only_ablated_maps_reach():
    plain = Behind()
    outputs = plain(X)
    low, high = float(outputs.min()) - 0.01, float(outputs.max()) + 0.01
    net = Behind(last=lambda outputs: outputs.clamp(low, high))
    check(plain, plain.conv, "closed")
    check(net, net.conv, "shared")


class Writes(nn.Module):
    """Writes into what came before the layer, or into what it gives, unseen by autograd."""

    def __init__(self, write):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.first, self.layer = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
            self.fc = nn.Linear(6, 3)
        self.write = write
        self.double().eval()

    def forward(self, x):
        early = self.first(x)
        late = self.layer(early)
        self.write(early, late)
        return self.fc((late + early).relu().mean(dim=(2, 3)).tanh())


def into_what_was_before(early, late):
    early.data.mul_(0.5)


def into_the_maps(early, late):
    late.data.sub_(0.1)


def into_their_memory(early, late):
    late.detach().numpy()[...] += 0.3


@pytest.mark.parametrize("write", [into_what_was_before, into_the_maps, into_their_memory])
@pytest.mark.parametrize("rows", [1, 2, 4, None])
def test_writing_that_is_not_counted(write, rows):
    net = Writes(write)
    check(net, net.layer, "shared", perturbations_per_eval=rows)


class Keeps(nn.Module):
    """Adds what a hook of its user's kept of a module in front of the layer."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU())
            self.layer, self.fc = nn.Conv2d(6, 6, 3, padding=1), nn.Linear(6, 3)
        self.stem[0].register_forward_hook(lambda _, __, output: setattr(self, "kept", output))
        self.double().eval()

    def forward(self, x):
        return self.fc((self.layer(self.stem(x)) + self.kept).relu().mean(dim=(2, 3)))


def test_what_a_hook_kept_of_as_many_images_as_a_check_has_rows():
    net = Keeps()
    check(net, net.layer, "full")
