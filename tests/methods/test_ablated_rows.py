"""Where maps lie in what a layer gives, and copies of it in which they are exchanged."""

import pytest
import torch

from captum_cluster._checks import LayerError
from captum_cluster.methods.ablated_rows import Copies, check_places, find_places

TOKENS = torch.arange(2 * 5 * 3).reshape(2, 5, 3).double()


def fold(tokens):
    """(N, 1 + 4, C) -> (N,C,2,2), without the first token."""
    return tokens[:, 1:].transpose(1, 2).unflatten(2, (2, 2))


def test_places_behind_a_transform():
    places = find_places(TOKENS, 0, fold)
    assert places.leaf == 0
    assert torch.equal(TOKENS.flatten()[places.flat], fold(TOKENS))
    assert places.follow_rows(TOKENS)
    check_places(places, TOKENS, fold(TOKENS))
    channels = torch.tensor([2, 0])
    expected = TOKENS[1].expand(2, 5, 3).clone()
    for row, channel in enumerate(channels):
        expected[row, 1:, channel] = -1
    copies = TOKENS[1:].repeat(2, 1, 1)
    copies[places.in_copies(copies, channels, 1)] = -1
    assert torch.equal(copies, expected)


def test_places_in_rows_of_their_own():
    places = find_places(TOKENS, 0, fold)
    changed = TOKENS.clone()
    changed[places.in_rows(TOKENS, torch.tensor([1, 2]))] = -1
    expected = TOKENS.clone()
    expected[0, 1:, 1] = -1
    expected[1, 1:, 2] = -1
    assert torch.equal(changed, expected)


def test_images_along_another_dimension():
    places = find_places(TOKENS.transpose(0, 1), 0, lambda x: fold(x.transpose(0, 1)))
    assert not places.follow_rows(TOKENS.transpose(0, 1))
    places = find_places(TOKENS, 0, lambda x: fold(x).flip(0))
    assert not places.follow_rows(TOKENS)


@pytest.mark.parametrize("part", [0, 1])
def test_the_tensors_of_a_tuple(part):
    value = ("name", torch.zeros(1, 2, 1, 1), [torch.zeros(1)], torch.ones(1, 3, 1, 1))
    places = find_places(value, part, None)
    assert (places.leaf, places.flat) == ([1, 3][part], None)


def test_one_tensor_of_several_behind_a_transform():
    value = {"other": torch.zeros(4), "tokens": TOKENS, "last": torch.zeros(1)}
    places = find_places(value, 0, lambda found: fold(found["tokens"]))
    assert places.leaf == 1
    assert torch.equal(TOKENS.flatten()[places.flat], fold(TOKENS))


WRONG = {
    "two tensors": lambda found: torch.cat([found[0], found[1]], dim=1),
    "a mean": lambda found: found[0].mean(dim=1, keepdim=True) + 0.25,
    "below": lambda found: found[0] - 1,
    "above": lambda found: found[1] + 1,
    "no maps": lambda found: found[0][0, 0],
    "no tensor": lambda found: found,
}


@pytest.mark.parametrize("name", WRONG)
def test_transforms_that_do_more(name):
    value = torch.zeros(2, 3, 1, 2), torch.zeros(2, 3, 1, 2)
    with pytest.raises(LayerError, match=r"^Expected reshape_transform to rearrange one tensor"):
        find_places(value, 0, WRONG[name])


def test_other_values_than_the_maps():
    places = find_places(TOKENS, 0, fold)
    with pytest.raises(LayerError, match=r"^Expected reshape_transform to rearrange one tensor"):
        check_places(places, TOKENS, fold(TOKENS) + 1)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_copies_are_put_back_and_keep_their_layout(layout):
    row = torch.rand(1, 3, 2, 2).contiguous(memory_format=layout)
    copies = Copies(row, 4)
    assert copies.rows.is_contiguous(memory_format=layout)
    whole = row.repeat(4, 1, 1, 1)
    channels = torch.tensor([2, 0, 1])
    with copies.exchanged((torch.arange(3), channels), torch.tensor(5.0)) as rows:
        assert len(rows) == 3
        assert (rows[torch.arange(3), channels] == 5).all()
        assert (rows != whole[:3]).sum() == 3 * 4
    assert torch.equal(copies.rows, whole)
    with copies.exchanged((torch.arange(3), channels), torch.tensor(5.0)) as rows:
        rows.mul_(-1)
    assert torch.equal(copies.rows, whole)
