"""StyleGAN: a generator of styles that grows progressively, its details left to noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from mulligan.core.recipe import Plan, Shape, recipe
from mulligan.nets.progressive import LEAK
from mulligan.nets.stylegan1 import Discriminator, Generator, Mapping, Synthesis
from mulligan.parts import objectives
from mulligan.parts.modulated import full
from mulligan.parts.samplers import Styles
from mulligan.parts.stabilize import Stabilize

from .classic import picture, players, seen_shape
from .progressive import Growing, Pace, Progressive, Seen, Sizes, equalized

DECAY = 0.995
"""Of the average of w, per batch."""


class Styled(Growing):
    """G: pictures of the size of now in training; otherwise of full size, with one noise for all."""

    w_avg: Tensor

    def __init__(self, net: Generator, style: int, shape: tuple[int, ...]) -> None:
        ups = net.synthesis.ups
        super().__init__(net, shape[1], ups)
        self.register_buffer("w_avg", torch.zeros(style))
        for i in range(net.synthesis.count):
            size = (1, 1, shape[1] >> (ups - i // 2), shape[2] >> (ups - i // 2))
            self.register_buffer(f"noise_const{i}", torch.randn(size))

    @property
    def _parts(self) -> tuple[Mapping, Synthesis]:
        net = cast(Generator, self.net)
        return net.mapping, net.synthesis

    def mapping(
        self, z: Tensor, y: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None, track: bool = False
    ) -> Tensor:
        """z (n, latent) to ws (n, count, style), one for each layer; in training of those for the size of now only.

        `psi` pulls w towards its average, in the first `cutoff` layers (appendix B); `track` moves the average.
        """
        mapping, synthesis = self._parts
        w = full(mapping(z))
        if track:
            self.w_avg.copy_(w.detach().mean(0).lerp(self.w_avg, DECAY))
        count = 2 * self.now[0] + 2 if self.training else synthesis.count
        ws = w[:, None].expand(-1, count, -1)
        if psi == 1:
            return ws
        pulled = self.w_avg.lerp(ws, psi)
        return pulled if cutoff is None else torch.cat([pulled[:, :cutoff], ws[:, cutoff:]], 1)

    def made(self, ws: Tensor) -> Tensor:
        """Pictures (n, C, h, w) of the size of now, to train with: with fresh noise."""
        return self._parts[1](ws, *self.now)

    def shown(self, ws: Tensor) -> Tensor:
        """Pictures (n, C, H, W) of full size, to look at: with one noise for all."""
        synthesis = self._parts[1]
        noise = [self.get_buffer(f"noise_const{i}") for i in range(synthesis.count)]
        return self.enlarged(synthesis(ws, *self.now, noise))

    def forward(self, z: Tensor, y: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        ws = self.mapping(z, y, psi, cutoff)
        return self.made(ws) if self.training else self.shown(ws)


@dataclass(frozen=True)
class Networks(Sizes):
    """The size of the networks, and how they are built."""

    base: int = 16_384
    """Feature maps × pixels of a side, where there are fewer than the most."""
    latent: int = 512
    """Entries of z."""
    style: int = 512
    """Entries of w."""
    layers: int = 8
    """Depth of the mapping network."""
    rate: float = 0.01
    """Its learning rate, as a multiple of all others'."""
    group: int = 4
    """Pictures whose standard deviation D sees (Karras et al. 2018); 0: the whole batch."""
    activated: bool = True
    """Whether a leaky ReLU follows the layers of D that read a picture."""
    fused: int = 0
    """From this doubling on, kernels of G lie as in fused layers, a quarter as strong; 0: none does."""


@recipe("Karras, Laine & Aila 2019, arXiv:1812.04948")
def stylegan(
    data: Shape,
    *,
    net: Networks = Networks(),
    growth: Pace = Pace(),
    batch: int = 16,
    lr: float = 1e-3,
    lr_d: float | None = None,
    betas: tuple[float, float] = (0.0, 0.99),
    mixing: float = 0.9,
    ema: int = 10_000,
    images: int = 2_000_000,
    stabilize: Stabilize = Stabilize(r1=10),
) -> Plan:
    """StyleGAN: styles by a mapping network and AdaIN, grown from 4 pixels on; non-saturating with R1.

    Labels are left aside. `mixing` is how often two latents share a picture in training. The paper's CelebA-HQ has
    stabilize.loss wasserstein and stabilize.gp 10 instead (appendix C).
    """
    equalized(stabilize)
    shape = picture(data.shape)
    widths = net.widths(shape)
    mapping = Mapping(net.latent, net.style, net.layers, net.rate)
    G = Styled(Generator(mapping, Synthesis(net.style, shape, widths, net.fused or None)), net.style, shape)
    seen, sees = seen_shape(shape, stabilize.packing), LEAK if net.activated else None
    D = Seen(Discriminator(seen, widths, sees=sees, group=net.group or None), shape[1], G.ups, stabilize.packing)
    game = Progressive(Styles(G, net.latent, mixing=mixing), D, objectives.nonsaturating, stabilize, growth)
    return Plan(game, players(stabilize, lr, lr_d, betas), batch, images, ema)
