"""Projection discriminator: the label enters D as an inner product with its features."""

from __future__ import annotations

from mulligan.core.engine import Schedule
from mulligan.core.recipe import Plan, Shape, recipe
from mulligan.parts import objectives
from mulligan.parts.stabilize import Stabilize

from .classic import classic, players
from .labels import classes_of


@recipe("Miyato & Koyama 2018, arXiv:1802.05637")
def projection(
    data: Shape,
    *,
    latent: int = 128,
    width: int = 256,
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
    return classic(
        data,
        objectives.hinge,
        family="resnet",
        latent=latent,
        width=width,
        width_d=max(width // 2, 1),
        batch=batch,
        critic_turns=critic_turns,
        classes=classes_of(data, "projection"),
        conditioning="projection",
        optims=players(stabilize, lr, lr_d, betas),
        schedule=schedule,
        ema=ema,
        images=images,
        stabilize=stabilize,
    )
