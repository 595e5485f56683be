"""Reading drawn images: sizes of batches, layouts, and models that are hard on their input."""

import weakref

import pytest
import torch
from torch import nn

from captum_cluster.functional.metrics.reading import Reader, in_turn
from tests.helpers.nets import SmallNet

SHAPE = (3, 6, 5)
IMAGES = torch.rand(9, *SHAPE, generator=torch.Generator().manual_seed(0))


def draw(rows, first):
    """Copies of the images, which are at hand here."""
    rows.copy_(IMAGES[first : first + len(rows)])


def read_all(read, *, rows=4, like=IMAGES, count=9, drawing=draw):
    """What is read of all images, in one tensor."""
    return torch.cat([one for _, one in Reader(read)(drawing, like, count, rows)])


class Seeing:
    """Gives the mean of each channel; notes the size and the layout of what it takes."""

    def __init__(self):
        self.sizes, self.last = [], []

    def __call__(self, images):
        assert not torch.is_grad_enabled()
        self.sizes.append(len(images))
        self.last.append(images.is_contiguous(memory_format=torch.channels_last))
        return images.mean(dim=(2, 3))


class ViewNet(nn.Module):
    """A classifier that flattens a map of 3x2 by ``view``: only of maps in the usual layout."""

    def __init__(self, *, in_place=False):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.conv, self.fc = nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Linear(36, 5)
        self.in_place, self.calls = in_place, []

    def forward(self, images):
        self.calls.append((len(images), images.is_contiguous()))
        images = images.sub_(0.5) if self.in_place else images - 0.5
        return self.fc(self.conv(images).view(len(images), -1)).softmax(dim=1)


# Batches


@pytest.mark.parametrize(
    ("rows", "sizes"),
    [(1, [1] * 9), (2, [2, 2, 2, 2, 1]), (4, [3, 3, 3]), (8, [5, 4]), (9, [9]), (100, [9])],
)
def test_batches_are_of_one_size_as_far_as_may_be(rows, sizes):
    seeing = Seeing()
    firsts = [first for first, _ in Reader(seeing)(draw, IMAGES, 9, rows)]
    assert seeing.sizes == sizes
    assert firsts == [sum(sizes[:place]) for place in range(len(sizes))]
    assert torch.allclose(read_all(Seeing(), rows=rows), IMAGES.mean(dim=(2, 3)))


def test_no_image_is_no_pass():
    seeing = Seeing()
    assert list(Reader(seeing)(draw, IMAGES, 0, 4)) == []
    assert seeing.sizes == []


def test_drawings_come_in_turn_and_only_the_latest_is_kept():
    made = []

    def drawing(number):
        made.append(number)
        return lambda rows, first: rows.copy_(
            torch.arange(10 * number + first, 10 * number + first + len(rows)).reshape(-1, 1, 1, 1)
        )

    found = read_all(
        lambda images: images[:, 0, 0].clone(),
        like=torch.zeros(1, 1, 1, 1),
        drawing=in_turn(drawing, 3),
        rows=5,
    )
    assert found.flatten().tolist() == [0, 1, 2, 10, 11, 12, 20, 21, 22]
    assert made == [0, 1, 2]
    draw_again = in_turn(drawing, 3)
    rows = torch.empty(2, 1, 1, 1)
    for first in (7, 0, 7):  # back to one that is no longer kept
        draw_again(rows, first)
        assert rows.flatten().tolist() == [10 * (first // 3) + (first + k) % 3 for k in range(2)]
    assert made == [0, 1, 2, 2, 0, 2]


def test_a_batch_is_gone_before_the_next_one_but_one_is_drawn():
    alive = []

    def read(images):
        assert [one for one in alive if one() is not None] == []
        alive.append(weakref.ref(images))
        return images.mean(dim=(2, 3))

    read_all(read, rows=2)
    assert len(alive) == 5


# Layouts


def test_float32_comes_channels_last_and_the_model_stays_as_it_is():
    net = SmallNet().float().eval()
    formats = {name: one.stride() for name, one in net.state_dict().items()}
    seeing = Seeing()

    def read(images):
        seeing(images)
        return net(images).softmax(dim=1)

    found = read_all(read)
    assert seeing.last == [True] * 3
    with torch.no_grad():
        assert torch.allclose(found, net(IMAGES).softmax(dim=1), atol=1e-6)
    assert {name: one.stride() for name, one in net.state_dict().items()} == formats


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_other_types_come_as_ever(dtype):
    seeing = Seeing()
    found = read_all(seeing, like=IMAGES.to(dtype))
    assert found.dtype == dtype
    assert seeing.last == [False] * 3


@pytest.mark.parametrize("in_place", [False, True])
def test_a_model_that_needs_the_usual_layout_gets_it_from_then_on(in_place):
    """Also one that has changed its input by the time it fails."""
    net = ViewNet(in_place=in_place).eval()
    reader = Reader(net)
    found = torch.cat([one for _, one in reader(draw, IMAGES, 9, 4)])
    assert net.calls == [(3, False), (3, True), (3, True), (3, True)]
    with torch.no_grad():
        assert torch.allclose(found, net(IMAGES.clone()), atol=1e-6)
    net.calls.clear()
    list(reader(draw, IMAGES, 9, 9))
    assert net.calls == [(9, True)]


@pytest.mark.parametrize("text", ["out of memory", "stride of nothing"])
def test_other_errors_come_out(text):
    """Those that speak of the layout in both layouts."""
    seeing = Seeing()

    def read(images):
        seeing(images)
        raise RuntimeError(text)

    with pytest.raises(RuntimeError, match=f"^{text}$"):
        read_all(read)
    assert seeing.last == ([True, False] if "stride" in text else [True])


# What a model may do to its input


def test_a_model_may_keep_its_input_and_change_it():
    kept = []

    def read(images):
        kept.append(images)
        return images.mul_(2).mean(dim=(2, 3))

    found = read_all(read)
    assert torch.allclose(found, 2 * IMAGES.mean(dim=(2, 3)))
    assert torch.equal(torch.cat(kept), 2 * IMAGES)


def test_a_model_may_give_a_view_of_its_input():
    assert torch.equal(read_all(lambda images: images[:, :, 0, 0]), IMAGES[:, :, 0, 0])
