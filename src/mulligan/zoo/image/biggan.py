"""BigGAN: residual networks, each with a spectral norm; every norm of G is told the class and a part of z."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from mulligan.core.errors import UserError
from mulligan.core.recipe import Plan, Shape, recipe
from mulligan.parts import objectives
from mulligan.parts.samplers import Sampler
from mulligan.parts.stabilize import Stabilize

from .biggan_networks import Networks, discriminator, generator, start
from .classic import Classic, picture, players
from .labels import classes_of

FIRST = 0.02
"""Truncation above 0 that DeepMind's networks have statistics of."""


class BigGAN(Classic):
    """Turns of D, then one of G (Brock et al. 2019, section 3), which is charged for filters that look alike.

    `ortho` weighs that charge.
    """

    def __init__(self, sampler: Sampler, D: nn.Module, stabilize: Stabilize, turns: int, ortho: float) -> None:
        super().__init__(sampler, D, objectives.hinge, stabilize, critic_turns=turns)
        self.ortho = ortho

    def past(self) -> Tensor | float:
        charge = self.ortho * alike(cast(Sampler, self.sampler).G) if self.ortho else 0.0
        return super().past() + charge


def alike(G: nn.Module) -> Tensor:
    """Sum over weights W, a row for each filter, of |W W^T with a diagonal of 0|^2 (Brock et al. 2019, equation 3).

    Embeddings of labels are left out. A scalar.
    """
    total = next(G.parameters()).new_zeros(())
    for name, weight in G.named_parameters():
        if weight.dim() > 1 and name.partition(".")[0] not in ("shared", "embeddings"):
            rows = weight.flatten(1)
            with torch.autocast(rows.device.type, enabled=False):
                products = rows @ rows.t()
                total = total + (products - products.diag().diag()).square().sum()
    return total


class Truncated(Sampler):
    """Of a G with statistics for each truncation: `psi` also chooses these, at least the first ones above 0."""

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.G(z, y, min(max(self.psi, FIRST), 1.0))


@recipe("Brock, Donahue & Simonyan 2019, arXiv:1809.11096")
def biggan(
    data: Shape,
    *,
    net: Networks = Networks(),
    batch: int = 64,
    critic_turns: int = 2,
    lr: float = 2e-4,
    lr_d: float | None = None,
    betas: tuple[float, float] = (0.0, 0.999),
    ortho: float = 1e-4,
    ema: int = 20_000,
    images: int = 10_000_000,
    stabilize: Stabilize = Stabilize(),
) -> Plan:
    """BigGAN: hinge loss, labels and parts of z in every norm of G, self-attention, spectral norms in both networks.

    `ortho` weighs what keeps G's filters apart. The paper's rates, 5e-5 and 2e-4 for D, are for batches of 2,048;
    those here are BigGAN-PyTorch's for small ones.
    """
    shape = picture(data.shape)
    if ortho < 0:
        raise UserError(f"ortho is {ortho}, but can't be negative: 0 switches it off")
    told = net.labels != "none" and (data.classes or getattr(data, "columns", ()))
    classes = classes_of(data, "biggan") if told else 0
    G, D = generator(shape, classes, net), discriminator(shape, classes, net, stabilize)
    if net.kind != "hub":  # its spectral norms know the weights that they were made with
        start(G, net.init)
    start(D, net.init)
    law = Truncated if net.kind == "hub" else Sampler
    game = BigGAN(law(G, cast(int, G.latent), classes), D, stabilize, critic_turns, ortho)
    return Plan(game, players(stabilize, lr, lr_d, betas), batch, images, ema)
