"""Memory layout of activations: same numbers, other order in memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .product import onednn
from .recording import recording

SMALLEST = 4
"""Height from which convolutions on a CPU are faster with channels last, given weights in that layout too."""


def fast_layout(x: Tensor) -> Tensor:
    """x (N, C, H, W) in the layout that convolves fastest at its size and device; its values stay."""
    if x.device.type != "cpu":
        return x
    if x.shape[2] < SMALLEST:
        return x.contiguous()
    if x.shape[1] == 1:  # both layouts are one: the strides must tell the convolution which is meant
        return x.contiguous().squeeze(1).unsqueeze(-1).permute(0, 3, 1, 2)
    return x.contiguous(memory_format=torch.channels_last)


def fast_slope(x: Tensor) -> Tensor:
    """x, whose slope comes back in that layout: a convolution turns another one round at several times the cost."""
    return _Slope.apply(x) if x.device.type == "cpu" and x.requires_grad and not recording() else x


class _Slope(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        return fast_layout(slopes[0])


def fast_weights(module: nn.Module) -> None:
    """Weights in the order that their products read and write fastest; values stay. Call it after initialising.

    Kernels of convolutions lie as their inputs do, with channels last. Where oneDNN multiplies, a matrix with more
    outputs than inputs has its outputs last: the forward product needs no transposed copy then.
    """
    for weight in module.parameters():
        if weight.dim() == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        elif weight.dim() == 2 and weight.shape[0] > weight.shape[1] and onednn():
            weight.data = weight.data.t().contiguous().t()
