"""Sub-categories as files."""

import json

import numpy as np
import pytest
import torch

from captum_cluster.training.callbacks.assignments import compact, save_assignments

FOUND = torch.tensor([[-1, 2], [0, -1], [-1, -1]])


def test_arrays(tmp_path):
    save_assignments(tmp_path / "found.npz", FOUND, 3, 2)
    with np.load(tmp_path / "found.npz") as file:
        assert file["assignments"].tolist() == FOUND.tolist()
        assert (int(file["n_sub_categories"]), int(file["round"])) == (3, 2)


def test_readable(tmp_path):
    save_assignments(str(tmp_path / "found.json"), FOUND, 3, 2)
    assert json.loads((tmp_path / "found.json").read_text()) == {
        "round": 2,
        "n_sub_categories": 3,
        "images": {"0": {"1": 2}, "1": {"0": 0}, "2": {}},
    }


def test_another_kind_of_file(tmp_path):
    with pytest.raises(ValueError, match=r"ends in .npz or .json, but got 'found.csv'"):
        save_assignments(tmp_path / "found.csv", FOUND, 3, 2)


@pytest.mark.parametrize(("number", "kind"), [(3, torch.int16), (32767, torch.int16),
                                              (32768, torch.int32)])  # fmt: skip
def test_as_small_as_the_numbers_allow(number, kind):
    found = torch.tensor([[-1, number - 1]])
    small = compact(found, number)
    assert small.dtype == kind
    assert small.tolist() == found.tolist()
