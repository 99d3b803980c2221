"""The BigGAN-deep that DeepMind published: a generator with statistics for every truncation (Brock et al. 2019)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from mulligan.core.errors import UserError
from mulligan.parts.attention import SelfAttention
from mulligan.parts.conditional_norm import TableNorm
from mulligan.parts.conditioning import one_hot, required
from mulligan.parts.layers import SpectralNorm, spectral_norm
from mulligan.parts.layout import fast_layout

from .biggan import Base, run, sides
from .biggan_deep import UpBlock

BASE = 4


class Step(NamedTuple):
    """A block of the generator: whether it doubles the size, and its channels before and behind."""

    up: bool
    inputs: int
    outputs: int


class Generator(nn.Module):
    """z (N, latent) and labels y (N,), or weights of them (N, classes), to pictures (N, colours, H, W) in [-1, 1].

    Each side is that of `base`, doubled by the blocks that double. forward's `truncation` in (0, 1] is the one that z
    was drawn with: it chooses the statistics. attention: the number of blocks before self-attention; with another
    number there is none. rows: of the tables. The label's embedding and all of z go into the base and into every norm.
    UserError for blocks that don't fit together.
    """

    def __init__(
        self, latent: int, classes: int, steps: Sequence[Step], *, attention: int = -1, rows: int = 51,
        eps: float = 1e-4, base: Base = BASE, colours: int = 3,
    ) -> None:  # fmt: skip
        super().__init__()
        fitting(steps, colours)
        self.colours, self.start = colours, sides(base)
        self.latent, self.classes, style = latent, classes, 2 * latent

        def make(channels: int) -> TableNorm:
            scale, offset = (nn.Linear(style, channels, bias=False) for _ in range(2))
            return TableNorm(channels, rows, eps, scale, offset)

        self.embeddings = nn.Linear(classes, latent, bias=False)
        self.gen_z = nn.Linear(style, steps[0].inputs * math.prod(self.start))
        self.layers = nn.ModuleList()
        for i, (up, inputs, outputs) in enumerate(steps):
            if i == attention:
                self.layers.append(SelfAttention(inputs))
            self.layers.append(UpBlock(inputs, outputs, make, None, up))
        width = steps[-1].outputs
        self.bn = TableNorm(width, rows, eps)
        # Only as many of its outputs as there are colours are used; the rest came with the weights.
        self.conv_to_rgb = nn.Conv2d(width, width, 3, padding=1)
        for part in (self.gen_z, self.layers, self.conv_to_rgb):
            normalized(part)

    def forward(self, z: Tensor, y: Tensor | None = None, truncation: float = 1.0) -> Tensor:
        if not 0 < truncation <= 1:
            raise UserError(f"truncation must lie above 0 and not above 1, not at {truncation}")
        y = required(y, self.classes)
        rows = one_hot(y, self.classes, z) if y.dim() == 1 else y
        style = torch.cat([z, self.embeddings(rows)], 1)
        h = self.gen_z(style).view(len(z), *self.start, -1).permute(0, 3, 1, 2)
        h = F.relu(self.bn(run(self.layers, fast_layout(h), truncation, style), truncation))
        return torch.tanh(self.conv_to_rgb(h)[:, : self.colours]).contiguous()


class Awaiting(SpectralNorm):
    """Of a weight on the meta device, which has no numbers to iterate before others are loaded."""

    def iterate(self, weight: Tensor, times: int | None = None) -> None:
        if not weight.is_meta:
            super().iterate(weight, times)


def normalized(module: nn.Module) -> None:
    """A spectral norm on every layer, in place, with the same entries where shapes are all that there is."""
    if not next(module.parameters()).is_meta:
        spectral_norm(module)
        return
    for layer in list(module.modules()):
        if isinstance(layer, nn.Linear | nn.Conv2d):
            parametrize.register_parametrization(layer, "weight", Awaiting(layer.weight), unsafe=True)


def fitting(steps: Sequence[Step], colours: int) -> None:
    """UserError unless each block takes what the one before gives, and keeps or halves its channels."""
    for i, step in enumerate(steps):
        before = steps[i - 1].outputs if i else step.inputs
        if step.inputs != before or step.outputs not in (step.inputs, step.inputs // 2):
            raise UserError(f"block {i} leads from {step.inputs} to {step.outputs} channels, after {before}")
    if steps[-1].outputs < colours:
        raise UserError(f"the last block needs at least {colours} channels for the colours, not {steps[-1].outputs}")
