"""A bounded run of the fuzzing, the same at each run; and that it would find broken promises."""

from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from captum_cluster.attr import LayerMinMaxGradCam, LayerScoreCam
from captum_cluster.grad_cam import ScoreCAM
from tests.conformance.cases import CASES
from tests.fuzz.__main__ import run
from tests.fuzz.contract import Call, Judge, Outcome, check, prepared
from tests.fuzz.nets import Plan, Stage
from tests.fuzz.options import unknown_options
from tests.fuzz.strategies import FuzzCase, Images, Squashed, cases

BOUNDED = settings(
    max_examples=15,
    derandomize=True,
    phases=[Phase.generate],  # to shrink may take minutes: `python -m tests.fuzz` does
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


every_row = pytest.mark.parametrize("row", CASES, ids=lambda row: row.name)


@every_row
@BOUNDED
@given(data=st.data())
def test_every_case_keeps_the_contract(row, data):
    check(data.draw(cases(row)))


def test_every_option_of_every_method_is_drawn():
    assert unknown_options() == {}


@every_row
def test_the_smallest_case_is_explained(row):
    found = check(FuzzCase(method=row.name, options=row.options and {**row.options}))
    assert (found.refused is None) == (row.name not in ONE_MAP_TOO_FEW)
    assert found.discontinuous == []


# The smallest network's layer has two maps.
ONE_MAP_TOO_FEW = {row.name for row in CASES if row.options.get("n_clusters", 0) > 2}


# What the contract would find


def broken(monkeypatch, method, change):
    """Let a method of a class give something else."""
    kind, name = method
    given = getattr(kind, name)

    def other(self, *args, **kwargs):
        return change(self, given(self, *args, **kwargs), *args)

    monkeypatch.setattr(kind, name, other)


ATTRIBUTE = (LayerScoreCam, "attribute")
CALL = (ScoreCAM, "__call__")


def of_training(self, maps, *_):
    self.forward_func.train()
    return maps


def with_a_hook(self, maps, *_):
    self.layer.register_forward_hook(lambda *_: None)
    return maps


def random_state(self, maps, *_):
    torch.rand(1)
    return maps


def written_to(self, maps, x, *_):
    x.add_(0.0)
    return maps


def first_only(self, maps, *_):
    return maps[:1]


def of_the_batch(self, maps, *_):
    return maps - maps.mean()


def of_nothing(self, maps, *_):
    return maps / 0


def slightly_other(self, maps, *_):
    return maps * (1 + 1e-8)


def refused(self, maps, *_):
    raise ValueError("Expected nothing to be asked, but got something.")


def undocumented(self, maps, *_):
    raise ValueError("index out of range")


def brighter(self, shown, *_):
    return shown + 1


BROKEN = {
    "modes": (ATTRIBUTE, of_training, "changed: training flags"),
    "hooks": (ATTRIBUTE, with_a_hook, "changed: hooks"),
    "random state": (ATTRIBUTE, random_state, "changed: torch's random state"),
    "the images": (ATTRIBUTE, written_to, "the images were written to"),
    "the shape": (ATTRIBUTE, first_only, "maps of shape"),
    "finite maps": (ATTRIBUTE, of_nothing, "maps that are not finite"),
    "images alone": (ATTRIBUTE, of_the_batch, "both faces: maps differ"),
    "the faces": (ATTRIBUTE, slightly_other, "both faces: maps differ by 1e-08"),
    "errors of one face": (ATTRIBUTE, refused, "The faces differ: Captum ValueError"),
    "what is shown": (CALL, brighter, "shows values above 1"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_promise_is_found(monkeypatch, name):
    method, change, message = BROKEN[name]
    case = FuzzCase(method="score-cam")
    check(case)
    broken(monkeypatch, method, change)
    with pytest.raises(AssertionError, match=message):
        check(case)


def test_an_error_that_is_not_documented_is_found(monkeypatch):
    broken(monkeypatch, ATTRIBUTE, undocumented)
    with pytest.raises(ValueError, match="index out of range"):
        check(FuzzCase(method="score-cam"))


def test_maps_that_depend_on_the_batch_are_found_where_no_face_is_compared(monkeypatch):
    broken(monkeypatch, ATTRIBUTE, of_the_batch)
    with pytest.raises(AssertionError, match="an image alone: maps differ"):
        check(FuzzCase(method="score-cam", of_input=True))


def test_targets_that_depend_on_each_other_are_found(monkeypatch):
    kind = (LayerMinMaxGradCam, "attribute_targets")
    broken(monkeypatch, kind, lambda self, maps, *_: maps - maps.mean(dim=1, keepdim=True))
    with pytest.raises(AssertionError, match="two targets: maps differ"):
        check(FuzzCase(method="minmax-grad-cam", present=((0, 1), (0,))))


def test_a_run_counts_cases_and_shows_the_smallest_that_breaks_a_promise(monkeypatch, capsys):
    def wrong_for_black(case):
        if case.images.kind == "black":
            raise AssertionError("black")
        return Outcome()

    monkeypatch.setattr("tests.fuzz.__main__.check", wrong_for_black)
    tally = run(20, 0)
    assert tally.cases == 20
    assert tally.outcomes["broken"] == len(tally.failures) > 0
    shown = tally.failures[0]["case"]
    assert f"black\n    {shown}\n" in capsys.readouterr().out
    names = {kind.__name__: kind for kind in (FuzzCase, Images, Plan, Stage, Squashed)}
    smallest = eval(shown, names)
    assert smallest.images.kind == "black"
    assert smallest.images.count == 1
    assert smallest.plan.stages == (Stage(channels=1),)


def test_the_same_seed_draws_the_same_cases():
    first, again, other = run(15, 3), run(15, 3), run(15, 4)
    assert first.as_dict() == again.as_dict()
    assert first.as_dict() != other.as_dict()


def test_a_map_at_a_tie_is_no_failure_but_counted(monkeypatch):
    # It follows rounding: as far from continuous as a map can be.
    def rounding(self, maps, x, *_):
        return maps * torch.sin(1e15 * maps.sum())

    broken(monkeypatch, ATTRIBUTE, rounding)
    found = check(FuzzCase(method="score-cam", images=Images(count=3), labels=(0, 0, 0)))
    assert found.discontinuous


def judged(case):
    """Return what a comparison of a case's maps with others raises, or counts."""
    net, x = prepared(case)
    call = Call(case, net, x, list(case.labels), None, None)
    maps, found = call.maps(), Outcome()
    try:
        Judge(call, maps, found)("others", maps + 1, maps)
    except AssertionError as error:
        return str(error).split(" by ")[0]
    return found.discontinuous


TIED = FuzzCase(
    method="cluster-cam-base-scissors",
    plan=Plan(stages=(Stage(), Stage(channels=5)), labels=2),
    images=Images(count=2, kind="black"),
    options={"n_clusters": 2},
)


@pytest.mark.parametrize(
    "case",
    [
        # Each mask leaves the image as it is: nothing but rounding tells the clusters apart.
        TIED,
        replace(TIED, images=Images(kind="constant"), passes={"baselines": 0.7}),
        # Reduced to one cell, of which each mask is 0.
        replace(TIED, images=Images(size=(2, 2)), passes={"resolution": 0.5}),
    ],
    ids=["black", "constant", "one cell"],
)
def test_the_best_of_scores_that_tie_may_be_another_and_is_counted(case):
    assert check(case).refused is None
    assert judged(case) == ["others"]


def test_maps_that_differ_where_nothing_ties_are_a_failure():
    plain = replace(TIED, images=Images(count=2))
    assert judged(plain) == "others: maps differ"
    one_tied = replace(TIED, images=Images(count=2, kind="half black"))
    assert judged(one_tied) == "others: maps differ"


def test_weights_that_are_rounding_alone_say_nothing():
    stages = (
        Stage(channels=1, skip=True, twice=True),
        Stage(channels=4, skip=True),
        Stage(channels=1, twice=True),
    )
    # What the last stage gives does not depend on the layer.
    plan = Plan(stages=stages, dead=True, training=True)
    case = FuzzCase(
        method="ablation-cam",
        plan=plan,
        layers=("features.stage1",),
        images=Images(size=(2, 2)),
        labels=(-1, -1),
    )
    assert check(case).refused is None
    assert judged(case) == ["others"]
