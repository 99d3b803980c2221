"""SNGAN: every layer of D divided by its spectral norm, hinge loss, residual networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mulligan.core.engine import Schedule
from mulligan.core.recipe import Plan, Shape, recipe
from mulligan.nets.heads import Conditioning
from mulligan.nets.resnet import Upsample
from mulligan.parts import objectives
from mulligan.parts.samplers import Sampler
from mulligan.parts.stabilize import Stabilize

from .classic import Classic, discriminator, generator, players


@dataclass(frozen=True)
class Networks:
    """How G is built."""

    upsample: Upsample = "nearest"
    """How pictures grow: the paper's way, or the smoother one of mimicry's networks."""
    widths: tuple[int, ...] = ()
    """Channels of each size from the smallest pictures on; none: `width`, halved with every doubling above 32."""


@recipe("Miyato, Kataoka, Koyama & Yoshida 2018, arXiv:1802.05957")
def sngan(
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
    """Spectrally normalized GAN: hinge loss, residual networks (G `width`, D half of it), five turns of D."""
    game = residual(data, latent, width, net, critic_turns, stabilize)
    return Plan(game, players(stabilize, lr, lr_d, betas), batch, images, ema, schedule)


def residual(
    data: Shape, latent: int, width: int, net: Networks, critic_turns: int, stabilize: Stabilize, classes: int = 0
) -> Classic:
    """The hinge loss with residual networks; with classes, D is told them by projection."""
    told: Conditioning = "projection" if classes else "none"
    options: dict[str, Any] = {"upsample": net.upsample, "widths": net.widths or None}
    G = generator(data, "resnet", latent, width, classes, **options)
    D = discriminator(data, "resnet", max(width // 2, 1), stabilize, classes=classes, conditioning=told)
    return Classic(Sampler(G, latent, classes), D, objectives.hinge, stabilize, critic_turns=critic_turns)
