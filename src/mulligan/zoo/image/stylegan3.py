"""StyleGAN3: the generator as a chain of filters, so that details move with what they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mulligan.core.recipe import Plan, Shape, recipe
from mulligan.nets.stylegan2 import Mapping
from mulligan.nets.stylegan3 import Generator, Synthesis
from mulligan.parts.samplers import Styles
from mulligan.parts.stabilize import BY_DATA, Stabilize

from . import stylegan2
from .classic import picture, players
from .labels import taken


@dataclass(frozen=True)
class Networks(stylegan2.Networks):
    """The size of the networks, and how they are built; those of D are StyleGAN2's."""

    kind: Literal["T", "R"] = "T"
    """T moves with its details, R turns with them as well: 1×1 convolutions, round filters, twice the feature maps."""
    depth: int = 14
    """Layers of the synthesis network."""
    critical: int = 2
    """Of these, the last ones that use all frequencies their pixels can hold."""


@recipe("Karras, Aittala, Laine, Härkönen, Hellsten, Lehtinen & Aila 2021, arXiv:2106.12423")
def stylegan3(
    data: Shape,
    *,
    net: Networks = Networks(),
    batch: int = 32,
    lr: float = 2.5e-3,
    lr_d: float | None = 2e-3,
    betas: tuple[float, float] = (0.0, 0.99),
    ema: int = 20_000,
    images: int = 2_000_000,
    stabilize: Stabilize = Stabilize(r1=BY_DATA, lazy=16),
) -> Plan:
    """StyleGAN3: alias-free layers of filtered signals (T), turning with the picture as well (R).

    The game is StyleGAN2's, without style mixing and path length.
    """
    shape, labels = picture(data.shape), taken(data)
    turns, wide = net.kind == "R", 2 if net.kind == "R" else 1
    synthesis = Synthesis(
        net.style, shape, layers=net.depth, critical=net.critical, base=wide * 2 * net.base, most=wide * net.most,
        size=1 if turns else 3, radial=turns, clamp=net.clamp or None,
    )  # fmt: skip
    G = Generator(Mapping(net.latent, labels.count, net.style, layers=net.layers, tracked=0.998), synthesis)
    D = stylegan2.discriminator(shape, labels.count, net, stabilize)
    labels.told_apart(G, D)
    styles = Styles(G, net.latent, labels.classes, 0.0, labels.examples)
    game = stylegan2.StyleGAN2(styles, D, stabilize, path=0.0, path_every=1)
    return Plan(game, players(stabilize, lr, lr_d, betas), batch, images, ema)
