"""Convolutions of kernel 4, stride 2, padding 1 as matrix products where a CPU is quicker so; same numbers to rounding.

Two maps carry both directions. `patches` lays the 4x4 neighbourhoods of a picture side by side, one row for each pixel
of half the height and width; `overlay`, its adjoint, adds such rows up to a picture. A convolution is patches and then
a product, a transposed one a product and then overlay, and each map is the gradient of the other.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .asked import asked
from .layout import fast_layout
from .product import linear

FEW = 16
"""Pixels, height times width on the smaller side, up to which the product wins, for a large kernel."""
NARROW = 4
"""Channels on the larger side up to which overlay beats the library's way to many pixels of few channels."""
LARGE = 1 << 20
"""Entries of the kernel from which the product wins there."""


class Conv2d(nn.Conv2d):
    """nn.Conv2d with the same weights, by the way that is quicker for its input."""

    def forward(self, input: Tensor) -> Tensor:
        return halve(input, self.weight, self.bias) if _suits(self, input) else super().forward(input)


class ConvTranspose2d(nn.ConvTranspose2d):
    """nn.ConvTranspose2d with the same weights, by the way that is quicker for its input."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        if output_size is None and _suits(self, input):
            return double(input, self.weight, self.bias)
        return super().forward(input, output_size)


def _suits(layer: nn.Conv2d | nn.ConvTranspose2d, x: Tensor) -> bool:
    return (
        layer.kernel_size == (4, 4)
        and layer.stride == (2, 2)
        and layer.padding == (1, 1)
        and layer.dilation == (1, 1)
        and layer.groups == 1
        and layer.padding_mode == "zeros"
        and layer.output_padding == (0, 0)
        and x.device.type == "cpu"
        and not torch.is_autocast_enabled("cpu")
        and not torch._C._are_functorch_transforms_active()  # vmap and jvp know only torch's own convolutions
    )


def halve(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """F.conv2d(x, weight, bias, 2, 1) for kernels of 4: (N, C, 2h, 2w) -> (N, outputs, h, w)."""
    n, _, height, width = x.shape
    if height % 2 or width % 2:
        return F.conv2d(x, weight, bias, 2, 1)
    if height * width <= 4 * FEW and weight.numel() >= LARGE:
        y = linear(_Patches.apply(x), _matrix(weight), bias)
        return y.view(n, height // 2, width // 2, -1).permute(0, 3, 1, 2)
    if torch.is_grad_enabled():
        return _Halve.apply(x, weight, bias)
    return F.conv2d(x, weight, bias, 2, 1)


def double(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """F.conv_transpose2d(x, weight, bias, 2, 1) for kernels of 4: (N, C, h, w) -> (N, outputs, 2h, 2w)."""
    height, width = x.shape[2:]
    if height * width <= FEW and weight.numel() >= LARGE:
        return _biased(_Overlay.apply(_rows(x, weight), x.shape), bias)
    if weight.shape[1] <= NARROW:
        return _Double.apply(x, weight, bias)
    return F.conv_transpose2d(x, weight, bias, 2, 1)


def _matrix(weight: Tensor) -> Tensor:
    """(A, B, 4, 4) -> (A, 16 B), each row in the order of a patch: a view where the weight has channels last."""
    return weight.permute(0, 2, 3, 1).flatten(1)


def _rows(x: Tensor, weight: Tensor) -> Tensor:
    """What each pixel of x adds to its neighbourhood: (N h w, 16 outputs)."""
    return linear(x.permute(0, 2, 3, 1).flatten(0, 2), _matrix(weight).t())


def _biased(y: Tensor, bias: Tensor | None) -> Tensor:
    return y if bias is None else y + bias[:, None, None]


def patches(x: Tensor) -> Tensor:
    """(N, C, 2h, 2w) -> (N h w, 16 C), ordered by row and column of the kernel, then channel."""
    n, channels, height, width = x.shape
    padded = x.new_zeros(n, height + 2, width + 2, channels)
    padded[:, 1:-1, 1:-1] = x.permute(0, 2, 3, 1)
    a, b, c, d = padded.stride()
    windows = padded.as_strided((n, height // 2, width // 2, 4, 4, channels), (a, 2 * b, 2 * c, b, c, d))
    return windows.reshape(n * (height // 2) * (width // 2), 16 * channels)


def overlay(rows: Tensor, shape: tuple[int, ...]) -> Tensor:
    """(N h w, 16 C) -> (N, C, 2h, 2w), channels last; shape is (N, any, h, w). Overlapping entries are added."""
    n, _, h, w = shape
    kernels = rows.view(n, h, w, 4, 4, -1)
    blocks = rows.new_zeros(n, h + 1, 2, w + 1, 2, kernels.shape[-1])
    for i in (0, 1):  # a kernel lies on two blocks of 2x2 pixels each way, shifted by one pixel against the picture
        for j in (0, 1):
            part = kernels[:, :, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].transpose(2, 3)
            blocks[:, i : h + i, :, j : w + j] += part
    return blocks.view(n, 2 * h + 2, 2 * w + 2, -1)[:, 1:-1, 1:-1].contiguous().permute(0, 3, 1, 2)


class _Patches(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        ctx.shape = n, channels, height // 2, width // 2
        return patches(x)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        return _Overlay.apply(slopes[0], ctx.shape)


class _Overlay(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, shape: tuple[int, ...]) -> Tensor:
        return overlay(rows, shape)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        return _Patches.apply(slopes[0]), None


class _Halve(torch.autograd.Function):
    """The library's convolution; its slopes by the ways of a transposed one, which it works out sooner."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, bias, 2, 1)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight), slope = ctx.saved_tensors, fast_layout(slopes[0])
        of_x, of_weight, of_bias = asked(ctx)
        return (
            double(slope, weight) if of_x else None,
            _of_weight(slope, x, weight) if of_weight else None,
            slope.sum((0, 2, 3)) if of_bias else None,
        )


class _Double(torch.autograd.Function):
    """To few channels: by overlay, its slopes by the library."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _biased(overlay(_rows(x, weight), x.shape), bias)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight), slope = ctx.saved_tensors, fast_layout(slopes[0])
        of_x, of_weight, of_bias = asked(ctx)
        return (
            halve(slope, weight) if of_x else None,
            _of_weight(x, slope, weight) if of_weight else None,
            slope.sum((0, 2, 3)) if of_bias else None,
        )


def _of_weight(small: Tensor, large: Tensor, weight: Tensor) -> Tensor:
    """The slope of the weight in either direction, from the pictures of (N, outputs, h, w) and (N, C, 2h, 2w).

    As that of a transposed convolution: the other formula ends in two copies of it to another layout.
    """
    two, one, none = [2, 2], [1, 1], [0, 0]
    return torch.ops.aten.convolution_backward.default(
        large, small, weight, None, two, one, one, True, none, 1, [False, True, False]
    )[1]
