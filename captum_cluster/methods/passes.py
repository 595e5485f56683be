"""How masked passes are made faster at a price, shared by the faces."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from captum_cluster._checks import check_choice, check_number, describe, expected
from captum_cluster.functional.attribution.grids import grid_dimensions, images_of
from captum_cluster.functional.attribution.layout import Forward, fast_layout
from captum_cluster.functional.attribution.outputs import Outputs
from captum_cluster.functional.attribution.scoring import MaskedScorer
from captum_cluster.functional.attribution.views import Views


@dataclass(frozen=True, kw_only=True)
class PassOptions:
    """Ways to make masked passes faster that change the scores, and so the map. Off by default.

    The unmasked pass, with the maps, their gradients and their clusters, stays exact; so does the
    number of passes, and the size of the map.

    Attributes:
        precision: "bfloat16": the masked passes run under ``torch.autocast`` in that precision,
            and their outputs are widened to float32 before they are read. The map changes by the
            rounding. Faster where the processor computes in it. A model in float64 is none of
            autocast's and stays exact. None: as the model and the images are.
        resolution: Above 0 and at most 1: the masked images are scored at this part of their
            height and width, for which images and baselines are reduced once (bilinear,
            antialiased; signals and volumes by averages), and masks are made at that size. The
            map changes as much as the model depends on the size of what it sees. For models that
            take any size.
        compile: True or a dict of options of ``torch.compile``: the masked passes run through the
            compiled model, which rounds in its own way; no more changes in the map. It is
            compiled when it first runs and kept with the CAM object, so that it pays for many
            images of one size; hooks that the model gets later are not seen. All passes are of
            one size, the last one filled with copies, which count as passes.

    Measured with ResNet-18, ``layer4`` (Collection-CAM: and ``layer3``), on 10 photographs of
    224x224, one thread of a CPU with bfloat16 arithmetic; time as a part of the exact one, the mean
    and the largest difference of the saliency maps on [0,1], and Average Drop in per cent:

    ============================  ====  =====  =====  ==============
    option                        time   mean  large  drop (exact)
    ============================  ====  =====  =====  ==============
    Score-CAM, bfloat16           0.30  0.001   0.01  18.8 (18.8)
    Score-CAM, resolution 0.5     0.27  0.094   0.60  25.2 (18.8)
    Cluster-CAM, bfloat16         0.52  0.001   0.01  22.1 (22.2)
    Cluster-CAM, resolution 0.5   0.50  0.063   0.79  26.0 (22.2)
    Collection-CAM, bfloat16      0.61  0.002   0.02  20.7 (20.6)
    Collection-CAM, res. 0.5      0.57  0.070   0.92  30.2 (20.6)
    ============================  ====  =====  =====  ==============

    So "bfloat16" is nearly free of loss, and a lower resolution makes another map: the maximum
    moved by more than a cell of the layer in 1 to 3 of the 10. Compiling took 0.9 of the time for
    Cluster-CAM, the same map to the fourth digit, and with few passes of a call (Collection-CAM)
    it did not pay. ``tests/benchmarks/inexact.py`` measures it.

    Raises:
        TypeError: An option of a wrong type, or one that ``torch.compile`` does not have.
        ValueError: Another precision, or a resolution outside its range.

    Example:
        >>> PassOptions(precision="bfloat16", resolution=0.5)
        PassOptions(precision='bfloat16', resolution=0.5, compile=False)
    """

    precision: str | None = None
    resolution: float = 1.0
    compile: bool | Mapping[str, Any] = False

    def __post_init__(self) -> None:
        if self.precision is not None:
            check_choice("precision", self.precision, ("bfloat16",))
        check_number("resolution", self.resolution, 0.0, 1.0, open_low=True)
        known = list(inspect.signature(torch.compile).parameters)[1:]
        what = f"True, False or a dict of options of torch.compile ({', '.join(known)})"
        given = self.compile
        if not isinstance(given, (bool, Mapping)):
            raise TypeError(expected("compile", what, describe(given)))
        for name in [] if isinstance(given, bool) else given:
            if name not in known:
                raise TypeError(expected("compile", what, f"one with {name!r}"))


class ModelCompiler:
    """Compiles a model when it is first asked to, and keeps what came out.

    The model itself is left alone. What was compiled is neither pickled nor copied.

    Example:
        >>> compiler = ModelCompiler()
        >>> double = lambda x: 2 * x
        >>> compiled = compiler(double, {"backend": "eager"})
        >>> compiled(torch.ones(2))
        tensor([2., 2.])
        >>> compiler(double, {"backend": "eager"}) is compiled
        True
    """

    def __init__(self) -> None:
        self._kept: tuple[Callable[..., Any], dict[str, Any], Callable[..., Any]] | None = None

    def __call__(
        self, model: Callable[..., Any], options: bool | Mapping[str, Any]
    ) -> Callable[..., Any]:
        """Return the compiled model: a function of what the model takes."""
        wanted = dict(options) if isinstance(options, Mapping) else {}
        if self._kept is None or self._kept[0] is not model or self._kept[1] != wanted:
            self._kept = model, wanted, torch.compile(_function_of(model), **wanted)
        return self._kept[2]

    def __reduce__(self) -> tuple[type[ModelCompiler], tuple[()]]:
        return ModelCompiler, ()


def _function_of(model: Callable[..., Any]) -> Callable[..., Any]:
    """Return a model as a function of its own, with code of its own.

    Compiling a module would write to it. What was compiled is kept with the code object: one code
    object for all models would soon be at the limit of what may be kept, and would never forget.
    """

    def run(*args: Any) -> Any:
        return model(*args)

    code = run.__code__.replace()
    return types.FunctionType(code, run.__globals__, run.__name__, None, run.__closure__)


def hastened(
    scorer: MaskedScorer,
    options: PassOptions,
    compiled: Callable[[bool | Mapping[str, Any]], Forward],
) -> MaskedScorer:
    """Return a scorer whose passes are made as the options say; the same one without any.

    Args:
        scorer: Scores exactly.
        options: How to be faster.
        compiled: Gives the compiled model's forward for options of ``torch.compile``.
    """
    if options.compile is not False:
        forward = compiled(options.compile)
        scorer = dataclasses.replace(scorer, forward=forward, equal_passes=True)
    if options.precision is not None:
        scorer = _in_bfloat16(scorer)
    return scorer if options.resolution == 1 else _reduced(scorer, options.resolution)


def _in_bfloat16(scorer: MaskedScorer) -> MaskedScorer:
    """Return a scorer that runs the model, and nothing else, under autocast."""
    device = images_of(scorer.inputs)[0].device.type

    def forward(inputs: tuple[Tensor, ...], rows: Tensor) -> Outputs:
        with torch.autocast(device, torch.bfloat16):
            return scorer.forward(inputs, rows)

    return dataclasses.replace(
        scorer, forward=forward, session=functools.partial(_casts_kept, device)
    )


@contextmanager
def _casts_kept(device: str) -> Iterator[None]:
    """Cast weights once for all passes inside the context, and not for others.

    Autocast keeps its casts until the outermost of its contexts ends. That one may be the
    caller's, whose casts may be in another precision.
    """
    torch.clear_autocast_cache()
    try:
        with torch.autocast(device, enabled=False):
            yield
    finally:
        torch.clear_autocast_cache()


def _reduced(scorer: MaskedScorer, factor: float) -> MaskedScorer:
    """Return a scorer of the images at ``factor`` of their size."""
    baselines = scorer.baselines
    if baselines is not None:
        pairs = zip(baselines, scorer.inputs, strict=True)
        dims = grid_dimensions(scorer.inputs)
        baselines = tuple(_reduced_baseline(*pair, dims, factor) for pair in pairs)
    images = images_of(scorer.inputs)
    inputs = tuple(
        _reduced_images(tensor, factor) if any(tensor is image for image in images) else tensor
        for tensor in scorer.inputs
    )
    return dataclasses.replace(scorer, inputs=inputs, baselines=baselines, whole_size=scorer.size)


def _reduced_images(tensor: Tensor, factor: float) -> Tensor:
    """Return images (N,c,*size) at ``factor`` of their size."""
    (view,) = Views([factor], flip=False).at(tensor.shape[2:])
    return fast_layout(view.of(tensor))


def _reduced_baseline(
    baseline: float | Tensor, whole: Tensor, dims: int, factor: float
) -> float | Tensor:
    """Return the baseline of an input, at ``factor`` of its size if it is an image."""
    if not isinstance(baseline, Tensor) or whole.ndim != dims + 2:
        return baseline
    return _reduced_images(baseline.to(whole).expand_as(whole), factor)
