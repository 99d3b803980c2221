"""The networks of BigGAN, which SAGAN's are a case of: what can be said about them, and the building."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import nn

from mulligan.core.errors import UserError
from mulligan.nets import biggan as usual
from mulligan.nets import biggan_deep as deep
from mulligan.nets import biggan_hub as hub
from mulligan.nets.biggan_sizes import multiples, multiples_d, plane
from mulligan.parts.conditional_norm import STORED, Kind, Statistics
from mulligan.parts.spectral import Spectral
from mulligan.parts.stabilize import Stabilize

EPS = 1e-6
"""Least norm of a singular vector, as in the scripts of BigGAN-PyTorch."""
Size = tuple[int, int, int]
Init = Literal["orthogonal", "normal"]


@dataclass(frozen=True)
class Published:
    """DeepMind's networks, where `net.kind` is hub: their norms keep the statistics that came with the weights."""

    doubles: tuple[int, ...] = ()
    """1 for each block that doubles the size, 0 for each that doesn't; none: every second one does."""
    attention: int = -1
    """Number of the block that self-attention comes before; -1: where net.attention says."""
    rows: int = 51
    """Truncations from 0 to 1 that there are statistics of."""


@dataclass(frozen=True)
class Networks:
    """How the networks are built."""

    kind: Literal["biggan", "deep", "hub"] = "biggan"
    """BigGAN; BigGAN-deep as in BigGAN-PyTorch; the one that DeepMind published, to go on from its weights."""
    latent: int = 120
    """Entries of z; with `hier`, as many of them as make equal parts."""
    shared: int = 128
    """Entries of the embedding of a label that all norms share."""
    width: int = 64
    """Channels at full size from 128 pixels on, where the paper has 96 to 128; smaller pictures have up to 16 times."""
    widths: tuple[int, ...] = ()
    """Channels of G from its base on, one number more than it doubles the size; none: by `width`."""
    attention: tuple[int, ...] = ()
    """Pixels of the smaller side where self-attention comes; none: half of the picture, 64 at most; 0: nowhere."""
    labels: Literal["shared", "embedding", "one-hot", "none"] = "shared"
    """How G's norms see labels: one embedding, one for each norm, zeros and a one; none: neither network is told."""
    hier: bool = True
    """Cut z into parts, for the base and for the norms of each block; the deep networks give all of it to each."""
    base: int = 0
    """Pixels of the smaller side that G begins with; 0: from 4 to 7, as the pictures need."""
    depth: int = 2
    """Blocks for each size of the deep networks."""
    wide: bool = True
    """D's blocks have their channels from the first convolution on."""
    singular: int = 1
    """Singular values that are followed of each weight, which the largest one divides; 0: no spectral norm in G."""
    iterations: int = 1
    """Power iterations for each pass."""
    statistics: Kind = "stored"
    """Where G's norms keep their statistics."""
    eps: float = 1e-5
    """Added to a variance before its root."""
    init: Init = "orthogonal"
    """How weights start: with orthogonal rows, or at a deviation of 0.02, which takes large networks no time."""
    hub: Published = Published()
    """What DeepMind's networks have of their own."""

    def __post_init__(self) -> None:
        least = {"latent": 1, "shared": 1, "width": 1, "base": 0, "depth": 1, "singular": 0, "iterations": 1}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise UserError(f"net.{name} is {getattr(self, name)}, but must be at least {value}")
        inner = 1 if self.kind == "biggan" else deep.RATIO
        for name, widths in (("width", (self.width,)), ("widths", self.widths[:-1])):
            if min(widths, default=inner) < inner:
                raise UserError(f"net.{name} has {min(widths)} channels, but the blocks of {self.kind} need {inner}")
        if self.hub.rows < 2:
            raise UserError(f"net.hub.rows is {self.hub.rows}, but must be at least 2")


