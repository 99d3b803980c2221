"""WGAN-GP: the critic's gradient is pulled to norm one between real and generated data."""

from __future__ import annotations

from mulligan.core.engine import Schedule
from mulligan.core.recipe import Plan, Shape, recipe
from mulligan.parts import objectives
from mulligan.parts.stabilize import Stabilize

from .classic import classic, players


@recipe("Gulrajani, Ahmed, Arjovsky, Dumoulin & Courville 2017, arXiv:1704.00028")
def wgan_gp(
    data: Shape,
    *,
    latent: int = 128,
    width: int = 64,
    batch: int = 64,
    critic_turns: int = 5,
    lr: float = 1e-4,
    lr_d: float | None = None,
    betas: tuple[float, float] = (0.0, 0.9),
    schedule: Schedule = "constant",
    ema: int = 10_000,
    images: int = 5_000_000,
    stabilize: Stabilize = Stabilize(gp=10.0),
) -> Plan:
    """Wasserstein GAN with gradient penalty: lambda 10, five critic turns, layer norm in D (Algorithm 1)."""
    return classic(
        data,
        objectives.wasserstein,
        family="dcgan",
        latent=latent,
        width=width,
        batch=batch,
        critic_turns=critic_turns,
        norm="layer",
        optims=players(stabilize, lr, lr_d, betas),
        schedule=schedule,
        ema=ema,
        images=images,
        stabilize=stabilize,
    )
