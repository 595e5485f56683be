"""The number of uncertain pixels is no label's."""

import pytest

from captum_cluster.functional.weak.uncertain import uncertain_number


@pytest.mark.parametrize("labels", [0, 1, 20, 254])
def test_it_is_that_of_voc_while_no_label_has_it(labels):
    assert uncertain_number(None, labels) == 255 > labels


@pytest.mark.parametrize("labels", [255, 256, 1000])
def test_from_255_labels_on_it_is_below_all_numbers(labels):
    assert uncertain_number(None, labels) == -1


@pytest.mark.parametrize(("number", "labels"), [(255, 254), (21, 20), (-1, 1000), (1001, 1000)])
def test_a_number_of_ones_own(number, labels):
    assert uncertain_number(number, labels) == number


@pytest.mark.parametrize(("number", "labels"), [(0, 20), (20, 20), (255, 255), (255, 1000)])
def test_numbers_of_labels(number, labels):
    with pytest.raises(ValueError, match="^Expected ignore_index") as raised:
        uncertain_number(number, labels)
    assert str(raised.value) == (
        f"Expected ignore_index to be outside 0 to the number of labels ({labels}), "
        f"but got {number}."
    )


def test_what_is_no_number():
    with pytest.raises(TypeError, match="^Expected ignore_index to be an integer from"):
        uncertain_number(0.5, 20)
