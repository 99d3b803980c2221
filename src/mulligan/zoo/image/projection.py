"""Projection discriminator: the label enters D as an inner product with its features."""

from __future__ import annotations

from mulligan.core.engine import Schedule
from mulligan.core.recipe import Plan, Shape, recipe
from mulligan.parts.stabilize import Stabilize

from .classic import players
from .labels import classes_of
from .sngan import Networks, residual


@recipe("Miyato & Koyama 2018, arXiv:1802.05637")
def projection(
    data: Shape,
    *,
    latent: int = 128,
    width: int = 256,
    net: Networks = Networks(),
    batch: int = 64,
    critic_turns: int = 5,
    lr: float = 2e-4,
    lr_d: float | None = None,
    betas: tuple[float, float] = (0.0, 0.9),
    schedule: Schedule = "linear",
    ema: int = 10_000,
    images: int = 32_000_000,
    stabilize: Stabilize = Stabilize(spectral_norm=True),
) -> Plan:
    """Conditional GAN with a projection discriminator (equation 3) and conditional batch norm in G."""
    classes = classes_of(data, "projection")
    game = residual(data, latent, width, net, critic_turns, stabilize, classes)
    return Plan(game, players(stabilize, lr, lr_d, betas), batch, images, ema, schedule)
