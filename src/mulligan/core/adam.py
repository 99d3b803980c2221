"""Adam that goes straight to torch's fused kernel."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer


class Adam(torch.optim.Adam):
    """torch.optim.Adam(fused=True): same state, same numbers to the bit, less around them.

    For small networks on a CPU, torch's bookkeeping of a step takes as long as a third of its arithmetic; wherever the
    short way doesn't hold (another device, mixed types), torch's own step is taken.
    """

    # torch guards these from its compiler, and for that loads the compiler: two seconds and 150 MB at every start.
    add_param_group = inspect.unwrap(Optimizer.add_param_group)
    state_dict = inspect.unwrap(Optimizer.state_dict)

    def __init__(self, params: Any, lr: float, betas: tuple[float, float]) -> None:
        super().__init__(params, lr=lr, betas=betas, fused=True)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        group = self.param_groups[0]
        moved: list[Tensor] = [p for p in group["params"] if p.grad is not None]
        grads = [p.grad for p in moved if p.grad is not None]
        plain = len(self.param_groups) == 1 and closure is None and not group["weight_decay"] and not group["amsgrad"]
        if not plain or any(
            p.device.type != "cpu" or p.dtype != moved[0].dtype or g.dtype != p.dtype or g.is_sparse
            for p, g in zip(moved, grads, strict=True)
        ):
            return super().step(closure)
        states = [self.state[p] or self._begin(p) for p in moved]
        steps = [state["step"] for state in states]
        if steps:
            torch._foreach_add_(steps, [torch.ones(())] * len(steps))  # a bare 1 would become a tensor for each
            torch._fused_adam_(
                moved, grads, [s["exp_avg"] for s in states], [s["exp_avg_sq"] for s in states], [], steps,
                lr=group["lr"], beta1=group["betas"][0], beta2=group["betas"][1], weight_decay=0.0, eps=group["eps"],
                amsgrad=False, maximize=False,
            )  # fmt: skip
        return None

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The moments in the memory order of their weights: the kernel walks both without asking for strides."""
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
