"""A small kernel over every channel by itself; the way of torch to its second derivative goes channel by channel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .recording import recording

Stride = tuple[int, int]


def fir(x: Tensor, taps: Tensor, bias: Tensor | None = None, stride: Stride = (1, 1)) -> Tensor:
    """x (N, C, H, W) correlated with taps (h, w), and a bias for each channel; taps are constants."""
    if recording() or not (torch.is_grad_enabled() and x.requires_grad):
        return F.conv2d(x, _each(taps, x), bias, stride, groups=x.shape[1])
    return _Fir.apply(x, taps, bias, stride)


def _each(taps: Tensor, x: Tensor) -> Tensor:
    return taps.to(x.dtype).expand(x.shape[1], 1, *taps.shape)  # on the way back, x has what autocast made of it


class _Fir(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, taps: Tensor, bias: Tensor | None, stride: Stride) -> Tensor:
        ctx.save_for_backward(taps)
        ctx.stride, ctx.size = stride, x.shape[2:]
        return F.conv2d(x, _each(taps, x), bias, stride, groups=x.shape[1])

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, None, Tensor | None, None]:
        (taps,), (slope,) = ctx.saved_tensors, slopes
        of_x = _Spread.apply(slope, taps, ctx.stride, ctx.size) if ctx.needs_input_grad[0] else None
        return of_x, None, slope.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None, None


class _Spread(torch.autograd.Function):
    """Its adjoint: each pixel spread over the taps, to pictures of a given size."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, taps: Tensor, stride: Stride, size: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(taps)
        ctx.stride = stride
        rest = [n - (m - 1) * s - k for n, m, s, k in zip(size, y.shape[2:], stride, taps.shape, strict=True)]
        return F.conv_transpose2d(y, _each(taps, y), None, stride, output_padding=(rest[0], rest[1]), groups=y.shape[1])

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None, None]:
        (taps,) = ctx.saved_tensors
        return fir(slopes[0], taps, None, ctx.stride), None, None, None
