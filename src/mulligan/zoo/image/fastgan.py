"""FastGAN: small networks for few pictures; what D has seen must be readable from its features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, cast

import torch
from torch import Tensor

from mulligan.core.clock import Clock
from mulligan.core.errors import UserError
from mulligan.core.game import Batch, Turn
from mulligan.core.recipe import Plan, Shape, recipe
from mulligan.nets.fastgan import Discriminator, Generator
from mulligan.parts import objectives
from mulligan.parts.samplers import Sampler
from mulligan.parts.stabilize import Stabilize

from .classic import Classic, norm_for, picture, players


class FastGAN(Classic):
    """Hinge loss on patches, and D paints what it saw from its own features (Liu et al. 2021, equations 2 to 4).

    `reconstruction` weighs what it has painted. The real pictures that it paints are those that it saw: augmented.
    """

    def __init__(self, sampler: Sampler, D: Discriminator, stabilize: Stabilize, reconstruction: float) -> None:
        super().__init__(sampler, D, objectives.hinge, stabilize)
        self.reconstruction = reconstruction

    def play(self, data: Iterator[Batch], clock: Clock) -> Iterator[Turn]:
        D, G, objective = self.critic.at(clock), self.sampler, self.objective
        net = cast(Discriminator, D.D)

        x = next(data)["x"]
        with torch.no_grad():
            fake = G(len(x))
        seen = D.look(x)
        real_patches, maps = net.judged(seen)
        fake_patches, _ = net.judged(D.look(fake))
        painted = torch.stack(
            [unlike(made, target) for made, target in net.painted(maps, seen)] or [seen.new_zeros(())]
        )
        logits = real_patches.mean(1), fake_patches.mean(1)
        loss = objective.d(real_patches, fake_patches) + self.reconstruction * painted.sum()
        yield Turn("D", loss + D.charge(x, fake, logits), {"real": logits[0], "fake": logits[1], "painted": painted})

        fake = G(len(x))
        fake_patches, _ = net.judged(D.look(fake))
        yield Turn("G", objective.g(fake_patches, fake_patches) + (D.matching(x, fake) + self.past()))


def unlike(made: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of pixels plus that of steps from pixel to pixel, both (N, C, H, W); a scalar.

    The paper measures LPIPS. That takes a network with weights of its own, which this recipe can't presuppose, three
    colours, and more pixels than small pictures have. Steps count edges, which the mean of pixels alone would blur
    (Mathieu et al. 2016, arXiv:1511.05440, section 3.2).
    """
    off = made - target
    return off.abs().mean() + off.diff(dim=2).abs().mean() + off.diff(dim=3).abs().mean()


@dataclass(frozen=True)
class Networks:
    """The size of the networks."""

    latent: int = 256
    """Entries of z."""
    width: int = 32
    """Feature maps of the largest size; each smaller one has twice as many."""
    most: int = 256
    """Feature maps at most."""
    reach: int = 4
    """Doublings from a map of G to the one that it excites; fewer where the picture hasn't as many."""

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            if getattr(self, name) < 1:
                raise UserError(f"net.{name} is {getattr(self, name)}, but must be at least 1")


@recipe("Liu, Zhu, Song & Elgammal 2021, arXiv:2101.04775")
def fastgan(
    data: Shape,
    *,
    net: Networks = Networks(),
    batch: int = 8,
    lr: float = 2e-4,
    lr_d: float | None = None,
    betas: tuple[float, float] = (0.5, 0.999),
    reconstruction: float = 1.0,
    ema: int = 5_000,
    images: int = 500_000,
    stabilize: Stabilize = Stabilize(diffaugment="color,translation"),
) -> Plan:
    """FastGAN: for tens to thousands of pictures; skip-layer excitation in G, and a D that paints what it saw.

    `reconstruction` is the weight of what D paints.
    """
    shape = picture(data.shape)
    own(stabilize)
    if reconstruction < 0:
        raise UserError(f"reconstruction is {reconstruction}, but can't be negative: 0 switches it off")
    size: dict[str, Any] = {"width": net.width, "most": net.most}
    G = Generator(net.latent, shape, reach=net.reach, **size)
    D = Discriminator(shape, norm=norm_for(stabilize) == "batch", packing=stabilize.packing, **size)
    game = FastGAN(Sampler(G, net.latent), D, stabilize, reconstruction)
    return Plan(game, players(stabilize, lr, lr_d, betas), batch, images, ema)


def own(stabilize: Stabilize) -> None:
    """Raises UserError for what D has of its own, or can't have."""
    if stabilize.spectral_norm:
        raise UserError("stabilize.spectral_norm: the encoder of this D has one already: leave it out")
    if stabilize.minibatch != "none":
        raise UserError("stabilize.minibatch: this D judges patches, which have no vector to compare: leave it out")
