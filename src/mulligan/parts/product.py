"""Matrix products of linear layers by the library that is quicker on this processor; same numbers up to rounding."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from .asked import asked

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


Then = Literal["none", "relu", "leaky_relu", "tanh"]
LEAK = 0.2


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, then: Then = "none") -> Tensor:
    """F.linear(x, weight, bias) and the activation after it, as often differentiable.

    x (N, inputs), weight (outputs, inputs). The slope of leaky_relu is LEAK.
    """
    if torch.is_grad_enabled() and onednn() and _suits(x, weight):
        return _Product.apply(x, weight, bias, then)
    return multiply(x, weight, bias, then)


def multiply(x: Tensor, weight: Tensor, bias: Tensor | None = None, then: Then = "none") -> Tensor:
    """The same without gradients where oneDNN is quicker, by torch's own layers elsewhere."""
    if onednn() and _suits(x, weight):
        return _multiply(x, weight, bias, then)
    y = F.linear(x, weight, bias)
    match then:
        case "relu":
            return F.relu_(y)
        case "leaky_relu":
            return F.leaky_relu_(y, LEAK)
        case "tanh":
            return y.tanh_()
    return y


def slopes(
    slope: Tensor, x: Tensor, weight: Tensor, y: Tensor, then: Then, of: tuple[bool, bool, bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """From the slope of y = then(x weightᵀ + bias) those of x, weight and bias, as far as `of` asks for them."""
    match then:  # all three are told by their result
        case "relu":
            slope = torch.ops.aten.threshold_backward.default(slope, y, 0)
        case "leaky_relu":
            slope = torch.ops.aten.leaky_relu_backward.default(slope, y, LEAK, True)
        case "tanh":
            slope = torch.ops.aten.tanh_backward.default(slope, y)
    quick = onednn() and _suits(x, weight)
    of_x, of_weight, of_bias = of
    return (
        (_product(slope, weight.t()) if quick else slope @ weight) if of_x else None,
        _of_weight(slope, x, weight, quick) if of_weight else None,
        slope.sum(0) if of_bias else None,
    )


def _suits(x: Tensor, weight: Tensor) -> bool:
    return (
        x.dim() == 2
        and x.shape[0] * weight.numel() >= WORTH
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and weight.shape[0] > 1
        and not torch.is_autocast_enabled("cpu")
        and not torch._C._are_functorch_transforms_active()  # vmap and jvp know only torch's own product
    )


def _multiply(x: Tensor, weight: Tensor, bias: Tensor | None = None, then: Then = "none") -> Tensor:
    scalars = [LEAK] if then == "leaky_relu" else []
    return torch.ops.mkldnn._linear_pointwise.default(x, weight, bias, then, scalars, "")


class _Product(torch.autograd.Function):
    """then(x weightᵀ + bias); its gradients are products of the same kind, so they have gradients too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, then: Then) -> Tensor:
        y = _multiply(x, weight, bias, then)
        ctx.save_for_backward(x, weight, None if then == "none" else y)
        ctx.then = then
        return y

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        x, weight, y = ctx.saved_tensors
        return *slopes(given[0], x, weight, y, ctx.then, asked(ctx)), None


def _of_weight(slope: Tensor, x: Tensor, weight: Tensor, quick: bool) -> Tensor:
    """slopeᵀ x, in the memory order of the weight."""
    if weight.is_contiguous():
        return _product(slope.t(), x.t()) if quick else slope.t() @ x
    return (_product(x.t(), slope.t()) if quick else x.t() @ slope).t()


def _product(x: Tensor, weight: Tensor) -> Tensor:
    """x weightᵀ for one of the slopes, whose products have as many multiplications as the first one."""
    return _Product.apply(x, weight, None, "none") if torch.is_grad_enabled() else _multiply(x, weight)
