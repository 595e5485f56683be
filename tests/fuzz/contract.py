"""What every method promises of every call, checked of one case in both faces."""

import warnings
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from captum_cluster import MinMaxTarget
from tests.conformance.cases import assert_same_state, state_of
from tests.fuzz.nets import FuzzNet
from tests.fuzz.strategies import FuzzCase, Logit

RTOL = 1e-9
# Rounding is 1e-16: a map that such a change of weights, images and outputs moves as far as the
# tolerance is not continuous there (clusters or scores at a tie, a maximum of two, a mask or a
# difference of scores that is but noise). The best of two that tie stays so in half of the tries.
CHANGE = 1e-13
CHANGES = 24
CONTEXTS = {
    "grad": torch.enable_grad,
    "no_grad": torch.no_grad,
    "inference": torch.inference_mode,
}


@dataclass
class Outcome:
    """What came of a case that keeps the contract.

    Attributes:
        refused: The documented error of both faces; or None, where the image was explained.
        discontinuous: The comparisons that say nothing, as the map is not continuous there.
    """

    refused: Exception | None = None
    discontinuous: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Call:
    """One call of the Captum face: a case, and which of its images and targets.

    Attributes:
        case: The case.
        net: Its network.
        x: The images.
        target: In the form of the case.
        present: The labels present, or None.
        rows: ``perturbations_per_eval``.
        several: ``target`` is a list of targets for each image.
    """

    case: FuzzCase
    net: FuzzNet
    x: torch.Tensor
    target: Any
    present: Any
    rows: int | None
    several: bool = False

    def maps(self):
        """Return the maps (N,T,*grid)."""
        row, case = self.case.row, self.case
        forward, of = forward_func(case, self.net)
        cam = row.build(forward, _layers(case, self.net), of, output_selector=selector(case))
        options = {**row.options, **case.options, **passes(case), **row.given(self.present)}
        if row.scores:
            options["perturbations_per_eval"] = self.rows
        explain = cam.attribute_targets if self.several else cam.attribute
        flags = {"attribute_to_layer_input": case.of_input, "relu_attributions": case.relu}
        with CONTEXTS[case.context]():
            return explain(self.x, self.target, **flags, **options)

    def of_image(self, image):
        """Return the same call for one image alone."""
        target = self.target
        if isinstance(target, list) and not self.several:
            target = target[image : image + 1]
        if isinstance(target, torch.Tensor) and target.ndim:
            target = target[image : image + 1]
        present = None if self.present is None else self.present[image : image + 1]
        return replace(self, x=self.x[image : image + 1], target=target, present=present)

    def changed(self, seed):
        """Return the same call of another network and other images, a rounding or so away.

        So are its outputs, of each row for itself: masks that change nothing have scores that
        differ by rounding alone, which follows the size of a pass.
        """
        generator = torch.Generator().manual_seed(seed)

        def nudged(tensor):
            noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            return tensor.detach() * (1 + CHANGE * noise)

        net = built(self.case)
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.copy_(nudged(parameter))
        net.rounding = generator
        return replace(self, net=net, x=nudged(self.x))


