"""A probe: what the doctor measures of a game while it trains. Nothing of the run is changed by it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from mulligan.core.game import Game
from mulligan.parts.critic import Critic
from mulligan.parts.samplers import Sampler, conditional

from . import signals
from .history import PROBED, Row
from .known import KNOWN, Known
from .measure import of_live, of_logits, of_samples

PICTURES, POINTS = 256, 512
"""Samples of a probe."""
PART = 64
"""Samples that pass through the networks together."""


class Probe:
    """Measures a game against the real data.

    A game with a `critic` is asked for logits, and with an `objective` for the gradient that G gets.
    """

    def __init__(self, game: Game, known: Known) -> None:
        self.game, self.known = game, known
        self.objective: Any = getattr(game, "objective", None)
        self.critic = critic if isinstance(critic := getattr(game, "critic", None), Critic) else None
        self.count = PICTURES if known.train.x.dim() == 4 else POINTS
        self.mean: Tensor | None = None
        self.norms: Tensor | None = None

    def state(self) -> dict[str, Tensor]:
        """What the next probe compares itself with."""
        kept = {"mean": self.mean, "norms": self.norms}
        return {name: value for name, value in kept.items() if value is not None}

    def load(self, state: dict[str, Tensor]) -> None:
        self.mean, self.norms = state.get("mean"), state.get("norms")

    def __call__(self, averaged: Any) -> Row:
        """The signals now. `averaged` is the sampler that is shipped; draws from the global random state."""
        with undisturbed(self.game):
            live, y = self._sample(self.game.sampler)
            row, self.mean = of_live(self.known, live, self.mean)
            if self.critic is not None:
                row |= self._of_critic(self.critic, live, y)
        row |= of_samples(self.known, *self._sample(averaged))
        return {PROBED: 1.0, **{name: value for name, value in row.items() if math.isfinite(value)}}

    def quality(self, averaged: Any) -> float:
        """How far samples are from held-out data: what decides between two branches. The same latents every time."""
        z = averaged.latents(KNOWN, torch.Generator().manual_seed(0))
        if isinstance(averaged, Sampler):
            y = averaged.in_turn(KNOWN)
        else:
            y = torch.arange(KNOWN, device=z.device) % averaged.classes if getattr(averaged, "classes", 0) else None
        features = self.known.features(decoded(averaged, z, y)).cpu()
        mine = signals.shares(self.known.modes(features), len(self.known.modes))
        wrong = signals.imbalance(mine, self.known.fresh.shares)
        return max(signals.distance(features, self.known.fresh.features), 0.0) + wrong**2

    def _sample(self, sampler: Any) -> tuple[Tensor, Tensor | None]:
        z = sampler.latents(self.count)
        y = sampler.labels(self.count) if conditional(sampler) else None
        return decoded(sampler, z, y), y if self.known.classes else None

    def _of_critic(self, D: Critic, fake: Tensor, y: Tensor | None) -> Row:
        train, held = self.known.train, self.known.held
        real = self._logits(D, train.x[: self.count], train.labels)
        made, slope = self._slopes(D, fake, y, real)
        unseen = self._logits(D, held.x[: self.count], held.labels) if held is not None else None
        row = of_logits(getattr(self.objective, "name", ""), real, made, unseen)
        if slope is not None:
            row["slope"] = slope
        norms = torch.stack([p.detach().double().norm() for p in D.D.parameters()]).cpu()
        if self.norms is not None and len(self.norms) == len(norms):
            row["moved_D"] = float((norms - self.norms).norm() / norms.norm().clamp_min(signals.EPS))
        self.norms = norms
        if clip := D.stabilize.clip_weights:
            at = [p.detach().abs() >= 0.999 * clip for p in D.D.parameters()]
            row["clipped"] = float(sum(int(a.sum()) for a in at) / sum(a.numel() for a in at))
        return row

    def _logits(self, D: Critic, x: Tensor, labels: Tensor | None) -> Tensor:
        y = labels.to(x.device) if labels is not None and self.known.classes else None
        with torch.no_grad():
            parts = [D(x[part], None if y is None else y[part]).flatten() for part in parts_of(len(x), D)]
        return torch.cat(parts).float()

    def _slopes(self, D: Critic, fake: Tensor, y: Tensor | None, real: Tensor) -> tuple[Tensor, float | None]:
        """Logits of generated samples, and the mean norm of the gradient that G gets at each of them."""
        logits, norms = [], []
        for part in parts_of(min(len(fake), len(real) * D.stabilize.packing), D):
            x = fake[part].detach().requires_grad_(self.objective is not None)
            made = D(x, None if y is None else y[part])
            logits.append(made.detach().flatten().float())
            if self.objective is not None:
                beside = real[part.start // D.stabilize.packing :][: made.numel()].view_as(made)
                (gradient,) = torch.autograd.grad(self.objective.g(beside, made), x)
                norms.append(gradient.flatten(1).norm(dim=1) * len(x))
        return torch.cat(logits), float(torch.cat(norms).mean()) if norms else None


def parts_of(n: int, D: Critic) -> list[slice]:
    """Parts of a batch, all of one size since batch norm sees it, and in whole packs; what is left over isn't seen."""
    step = min(PART, n)
    step -= step % D.stabilize.packing
    return [slice(start, start + step) for start in range(0, n - step + 1, step)] if step else []


@torch.no_grad()
def decoded(sampler: Any, z: Tensor, y: Tensor | None) -> Tensor:
    """Samples for latents and labels."""
    parts = range(0, len(z), PART)
    return torch.cat([sampler.decode(z[i : i + PART], None if y is None else y[i : i + PART]) for i in parts]).float()


@contextlib.contextmanager
def undisturbed(module: nn.Module) -> Iterator[None]:
    """Give buffers back as they were: running statistics, power iterations and the averages of penalties."""
    before = [(buffer, buffer.clone()) for buffer in module.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in before:
                buffer.copy_(value)
