"""StyleGAN2: a generator of styles, charged where equal steps in style don't change its pictures equally."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor

from mulligan.core.clock import Clock
from mulligan.core.game import Batch, Turn
from mulligan.core.recipe import Plan, Shape, recipe
from mulligan.nets.stylegan2 import Discriminator, Generator, Mapping, Synthesis
from mulligan.parts import objectives
from mulligan.parts.layout import fast_weights
from mulligan.parts.samplers import Styles
from mulligan.parts.stabilize import BY_DATA, Stabilize

from .classic import Classic, picture, players
from .labels import taken
from .progressive import equalized

DECAY = 0.01
"""Of the mean path length, per measurement."""


class StyleGAN2(Classic):
    """One turn each, and every `path_every` rounds another one of G for the length of its paths, at weight `path`."""

    pl_mean: Tensor

    def __init__(self, styles: Styles, D: Discriminator, stabilize: Stabilize, path: float, path_every: int) -> None:
        super().__init__(styles, D, objectives.nonsaturating, stabilize)
        self.path, self.path_every = path, path_every
        self.register_buffer("pl_mean", torch.zeros(()))

    def play(self, data: Iterator[Batch], clock: Clock) -> Iterator[Turn]:
        D, G, objective = self.critic.at(clock), cast(Styles, self.sampler), self.objective

        x, y = self.draw(data)
        with torch.no_grad():
            fake = G(len(x), y)
        real_logits, fake_logits, charge = D.judge(x, fake, y, y)
        yield Turn("D", objective.d(real_logits, fake_logits) + charge, {"real": real_logits, "fake": fake_logits})

        fake = G(len(x), y)
        with torch.no_grad():
            real_logits = D(x, y) if objective.needs_real else fake_logits
        yield Turn("G", objective.g(real_logits, D(fake, y)) + (D.matching(x, fake, y, y) + self.past()))

        if self.path and clock.every(self.path_every):
            half = max(len(x) // 2, 1)  # a second derivative takes twice the memory
            w = G.styles(half, None if y is None else y[:half])
            penalty, mean = path_length(G.G.made(w), w, self.pl_mean)  # type: ignore[operator]
            self.pl_mean.copy_(mean)
            yield Turn("G", self.path * self.path_every * penalty.mean())


def path_length(x: Tensor, w: Tensor, mean: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(|J_w^T y| - a)^2 for each picture (N,), and a, the moving mean of the length (Karras et al. 2020, eq. 4).

    x (N, C, H, W) made of w (N, layers, style); y is normal noise, divided by the root of the number of pixels.
    """
    y = (torch.randn_like(x) if noise is None else noise) / (x.shape[2] * x.shape[3]) ** 0.5
    (slopes,) = torch.autograd.grad((x * y).sum(), w, create_graph=True)
    lengths = slopes.square().sum(2).mean(1).sqrt()
    a = mean.lerp(lengths.mean(), DECAY)
    return (lengths - a).square(), a.detach()


@dataclass(frozen=True)
class Networks:
    """The size of the networks, and how they are built."""

    latent: int = 512
    """Entries of z."""
    style: int = 512
    """Entries of w."""
    layers: int = 2
    """Depth of the mapping network; 8 in the paper."""
    most: int = 512
    """Feature maps at most."""
    base: int = 16_384
    """Feature maps × pixels of a side, where there are fewer than the most."""
    generator: Literal["skip", "resnet", "orig"] = "skip"
    """How G joins its resolutions."""
    discriminator: Literal["resnet", "skip", "orig"] = "resnet"
    """How D does."""
    group: int = 4
    """Pictures whose standard deviation D sees (Karras et al. 2018)."""
    clamp: float = 256.0
    """Features never leave plus and minus this, so that bf16 holds them; 0: no bound."""
    most_d: int = 0
    """Feature maps of D at most; 0: as for G."""
    base_d: int = 0
    """The same for its feature maps × pixels of a side."""
    layers_d: int = 0
    """Depth of D's mapping of labels; 0: as for G."""


@recipe("Karras, Laine, Aittala, Hellsten, Lehtinen & Aila 2020, arXiv:1912.04958; ADA: arXiv:2006.06676")
def stylegan2(
    data: Shape,
    *,
    net: Networks = Networks(),
    batch: int = 32,
    lr: float = 2.5e-3,
    lr_d: float | None = None,
    betas: tuple[float, float] = (0.0, 0.99),
    mixing: float = 0.9,
    path: float = 2.0,
    ema: int = 20_000,
    images: int = 2_000_000,
    stabilize: Stabilize = Stabilize(r1=BY_DATA, lazy=16),
) -> Plan:
    """StyleGAN2: styles by a mapping network, modulated convolutions, lazy R1 and path length.

    `mixing` is how often two latents share a picture in training, `path` the weight of the path length (0: off).
    """
    shape, labels = picture(data.shape), taken(data)
    size: dict[str, Any] = {"base": net.base, "most": net.most, "clamp": net.clamp or None}
    G = Generator(
        Mapping(net.latent, labels.count, net.style, layers=net.layers),
        Synthesis(net.style, shape, architecture=net.generator, **size),
    )
    D = discriminator(shape, labels.count, net, stabilize)
    labels.told_apart(G, D)
    styles = Styles(G, net.latent, labels.classes, mixing, labels.examples)
    fast_weights(G)
    fast_weights(D)
    game = StyleGAN2(styles, D, stabilize, path, path_every=4)
    return Plan(game, players(stabilize, lr, lr_d, betas), batch, images, ema)


def discriminator(shape: tuple[int, ...], labels: int, net: Networks, stabilize: Stabilize) -> Discriminator:
    """D of StyleGAN2, which its successor keeps."""
    equalized(stabilize)
    return Discriminator(
        shape, labels, architecture=net.discriminator, group=net.group, mapping={"layers": net.layers_d or net.layers},
        packing=stabilize.packing, base=net.base_d or net.base, most=net.most_d or net.most, clamp=net.clamp or None,
    )  # fmt: skip