def check(case):
    """Check one case.

    Args:
        case: A ``FuzzCase``.

    Returns:
        The ``Outcome``.

    Raises:
        AssertionError: The contract is broken.
        Exception: What a face raised, where it is no documented error.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _check(case)


def _check(case):
    net, x = prepared(case)
    call = Call(case, net, x, captum_target(case), captum_labels(case), case.rows[0])
    with unchanged(case, net, x):
        maps, error = outcome(call.maps)
    with unchanged(case, net, x):
        shown, error_of_other = outcome(lambda: grad_cam(case, net, x))
    found = Outcome(error)
    if compared(case):
        _same_refusal(error, error_of_other)
    if error is not None:
        return found
    assert tuple(maps.shape) == expected_shape(case), f"maps of shape {tuple(maps.shape)}"
    assert maps.dtype == torch.float64
    assert bool(torch.isfinite(maps).all()), "maps that are not finite"
    assert not maps.requires_grad, "maps with a graph"
    _compare(case, call, maps, shown, found)
    return found


def _same_refusal(error, other):
    if type(error) is not type(other):
        raise AssertionError(f"The faces differ: Captum {error!r}, pytorch-grad-cam {other!r}")


def _compare(case, call, maps, shown, found):
    """Make the comparisons of a call that was not refused."""
    judge = Judge(call, maps, found)
    if compared(case):
        theirs = shown.relu() if case.relu else shown
        judge("both faces", theirs, maps)
    judge("passes of another size", replace(call, rows=case.rows[1]).maps(), maps)
    image = case.images.seed % case.images.count
    one = slice(image, image + 1)
    judge("an image alone", call.of_image(image).maps(), maps[one], one)
    if case.plan.labels > 1:
        targets = two_targets(case)
        alone = replace(call, target=targets[1])
        judge = Judge(alone, alone.maps(), found)
        together = replace(call, target=targets, several=True).maps()
        assert together.shape[1] == 2, f"two targets: maps of shape {tuple(together.shape)}"
        judge("two targets", together[:, 1:], judge.maps)


@dataclass
class Judge:
    """Compares maps, and tells broken promises from maps that are not continuous.

    Attributes:
        call: That gave ``maps``.
        maps: (N,1,*grid).
        found: Takes the names of comparisons that say nothing.
        moves: How far each image's map has moved in the changes tried, (N,).
    """

    call: Call
    maps: torch.Tensor
    found: Outcome
    moves: torch.Tensor = field(init=False)

    def __post_init__(self):
        self.moves = torch.zeros(len(self.maps), dtype=torch.float64)

    def __call__(self, name, actual, expected, images=slice(None)):
        """Raise an error where maps differ and are continuous."""
        assert actual.shape == expected.shape, f"{name}: {actual.shape} for {expected.shape}"
        wrong = distance(actual, expected) > RTOL
        if not bool(wrong.any()):
            return
        if self._all_move(torch.arange(len(self.maps))[images][wrong]):
            assert torch.equal(self.call.maps(), self.maps), f"{name}: not the same twice"
            self.found.discontinuous.append(name)
            return
        worst = float(distance(actual, expected).max())
        raise AssertionError(f"{name}: maps differ by {worst:.2g} of the largest value")

    def _all_move(self, images):
        """Return whether each of some images' maps moves with a change of a rounding or so."""
        for seed in range(CHANGES):
            if bool((self.moves[images] > RTOL).all()):
                break
            maps, error = outcome(self.call.changed(seed).maps)
            moved = torch.inf if error else distance(maps, self.maps)
            self.moves = torch.maximum(self.moves, torch.as_tensor(moved))
        return bool((self.moves[images] > RTOL).all())


def distance(actual, expected):
    """Return the largest difference of each image's maps, as a part of their largest value."""
    actual, expected = actual.flatten(1), expected.flatten(1)
    difference = (actual - expected).abs().amax(dim=1)
    largest = torch.maximum(actual.abs().amax(dim=1), expected.abs().amax(dim=1))
    return torch.where(difference == 0, 0.0, difference / largest)


def outcome(call: Callable[[], Any]):
    """Return what a call gives and None, or None and its documented error."""
    try:
        return call(), None
    except ValueError as error:
        if not str(error).startswith("Expected "):
            raise
        return None, error


@contextmanager
def unchanged(case, net, x):
    """Check that everything is as it was after the context, whatever happened in it."""
    before, version = state_of(net, x), x._version
    yield
    assert_same_state(before, state_of(net, x))
    assert x._version == version, "the images were written to"


def built(case):
    """Return the network of a case."""
    return FuzzNet(case.plan, case.images.size)


def prepared(case):
    """Return the network of a case, with gradients and a hook of the user's own, and the images."""
    net, x = built(case), case.images.batch(case.plan.channels)
    for number, parameter in enumerate(net.parameters()):
        parameter.grad = torch.full_like(parameter, 0.5) if number % 2 else None
    if case.hooked:
        net.get_submodule(case.layers[-1]).register_forward_hook(lambda *_: None)
    return net, x


def forward_func(case, net):
    """Return what the Captum face is given, and the network whose head is given with it."""
    if case.caller == "function":
        return (lambda x: net(x)), net
    return (net.forward if case.caller == "method" else net), None


def selector(case):
    """Return the ``output_selector``."""
    return case.plan.pick if case.picked else None


