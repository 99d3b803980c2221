"""Leaky ReLU within bounds, as one operation of autograd: what it keeps for the way back is its result alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .recording import recording


def bent(x: Tensor, slope: float, clamp: float | None = None) -> Tensor:
    """max(x, slope x) within ±clamp, for slopes from 0 to 1; 1 leaves all but the bounds."""
    if slope == 1:
        return x if clamp is None else x.clamp(-clamp, clamp)
    if recording():
        x = F.leaky_relu(x, slope)
        return x if clamp is None else x.clamp(-clamp, clamp)
    if torch.is_grad_enabled() and x.requires_grad and clamp is not None and slope > 0:
        return _Bent.apply(x, slope, clamp)
    x = F.leaky_relu(x, slope)
    return x if clamp is None else x.clamp_(-clamp, clamp) if not x.requires_grad else x.clamp(-clamp, clamp)


class _Bent(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float, clamp: float) -> Tensor:
        y = F.leaky_relu(x, slope).clamp_(-clamp, clamp)
        ctx.save_for_backward(y)
        ctx.slope, ctx.clamp = slope, clamp
        return y

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:
        (y,) = ctx.saved_tensors
        y = y.detach()  # constant but for its kinks, where it has no slope
        inside = torch.ops.aten.hardtanh_backward(slopes[0], y, -ctx.clamp, ctx.clamp)
        return torch.ops.aten.leaky_relu_backward(inside, y, ctx.slope, True), None, None
