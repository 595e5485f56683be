"""The Captum face of the methods that score masked images."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from captum_cluster._types import CamResult
from captum_cluster.attr._base import Call, LayerCam, Observed, PassSize
from captum_cluster.functional.attribution.layout import Forward
from captum_cluster.functional.attribution.scoring import MaskedScorer, read_scores
from captum_cluster.hooks import widest_output
from captum_cluster.methods import (
    ModelCompiler,
    PassOptions,
    check_baselines,
    check_grid,
    hastened,
)


@dataclass(frozen=True)
class MaskOptions(PassSize, PassOptions):
    """How the masked passes are made, whatever the method; and see ``PassOptions``.

    Attributes:
        baselines: What a mask of 0 leaves of the input: None for 0, a number, or a tensor that
            broadcasts to the input (a blurred copy, say); a tuple of these for several inputs.
        perturbations_per_eval: At most this many times N masked images go through one forward
            pass. None: as many as are fastest. It does not change the map.
        show_progress: Show a bar over the masked passes.
    """

    baselines: Any = None

    def __post_init__(self) -> None:
        PassSize.__post_init__(self)
        PassOptions.__post_init__(self)


class LayerMaskedCam(LayerCam):
    """Base of the methods that explain a layer by masked forward passes; see ``LayerCam``."""

    call_options: ClassVar[type] = MaskOptions

    @functools.cached_property
    def _compiler(self) -> ModelCompiler:
        return ModelCompiler()

    def _explain(self, call: Call, passed: MaskOptions, config: Any) -> tuple[CamResult, ...]:
        observed, scorer = self._seen(call, passed, config)
        return tuple(self.algorithm.run(part, scorer, config) for part in observed.maps[0])

    def _seen(
        self, call: Call, passed: MaskOptions, config: Any, *, gradients: bool = False
    ) -> tuple[Observed, MaskedScorer]:
        """Return the unmasked pass, and what scores masks."""
        scorer = self._scorer(call, passed, config)
        with widest_output(self.forward_func) as widest:
            observed = self._observe(call, gradients=gradients)
        _check_targets(scorer, observed)
        return observed, scorer.knowing(widest.bytes)

    def _scorer(self, call: Call, passed: MaskOptions, config: Any) -> MaskedScorer:
        """Return what scores the masks of a call."""
        scorer = MaskedScorer(
            call.forward,
            call.inputs,
            call.select,
            config.reads,
            check_baselines(passed.baselines, call.inputs),
            passed.perturbations_per_eval and passed.perturbations_per_eval * call.images,
            passed.show_progress,
        )

        def compiled(options: bool | Mapping[str, Any]) -> Forward:
            model = self._compiler(self.forward_func, options)
            return call.forward.shared_with(call.forward_of(model).forward)

        return hastened(scorer, passed, compiled)


def _check_targets(scorer: MaskedScorer, observed: Observed) -> None:
    """Check that maps fit the images and targets the outputs, before any masked pass is made."""
    for maps in observed.maps:
        check_grid(maps, scorer.size)
    rows = torch.arange(scorer.select.images)
    scorer.select(read_scores(observed.outputs.detach(), scorer.score_function), rows)
