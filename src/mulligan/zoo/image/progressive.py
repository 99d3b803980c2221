"""Progressive growing: the game is played on small pictures first, and each doubling of their size fades in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from mulligan.core.clock import Clock
from mulligan.core.errors import UserError
from mulligan.core.game import Batch, Turn
from mulligan.core.recipe import Plan, Shape, recipe
from mulligan.nets.progressive import FINE, Deviation, Discriminator, Generator, larger, reached, smaller
from mulligan.nets.sizes import pyramid
from mulligan.parts import objectives
from mulligan.parts.layers import pack
from mulligan.parts.samplers import Sampler
from mulligan.parts.stabilize import Stabilize

from .classic import Classic, picture, players, seen_shape

DRIFT = 0.001
"""Weight of squared logits at real pictures, which keeps them near 0 (Karras et al. 2018, appendix A.1)."""


@dataclass(frozen=True)
class Pace:
    """How fast the networks grow."""

    until: float = 0.5
    """Share of the budget in which pictures reach their full size; 0: they have it from the start."""

    def level(self, progress: float, ups: int) -> float:
        """Doublings so far: each size is played for as long as the next one fades in."""
        phase = 2 * ups * progress / self.until if self.until else 2.0 * ups
        half, inside = divmod(min(phase, 2.0 * ups), 2)
        return half + max(inside - 1, 0)


@dataclass(frozen=True)
class Sizes:
    """How large networks that grow become."""

    most: int = 512
    """Feature maps at most."""
    base: int = 8_192
    """Feature maps × pixels of a side, where there are fewer than the most."""
    maps: tuple[int, ...] = ()
    """Feature maps of each size, the smallest first, in place of this rule."""

    def widths(self, shape: tuple[int, ...]) -> list[int]:
        """Feature maps of each size, the smallest first. Raises UserError for `maps` that are too few, or none."""
        height, width, ups = pyramid(shape[1], shape[2])
        if self.maps and (len(self.maps) != ups + 1 or min(self.maps) < 1):
            raise UserError(
                f"maps {list(self.maps)}: {shape[1]}x{shape[2]} pixels take {ups + 1} numbers, each at least 1"
            )
        by_rule = [max(min(self.base // (min(height, width) << i), self.most), 1) for i in range(ups + 1)]
        return list(self.maps) or by_rule


@dataclass(frozen=True)
class Growth(Sizes, Pace):
    """How the networks grow, and how large they become."""


class Growing(nn.Module):
    """A network of all sizes, at the size of now."""

    stage: Tensor

    def __init__(self, net: nn.Module, height: int, ups: int) -> None:
        super().__init__()
        self.net, self.height, self.ups = net, height, ups
        self.register_buffer("stage", torch.tensor(ups * FINE))

    @property
    def now(self) -> tuple[int, float]:
        """Doublings, and the share of the newest one."""
        return reached(int(self.stage) / FINE)

    def enlarged(self, x: Tensor) -> Tensor:
        """Pictures of the size of now at full size, every pixel as often as it takes."""
        for _ in range(self.ups - self.now[0]):
            x = larger(x)
        return x


class Grown(Growing):
    """G: pictures of the size of now in training; otherwise of full size."""

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        x = self.net(z, *self.now)
        return x if self.training else self.enlarged(x)


class Seen(Growing):
    """D: it makes whatever is larger than the size of now smaller."""

    separable = True  # the deviation of batches that are side by side is that of each

    def __init__(self, net: Discriminator, height: int, ups: int, packing: int = 1) -> None:
        super().__init__(net, height, ups)
        self.packing = packing

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.net(self._packed(x), *self.now)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """(N/packing, width), from which the logits are one layer away."""
        return cast(Discriminator, self.net).features(self._packed(x), *self.now)

    def _packed(self, x: Tensor) -> Tensor:
        x = self.shrunk(x)
        return pack(x, self.packing) if self.packing > 1 else x

    def shrunk(self, x: Tensor) -> Tensor:
        while x.shape[2] > self.height >> (self.ups - self.now[0]):
            x = smaller(x)
        return x

    def faded(self, x: Tensor) -> Tensor:
        """Real pictures (N, C, H, W) at the size of now, with as little detail as G's have (section 2)."""
        x, (_, alpha) = self.shrunk(x), self.now
        return x if alpha == 1 else larger(smaller(x)).lerp(x, alpha)


class Progressive(Classic):
    """One turn each, in pictures that grow (Karras et al. 2018, section 2)."""

    def __init__(
        self, sampler: Sampler, D: Seen, objective: objectives.Objective, stabilize: Stabilize, pace: Pace
    ) -> None:
        super().__init__(sampler, D, objective, stabilize)
        self.pace = pace

    def started(self) -> None:
        """Weights from elsewhere have grown already."""
        self.pace = replace(self.pace, until=0.0)

    def play(self, data: Iterator[Batch], clock: Clock) -> Iterator[Turn]:
        D, G, objective = self.critic.at(clock), self.sampler, self.objective
        seen, grown = cast(Seen, D.D), cast(Growing, cast(Sampler, G).G)
        for side in (seen, grown):
            side.stage.fill_(round(self.pace.level(clock.progress, side.ups) * FINE))

        x = seen.faded(next(data)["x"])
        with torch.no_grad():
            fake = G(len(x))
        real_logits, fake_logits, charge = D.judge(x, fake)
        drift = DRIFT * real_logits.square().mean() if objective is objectives.wasserstein else 0.0
        yield Turn(
            "D", objective.d(real_logits, fake_logits) + charge + drift, {"real": real_logits, "fake": fake_logits}
        )
        fake = G(len(x))
        fake_logits = D(fake)
        with torch.no_grad():
            real_logits = D(x) if objective.needs_real else fake_logits
        yield Turn("G", objective.g(real_logits, fake_logits) + (D.matching(x, fake) + self.past()))


def equalized(stabilize: Stabilize) -> None:
    """Raises UserError for what networks of equalized learning rate have of their own, or can't have."""
    if stabilize.spectral_norm:
        raise UserError("stabilize.spectral_norm rescales weights that are scaled already here: leave it out")
    if stabilize.minibatch != "none":
        raise UserError("stabilize.minibatch: this D sees the standard deviation of a batch already: leave it out")


@recipe("Karras, Aila, Laine & Lehtinen 2018, arXiv:1710.10196")
def progressive(
    data: Shape,
    *,
    latent: int = 512,
    growth: Growth = Growth(),
    batch: int = 16,
    lr: float = 1e-3,
    lr_d: float | None = None,
    betas: tuple[float, float] = (0.0, 0.99),
    ema: int = 10_000,
    images: int = 2_000_000,
    stabilize: Stabilize = Stabilize(gp=10),
) -> Plan:
    """Progressive growing: from 4 pixels on, sizes double and fade in; WGAN-GP with equalized learning rates."""
    shape = picture(data.shape)
    widths, ups = growth.widths(shape), pyramid(shape[1], shape[2])[2]
    equalized(stabilize)
    G = Grown(Generator(latent, shape, widths), shape[1], ups)
    net = Discriminator(seen_shape(shape, stabilize.packing), widths, deviation=Deviation(4))
    D = Seen(net, shape[1], ups, stabilize.packing)
    game = Progressive(Sampler(G, latent), D, objectives.wasserstein, stabilize, growth)
    return Plan(game, players(stabilize, lr, lr_d, betas), batch, images, ema)
