"""SAGAN: self-attention in both networks, a spectral norm in both, and a D that learns faster than G."""

from __future__ import annotations

import torch
from torch import nn

from mulligan.core.recipe import Plan, Shape, recipe
from mulligan.nets.biggan_sizes import Plane, plane
from mulligan.parts import objectives
from mulligan.parts.conditional_norm import ConditionalNorm
from mulligan.parts.samplers import Sampler
from mulligan.parts.stabilize import Stabilize

from .biggan_networks import Networks, discriminator, generator
from .classic import Classic, picture, players
from .labels import classes_of


@recipe("Zhang, Goodfellow, Metaxas & Odena 2019, arXiv:1805.08318")
def sagan(
    data: Shape,
    *,
    latent: int = 128,
    width: int = 64,
    attention: tuple[int, ...] = (),
    batch: int = 64,
    critic_turns: int = 1,
    lr: float = 1e-4,
    lr_d: float | None = 4e-4,
    betas: tuple[float, float] = (0.0, 0.9),
    ema: int = 10_000,
    images: int = 10_000_000,
    stabilize: Stabilize = Stabilize(),
) -> Plan:
    """Self-attention GAN: hinge loss, spectral norms in both networks, two learning rates; labels where there are some.

    `attention` is at these pixels of the smaller side, none: in the middle, 0: nowhere.
    """
    shape = picture(data.shape)
    classes = classes_of(data, "sagan") if data.classes or getattr(data, "columns", ()) else 0
    net = Networks(
        latent=latent, width=width, attention=attention or middle(plane(shape)), labels="embedding", hier=False
    )
    G, D = generator(shape, classes, net), discriminator(shape, classes, net, stabilize)
    start(G)
    start(D)
    game = Classic(Sampler(G, latent, classes), D, objectives.hinge, stabilize, critic_turns=critic_turns)
    return Plan(game, players(stabilize, lr, lr_d, betas), batch, images, ema)


def middle(sizes: Plane) -> tuple[int]:
    """Half way from the base to the picture: 32 of 128 pixels, where the paper found it best (table 1)."""
    return (sizes.sizes[(sizes.ups + 1) // 2],)


@torch.no_grad()
def start(net: nn.Module) -> None:
    """Glorot's weights without biases; norms give every class a gain of 1 and a bias of 0."""
    for layer in net.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear, nn.Embedding)):
            nn.init.xavier_uniform_(layer.weight)
            if not isinstance(layer, nn.Embedding) and layer.bias is not None:
                nn.init.zeros_(layer.bias)
    for norm in net.modules():
        if isinstance(norm, ConditionalNorm):
            for part in (norm.gain, norm.bias):
                nn.init.zeros_(part.weight)  # type: ignore[arg-type]
