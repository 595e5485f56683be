"""The forward passes that metrics need of one image, each made once and shared by all metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from captum_cluster.functional.metrics import (
    curves_of,
    perturbation_plan,
    perturbation_steps,
    saliency_ranks,
)

Read = Callable[[Tensor], Tensor]
"""Gives the probabilities (M,L) of images (M,c,H,W)."""

MASKED, COMPLEMENT, CURVES = "masked", "complement", "curves"


@dataclass(frozen=True)
class Answers:
    """What the model says of one image behind the saliency maps of its labels.

    Attributes:
        masked: (P,L), probabilities of the image times each saliency map; None if not asked for.
        complement: (P,L), of the image times what each map leaves out.
        deletion: (P,n+1), the target's probability while the most salient pixels go.
        insertion: (P,n+1), the same while they come.
    """

    masked: Tensor | None = None
    complement: Tensor | None = None
    deletion: Tensor | None = None
    insertion: Tensor | None = None


@dataclass(frozen=True)
class SharedPasses:
    """One image and what the model says of it, for the saliency maps of any number of methods.

    The passes of all labels and all metrics share batches; the whole image and the bare baseline,
    where both curves start and end, are passed in.

    Attributes:
        read: The model.
        image: (1,c,H,W), as the model takes it.
        whole: (L,), probabilities of the image.
        bare: (L,), of the baseline.
        rows: Images in one forward pass.
        baseline: What stands where nothing of the image is left, in the model's (preprocessed)
            range.
        step: Pixels changed at each step of the curves; None for 8 rows' worth.
    """

    read: Read
    image: Tensor
    whole: Tensor
    bare: Tensor
    rows: int
    baseline: float = 0.0
    step: int | None = None

    @property
    def steps(self) -> list[int]:
        """Return the numbers of changed pixels of the curves, 0 to n."""
        height, width = self.image.shape[-2:]
        return perturbation_steps(height, width, self.step)

    def ask(self, saliency: Tensor, targets: Tensor, wants: frozenset[str]) -> Answers:
        """Return what the model says behind saliency maps.

        Args:
            saliency: (P,H,W) in [0,1].
            targets: LongTensor (P,).
            wants: Which answers, of "masked", "complement", "curves".

        Example:
            >>> bright = lambda x: x.mean(dim=(2, 3))  # the share of bright pixels
            >>> image, half = torch.ones(1, 1, 8, 8), torch.zeros(1, 8, 8)
            >>> half[:, :4] = 1
            >>> shared = SharedPasses(bright, image, torch.ones(1), torch.zeros(1), rows=4)
            >>> shared.ask(half, torch.tensor([0]), frozenset({"masked", "complement"}))
            Answers(masked=tensor([[0.5000]]), complement=tensor([[0.5000]]), deletion=None, \
insertion=None)
        """
        plain = [kind for kind in (MASKED, COMPLEMENT) if kind in wants]
        counts, insert = perturbation_plan(self.steps)
        # The first two of the plan are the whole image and the bare baseline.
        steps = range(2, len(counts)) if CURVES in wants else range(0)
        weights = _Weights(saliency, plain, counts, insert)
        kinds = len(plain) + len(steps)
        found = self._in_batches(weights, kinds)
        answers = dict(zip(plain, found[:, : len(plain)].unbind(1), strict=True))
        if CURVES in wants:
            answers["deletion"], answers["insertion"] = self._curves(
                found[:, len(plain) :], targets
            )
        return Answers(**answers)

    def _in_batches(self, weights: _Weights, kinds: int) -> Tensor:
        """Return the probabilities (P,kinds,L) of the weighted image."""
        pairs = len(weights.saliency)
        found = []
        for start in range(0, pairs * kinds, self.rows):
            chosen = range(start, min(start + self.rows, pairs * kinds))
            weight = weights.of([divmod(row, kinds) for row in chosen])[:, None].to(self.image)
            images = self.image * weight
            if self.baseline:
                images += self.baseline * (1 - weight)
            found.append(self.read(images))
        if not found:
            return self.whole.new_empty(pairs, kinds, len(self.whole))
        return torch.cat(found).reshape(pairs, kinds, -1)

    def _curves(self, found: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return both curves (P,n+1) of the answers (P,2n-2,L) to the plan."""
        targets = targets.to(found.device)
        index = targets[:, None, None].expand(-1, found.shape[1], 1)
        ends = torch.stack([self.whole[targets], self.bare[targets]], dim=1)
        return curves_of(torch.cat([ends, found.gather(2, index)[..., 0]], dim=1))


class _Weights:
    """What part of each pixel is kept: for masked, complement, and each step of the curves."""

    def __init__(self, saliency: Tensor, plain: list[str], counts: Tensor, insert: Tensor) -> None:
        self.saliency, self._plain, self._insert = saliency, plain, insert
        self._counts, self._ranks = counts, saliency_ranks(saliency)

    def of(self, rows: list[tuple[int, int]]) -> Tensor:
        """Return the weights (M,H,W) in [0,1] of M times a pair and a kind."""
        return torch.stack([self._one(pair, kind) for pair, kind in rows])

    def _one(self, pair: int, kind: int) -> Tensor:
        if kind < len(self._plain):
            kept = self.saliency[pair]
            return kept if self._plain[kind] == MASKED else 1 - kept
        place = kind - len(self._plain) + 2
        kept = self._ranks[pair] < self._counts[place]
        return (kept == self._insert[place]).to(self.saliency)
