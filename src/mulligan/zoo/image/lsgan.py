"""LSGAN: least squares instead of cross-entropy."""

from __future__ import annotations

from mulligan.core.engine import Schedule
from mulligan.core.recipe import Plan, Shape, recipe
from mulligan.parts import objectives
from mulligan.parts.stabilize import Stabilize

from .classic import classic, players


@recipe("Mao, Li, Xie, Lau, Wang & Smolley 2017, arXiv:1611.04076")
def lsgan(
    data: Shape,
    *,
    latent: int = 1024,
    width: int = 64,
    batch: int = 64,
    critic_turns: int = 1,
    lr: float = 2e-4,
    lr_d: float | None = None,
    betas: tuple[float, float] = (0.5, 0.999),
    schedule: Schedule = "constant",
    ema: int = 10_000,
    images: int = 1_000_000,
    stabilize: Stabilize = Stabilize(),
) -> Plan:
    """Least-squares GAN: D regresses 1 for real and 0 for generated, so far-off samples keep a gradient."""
    return classic(
        data,
        objectives.least_squares,
        family="dcgan",
        latent=latent,
        width=width,
        batch=batch,
        critic_turns=critic_turns,
        optims=players(stabilize, lr, lr_d, betas),
        schedule=schedule,
        ema=ema,
        images=images,
        stabilize=stabilize,
    )
