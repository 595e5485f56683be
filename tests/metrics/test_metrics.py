"""Every metric in the manner of torchmetrics: its reference, pickle, reset, merge, processes."""

import copy
import pickle
import warnings

import pytest
import torch
from torchmetrics import Metric, MetricCollection

from captum_cluster import metrics
from tests.metrics.cases import CASES, numbers, shown
from tests.metrics.workers import measure

ALL = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def batches(case, count=3):
    return [case.batch(seed) for seed in range(count)]


def same(value):
    return pytest.approx(numbers(value), abs=1e-12, nan_ok=True)


def test_every_metric_has_a_case():
    covered = {type(case.make()).__name__ for case in CASES.values()}
    assert covered == set(metrics.__all__)


@ALL
def test_batch_by_batch_is_the_reference(case):
    shown_to = batches(case)
    expected = case.expected(shown_to)
    value = numbers(shown(case, shown_to).compute())
    assert value == pytest.approx(expected, abs=1e-12)


@ALL
def test_states_are_sums_and_counts(case):
    metric = case.make()
    assert isinstance(metric, Metric)
    assert metric.metric_state
    for name, state in metric.metric_state.items():
        assert state.dtype in (torch.float64, torch.int64), name
        assert not state.any()
        assert metric._reductions[name].__name__ == "dim_zero_sum"
    parts = [shown(case, [batch]).metric_state for batch in batches(case)]
    for name, state in shown(case, batches(case)).metric_state.items():
        torch.testing.assert_close(state, sum(part[name] for part in parts))


@ALL
def test_bounds(case):
    low, high = case.bounds
    for seed in range(10, 16):
        value = numbers(shown(case, [case.batch(seed)]).compute())
        for one in value.values() if isinstance(value, dict) else [value]:
            assert low <= one <= high


@ALL
def test_perfect_and_worst(case):
    for kind, told in (("perfect", case.perfect), ("worst", case.worst)):
        if told:
            batch, expected = told
            assert numbers(shown(case, [batch]).compute()) == expected, kind


def test_every_metric_has_a_perfect_and_a_worst_explanation():
    for number in (0, 1):
        told = [case for case in CASES.values() if (case.perfect, case.worst)[number]]
        assert {type(case.make()).__name__ for case in told} == set(metrics.__all__)


@ALL
def test_the_direction(case):
    metric = case.make()
    if not case.perfect:
        return
    perfect, worst = case.perfect[1], case.worst[1]
    if isinstance(perfect, dict):
        assert metric.higher_is_better is None
        directions = {name: up for name, up in metric.directions.items() if name != "ic"}
        assert all((perfect[name] > worst[name]) == up for name, up in directions.items())
        assert set(metric.directions) == set(perfect)
    else:
        assert (perfect > worst) == metric.higher_is_better


@ALL
def test_pickle_and_clone(case):
    shown_to = batches(case)
    metric = shown(case, shown_to[:2])
    for copied in (pickle.loads(pickle.dumps(metric)), metric.clone(), copy.deepcopy(metric)):
        arguments, keywords = shown_to[2]
        copied.update(*arguments, **keywords)
        assert numbers(copied.compute()) == same(shown(case, shown_to).compute())
    # the original was not touched
    assert numbers(metric.compute()) == same(shown(case, shown_to[:2]).compute())


@ALL
def test_reset(case):
    metric = shown(case, batches(case))
    metric.reset()
    assert not any(state.any() for state in metric.metric_state.values())
    arguments, keywords = case.batch(7)
    metric.update(*arguments, **keywords)
    assert numbers(metric.compute()) == same(shown(case, [case.batch(7)]).compute())


@ALL
def test_merge(case):
    shown_to = batches(case)
    metric = shown(case, shown_to[:1])
    metric.merge_state(shown(case, shown_to[1:]))
    assert numbers(metric.compute()) == same(shown(case, shown_to).compute())


