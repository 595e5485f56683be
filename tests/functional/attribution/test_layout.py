"""The layout in which a model is given its images, and models that cannot take it."""

import pytest
import torch
from torch import nn

from captum_cluster import LayerClusterCam, LayerMinMaxGradCam, LayerScoreCam
from captum_cluster.functional.attribution import FastLayout, MapMasks, MaskedScorer, select_each
from captum_cluster.functional.attribution.layout import (
    fast_layout,
    is_faster_channels_last,
    layout_of,
)
from captum_cluster.grad_cam import ClusterCAM, MinMaxGradCAM, ScoreCAM

LAST = torch.channels_last
ROWS = torch.arange(2)


class Seen(nn.Module):
    """Notes how its images lie in memory."""

    def __init__(self, flatten):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.fc = nn.Linear(6 * 64, 4)
        self.flatten, self.layouts = flatten, []
        for parameter, seed in zip(self.parameters(), range(4), strict=True):
            nn.init.normal_(parameter, generator=torch.Generator().manual_seed(seed))

    def forward(self, x):
        self.layouts.append(layout_of(x))
        return self.fc(self.flatten(self.conv(x)))


def by_view(maps):
    return maps.view(len(maps), -1)


def by_flatten(maps):
    return maps.flatten(1)


def images():
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("tensor", "faster"),
    [
        (torch.zeros(1, 3, 4, 4), True),
        (torch.zeros(1, 3, 4, 4, dtype=torch.bfloat16), True),
        (torch.zeros(1, 3, 4, 4, dtype=torch.float64), False),
        (torch.zeros(1, 3, 4, 4, dtype=torch.int64), False),
        (torch.zeros(1, 1, 4, 4), False),
        (torch.zeros(1, 3, 4), False),
        (torch.zeros(1, 3, 4, 4, device="meta"), False),
    ],
)
def test_what_is_faster_channels_last(tensor, faster):
    assert is_faster_channels_last(tensor) is faster
    assert (layout_of(fast_layout(tensor)) is LAST) is faster if tensor.ndim == 4 else not faster


def test_the_layout_of_images_that_lie_either_way_is_the_default():
    assert layout_of(torch.zeros(2, 1, 4, 4).contiguous(memory_format=LAST)) is not LAST
    assert layout_of(images().contiguous(memory_format=LAST)) is LAST


def test_a_model_is_given_images_channels_last_and_they_are_not_altered():
    net, x = Seen(by_flatten), images()
    found = FastLayout(lambda inputs, rows: net(inputs[0]))((x,), ROWS)
    assert net.layouts == [LAST]
    assert layout_of(x) is torch.contiguous_format
    torch.testing.assert_close(found, net(x))


def test_a_model_that_reshapes_by_view_gets_the_default_layout_from_then_on():
    net, x = Seen(by_view), images()
    forward = FastLayout(lambda inputs, rows: net(inputs[0]))
    assert torch.equal(forward((x,), ROWS), net(x))
    forward((x,), ROWS)
    # The first attempt, the same again, and the call beside it; then one pass only.
    assert net.layouts == [LAST, *[torch.contiguous_format] * 3]
    assert not forward.channels_last


@pytest.mark.parametrize("text", ["out of memory", "the review of the viewer", "a stridency"])
def test_other_errors_are_not_tried_again(text):
    calls = []

    def forward(inputs, rows):
        calls.append(1)
        raise RuntimeError(text)

    with pytest.raises(RuntimeError, match=text):
        FastLayout(forward)((images(),), ROWS)
    assert len(calls) == 1


def test_an_error_of_the_default_layout_too_is_let_through():
    def forward(inputs, rows):
        raise RuntimeError("view size is not compatible")

    with pytest.raises(RuntimeError, match="view size"):
        FastLayout(forward)((images(),), ROWS)


@pytest.mark.parametrize("flatten", [by_view, by_flatten])
def test_another_forward_takes_over_what_one_has_found(flatten):
    found, other = Seen(flatten), Seen(by_flatten)
    fast = FastLayout(lambda inputs, rows: found(inputs[0]))
    shared = fast.shared_with(lambda inputs, rows: other(inputs[0]))
    fast((images(),), ROWS)
    shared((images(),), ROWS)
    assert other.layouts == found.layouts[-1:]
    assert other.layouts == [torch.contiguous_format if flatten is by_view else LAST]


