"""Processes, device, seeds and the one place where weights change."""

from __future__ import annotations

import contextlib
import math
import os
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from .errors import NonFinite, UserError
from .game import Game, Turn
from .memory import keep_freed, map_large
from .optimizers import SGD, Adam, RMSprop, as_they_lie

SMALL = 1 << 16
"""Entries below which a gradient is copied beside the others to be squared with them: each call costs as much."""
Schedule = Literal["constant", "linear", "cosine", "step"]
Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Optim:
    """How one player is improved.

    `clip_weights` clamps every weight to ±c after the step (Arjovsky et al. 2017, Algorithm 1); `clip_gradient` bounds
    the gradient's norm; 0 switches either off.
    """

    lr: float
    betas: tuple[float, float] = (0.5, 0.999)
    kind: Literal["adam", "rmsprop", "sgd"] = "adam"
    clip_weights: float = 0.0
    clip_gradient: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.lr < math.inf:
            raise UserError(f"the learning rate is {self.lr}, but must be a number from 0 up")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise UserError(f"betas are {self.betas}, but must be in [0, 1)")


def schedule_factor(schedule: Schedule, progress: float) -> float:
    """What the learning rate is multiplied with at `progress` in [0, 1] of the budget.

    linear: 1 to 0. cosine: half a cosine from 1 to 0 (Loshchilov & Hutter 2017). step: a tenth from one half on, a
    hundredth from three quarters on.
    """
    if schedule == "linear":
        return 1 - progress
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    if schedule == "step":
        return 1.0 if progress < 0.5 else 0.1 if progress < 0.75 else 0.01
    return 1.0


# What loss.backward(inputs=…) comes to; its own way there takes a hundredth of the tutorial's step.
_run_backward = torch.autograd.Variable._execution_engine.run_backward


class Engine:
    """Owns every side effect on weights: backward, mean of gradients, the check, the step.

    Under torchrun each process is one rank and one flat all-reduce per turn keeps the ranks equal.
    Raises UserError for a device that isn't there.
    """

    def __init__(self, device: str = "auto", seed: int = 0, precision: Precision = "fp32") -> None:
        self.world, self.rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
        self.device = pick_device(device, int(os.environ.get("LOCAL_RANK", "0")))
        self.seed, self.precision = seed, precision
        self._settled = self.device.type != "cpu"
        if not self._settled:
            map_large()
        if self.world > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo")

    def adopt(self, game: Game, optims: dict[str, Optim]) -> None:
        """Take charge of the game's players: one optimizer each."""
        game.check()
        self.optims = optims
        # whatever was frozen before belongs to its player, and has no optimizer
        self.owned = {player: tuple(p for p in game.owned(player) if p.requires_grad) for player in game.players}
        self._mine = {player: {id(p) for p in owned} for player, owned in self.owned.items()}
        self.optimizers = {player: build_optimizer(self.owned[player], optims[player]) for player in game.players}

    def seed_round(self, number: int, shard: int) -> None:
        """Every random draw of a round follows from (seed, shard, round), so a run resumes without saved states."""
        random.seed(f"{self.seed} {shard} {number}")  # hashed: neighbours have nothing in common
        np.random.seed(random.getrandbits(32))
        seed = random.getrandbits(63)
        # torch.manual_seed would, on a machine without CUDA, note a stack trace for later on every call.
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        elif self.device.type == "mps":
            torch.mps.manual_seed(seed)

    def draws(self) -> tuple[Any, ...]:
        """Where the random streams stand, for `restore_draws`."""
        here = torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None
        return random.getstate(), np.random.get_state(), torch.get_rng_state(), here

    def restore_draws(self, state: tuple[Any, ...]) -> None:
        random.setstate(state[0])
        np.random.set_state(state[1])
        torch.set_rng_state(state[2])
        if state[3] is not None:
            torch.cuda.set_rng_state(state[3], self.device)

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """bf16 where asked for, around the forward passes of a turn."""
        if self.precision == "bf16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return contextlib.nullcontext()

    def rates(self, schedule: Schedule, progress: float) -> None:
        """Set the learning rates for this round."""
        if schedule != "constant":
            for player, optimizer in self.optimizers.items():
                optimizer.param_groups[0]["lr"] = self.optims[player].lr * schedule_factor(schedule, progress)

    def backward(self, turn: Turn, share: float = 1.0) -> float:
        """Add the gradient of `share` × loss to the player's parameters, and to nothing else; gives the loss.

        A gradient that the game has worked out is taken as it is. Raises ValueError for a loss that isn't a single
        number and for the gradient of a parameter that the player doesn't own.
        """
        loss = turn.loss if share == 1.0 else turn.loss * share
        if loss.numel() != 1:
            raise ValueError(f"the loss of {turn.player} has shape {tuple(loss.shape)}, but must be one number")
        if turn.gradients is None:
            _run_backward(
                (loss,), (torch.ones_like(loss),), False, False, self.owned[turn.player],
                allow_unreachable=True, accumulate_grad=True,
            )  # fmt: skip
        else:
            self._accumulate(turn.player, turn.gradients, share)
            turn.gradients = None
        return loss.item()

    def _accumulate(self, player: str, gradients: list[tuple[nn.Parameter, Tensor]], share: float) -> None:
        for parameter, gradient in gradients:
            if id(parameter) not in self._mine[player]:
                raise ValueError(f"{player} was handed the gradient of a parameter that it doesn't own")
            if share != 1.0:
                gradient = gradient * share
            parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient

    def step(self, player: str, loss: float) -> tuple[float, float]:
        """Average over ranks, check, clip and step. Gives the loss (mean over ranks) and the gradient's norm.

        Raises NonFinite before the weights change where the loss or the gradient is not finite.
        """
        parameters, optim = self.owned[player], self.optims[player]
        grads = [p.grad for p in parameters if p.grad is not None]
        if self.world > 1:
            loss = self._mean_gradients(grads, loss)
        norm = gradient_norm(grads)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self._zero(player)
            raise NonFinite(player, loss, norm)
        if optim.clip_gradient and norm > optim.clip_gradient:
            with torch.inference_mode():  # a game may hand over gradients that can't be changed outside of it
                torch._foreach_mul_(grads, optim.clip_gradient / norm)
        self.optimizers[player].step()
        self._zero(player)
        if optim.clip_weights:
            with torch.no_grad():
                for parameter in parameters:
                    parameter.clamp_(-optim.clip_weights, optim.clip_weights)
        return loss, norm

    def _zero(self, player: str) -> None:
        for parameter in self.owned[player]:
            parameter.grad = None

    @torch.inference_mode()
    def _mean_gradients(self, grads: list[Tensor], loss: float) -> float:
        flat = torch.cat(
            [g.reshape(-1) for g in grads] + [torch.full((1,), loss, dtype=grads[0].dtype, device=self.device)]
        )
        dist.all_reduce(flat)
        flat /= self.world
        offset = 0
        for grad in grads:
            grad.copy_(flat[offset : offset + grad.numel()].view_as(grad))
            offset += grad.numel()
        return float(flat[-1])

    def agree(self, flag: bool) -> bool:
        """True on every rank as soon as it is true on one."""
        if self.world == 1:
            return flag
        value = torch.tensor([float(flag)], device=self.device)
        dist.all_reduce(value, dist.ReduceOp.MAX)
        return bool(value.item())

    def equalize(self, modules: Iterable[nn.Module]) -> None:
        """Give every rank the buffers of rank 0 (running statistics drift apart without it)."""
        if self.world > 1:
            for module in modules:
                for buffer in module.buffers():
                    dist.broadcast(buffer, 0)

    def settle(self) -> None:
        """Called after each round: from the first one on, freed memory stays with the process."""
        if not self._settled:
            keep_freed()
            self._settled = True

    def state(self) -> dict[str, Any]:
        return {player: optimizer.state_dict() for player, optimizer in self.optimizers.items()}

    def load(self, state: dict[str, Any]) -> None:
        for player, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state[player])

    def close(self) -> None:
        if self.world > 1 and dist.is_initialized():
            dist.destroy_process_group()