@ALL
def test_forward_gives_the_batch_and_keeps_the_sum(case):
    shown_to = batches(case)
    metric = case.make()
    for batch in shown_to:
        value = metric(*batch[0], **batch[1])
        assert numbers(value) == same(shown(case, [batch]).compute())
    assert numbers(metric.compute()) == same(shown(case, shown_to).compute())


@ALL
def test_sums_that_were_kept(case):
    parts = [shown(case, [batch]).metric_state for batch in batches(case)]
    metric = case.make()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metric.load_sums({name: sum(part[name] for part in parts) for name in parts[0]})
        assert numbers(metric.compute()) == same(shown(case, batches(case)).compute())
    # many at once, as for resamples
    stacked = {name: torch.stack([part[name] for part in parts]) for name in parts[0]}
    values = metric.compute_sums(stacked)
    for b, batch in enumerate(batches(case)):
        alone = shown(case, [batch]).compute()
        if isinstance(values, dict):
            assert {name: float(value[b]) for name, value in values.items()} == same(alone)
        else:
            assert float(values[b]) == same(alone)


@ALL
def test_nothing_shown_is_nan(case):
    metric = case.make()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metric.load_sums(case.make().metric_state)
        value = numbers(metric.compute())
    assert all(one != one for one in (value.values() if isinstance(value, dict) else [value]))


@ALL
def test_arguments_are_left_alone(case):
    arguments, keywords = case.batch(0)
    before = copy.deepcopy((arguments, keywords))
    shown(case, [(arguments, keywords)])
    for one, other in zip(arguments, before[0], strict=True):
        assert torch.equal(one, other)
    for name, one in keywords.items():
        other = before[1][name]
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


@ALL
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_other_precisions(case, dtype):
    def cast(value):
        floating = isinstance(value, torch.Tensor) and value.is_floating_point()
        return value.to(dtype) if floating else value

    arguments, keywords = case.batch(1)
    metric = shown(case, [(tuple(map(cast, arguments)), keywords)])
    for state in metric.metric_state.values():
        assert state.dtype in (torch.float64, torch.int64)
    value, exact = numbers(metric.compute()), case.expected([(arguments, keywords)])
    assert value == pytest.approx(exact, abs=1e-4 if dtype == torch.float32 else 2e-2)


def test_metrics_in_a_collection():
    pair = {"drop": metrics.AverageDrop(), "increase": metrics.IncreaseInConfidence()}
    collection = MetricCollection(pair)
    drop = CASES["average drop"]
    for arguments, _ in batches(drop):
        collection.update(*arguments)
    value = {name: float(one) for name, one in collection.compute().items()}
    expected = {
        "drop": drop.expected(batches(drop)),
        "increase": CASES["increase"].expected(batches(drop)),
    }
    assert value == pytest.approx(expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@ALL
def test_on_a_gpu(case):
    metric = case.make().to("cuda")
    for arguments, keywords in batches(case):
        moved = {
            name: one.cuda() if isinstance(one, torch.Tensor) else one
            for name, one in keywords.items()
        }
        metric.update(*(one.cuda() for one in arguments), **moved)
    assert all(state.is_cuda for state in metric.metric_state.values())
    assert numbers(metric.compute()) == pytest.approx(case.expected(batches(case)), abs=1e-9)


def test_two_processes_equal_one(tmp_path):
    # Most of the time goes into what each process imports.
    torch.multiprocessing.spawn(
        measure, args=(2, str(tmp_path / "meet"), str(tmp_path)), nprocs=2, join=True
    )
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    for name, case in CASES.items():
        expected = case.expected(batches(case))
        assert first[name][0] == pytest.approx(expected, abs=1e-12), name
        assert second[name][0] == pytest.approx(expected, abs=1e-12), name
    idle = CASES["average drop"]
    assert first["idle"] == second["idle"]
    assert first["idle"][0] == pytest.approx(idle.expected([idle.batch(0)]))
