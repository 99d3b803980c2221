"""Unrolled GAN: G looks k steps of D ahead."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mulligan.core.clock import Clock
from mulligan.core.engine import Schedule
from mulligan.core.game import Batch, Turn
from mulligan.core.recipe import Plan, Shape, recipe
from mulligan.parts import objectives
from mulligan.parts.layers import side_by_side
from mulligan.parts.samplers import Sampler
from mulligan.parts.stabilize import Stabilize

from .classic import Classic, discriminator, generator, norm_for, players


@dataclass(frozen=True)
class Unroll:
    """How far G looks ahead."""

    steps: int = 5
    """Gradient steps of D."""
    size: float = 0.02
    """Size of each."""
    loss: Literal["auto", "minimax", "nonsaturating"] = "auto"
    """What G minimizes: the paper's value function, or the loss that pictures need to get going; auto by the data."""


class Unrolled(Classic):
    """G minimizes f_K(θ_G, θ_D) = f(θ_G, θ_D^K), D with K gradient steps ahead (Metz et al. 2017, equations 6 to 8)."""

    def __init__(
        self, sampler: nn.Module, D: nn.Module, stabilize: Stabilize, *, critic_turns: int, unroll: Unroll
    ) -> None:
        super().__init__(sampler, D, objectives.nonsaturating, stabilize, critic_turns=critic_turns)
        self.unroll, self.saturating = unroll, unroll.loss == "minimax"

    def play(self, data: Iterator[Batch], clock: Clock) -> Iterator[Turn]:
        D, G, objective = self.critic.at(clock), self.sampler, self.objective
        x = torch.empty(0)

        for _ in range(self.critic_turns):
            x = next(data)["x"]
            with torch.no_grad():
                fake = G(len(x))
            real_logits, fake_logits, charge = D.judge(x, fake)
            yield Turn("D", objective.d(real_logits, fake_logits) + charge, {"real": real_logits, "fake": fake_logits})

        fake = G(len(x))
        theta: dict[str, Tensor] = dict(D.named_parameters())
        for _ in range(self.unroll.steps):
            loss = objective.d(*self.ahead(theta, x, fake))
            slopes = torch.autograd.grad(loss, list(theta.values()), create_graph=True)
            theta = {
                name: value - self.unroll.size * slope
                for (name, value), slope in zip(theta.items(), slopes, strict=True)
            }
        real_logits, fake_logits = self.ahead(theta, x, fake)
        loss = -objective.d(real_logits, fake_logits) if self.saturating else objective.g(real_logits, fake_logits)
        yield Turn("G", loss + (D.matching(x, fake) + self.past()))

    def ahead(self, theta: dict[str, Tensor], *batches: Tensor) -> list[Tensor]:
        """The logits of each batch, by the critic with the weights theta."""
        if self.critic.one_pass:
            with side_by_side(self.critic.norms, len(batches)):
                return list(functional_call(self.critic, theta, (torch.cat(batches),)).chunk(len(batches)))
        return [functional_call(self.critic, theta, (x,)) for x in batches]


@recipe("Metz, Poole, Pfau & Sohl-Dickstein 2017, arXiv:1611.02163")
def unrolled(
    data: Shape,
    *,
    unroll: Unroll = Unroll(),
    latent: int = 100,
    width: int = 64,
    batch: int = 128,
    critic_turns: int = 1,
    lr: float = 1e-4,
    lr_d: float | None = 1e-4,
    betas: tuple[float, float] = (0.5, 0.999),
    schedule: Schedule = "constant",
    ema: int = 10_000,
    images: int = 1_000_000,
    stabilize: Stabilize = Stabilize(),
) -> Plan:
    """Unrolled GAN: G is trained against D as it will be some gradient steps from now."""
    if unroll.loss == "auto":
        unroll = replace(unroll, loss="minimax" if len(data.shape) == 1 else "nonsaturating")
    G = generator(data, "dcgan", latent, width)
    D = discriminator(data, "dcgan", width, stabilize, norm=norm_for(stabilize))
    game = Unrolled(Sampler(G, latent), D, stabilize, critic_turns=critic_turns, unroll=unroll)
    return Plan(game, players(stabilize, lr, lr_d, betas), batch, images, ema, schedule)
