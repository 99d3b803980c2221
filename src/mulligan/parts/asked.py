"""Which slopes a running backward pass wants of an autograd function written in Python."""

from __future__ import annotations

from typing import Any

import torch


def asked(ctx: Any) -> tuple[bool, bool, bool]:
    """Whether the slope of x, of the weight and of the bias (the first three inputs) is wanted now.

    `ctx.needs_input_grad` tells only which could be: in G's turn D's weights could, and working them out in vain costs
    a twentieth of a small step. torch's own layers ask the engine, and so does this.
    """
    wanted = [could and _runs(node) for could, (node, _) in zip(ctx.needs_input_grad, ctx.next_functions)]
    x, weight, bias = [*wanted, False, False][:3]  # a bias of None has no node
    return x, weight, bias


def _runs(node: Any) -> bool:
    try:
        return torch._C._will_engine_execute_node(node)
    except RuntimeError:  # a leaf of torch.autograd.grad, which is there because it is asked for
        return True