def gradient_norm(grads: list[Tensor]) -> float:
    """Euclidean norm over all tensors; nan or inf where any value is."""
    if not grads:
        return 0.0
    if grads[0].device.type != "cpu":
        return float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads))))
    flat = [g.reshape(-1) for g in as_they_lie(grads)]
    small = [g for g in flat if g.numel() < SMALL]
    flat = [g for g in flat if g.numel() >= SMALL] + ([torch.cat(small)] if small else [])
    return math.sqrt(sum([torch.dot(g, g).item() for g in flat]))


def build_optimizer(parameters: Sequence[nn.Parameter], optim: Optim) -> torch.optim.Optimizer:
    """Adam is fused: never foreach, which is 0.37 times as fast on a CPU."""
    if optim.kind == "rmsprop":
        return RMSprop(parameters, lr=optim.lr, alpha=0.99, foreach=False)
    if optim.kind == "sgd":
        return SGD(parameters, lr=optim.lr, momentum=optim.betas[0], fused=True)
    betas = (float(optim.betas[0]), float(optim.betas[1]))
    return Adam(parameters, optim.lr, betas)


def pick_device(name: str, local_rank: int = 0) -> torch.device:
    """auto: CUDA, else Apple's MPS, else CPU. Raises UserError for a device that isn't there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind = name.split(":")[0]
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if kind not in there:
        raise UserError(f"unknown device {name!r}: take one of auto, cpu, cuda, mps")
    if not there[kind]:
        raise UserError(
            f"device {name!r} isn't there (torch {torch.__version__} finds none): take --device cpu or --device auto"
        )
    if kind == "cuda":
        number = name.partition(":")[2] or str(local_rank)
        if not number.isdigit():
            raise UserError(f"unknown device {name!r}: number the GPUs from 0, as in cuda:0")
        index = int(number)
        if index >= torch.cuda.device_count():
            raise UserError(
                f"device cuda:{index} isn't there: this machine has {torch.cuda.device_count()}, counted from 0"
            )
        torch.cuda.set_device(index)
        return torch.device("cuda", index)
    return torch.device(kind)
