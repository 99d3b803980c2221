"""torch's optimizers without its compiler, and Adam straight to its fused kernel.

torch guards the unwrapped methods from its compiler, and for that loads it: two seconds and 150 MB at every start.
"""

from __future__ import annotations

import inspect
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer


class RMSprop(torch.optim.RMSprop):
    """torch.optim.RMSprop, to the bit."""

    add_param_group = inspect.unwrap(Optimizer.add_param_group)
    state_dict = inspect.unwrap(Optimizer.state_dict)
    load_state_dict = inspect.unwrap(Optimizer.load_state_dict)
    step = torch.no_grad()(inspect.unwrap(torch.optim.RMSprop.step))


class SGD(torch.optim.SGD):
    """torch.optim.SGD, to the bit."""

    add_param_group = inspect.unwrap(Optimizer.add_param_group)
    state_dict = inspect.unwrap(Optimizer.state_dict)
    load_state_dict = inspect.unwrap(Optimizer.load_state_dict)
    step = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))


class _Lists(NamedTuple):
    ids: list[int]
    dtype: torch.dtype
    means: list[Tensor]
    squares: list[Tensor]
    steps: list[Tensor]
    tally: Tensor


class Adam(torch.optim.Adam):
    """torch.optim.Adam(fused=True): same state, same numbers to the bit, less around them.

    For small networks on a CPU, torch's bookkeeping of a step takes as long as a third of its arithmetic; wherever the
    short way doesn't hold (another device, mixed types), torch's own step is taken.
    """

    add_param_group = inspect.unwrap(Optimizer.add_param_group)
    state_dict = inspect.unwrap(Optimizer.state_dict)

    def __init__(self, params: Any, lr: float, betas: tuple[float, float]) -> None:
        self._lists: _Lists | None = None
        super().__init__(params, lr=lr, betas=betas, fused=True)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        group = self.param_groups[0]
        plain = len(self.param_groups) == 1 and closure is None and not group["weight_decay"] and not group["amsgrad"]
        moved: list[Tensor] = [p for p in group["params"] if p.grad is not None]
        lists = self._collect(moved) if plain and moved else None
        if lists is None:
            return super().step(closure)
        grads = []
        for p in moved:
            g = p.grad
            if g is None or g.dtype != lists.dtype or g.is_sparse:
                return super().step(closure)
            # the kernel walks memory: a gradient in another order would move the wrong weights
            grads.append(g if g.stride() == p.stride() else torch.empty_like(p).copy_(g))
        lists.tally.add_(1)
        torch._fused_adam_(
            as_they_lie(moved), as_they_lie(grads), lists.means, lists.squares, [], lists.steps,
            lr=group["lr"], beta1=group["betas"][0], beta2=group["betas"][1], weight_decay=0.0, eps=group["eps"],
            amsgrad=False, maximize=False,
        )  # fmt: skip
        return None

    step.hooked = True  # type: ignore[attr-defined]  # torch would wrap it in a profiler's record

    def _collect(self, moved: list[Tensor]) -> _Lists | None:
        """The states of the weights that have a gradient, as lists kept from step to step; None off the CPU."""
        ids = [id(p) for p in moved]
        if self._lists is None or self._lists.ids != ids:
            if any(p.device.type != "cpu" or p.dtype != moved[0].dtype for p in moved):
                return None
            states = [self.state[p] or self._begin(p) for p in moved]
            tally = torch.stack([s["step"] for s in states])  # the steps become views of it: one call moves all
            for state, step in zip(states, tally.unbind(), strict=True):
                state["step"] = step
            self._lists = _Lists(
                ids, moved[0].dtype, as_they_lie([s["exp_avg"] for s in states]),
                as_they_lie([s["exp_avg_sq"] for s in states]), [s["step"] for s in states], tally,
            )  # fmt: skip
        return self._lists

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The moments in the memory order of their weights: the kernel walks both without asking for strides."""
        self._lists = None
        inspect.unwrap(Optimizer.load_state_dict)(self, state_dict)
        for parameter, state in self.state.items():
            for name, value in state.items():
                if value.shape == parameter.shape and value.stride() != parameter.stride():
                    state[name] = torch.empty_like(parameter).copy_(value)

    def _begin(self, parameter: Tensor) -> dict[str, Tensor]:
        state = self.state[parameter]
        state["step"] = torch.zeros((), dtype=torch.float32)
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        return state


def as_they_lie(values: list[Tensor]) -> list[Tensor]:
    """Weights in another order as the contiguous tensors that their memory is: torch would copy each in vain."""
    return [v if v.is_contiguous() else v.permute(_slowest_first(v.stride())) for v in values]


@lru_cache(maxsize=1024)
def _slowest_first(strides: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(range(len(strides)), key=strides.__getitem__, reverse=True))