@pytest.mark.parametrize("layout", [LAST, torch.contiguous_format])
@pytest.mark.parametrize("baseline", [None, (0.5,), (torch.full((2, 3, 1, 1), -1.0),)])
def test_masked_images_lie_as_their_image_does(layout, baseline):
    x = images().contiguous(memory_format=layout)
    maps = torch.rand(2, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    seen = []

    def forward(inputs, rows):
        seen.append((inputs[0], rows))
        return inputs[0].sum(dim=(2, 3))

    masks = MapMasks(maps)
    MaskedScorer(forward, (x,), select_each(0, images=2), "logit", baseline, rows=4)(masks)
    assert [len(one) for one, _ in seen] == [3, 3]
    pairs, _ = masks.passes()
    found = torch.cat([one for one, _ in seen])
    assert all(layout_of(one) is layout for one, _ in seen)
    mask = masks.render(pairs[:, 0], pairs[:, 1], (8, 8))
    b = 0.0 if baseline is None else torch.as_tensor(baseline[0]).expand_as(x)[pairs[:, 0]]
    torch.testing.assert_close(found, b + mask * (x[pairs[:, 0]] - b))


@pytest.mark.parametrize("captum", [LayerClusterCam, LayerScoreCam, LayerMinMaxGradCam])
def test_maps_of_a_model_that_reshapes_by_view(captum):
    maps = []
    for flatten in (by_view, by_flatten):
        net = Seen(flatten).eval()
        extra = {"labels": [[1, 2]] * 2} if captum is LayerMinMaxGradCam else {}
        maps.append(captum(net, net.conv).attribute(images(), 1, **extra))
    torch.testing.assert_close(*maps, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("host", [ClusterCAM, ScoreCAM, MinMaxGradCAM])
def test_the_other_face_too(host):
    options = {"max_predicted": 4} if host is MinMaxGradCAM else {}
    maps = []
    for flatten in (by_view, by_flatten):
        net = Seen(flatten).eval()
        maps.append(torch.from_numpy(host(net, [net.conv], **options)(images())))
    torch.testing.assert_close(*maps, rtol=1e-4, atol=1e-5)
    assert net.layouts == [LAST] * len(net.layouts)


class Strict(nn.Module):
    """Needs its images in the default layout, or its maps."""

    def __init__(self, need):
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 4, 3, padding=1)
        self.need = need
        for parameter, seed in zip(self.parameters(), range(4), strict=True):
            nn.init.normal_(parameter, generator=torch.Generator().manual_seed(seed))

    def forward(self, x):
        x = self.need(x)
        return self.last(self.conv(x).relu())


def asserts(x):
    assert x.is_contiguous()
    return x


def reads_memory(x):
    memoryview(x.numpy()).cast("B")
    return x


def as_it_is(x):
    return x


def a_place(output):
    return output.view(-1)[7]


@pytest.mark.parametrize("need", [asserts, reads_memory, as_it_is])
@pytest.mark.parametrize("captum", [LayerClusterCam, LayerScoreCam])
def test_models_targets_and_transforms_that_need_the_default_layout(need, captum):
    flat = lambda maps: maps.view(-1, 8, 8).unflatten(0, (2, 6))  # noqa: E731
    net = Strict(need).eval()
    options = {"n_clusters": 3} if captum is LayerClusterCam else {}
    found = captum(net, net.conv, reshape_transform=flat).attribute(
        images(), [a_place, a_place], **options
    )
    wide = Strict(as_it_is).double().eval()
    expected = captum(wide, wide.conv).attribute(images().double(), [a_place, a_place], **options)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


def test_a_score_function_that_needs_the_default_layout():
    net = Strict(as_it_is).eval()
    read = lambda outputs: outputs.view(len(outputs), -1)  # noqa: E731
    found = LayerScoreCam(net, net.conv).attribute(images(), 7, score_function=read)
    same = LayerScoreCam(net, net.conv).attribute(images(), (0, 0, 7))
    torch.testing.assert_close(found, same)


class InPlace(Seen):
    """Changes its images in place."""

    def forward(self, x):
        return super().forward(x.mul_(2).sub_(1))


@pytest.mark.parametrize("flatten", [by_view, by_flatten])
@pytest.mark.parametrize("face", ["captum", "grad_cam"])
def test_a_model_that_changes_its_images_in_place_explains_and_leaves_the_users(flatten, face):
    maps = []
    for build in (InPlace, Seen):
        net, x = build(flatten).eval(), images() * (2 if build is Seen else 1)
        x = x - 1 if build is Seen else x
        before = x.clone()
        if face == "captum":
            maps.append(LayerMinMaxGradCam(net, net.conv).attribute(x, 1, labels=[[1, 2]] * 2))
        else:
            cam = MinMaxGradCAM(net, [net.conv], max_predicted=4)
            maps.append(torch.from_numpy(cam(x)))
        assert torch.equal(x, before)
    torch.testing.assert_close(*maps, rtol=1e-4, atol=1e-5)