def passes(case):
    """Return the options of passes, "image" as a baseline of noise."""
    if case.passes.get("baselines") != "image":
        return case.passes
    one = replace(case.images, count=1, kind="normal", layout="plain", requires_grad=False)
    return {**case.passes, "baselines": replace(one, seed=one.seed + 1).batch(case.plan.channels)}


def _layers(case, net):
    found = [net.get_submodule(name) for name in case.layers]
    return found if len(found) > 1 else found[0]


def _key(case):
    return None if case.picked else case.plan.pick


def captum_target(case):
    """Return the target in the form of the case."""
    labels, functions = case.labels, [Logit(label, _key(case)) for label in case.labels]
    forms = {
        "int": lambda: labels[0],
        "number": lambda: torch.tensor(labels[0]),
        "list": lambda: list(labels),
        "tensor": lambda: torch.tensor(labels),
        "tuple": lambda: labels[:1],
        "tuples": lambda: [(label,) for label in labels],
        "callable": lambda: functions[0],
        "callables": lambda: functions,
        "none": lambda: None,
    }
    return forms[case.form]()


def two_targets(case):
    """Return two targets for all images, the first label's and another."""
    labels = [case.labels[0] % case.plan.labels, (case.labels[0] + 1) % case.plan.labels]
    callables = case.form.startswith("callable")
    return [Logit(label, _key(case)) for label in labels] if callables else labels


def captum_labels(case):
    """Return the labels present in the form of the case."""
    if case.present is None or not case.multi_hot:
        return None if case.present is None else [list(row) for row in case.present]
    marked = torch.zeros(len(case.present), case.plan.labels, dtype=torch.long)
    for number, row in enumerate(case.present):
        marked[number, list(row)] = 1
    return marked


def grad_cam_targets(case):
    """Return pytorch-grad-cam's targets."""
    if case.form.startswith("callable"):
        return [Logit(label, _key(case)) for label in case.labels]
    labels = [0] * len(case.labels) if case.form == "none" else case.labels
    if case.plan.gives == "scalar" and not case.row.index_targets:
        return [Logit(0)] * len(labels)
    if not case.row.labelled:
        return [ClassifierOutputTarget(label) for label in labels]
    present = [None] * len(labels) if case.present is None else captum_labels(case)
    threshold = case.options.get("label_threshold", 0.5)
    pairs = zip(labels, present, strict=True)
    return [MinMaxTarget(label, row, threshold) for label, row in pairs]


def grad_cam(case, net, x):
    """Return the maps of the pytorch-grad-cam face, of which it is checked what it shows."""
    row, options = case.row, {**case.options, **passes(case)}
    if row.scores:
        options["batch_size"] = case.rows[1]
    layers = [net.get_submodule(name) for name in case.layers]
    cam = row.cam(net, layers, output_selector=selector(case), **options)
    with ExitStack() as stack:
        stack.enter_context(CONTEXTS[case.context]())
        shown = cam(x, grad_cam_targets(case))
        maps = cam.results[0].maps
        assert_shown(case, shown)
        if case.eigen_smooth and cam.algorithm.linear:
            assert_shown(case, cam(x, grad_cam_targets(case), eigen_smooth=True))
    return maps


def assert_shown(case, shown):
    """Check a saliency map."""
    assert shown.shape == (case.images.count, *case.images.size), f"shows {shown.shape}"
    assert shown.dtype == np.float32
    assert np.isfinite(shown).all(), "shows what is not finite"
    assert shown.min() >= 0, "shows values below 0"
    assert shown.max() <= 1, "shows values above 1"


def compared(case):
    """Return whether the pytorch-grad-cam face can be asked for the same."""
    return not case.of_input  # it explains no layer's input


def expected_shape(case):
    """Return the shape of the maps, which follows from what goes through the layers."""
    if not case.row.at_layer:
        return (case.images.count, 1, *case.images.size)
    grids = [tensor.shape[2:] for tensor in through_layers(case)]
    return (case.images.count, 1, *(max(sides) for sides in zip(*grids, strict=True)))


def through_layers(case):
    """Return what each layer that is explained gives, or takes."""
    net, seen = built(case).eval(), {}
    for name in case.layers:

        def keep(module, taken, given, name=name):
            seen[name] = (taken[0] if case.of_input else given).detach().clone()

        net.get_submodule(name).register_forward_hook(keep)
    with torch.no_grad():
        net(case.images.batch(case.plan.channels))
    return list(seen.values())
