"""A recipe that can be made ill: any objective, any optimizer, any rate; for the test set of the doctor.

Points get fully connected networks of three layers, 64 units wide in the plane and 128 beyond; pictures DCGAN's.
"""

from __future__ import annotations

from typing import Literal

from mulligan.core.engine import Schedule
from mulligan.core.recipe import Plan, Shape, recipe
from mulligan.parts.objectives import OBJECTIVES
from mulligan.parts.stabilize import Stabilize
from mulligan.zoo.image.classic import classic, players

Loss = Literal["minimax", "nonsaturating", "least_squares", "hinge", "wasserstein", "relativistic"]


def width(data: Shape) -> int:
    """Of the networks: half their units for points, more of them in more dimensions."""
    if len(data.shape) > 1:
        return 16
    return 32 if data.shape[0] == 2 else 64


@recipe("Goodfellow et al. 2014, arXiv:1406.2661")
def toy(
    data: Shape,
    *,
    loss: Loss = "nonsaturating",
    latent: int = 16,
    batch: int = 128,
    critic_turns: int = 1,
    lr: float = 1e-3,
    lr_d: float | None = None,
    betas: tuple[float, float] = (0.5, 0.999),
    optimizer: Literal["adam", "rmsprop", "sgd"] = "adam",
    schedule: Schedule = "constant",
    ema: int = 5_000,
    images: int = 384_000,
    stabilize: Stabilize = Stabilize(),
) -> Plan:
    """A small GAN of which everything that can make it ill may be chosen."""
    return classic(
        data,
        OBJECTIVES[loss],
        family="dcgan",
        latent=latent,
        width=width(data),
        batch=batch,
        critic_turns=critic_turns,
        optims=players(stabilize, lr, lr_d, betas, optimizer),
        schedule=schedule,
        ema=ema,
        images=images,
        stabilize=stabilize,
    )
