"""The head of the sub-categories, beside that of the labels."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from captum_cluster._checks import check_flag, check_integer, expected
from captum_cluster.functional.training import kernel_usage_weight
from captum_cluster.training.heads import KernelUsageConv2d, KernelUsageLinear


class SubCategoryHead(nn.Linear):
    """A linear classifier with K sub-categories for each of L labels.

    The logit of the sub-category k of label l is column ``l*K + k``, as in
    ``sub_category_labels``. It shares its features with the head of the labels.

    Args:
        in_features: Number of input features C.
        num_labels: Number of labels L.
        n_sub_categories: Sub-categories of each label, K.
        bias: Whether to add a bias.
        kernel_usage: Apply the weights ``W * softmax(W)``, the softmax over the L*K
            sub-categories (``KernelUsageLinear``).
        magnitude: With ``kernel_usage``: put ``|W|`` inside the softmax.
        device: As in ``nn.Linear``.
        dtype: As in ``nn.Linear``.

    Raises:
        TypeError: A number is no integer, or an option no bool.
        ValueError: A number is below 1, or ``magnitude`` comes without ``kernel_usage``.

    Shape:
        Input (..., C), output (..., L*K): logits.

    Example:
        >>> head = SubCategoryHead(512, 20, 10)
        >>> head(torch.rand(2, 512)).shape
        torch.Size([2, 200])
        >>> head
        SubCategoryHead(in_features=512, num_labels=20, n_sub_categories=10, bias=True, \
kernel_usage=False, magnitude=False)

    References:
        Chang et al. 2020, "Weakly-Supervised Semantic Segmentation via Sub-category Exploration",
        section 3.2: the classifier H_s. Its authors' code has no bias.
    """

    def __init__(
        self,
        in_features: int,
        num_labels: int,
        n_sub_categories: int,
        bias: bool = True,
        *,
        kernel_usage: bool = False,
        magnitude: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        check_integer("in_features", in_features, 1)
        labels = check_integer("num_labels", num_labels, 1)
        number = check_integer("n_sub_categories", n_sub_categories, 1)
        check_flag("bias", bias)
        if check_flag("magnitude", magnitude) and not check_flag("kernel_usage", kernel_usage):
            raise ValueError(expected("magnitude", "False without kernel_usage", True))
        super().__init__(in_features, labels * number, bias, device, dtype)
        self.num_labels = labels
        self.n_sub_categories = number
        self.kernel_usage = check_flag("kernel_usage", kernel_usage)
        self.magnitude = magnitude

    @classmethod
    def beside(cls, parent: Any, n_sub_categories: int) -> SubCategoryHead:
        """Return a head for the features that a head of the labels takes, of the same kind.

        With a bias where that has one, and with its kernel usage regularization
        (``KernelUsageLinear``, ``KernelUsageConv2d``); on its device, with its dtype. The global
        random state is left alone.

        Args:
            parent: With a ``weight`` (L,C), or (L,C,1,1) of a 1x1 convolution.
            n_sub_categories: K.

        Raises:
            TypeError: ``n_sub_categories`` is no integer.
            ValueError: It is below 1.

        Example:
            >>> SubCategoryHead.beside(nn.Linear(8, 3, bias=False), 4)
            SubCategoryHead(in_features=8, num_labels=3, n_sub_categories=4, bias=False, \
kernel_usage=False, magnitude=False)
        """
        labels, features = parent.weight.shape[:2]
        usage = isinstance(parent, KernelUsageLinear | KernelUsageConv2d)
        with torch.random.fork_rng(devices=[]):
            return cls(
                features,
                labels,
                n_sub_categories,
                bias=getattr(parent, "bias", None) is not None,
                kernel_usage=usage,
                magnitude=usage and parent.magnitude,
                device=parent.weight.device,
                dtype=parent.weight.dtype,
            )

    @property
    def effective_weight(self) -> Tensor:
        """The weights (L*K, C) that the layer applies, differentiable."""
        if not self.kernel_usage:
            return self.weight
        return kernel_usage_weight(self.weight, magnitude=self.magnitude)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002, the host's name
        """Return the logits (..., L*K) of features (..., C)."""
        return F.linear(input, self.effective_weight, self.bias)

    @torch.no_grad()
    def reset(self, seed: int) -> None:
        """Draw all parameters anew, in place, from ``seed`` alone.

        From the distribution of a fresh ``nn.Linear``: uniform within 1/sqrt(C) of 0. The global
        random state is neither read nor changed, so that processes with equal seeds get equal
        heads on any device.

        Args:
            seed: At least 0.

        Raises:
            TypeError: ``seed`` is no integer.
            ValueError: ``seed`` is negative.

        Example:
            >>> head, twin = SubCategoryHead(8, 3, 2), SubCategoryHead(8, 3, 2)
            >>> head.reset(1), twin.reset(1)
            (None, None)
            >>> torch.equal(head.weight, twin.weight)
            True
        """
        generator = torch.Generator().manual_seed(check_integer("seed", seed, 0))
        bound = self.in_features**-0.5
        for parameter in (self.weight, self.bias):
            if parameter is not None:
                # Drawn on the CPU, for one generator's numbers are not another device's.
                draw = torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.copy_(bound * (2 * draw - 1))

    def extra_repr(self) -> str:
        """Return the options shown by ``repr``."""
        return (
            f"in_features={self.in_features}, num_labels={self.num_labels}, "
            f"n_sub_categories={self.n_sub_categories}, bias={self.bias is not None}, "
            f"kernel_usage={self.kernel_usage}, magnitude={self.magnitude}"
        )
