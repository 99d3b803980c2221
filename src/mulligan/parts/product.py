"""Matrix products of linear layers by the library that is quicker on this processor; same numbers up to rounding."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

WORTH = 4_000_000
"""Multiplications from which a product repays the fifteen microseconds of its way through Python."""


@cache
def onednn() -> bool:
    """Whether oneDNN multiplies faster than MKL here.

    MKL keeps to AVX2 on processors of other makers than Intel, oneDNN takes AVX-512 wherever it is (measured: twice as
    fast on an AMD EPYC). Read off the processor, not timed: a run must choose alike when it resumes.
    """
    try:
        maker = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return (
        torch.backends.cpu.get_cpu_capability() == "AVX512"
        and "GenuineIntel" not in maker
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """F.linear(x, weight, bias) for any x (N, inputs) and weight (outputs, inputs), as often differentiable."""
    if _suits(x, weight) and onednn():
        return _Product.apply(x, weight, bias) if torch.is_grad_enabled() else _multiply(x, weight, bias)
    return F.linear(x, weight, bias)


def _suits(x: Tensor, weight: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and x.dim() == 2
        and x.dtype == weight.dtype == torch.float32
        and len(x) * weight.numel() >= WORTH
        and weight.shape[0] > 1
        and not torch.is_autocast_enabled("cpu")
    )


def _multiply(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


class _Product(torch.autograd.Function):
    """x weightᵀ + bias; its gradients are products of the same kind, so they have gradients too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _multiply(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        (x, weight), (slope,) = ctx.saved_tensors, slopes
        return (
            linear(slope, weight.t()) if ctx.needs_input_grad[0] else None,
            linear(slope.t(), x.t()) if ctx.needs_input_grad[1] else None,
            slope.sum(0) if ctx.needs_input_grad[2] else None,
        )
