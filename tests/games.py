"""Deterministic games in float64: latents and the interpolation's alphas come with the data, so nothing is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mulligan.core.clock import Clock
from mulligan.core.engine import Engine, Optim
from mulligan.core.game import Batch, Game, Turn
from mulligan.core.recipe import Plan
from mulligan.core.run import Run
from mulligan.core.trainer import Rhythm, Trainer
from mulligan.parts import objectives
from mulligan.parts.penalties import gradient_penalty, slope

Penalty = Literal["plain", "r1", "r1r2", "gp"]
PENALTIES: tuple[Penalty, ...] = ("plain", "r1", "r1r2", "gp")
NEVER = 10**9


class Table:
    """100 rows of points x, latents z and alphas a, float64."""

    shape: tuple[int, ...] = (2,)
    classes: tuple[str, ...] = ()

    def __init__(self, rows: int = 100) -> None:
        draw = torch.Generator().manual_seed(0)
        self.rows = {
            "x": torch.randn(rows, 2, generator=draw, dtype=torch.float64),
            "z": torch.randn(rows, 3, generator=draw, dtype=torch.float64),
            "a": torch.rand(rows, generator=draw, dtype=torch.float64),
        }

    def __len__(self) -> int:
        return len(self.rows["x"])

    def gather(self, indices: Tensor) -> Batch:
        return {name: values[indices] for name, values in self.rows.items()}


def layers(*sizes: int) -> nn.Sequential:
    made: list[nn.Module] = []
    for a, b in pairwise(sizes):
        made += [nn.Linear(a, b), nn.Tanh()]
    return nn.Sequential(*made[:-1]).double()


class Duel(Game):
    """Two turns of D and one of G. The penalties r1 and r1r2 are charged every third round."""

    def __init__(self, penalty: Penalty = "plain", detach: bool = True) -> None:
        super().__init__()
        self.sampler, self.critic = layers(3, 8, 2), layers(2, 8, 1)
        self.penalty, self.detach = penalty, detach

    def play(self, data: Iterator[Batch], clock: Clock) -> Iterator[Turn]:
        for _ in range(2):
            batch = next(data)
            x, fake = batch["x"], self.sampler(batch["z"])
            if self.detach:
                fake = fake.detach()
            real_logits, fake_logits = self.critic(x), self.critic(fake)
            yield Turn("D", self.loss(x, fake, batch["a"], clock), {"real": real_logits, "fake": fake_logits})
        batch = next(data)
        fake_logits = self.critic(self.sampler(batch["z"]))
        yield Turn("G", self.objective.g(self.critic(batch["x"]), fake_logits))

    @property
    def objective(self) -> objectives.Objective:
        return objectives.wasserstein if self.penalty == "gp" else objectives.relativistic

    def loss(self, x: Tensor, fake: Tensor, alpha: Tensor, clock: Clock) -> Tensor:
        loss = self.objective.d(self.critic(x), self.critic(fake))
        if self.penalty == "gp":
            return loss + 10 * gradient_penalty(self.critic, x, fake, alpha=alpha)
        due = clock.every(3)
        if self.penalty != "plain" and due:
            loss = loss + slope(self.critic, x)[1].mean()
        if self.penalty == "r1r2" and due:
            loss = loss + slope(self.critic, fake)[1].mean()
        return loss


def duel(penalty: Penalty = "plain", detach: bool = True) -> Duel:
    """The same weights every time."""
    torch.manual_seed(1)
    return Duel(penalty, detach)


def trainer(
    folder: Path, game: Game, *, batch: int, images: int, accumulate: int = 1, source: Any = None, **plan: Any
) -> Trainer:
    """A trainer that writes nothing before its end; optimizers are Adam unless the plan says otherwise."""
    optims = plan.pop("optims", None) or {player: Optim(1e-2) for player in game.players}
    made = Plan(game, optims, batch, images, **plan)
    engine = Engine("cpu")
    return Trainer(
        made, source or Table(), Run(folder), engine, accumulate=accumulate, rhythm=Rhythm(NEVER, NEVER, NEVER)
    )


def rounds(folder: Path, game: Game, count: int, **options: Any) -> dict[str, Tensor]:
    """The game's state after so many rounds, without touching the disk."""
    made = trainer(folder, game, images=NEVER, **options)
    for _ in range(count):
        made._round()
    return made.game.state_dict()
