"""The forward passes that metrics need of one image, each made once and shared by all metrics."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from captum_cluster.functional.metrics import curves_of, perturbation_steps
from captum_cluster.functional.metrics.perturbed_images import PerturbedImages, saliency_order
from captum_cluster.functional.metrics.reading import Reader, in_turn

MASKED, COMPLEMENT, CURVES = "masked", "complement", "curves"

# The first two images of ``perturbation_plan``, the whole one and the bare baseline, are known.
_ENDS = 2


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
        reader: Gives the probabilities (M,L) of images (M,c,H,W); one for all images of a run, so
            that it remembers how the model takes them.
        image: (1,c,H,W), as the model takes it.
        whole: (L,), probabilities of the image.
        bare: (L,), of the baseline.
        rows: Images in one forward pass at most.
        baseline: What stands where nothing of the image is left, in the model's (preprocessed)
            range.
        step: Pixels changed at each step of the curves; None for 8 rows' worth.
    """

    reader: Reader
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
            >>> reader, one = Reader(bright), torch.ones(1)
            >>> shared = SharedPasses(reader, image, one, 0 * one, rows=4)
            >>> shared.ask(half, torch.tensor([0]), frozenset({"masked", "complement"}))
            Answers(masked=tensor([[0.5000]]), complement=tensor([[0.5000]]), deletion=None, \
insertion=None)
        """
        plain = [kind for kind in (MASKED, COMPLEMENT) if kind in wants]
        kinds = len(plain) + (2 * (len(self.steps) - 1) - _ENDS if CURVES in wants else 0)
        found = self._read(saliency, plain, kinds)
        answers = dict(zip(plain, found[:, : len(plain)].unbind(1), strict=True))
        if CURVES in wants:
            answers["deletion"], answers["insertion"] = self._curves(
                found[:, len(plain) :], targets
            )
        return Answers(**answers)

    def _read(self, saliency: Tensor, plain: list[str], kinds: int) -> Tensor:
        """Return the probabilities (P,kinds,L) of the images behind each map."""
        draw = in_turn(lambda pair: _Images(self, saliency[pair], plain).draw, kinds)
        count = len(saliency) * kinds
        found = [one for _, one in self.reader(draw, self.image, count, self.rows)]
        if not found:
            return self.whole.new_empty(len(saliency), kinds, len(self.whole))
        return torch.cat(found).reshape(len(saliency), kinds, -1)

    def _curves(self, found: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return both curves (P,n+1) of the answers (P,2n-2,L) to the plan."""
        targets = targets.to(found.device)
        index = targets[:, None, None].expand(-1, found.shape[1], 1)
        ends = torch.stack([self.whole[targets], self.bare[targets]], dim=1)
        return curves_of(torch.cat([ends, found.gather(2, index)[..., 0]], dim=1))


class _Images:
    """The images behind one saliency map (H,W): masked and complement, and those of the curves."""

    def __init__(self, passes: SharedPasses, saliency: Tensor, plain: list[str]) -> None:
        self._passes, self._saliency, self._plain = passes, saliency, plain

    def draw(self, rows: Tensor, first: int) -> None:
        """Write the images first, first + 1, ... into rows (M,c,H,W)."""
        plain = self._plain[first : first + len(rows)]
        for row, kind in zip(rows, plain, strict=False):  # the other rows are of the curves
            self._blend(row, self._saliency if kind == MASKED else 1 - self._saliency)
        if len(rows) > len(plain):
            place = first + len(plain) - len(self._plain)
            self._curves.draw(rows[len(plain) :], place + _ENDS)

    def _blend(self, row: Tensor, kept: Tensor) -> None:
        """Write the image into a row (c,H,W), as far as it is kept, over the baseline."""
        weight, baseline = kept.to(row), self._passes.baseline
        row.copy_(self._passes.image[0] * weight)
        if baseline:
            row += baseline * (1 - weight)

    @functools.cached_property
    def _curves(self) -> PerturbedImages:
        image, order = self._passes.image[0], saliency_order(self._saliency[None])[0]
        fill = torch.full_like(image, self._passes.baseline)
        return PerturbedImages(image, order, fill, self._passes.steps)