def generator(shape: Size, classes: int, net: Networks) -> nn.Module:
    """G as `net` says, of pictures (C, H, W). Raises UserError where that doesn't fit together."""
    sizes = plane(shape, net.base)
    attended, widths = sizes.attended(net.attention), channels(net, sizes.ups)
    if net.kind == "hub":
        return published(shape, classes, net, widths)
    options: dict[str, Any] = {
        "shared": net.shared, "attention": sizes.rising(attended), "base": sizes.base, "colours": shape[0],
        "norm": Spectral(net.singular, net.iterations, EPS) if net.singular else None,
        "statistics": Statistics(net.statistics, net.eps),
        "last": Statistics(net.statistics, net.eps) if net.statistics != "none" else STORED,
    }  # fmt: skip
    if net.kind == "deep":
        return deep.Generator(net.latent, classes, widths, depth=net.depth, **options)
    latent = max(net.latent - net.latent % len(widths), len(widths)) if net.hier else net.latent
    labels = net.labels if classes else "none"
    return usual.Generator(latent, classes, widths, labels=labels, hier=net.hier, **options)


def channels(net: Networks, ups: int) -> tuple[int, ...]:
    """Those of G from its base on. Raises UserError for `widths` that are too few or too many."""
    count = len(net.hub.doubles) if net.kind == "hub" and net.hub.doubles else ups
    if net.hub.doubles and not net.widths:
        raise UserError("net.hub.doubles: name the channels too, net.widths, one number more than there are blocks")
    if net.widths and len(net.widths) != count + 1:
        raise UserError(f"net.widths has {len(net.widths)} numbers, but these networks take {count + 1}")
    return net.widths or tuple(net.width * multiple for multiple in multiples(ups))


def published(shape: Size, classes: int, net: Networks, widths: tuple[int, ...]) -> hub.Generator:
    """G of DeepMind. Raises UserError without classes, and for `doubles` that lead to another size."""
    if not classes:
        raise UserError("net.kind hub needs labels, and there are none: take biggan or deep")
    sizes, doubles = plane(shape, net.base), net.hub.doubles
    if not doubles:  # a block that keeps the size, and one that doubles it
        widths, doubles = (widths[0], *(w for pair in pairwise(widths) for w in pair)), (0, 1) * sizes.ups
    if sum(map(bool, doubles)) != sizes.ups:
        raise UserError(f"net.hub.doubles: {sum(map(bool, doubles))} blocks double, but {sizes.ups} are to")
    steps = [hub.Step(bool(up), a, b) for up, (a, b) in zip(doubles, pairwise(widths), strict=True)]
    before = net.hub.attention
    if before < 0:
        attended = sizes.attended(net.attention)
        behind = [sizes.sizes[sum(map(bool, doubles[: i + 1]))] for i in range(len(steps) - 1)]
        before = next((i + 1 for i, size in enumerate(behind) if size in attended), -1)
    return hub.Generator(
        net.latent, classes, steps, attention=before, rows=net.hub.rows, eps=net.eps, base=sizes.base,
        colours=shape[0],
    )  # fmt: skip


def discriminator(shape: Size, classes: int, net: Networks, stabilize: Stabilize) -> nn.Module:
    """D of the same size, always with a spectral norm. Raises UserError for remedies that it has no room for."""
    if stabilize.spectral_norm:
        raise UserError("stabilize.spectral_norm: every layer of this D has one already: leave it out")
    if stabilize.minibatch != "none":
        raise UserError("stabilize.minibatch: the head of this D takes its features as they are: leave it out")
    sizes = plane(shape, net.base)
    table, downs = multiples_d(sizes.ups)
    widths = [net.width * multiple for multiple in table]
    options: dict[str, Any] = {
        "attention": sizes.falling(sizes.attended(net.attention), downs), "colours": shape[0],
        "norm": Spectral(max(net.singular, 1), net.iterations, EPS), "packing": stabilize.packing,
    }  # fmt: skip
    if net.kind == "biggan":
        return usual.Discriminator(widths, downs, classes, wide=net.wide, **options)
    return deep.Discriminator(widths, downs, classes, depth=net.depth, **options)


@torch.no_grad()
def start(net: nn.Module, init: Init) -> None:
    """Draw every weight and embedding: orthogonal (Saxe et al. 2014, arXiv:1312.6120), or N(0, 0.02)."""
    for layer in net.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear, nn.Embedding)):
            if init == "orthogonal":
                nn.init.orthogonal_(layer.weight)
            else:
                nn.init.normal_(layer.weight, std=0.02)
