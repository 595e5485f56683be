"""Every check: what it lets through, and the one form of its message."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from captum_cluster._checks import (
    LayerError,
    TargetError,
    check_choice,
    check_finite,
    check_flag,
    check_integer,
    check_number,
    describe,
    expected,
)


def message(error, function, *args, **kwargs):
    """The whole message of the error of exactly that type that a call raises."""
    with pytest.raises(error) as raised:
        function(*args, **kwargs)
    assert raised.type is error
    return str(raised.value)


def test_expected_names_argument_rule_and_value():
    assert expected("beta", "a number from 0 to 1", 2) == (
        "Expected beta to be a number from 0 to 1, but got 2."
    )


def test_target_error_suits_both_hosts():
    assert issubclass(TargetError, ValueError)
    assert issubclass(TargetError, AssertionError)


def test_layer_error_is_a_value_error():
    assert issubclass(LayerError, ValueError)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        (True, "True"),
        (2.5, "2.5"),
        (math.nan, "nan"),
        ("abc", "'abc' (str)"),
        (None, "None (NoneType)"),
        ([1, 2], "[1, 2] (list)"),
        (torch.zeros(2, 3), "a tensor of shape (2, 3) and dtype torch.float32"),
    ],
)
def test_describe(value, text):
    assert describe(value) == text


def test_describe_cuts_long_values_to_60_characters():
    assert describe("a" * 58) == "'" + "a" * 58 + "' (str)"
    assert describe("a" * 59) == "'" + "a" * 56 + "... (str)"
    assert describe(list(range(1000))).endswith("... (list)")


# Integers


@pytest.mark.parametrize("value", [1, 7, np.int64(7), np.uint8(1)])
def test_check_integer_gives_a_plain_int(value):
    number = check_integer("k", value, 1, 7)
    assert type(number) is int
    assert number == int(value)


@pytest.mark.parametrize(
    ("value", "low", "high", "note", "text"),
    [
        (0, 1, None, "", "Expected k to be an integer of at least 1, but got 0."),
        (-3, 0, None, "", "Expected k to be an integer of at least 0, but got -3."),
        (8, 1, 7, "", "Expected k to be an integer from 1 to 7, but got 8."),
        (0, 1, 7, "", "Expected k to be an integer from 1 to 7, but got 0."),
        (
            np.int64(0),
            1,
            512,
            "the number of channels",
            "Expected k to be an integer from 1 to the number of channels (512), but got 0.",
        ),
    ],
)
def test_check_integer_outside_the_range(value, low, high, note, text):
    assert message(ValueError, check_integer, "k", value, low, high, note) == text


@pytest.mark.parametrize(
    ("value", "got"),
    [
        (True, "True"),
        (False, "False"),
        (2.0, "2.0"),
        ("2", "'2' (str)"),
        (None, "None (NoneType)"),
        (torch.tensor(1.5), "a tensor of shape () and dtype torch.float32"),
        (torch.tensor([1, 2]), "a tensor of shape (2,) and dtype torch.int64"),
        (torch.tensor(True), "a tensor of shape () and dtype torch.bool"),
        (np.array([1, 2]), "array([1, 2]) (ndarray)"),
    ],
)
def test_check_integer_of_another_type(value, got):
    text = f"Expected k to be an integer of at least 0, but got {got}."
    assert message(TypeError, check_integer, "k", value, 0) == text


# Real numbers


@pytest.mark.parametrize("value", [0, 1, 0.25, Fraction(1, 4), np.float32(0.25), np.int64(1)])
def test_check_number_gives_a_plain_float(value):
    number = check_number("beta", value, 0.0, 1.0)
    assert type(number) is float
    assert number == float(value)


def test_check_number_without_limits():
    assert check_number("theta", -1e300) == -1e300


@pytest.mark.parametrize("value", [-0.1, 1.01, math.nan, math.inf, -math.inf])
def test_check_number_outside_a_closed_range(value):
    text = f"Expected beta to be a number from 0 to 1, but got {value:g}."
    assert message(ValueError, check_number, "beta", value, 0.0, 1.0) == text


@pytest.mark.parametrize("value", [0.0, -1, math.nan, math.inf])
def test_check_number_outside_an_open_range(value):
    text = f"Expected sigma to be a number above 0, but got {value:g}."
    assert message(ValueError, check_number, "sigma", value, 0.0, open_low=True) == text


def test_check_number_below_a_limit():
    text = "Expected x to be a number of at least 0.5, but got 0.25."
    assert message(ValueError, check_number, "x", 0.25, 0.5) == text
    assert check_number("x", 0.5, 0.5) == 0.5


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_check_number_is_finite(value):
    text = f"Expected theta to be a finite number, but got {value:g}."
    assert message(ValueError, check_number, "theta", value) == text


@pytest.mark.parametrize(
    ("value", "got"),
    [
        (True, "True"),
        ("0.5", "'0.5' (str)"),
        (None, "None (NoneType)"),
        (1j, "1j"),
        (torch.tensor(0.5), "a tensor of shape () and dtype torch.float32"),
    ],
)
def test_check_number_of_another_type(value, got):
    text = f"Expected beta to be a number from 0 to 1, but got {got}."
    assert message(TypeError, check_number, "beta", value, 0, 1) == text


# Choices and flags


def test_check_choice():
    assert check_choice("combine", "b", ("a", "b")) == "b"
    text = "Expected combine to be one of 'a', 'b', but got 'c'."
    assert message(ValueError, check_choice, "combine", "c", ("a", "b")) == text
    text = "Expected combine to be one of 'a', 'b', but got 3."
    assert message(TypeError, check_choice, "combine", 3, ("a", "b")) == text
    text = "Expected combine to be one of 'a', 'b', but got None (NoneType)."
    assert message(TypeError, check_choice, "combine", None, ("a", "b")) == text


@pytest.mark.parametrize("value", [True, False])
def test_check_flag(value):
    assert check_flag("flag", value) is value


@pytest.mark.parametrize(("value", "got"), [(1, "1"), (0, "0"), ("True", "'True' (str)")])
def test_check_flag_of_another_type(value, got):
    text = f"Expected flag to be True or False, but got {got}."
    assert message(TypeError, check_flag, "flag", value) == text


# Finite tensors


def test_check_finite_returns_the_tensor():
    tensor = torch.ones(2, 3)
    assert check_finite("inputs", tensor) is tensor
    integers = torch.ones(2, dtype=torch.int64)
    assert check_finite("inputs", integers) is integers


@pytest.mark.parametrize(
    ("value", "kind"),
    [(math.nan, "NaN"), (math.inf, "an infinite value"), (-math.inf, "an infinite value")],
)
def test_check_finite_names_the_first_place(value, kind):
    tensor = torch.zeros(2, 3)
    tensor[1, 2] = tensor[1, 1] = value
    text = f"Expected inputs to be finite, but got {kind} at index [1, 1]."
    assert message(ValueError, check_finite, "inputs", tensor) == text


def test_check_finite_of_a_single_number():
    text = "Expected baselines to be finite, but got NaN."
    assert message(ValueError, check_finite, "baselines", torch.tensor(math.nan)) == text
