"""DCGAN: convolutions without pooling, batch norm, the non-saturating loss."""

from __future__ import annotations

from mulligan.core.engine import Schedule
from mulligan.core.recipe import Plan, Shape, recipe
from mulligan.parts import objectives
from mulligan.parts.stabilize import Stabilize

from .classic import classic, players


@recipe("Radford, Metz & Chintala 2016, arXiv:1511.06434")
def dcgan(
    data: Shape,
    *,
    latent: int = 100,
    width: int = 64,
    batch: int = 128,
    critic_turns: int = 1,
    lr: float = 2e-4,
    lr_d: float | None = None,
    betas: tuple[float, float] = (0.5, 0.999),
    schedule: Schedule = "constant",
    ema: int = 10_000,
    images: int = 1_000_000,
    stabilize: Stabilize = Stabilize(),
    shared_fake: bool = False,
) -> Plan:
    """Deep convolutional GAN: strided convolutions, batch norm, non-saturating loss."""
    return classic(
        data,
        objectives.nonsaturating,
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
        shared_fake=shared_fake,
    )
