"""The pytorch-grad-cam face of the methods that score masked images."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from captum_cluster._checks import check_flag, check_integer
from captum_cluster._types import CamResult, OutputTarget
from captum_cluster.functional.attribution.layout import Forward
from captum_cluster.functional.attribution.output_selector import Pick
from captum_cluster.functional.attribution.scoring import MaskedScorer, read_scores
from captum_cluster.functional.attribution.targets import select_each
from captum_cluster.grad_cam._base import ScopedCAM
from captum_cluster.methods import (
    ModelCompiler,
    PassOptions,
    check_baselines,
    hastened,
    split_options,
)


class MaskedCAM(ScopedCAM):
    """Base of the methods that explain layers by masked forward passes; see ``ScopedCAM``.

    Args:
        model: As for ``ScopedCAM``, and so for the arguments not named here.
        target_layers: See there.
        reshape_transform: See there.
        baselines: What a mask of 0 leaves of the input: None for 0, a number, or a tensor that
            broadcasts to the input.
        batch_size: Masked images in one forward pass. None: as many as are fastest. It
            does not change the map. The attribute of that name may be set later, as in the host.
        show_progress: Show a bar over the masked passes.
        output_selector: See there.
        tta_transforms: See there.
        **options: Those of ``PassOptions``, by which the passes become faster and the map
            changes; and the method's own, see its config.

    Attributes:
        pass_options: The checked ``PassOptions``.
    """

    shared_options: ClassVar[tuple[type, ...]] = (PassOptions,)

    def __init__(
        self,
        model: nn.Module,
        target_layers: Sequence[nn.Module],
        reshape_transform: Callable[[Tensor], Tensor] | None = None,
        *,
        baselines: Any = None,
        batch_size: int | None = None,
        show_progress: bool = False,
        output_selector: Pick = None,
        tta_transforms: Any = None,
        **options: Any,
    ) -> None:
        self.pass_options, own = split_options(PassOptions, options)
        super().__init__(
            model,
            target_layers,
            reshape_transform,
            output_selector=output_selector,
            tta_transforms=tta_transforms,
            **own,
        )
        self.activations_and_grads.measures = True
        self.baselines = baselines
        self.batch_size = batch_size
        self.show_progress = check_flag("show_progress", show_progress)

    @functools.cached_property
    def _compiler(self) -> ModelCompiler:
        return ModelCompiler()

    def _explain(self, images: Tensor, targets: list[OutputTarget]) -> list[CamResult]:
        scorer = self._scorer(images, targets)
        maps = self.activations_and_grads.activations
        return [self.algorithm.run(part, scorer, self.config) for part in maps]

    def _scorer(self, images: Tensor, targets: list[OutputTarget]) -> MaskedScorer:
        """Return what scores masks, with the targets checked against the unmasked outputs."""
        rows = self.batch_size
        scorer = MaskedScorer(
            self.activations_and_grads.forward,
            (images,),
            select_each(targets, images=len(images)),
            self.config.reads,
            check_baselines(self.baselines, (images,)),
            None if rows is None else check_integer("batch_size", rows, 1),
            self.show_progress,
        )
        outputs = self.activations_and_grads.outputs.detach()
        # Before the masked passes are made: do the targets fit what the model gives?
        scorer.select(read_scores(outputs, scorer.score_function), torch.arange(len(outputs)))
        scorer = scorer.knowing(self.activations_and_grads.widest)
        return hastened(scorer, self.pass_options, self._compiled)

    def _compiled(self, options: bool | Mapping[str, Any]) -> Forward:
        """Return the forward of the compiled model."""
        seen = self.activations_and_grads
        return seen.forward.shared_with(
            seen.forward_of(self._compiler(self.model, options)).forward
        )
