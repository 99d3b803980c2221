"""The original GAN with fully connected networks: the one of the tutorials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mulligan.core.engine import Schedule
from mulligan.core.recipe import Plan, Shape, recipe
from mulligan.nets import mlp
from mulligan.parts import objectives
from mulligan.parts.samplers import Sampler
from mulligan.parts.stabilize import Stabilize

from .classic import Classic, finish, players, seen_shape


@dataclass(frozen=True)
class MLP:
    """The two fully connected networks: D has G's hidden widths in reverse.

    Defaults: 100-256-512-784 with LeakyReLU 0.2, batch norm and tanh; D 784-512-256-1 with dropout 0.3.
    `MLP(activation="relu", norm=False, output="sigmoid", activation_d="relu", dropout=0)` is the plainest tutorial GAN.
    """

    widths: tuple[int, ...] = (256, 512)
    """Hidden layers of G."""
    activation: Literal["leaky_relu", "relu"] = "leaky_relu"
    """Of G."""
    norm: bool = True
    """Batch norm after each hidden layer of G."""
    output: Literal["tanh", "sigmoid", "none"] = "tanh"
    """Last function of G; none is for points."""
    activation_d: Literal["leaky_relu", "relu"] = "leaky_relu"
    """Of D."""
    dropout: float = 0.3
    """In D, after each hidden layer."""
    maxout: int = 0
    """Maxout units of so many pieces in D (Goodfellow et al. 2013), 0 for plain layers."""


@recipe("Goodfellow et al. 2014, arXiv:1406.2661")
def gan(
    data: Shape,
    *,
    latent: int = 100,
    mlp: MLP = MLP(),
    batch: int = 64,
    critic_turns: int = 1,
    lr: float = 2e-4,
    lr_d: float | None = None,
    betas: tuple[float, float] = (0.5, 0.999),
    schedule: Schedule = "constant",
    ema: int = 0,
    images: int = 3_000_000,
    stabilize: Stabilize = Stabilize(),
    shared_fake: bool = False,
) -> Plan:
    """The original GAN: two multilayer perceptrons, non-saturating loss."""
    G, D = networks(data, latent, mlp, stabilize)
    game = Classic(
        Sampler(G, latent), D, objectives.nonsaturating, stabilize, critic_turns=critic_turns, shared_fake=shared_fake
    )
    return Plan(game, players(stabilize, lr, lr_d, betas), batch, images, ema, schedule)


def networks(data: Shape, latent: int, form: MLP, stabilize: Stabilize):
    """G and D of the given form. Points have no bounds, so tanh and sigmoid give way to a linear output there."""
    output = "none" if len(data.shape) == 1 else form.output
    G = mlp.Generator(latent, data.shape, widths=form.widths, activation=form.activation, norm=form.norm, output=output)
    body = mlp.Body(
        seen_shape(data.shape, stabilize.packing),
        widths=form.widths[::-1],
        activation=form.activation_d,
        dropout=form.dropout,
        maxout=form.maxout,
    )
    return G, finish(body, stabilize)
