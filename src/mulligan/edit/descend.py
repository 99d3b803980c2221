"""Two ways down: Adam with noise that dies away, which finds the valley, and L-BFGS, which finds its floor."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

RATE = 0.1
"""The largest learning rate, for variables of deviation 1."""
UP, DOWN, QUIET = 0.05, 0.25, 0.75
"""Shares of the steps: the rate goes up in the first, down in the last; from the third on there is no noise."""
NOISE = 0.05
"""Of the length of a latent, at the start."""

Loss = Callable[[Tensor], Tensor]
"""Variables (n, k, …) to the losses (n·k,) of each."""


@dataclass(frozen=True)
class Span:
    """A part of a schedule of `total` steps: from `first` to before `last`."""

    first: int
    last: int
    total: int


def rate(progress: float) -> float:
    """What the largest learning rate is multiplied with: up linearly, down by a cosine."""
    down = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - progress) / DOWN))
    return down * min(1.0, progress / UP)


def adam(u: Tensor, loss: Loss, span: Span, seed: int, step: Callable[[Tensor], None]) -> Tensor:
    """u (n, k, …), k tries of each of n, over a span of the schedule (Karras et al. 2020, appendix D).

    The noise is the same for each of the n, so it doesn't matter which of them are walked together. `step` is told the
    losses (n, k) before each step.
    """
    u = u.detach().clone().requires_grad_()
    walker = torch.optim.Adam([u], betas=(0.9, 0.999))
    draw = torch.Generator().manual_seed(seed + span.first)
    length = u.shape[-1] ** 0.5
    for number in range(span.first, span.last):
        walker.param_groups[0]["lr"] = RATE * rate((number + 1) / (span.total + 1))
        spread = NOISE * length * max(0.0, 1 - number / span.total / QUIET) ** 2
        noise = spread * torch.randn(u.shape[1:], generator=draw).to(u.device)
        losses = loss(u + noise)
        (u.grad,) = torch.autograd.grad(losses.sum(), u)
        step(losses.detach().view(u.shape[:2]))
        walker.step()
    return u.detach()


def lbfgs(u: Tensor, loss: Loss, looks: int, step: Callable[[float], None]) -> Tensor:
    """The lowest place that so many looks at loss and slope find from u (1, 1, …) (Liu & Nocedal 1989).

    `step` is told the loss of each look.
    """
    best, lowest = u.detach(), math.inf
    u = u.detach().clone().requires_grad_()
    walker = torch.optim.LBFGS(
        [u], max_iter=looks, max_eval=looks, history_size=20, tolerance_grad=0, tolerance_change=0,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def look() -> Tensor:
        nonlocal best, lowest
        total = loss(u).sum()
        (u.grad,) = torch.autograd.grad(total, u)
        found = float(total.detach())
        if found < lowest:  # never true of what isn't a number
            best, lowest = u.detach().clone(), found
        step(found)
        return total

    walker.step(look)  # type: ignore[arg-type]
    return best
