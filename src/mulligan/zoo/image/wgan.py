"""WGAN: a critic that estimates the Wasserstein distance, kept Lipschitz by clipping."""

from __future__ import annotations

from mulligan.core.engine import Schedule
from mulligan.core.recipe import Plan, Shape, recipe
from mulligan.parts import objectives
from mulligan.parts.stabilize import Stabilize

from .classic import classic, players


@recipe("Arjovsky, Chintala & Bottou 2017, arXiv:1701.07875")
def wgan(
    data: Shape,
    *,
    latent: int = 100,
    width: int = 64,
    batch: int = 64,
    critic_turns: int = 5,
    lr: float = 5e-5,
    lr_d: float | None = None,
    schedule: Schedule = "constant",
    ema: int = 10_000,
    images: int = 5_000_000,
    stabilize: Stabilize = Stabilize(clip_weights=0.01),
) -> Plan:
    """Wasserstein GAN: RMSprop, five critic turns, weights clipped to 0.01 (Algorithm 1)."""
    return classic(
        data,
        objectives.wasserstein,
        family="dcgan",
        latent=latent,
        width=width,
        batch=batch,
        critic_turns=critic_turns,
        optims=players(stabilize, lr, lr_d, (0.0, 0.0), "rmsprop"),
        schedule=schedule,
        ema=ema,
        images=images,
        stabilize=stabilize,
    )
