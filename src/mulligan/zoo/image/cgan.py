"""Conditional GAN: the label is concatenated to what each player sees."""

from __future__ import annotations

from mulligan.core.engine import Schedule
from mulligan.core.recipe import Plan, Shape, recipe
from mulligan.parts import objectives
from mulligan.parts.stabilize import Stabilize

from .classic import classic, players
from .labels import classes_of


@recipe("Mirza & Osindero 2014, arXiv:1411.1784")
def cgan(
    data: Shape,
    *,
    latent: int = 100,
    width: int = 64,
    batch: int = 100,
    critic_turns: int = 1,
    lr: float = 2e-4,
    lr_d: float | None = None,
    betas: tuple[float, float] = (0.5, 0.999),
    schedule: Schedule = "constant",
    ema: int = 10_000,
    images: int = 1_000_000,
    stabilize: Stabilize = Stabilize(),
) -> Plan:
    """Conditional GAN: one-hot label joined to z and to D's input; `sample --label 3` draws that class."""
    return classic(
        data,
        objectives.nonsaturating,
        family="dcgan",
        latent=latent,
        width=width,
        batch=batch,
        critic_turns=critic_turns,
        classes=classes_of(data, "cgan"),
        conditioning="concat",
        optims=players(stabilize, lr, lr_d, betas),
        schedule=schedule,
        ema=ema,
        images=images,
        stabilize=stabilize,
    )
