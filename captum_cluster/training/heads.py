"""Classifier heads whose weights are regularised: layers to train with, instead of a loss."""

from __future__ import annotations

from typing import Any, TypeVar

import torch.nn.functional as F
from torch import Tensor, nn

from captum_cluster._checks import check_flag, describe, expected
from captum_cluster.functional.training import kernel_usage_weight

_Plain = TypeVar("_Plain", nn.Linear, nn.Conv2d)
_Head = TypeVar("_Head", bound="KernelUsageLinear")


class KernelUsageLinear(nn.Linear):
    """A linear classifier that gives ``g W_r^T + b`` with ``W_r = W * softmax(W)``.

    The softmax goes over the labels for each input feature, so that a feature serves few labels.
    For each feature it sums to 1 over the labels; equal weights of L labels give ``W / L``. So a
    fresh layer gives about 1/L of what ``nn.Linear`` would, and may want a larger learning rate.

    A drop-in for ``nn.Linear``: ``weight`` is the raw parameter that the optimizer and the state
    dict see. CAM and MinMax-CAM read ``effective_weight``; for other code that reads ``weight``,
    fold the trained layer with ``to_linear()``.

    Args:
        in_features: Number of input features C.
        out_features: Number of labels L.
        bias: Whether to add a bias.
        device: As in ``nn.Linear``.
        dtype: As in ``nn.Linear``.
        magnitude: Put ``|W|`` inside the softmax, so that strongly negative weights stay too.

    Raises:
        TypeError: ``magnitude`` is no bool.

    Shape:
        Input (..., C), output (..., L): logits.

    Example:
        >>> import torch
        >>> from torchvision.models import resnet18
        >>> model = resnet18(num_classes=20)
        >>> model.fc = KernelUsageLinear(512, 20)
        >>> model.fc
        KernelUsageLinear(in_features=512, out_features=20, bias=True, magnitude=False)
        >>> model(torch.rand(2, 3, 64, 64)).shape
        torch.Size([2, 20])
        >>> model.fc = model.fc.to_linear()

    References:
        David, Pedrini, Dias 2022, "MinMax-CAM: Improving Focus of CAM-based Visualization
        Techniques in Multi-label Problems", equation 15. There W is (C,L), the transpose, and a
        sigmoid follows; this layer gives the logits, for losses and explainers that want them.
        ``magnitude`` is not in the paper but in one of its authors' notebooks.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        magnitude: bool = False,
    ) -> None:
        super().__init__(in_features, out_features, bias, device, dtype)
        self.magnitude = check_flag("magnitude", magnitude)

    @classmethod
    def from_linear(cls: type[_Head], linear: nn.Linear, magnitude: bool = False) -> _Head:
        """Return a head that takes over the parameters of a linear layer.

        The parameters are shared, not copied: an optimizer that holds them stays valid. The
        outputs change, because the weights are now the raw ones.

        Args:
            linear: The layer; its weight is (L,C).
            magnitude: See the class.

        Raises:
            TypeError: ``linear`` is no ``nn.Linear`` with a plain parameter as weight, or
                ``magnitude`` no bool.

        Example:
            >>> fc = nn.Linear(8, 3)
            >>> head = KernelUsageLinear.from_linear(fc)
            >>> head.weight is fc.weight
            True
        """
        if not isinstance(linear, nn.Linear) or not isinstance(linear.weight, nn.Parameter):
            what = "an nn.Linear whose weight is a plain parameter"
            raise TypeError(expected("linear", what, describe(linear)))
        # On the meta device nothing is allocated or drawn at random.
        size, bias = (linear.in_features, linear.out_features), linear.bias is not None
        head = cls(*size, bias, "meta", magnitude=magnitude)
        head.weight, head.bias = linear.weight, linear.bias
        return head.train(linear.training)

    @property
    def effective_weight(self) -> Tensor:
        """The weights (L,C) that the layer applies, ``W * softmax(W)``, differentiable."""
        return kernel_usage_weight(self.weight, magnitude=self.magnitude)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002, the host's name
        """Return the logits (..., L) of features (..., C)."""
        return F.linear(input, self.effective_weight, self.bias)

    def to_linear(self) -> nn.Linear:
        """Return a plain ``nn.Linear`` with the effective weights, for code that reads ``weight``.

        Its parameters are copies, detached from this layer's, on the same device and with the
        same dtype, ``requires_grad`` and mode.

        Example:
            >>> import torch
            >>> head, g = KernelUsageLinear(8, 3), torch.rand(2, 8)
            >>> torch.equal(head.to_linear()(g), head(g))
            True
        """
        size, bias = (self.in_features, self.out_features), self.bias is not None
        return _folded(self, nn.Linear(*size, bias, "meta"))

    def extra_repr(self) -> str:
        """Return the options shown by ``repr``."""
        return f"{super().extra_repr()}, magnitude={self.magnitude}"


class KernelUsageConv2d(nn.Conv2d):
    """The 1x1 convolution with the weights ``W_r = W * softmax(W)``, applied at each cell.

    ``KernelUsageLinear`` for networks that classify each cell first and pool the logits then:
    both give the same logits. ``weight`` (L,C,1,1) is the raw parameter; the softmax goes over
    the labels, sums to 1 for each input channel, and equal weights of L labels give ``W / L``.

    Args:
        in_channels: Number of input channels C.
        out_channels: Number of labels L.
        bias: Whether to add a bias.
        magnitude: Put ``|W|`` inside the softmax, so that strongly negative weights stay too.
        device: As in ``nn.Conv2d``.
        dtype: As in ``nn.Conv2d``.

    Raises:
        TypeError: ``magnitude`` is no bool.

    Shape:
        Input (N,C,h,w), output (N,L,h,w).

    Example:
        >>> import torch
        >>> head = KernelUsageConv2d(8, 3)
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), head, nn.AdaptiveAvgPool2d(1))
        >>> net(torch.rand(2, 3, 16, 16)).flatten(1).shape
        torch.Size([2, 3])

    References:
        David, Pedrini, Dias 2022, "MinMax-CAM: Improving Focus of CAM-based Visualization
        Techniques in Multi-label Problems", equation 15, for the dense layer; the paper has no
        convolution. See ``KernelUsageLinear`` for where it departs from the paper.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        bias: bool = True,
        *,
        magnitude: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        # Not a size of a kernel, which has this place in nn.Conv2d.
        check_flag("bias", bias)
        super().__init__(in_channels, out_channels, 1, bias=bias, device=device, dtype=dtype)
        self.magnitude = check_flag("magnitude", magnitude)

    @property
    def effective_weight(self) -> Tensor:
        """The weights (L,C,1,1) that the layer applies, ``W * softmax(W)``, differentiable."""
        return kernel_usage_weight(self.weight, magnitude=self.magnitude)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002, the host's name
        """Return the logits (N,L,h,w) of each cell of maps (N,C,h,w)."""
        return F.conv2d(input, self.effective_weight, self.bias)

    def to_conv(self) -> nn.Conv2d:
        """Return a plain 1x1 ``nn.Conv2d`` with the effective weights.

        Its parameters are copies, detached from this layer's, on the same device and with the
        same dtype, ``requires_grad`` and mode.

        Example:
            >>> import torch
            >>> head, maps = KernelUsageConv2d(8, 3), torch.rand(2, 8, 4, 4)
            >>> torch.equal(head.to_conv()(maps), head(maps))
            True
        """
        size, bias = (self.in_channels, self.out_channels), self.bias is not None
        return _folded(self, nn.Conv2d(*size, 1, bias=bias, device="meta"))

    def extra_repr(self) -> str:
        """Return the options shown by ``repr``."""
        of_host: Any = super()  # nn.Conv2d.extra_repr is not typed
        return f"{of_host.extra_repr()}, magnitude={self.magnitude}"


def _folded(head: KernelUsageLinear | KernelUsageConv2d, plain: _Plain) -> _Plain:
    """Return ``plain`` with the effective weights and the bias of a head, detached."""
    weight, bias = head.effective_weight.detach(), head.bias
    plain.weight = nn.Parameter(weight, requires_grad=head.weight.requires_grad)
    if bias is not None:
        plain.bias = nn.Parameter(bias.detach().clone(), requires_grad=bias.requires_grad)
    return plain.train(head.training)
