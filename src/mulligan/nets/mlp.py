"""Fully connected networks (Goodfellow et al. 2014), for vectors and small images."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from mulligan.core.errors import UserError
from mulligan.parts.conditioning import one_hot, required
from mulligan.parts.layers import Chain, Dropout, Linear
from mulligan.parts.layout import fast_weights

Activation = Literal["leaky_relu", "relu"]
Output = Literal["tanh", "sigmoid", "none"]


def _activation(name: str) -> nn.Module:
    match name:
        case "leaky_relu":
            return nn.LeakyReLU(0.2)
        case "relu":
            return nn.ReLU()
    raise UserError(f"unknown activation {name!r}: leaky_relu or relu")


class _Sigmoid(nn.Module):
    """2 sigmoid(x) - 1, which is tanh(x / 2)."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(0.5 * x)


def _output(name: str) -> nn.Module:
    match name:
        case "tanh":
            return nn.Tanh()
        case "sigmoid":
            return _Sigmoid()
        case "none":
            return nn.Identity()
    raise UserError(f"unknown output {name!r}: tanh, sigmoid or none")


class Generator(nn.Module):
    """z (N, latent), y (N,) where classes > 0 -> (N, *shape).

    Each hidden layer is Linear, activation, BatchNorm1d (where norm). Output "tanh" lies in [-1, 1]; "sigmoid" too:
    its [0, 1] is mapped by 2x - 1, so that data have one range everywhere; "none" is unbounded. With classes the
    one-hot label is appended to z (Mirza & Osindero 2014). UserError for unknown names and for missing labels.
    """

    def __init__(
        self,
        latent: int,
        shape: tuple[int, ...],
        *,
        widths: tuple[int, ...] = (256, 512),
        activation: Activation = "leaky_relu",
        norm: bool = True,
        output: Output = "tanh",
        classes: int = 0,
    ) -> None:
        super().__init__()
        self.latent, self.shape, self.classes = latent, tuple(shape), classes
        layers: list[nn.Module] = []
        inputs = latent + classes
        for width in widths:
            layers += [Linear(inputs, width), _activation(activation)]
            if norm:
                layers.append(nn.BatchNorm1d(width))
            inputs = width
        self.layers = Chain(*layers, Linear(inputs, math.prod(shape)), _output(output))
        fast_weights(self)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        if self.classes:
            z = torch.cat([z, one_hot(required(y, self.classes), self.classes, z)], 1)
        return self.layers(z).view(len(z), *self.shape)


class Maxout(nn.Module):
    """(N, inputs) -> (N, outputs), each the largest of `pieces` linear functions (Goodfellow et al. 2013)."""

    def __init__(self, inputs: int, outputs: int, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces
        self.linear = Linear(inputs, outputs * pieces)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).view(len(x), -1, self.pieces).amax(2)


class Body(nn.Module):
    """x (N, *shape) -> features (N, width): the hidden layers of a discriminator.

    Each layer is Linear, activation, BatchNorm1d (where norm), dropout; maxout=k takes maxout units of k pieces in
    place of Linear and activation. UserError for an unknown activation or a dropout outside [0, 1].
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        widths: tuple[int, ...] = (512, 256),
        activation: Activation = "leaky_relu",
        dropout: float = 0.3,
        norm: bool = False,
        maxout: int = 0,
    ) -> None:
        super().__init__()
        self.shape = tuple(shape)
        layers: list[nn.Module] = []
        inputs = math.prod(shape)
        for width in widths:
            if maxout:
                layers.append(Maxout(inputs, width, maxout))
            else:
                layers += [Linear(inputs, width), _activation(activation)]
            if norm:
                layers.append(nn.BatchNorm1d(width))
            if dropout:
                layers.append(Dropout(dropout))
            inputs = width
        self.width: int = inputs
        self.layers = Chain(*layers)
        fast_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.flatten(1))
