"""Whether maps are better than the baseline's: agreement with the report's table, and words."""

import dataclasses

import pytest

from captum_cluster.evaluation.recipes.verdicts import FEWEST, verdicts
from captum_cluster.evaluation.reporting.report import build_report
from tests.helpers.runs import compare_drops

STEADY = [0.5, 0.6] * 10


def maps(folder, theirs, ours):
    """Return the report of two methods with these average drops, an image after the other."""
    return build_report(compare_drops(folder, ours, theirs))


@pytest.mark.parametrize(
    ("ours", "said"),
    [
        ([drop - 0.25 for drop in STEADY], "Average Drop: better, 0.550 to 0.300 (-0.250, "),
        ([drop + 0.25 for drop in STEADY], "Average Drop: worse, 0.550 to 0.800 (+0.250, "),
        (STEADY[::-1], "Average Drop: no clear difference, 0.550 to 0.550 (0.000, "),
    ],
    ids=["better", "worse", "equal"],
)
def test_words(ours, said, tmp_path):
    (found,) = verdicts(maps(tmp_path, STEADY, ours), "two")
    assert str(found).startswith(said)


def test_the_reference_has_no_verdict(tmp_path):
    assert verdicts(maps(tmp_path, STEADY, STEADY), "one") == []


@pytest.mark.parametrize(
    ("corrected", "word"), [(0.051, "no clear difference"), (0.049, "better"), (0.001, "better")]
)
def test_the_word_is_that_of_the_corrected_table(corrected, word, tmp_path):
    found = maps(tmp_path, STEADY, [drop - 0.25 for drop in STEADY])
    found = dataclasses.replace(found, corrected={("two", "average-drop"): corrected})
    assert found.estimates["two", "average-drop"].difference_high < 0
    assert [one.word for one in verdicts(found, "two")] == [word]
    assert (word == "better") == bool(found.mark("two", "average-drop"))


@pytest.mark.parametrize(("count", "word"), [(FEWEST - 1, "too few images"), (FEWEST, "better")])
def test_few_images(count, word, tmp_path):
    found = maps(tmp_path, STEADY[:count], [0.1] * count)
    assert [one.word for one in verdicts(found, "two")] == [word]


def test_small_differences_are_not_written_as_none(tmp_path):
    ours = [drop + 0.0004 for drop in STEADY]
    (found,) = verdicts(maps(tmp_path, STEADY, ours), "two")
    assert found.numbers == "0.55000 to 0.55040 (+0.00040, +0.00040 to +0.00040)"


def test_nothing_is_minus_zero(tmp_path):
    ours = [drop + 0.1 * (-1) ** image for image, drop in enumerate(STEADY)]
    ours[0] -= 2e-4
    (found,) = verdicts(maps(tmp_path, STEADY, ours), "two")
    assert "(0.000, " in found.numbers
