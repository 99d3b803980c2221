"""BigGAN (Brock et al. 2019, arXiv:1809.11096, appendix B), modules named as in the official PyTorch code."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from functools import partial
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mulligan.core.errors import UserError
from mulligan.parts.attention import SelfAttention
from mulligan.parts.conditional_norm import STORED, AffineNorm, ConditionalNorm, Statistics
from mulligan.parts.conditioning import one_hot, required
from mulligan.parts.layers import pack
from mulligan.parts.layout import fast_layout
from mulligan.parts.spectral import ONE, Spectral, conv, embedding, linear

Labels = Literal["embedding", "shared", "one-hot", "none"]
"""How G's norms see a label: a gain for each class; a row of one embedding; zeros and a one; not at all."""
Base = int | tuple[int, int]
"""Pixels of a side that G begins with, or height and width."""


def doubled(x: Tensor) -> Tensor:
    """x (N, C, H, W) -> (N, C, 2H, 2W), each pixel four times."""
    return F.interpolate(x, scale_factor=2.0)


def norms(style: int, classes: int, norm: Spectral | None, statistics: Statistics) -> Callable[[int], nn.Module]:
    """Makes a norm for so many channels: of a style vector, of a label where style is 0, of neither without classes."""

    def look(channels: int) -> nn.Module:
        return linear(style, channels, norm, bias=False) if style else nn.Embedding(classes, channels)

    def make(channels: int) -> nn.Module:
        if not style and not classes:
            return AffineNorm(channels, statistics)
        return ConditionalNorm(channels, look(channels), look(channels), statistics)

    return make


class UpBlock(nn.Module):
    """Norm, ReLU, doubling, 3x3, norm, ReLU, 3x3, plus a 1x1 shortcut: (N, A, H, W) -> (N, B, 2H, 2W)."""

    def __init__(self, inputs: int, outputs: int, make: Callable[[int], nn.Module], norm: Spectral | None) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv(inputs, outputs, 3, norm), conv(outputs, outputs, 3, norm)
        self.conv_sc = conv(inputs, outputs, 1, norm)
        self.bn1, self.bn2 = make(inputs), make(outputs)

    def forward(self, x: Tensor, *style: Tensor) -> Tensor:
        h = self.conv1(doubled(F.relu(self.bn1(x, *style))))
        h = self.conv2(F.relu(self.bn2(h, *style)))
        # A 1x1 convolution commutes with repeating pixels, and before it there are four times fewer.
        return h + doubled(self.conv_sc(x))


class Generator(nn.Module):
    """z (N, latent) and labels y (N,) to pictures (N, colours, H, W) in [-1, 1], each side = base * 2**blocks.

    widths: channels from the base on, one more than there are blocks. attention: the blocks that self-attention
    follows. hier: z is cut into equal chunks, one for the base and one for the norms of each block (Brock et al. 2019,
    section 3 and figure 15); with labels it needs vectors of them, so not "embedding". shared: width of the one
    embedding of all labels. last: statistics of the norm before the picture. UserError for a latent that can't be cut
    so, and for an unknown way to see labels.
    """

    def __init__(
        self, latent: int, classes: int, widths: Sequence[int], *, labels: Labels = "shared", shared: int = 128,
        hier: bool = True, attention: Collection[int] = (), base: Base = 4, colours: int = 3,
        norm: Spectral | None = ONE, statistics: Statistics = STORED, last: Statistics = STORED,
    ) -> None:  # fmt: skip
        super().__init__()
        blocks = len(widths) - 1
        self.latent, self.classes, self.labels = latent, classes, labels
        self.chunk = chunked(latent, blocks + 1) if hier else 0
        self.start = (widths[0], *sides(base))
        style = self.chunk + label_width(labels, classes, shared, hier)
        if labels == "shared":
            self.shared = nn.Embedding(classes, shared)
        self.linear = linear(self.chunk or latent, math.prod(self.start), norm)
        make = norms(style, classes if labels != "none" else 0, norm, statistics)
        self.blocks = nn.ModuleList(
            followed([UpBlock(a, b, make, norm)], b if i in attention else 0, norm)
            for i, (a, b) in enumerate(pairwise(widths))
        )
        self.output_layer = output(widths[-1], colours, norm, last)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        seen = self.seen(y)
        first, *rest = z.split(self.chunk, 1) if self.chunk else [z]
        h = fast_layout(self.linear(first).view(len(z), *self.start))
        for i, block in enumerate(self.blocks):
            parts = [*seen, *rest[i : i + 1]]
            h = run(block, h, *([torch.cat(parts, 1)] if len(parts) > 1 else parts))
        return torch.tanh(self.output_layer(h)).contiguous()

    def seen(self, y: Tensor | None) -> list[Tensor]:
        """What the norms see of the labels: nothing, or the labels, or vectors of them (N, width)."""
        if self.labels == "none":
            return []
        y = required(y, self.classes)
        if self.labels == "one-hot":
            return [one_hot(y, self.classes, self.linear.weight)]
        return [self.shared(y) if self.labels == "shared" else y]


def sides(base: Base) -> tuple[int, int]:
    """Height and width."""
    return (base, base) if isinstance(base, int) else base


def chunked(latent: int, parts: int) -> int:
    """The width of one of so many equal parts; UserError where they leave something over."""
    if latent % parts:
        raise UserError(f"a latent of {latent} can't be cut into {parts} equal chunks; take a multiple of {parts}")
    return latent // parts


def label_width(labels: Labels, classes: int, shared: int, hier: bool) -> int:
    """Width of the vector that stands for a label; 0 where there is none."""
    match labels:
        case "embedding" if hier:
            raise UserError(
                'chunks of z can\'t be joined to labels="embedding": take "shared", "one-hot" or hier=False'
            )
        case "embedding" | "none":
            return 0
        case "one-hot":
            return classes
        case "shared":
            return shared
    raise UserError(f'unknown labels {labels!r}: "embedding", "shared", "one-hot" or "none"')


def followed(blocks: Sequence[nn.Module], width: int, norm: Spectral | None) -> nn.ModuleList:
    """The blocks, and self-attention over `width` channels behind them unless that is 0."""
    return nn.ModuleList([*blocks, *([SelfAttention(width, norm)] if width else [])])


def run(blocks: nn.Module, x: Tensor, *style: Tensor | float) -> Tensor:
    """x through the blocks, which see the style, and through self-attention, which doesn't."""
    for block in blocks.children():
        x = block(x) if isinstance(block, SelfAttention) else block(x, *style)
    return x


def output(width: int, colours: int, norm: Spectral | None, statistics: Statistics) -> nn.Sequential:
    """Norm, ReLU and a 3x3 convolution to the picture."""
    return nn.Sequential(AffineNorm(width, statistics), nn.ReLU(), conv(width, colours, 3, norm))


class DownBlock(nn.Module):
    """ReLU, 3x3, ReLU, 3x3, plus a shortcut: (N, A, H, W) -> (N, B, H/2, W/2), or the same size without `down`.

    first: no ReLU at the beginning. wide: already the first convolution has B channels.
    """

    def __init__(
        self, inputs: int, outputs: int, *, down: bool, first: bool = False, wide: bool = True,
        norm: Spectral | None = ONE,
    ) -> None:  # fmt: skip
        super().__init__()
        hidden = outputs if wide else inputs
        self.down, self.first = down, first
        self.conv1, self.conv2 = conv(inputs, hidden, 3, norm), conv(hidden, outputs, 3, norm)
        self.conv_sc = conv(inputs, outputs, 1, norm) if down or inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(F.relu(self.conv1(x if self.first else F.relu(x))))
        # A 1x1 convolution commutes with average pooling, and after it there are four times fewer pixels.
        return self.pooled(h) + self.conv_sc(self.pooled(x))

    def pooled(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2) if self.down else x


class Body(nn.Module):
    """Pictures (N, colours, H, W) to features (N, widths[-1]): residual blocks, ReLU, and a sum over all places.

    widths: channels behind each block; the first `downs` of the blocks halve the size. attention: the blocks that
    self-attention follows. block: makes one, as `DownBlock` does.
    """

    separable = True  # no layer lets samples of a batch see each other
    packing = 1

    def __init__(
        self, widths: Sequence[int], downs: int, block: Callable[..., nn.Module], *, attention: Collection[int] = (),
        colours: int = 3, norm: Spectral | None = ONE,
    ) -> None:  # fmt: skip
        super().__init__()
        self.width = widths[-1]
        self.blocks = nn.ModuleList(
            followed([block(a, b, down=i < downs, first=i == 0)], b if i in attention else 0, norm)
            for i, (a, b) in enumerate(pairwise((colours, *widths)))
        )

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        x = fast_layout(pack(x, self.packing) if self.packing > 1 else x)
        for block in self.blocks:
            x = run(block, x)
        return F.relu(x).sum((2, 3))


class Discriminator(Body):
    """Pictures (N, colours, H, W) and labels y (N,) to logits (N,), or (N, outputs) for several outputs.

    The projection of the features on an embedding of the label is added, with classes (Miyato & Koyama 2018, eq. 3).
    packing: so many pictures are judged together, (N/packing,), by a body for so many times the colours.
    """

    def __init__(
        self, widths: Sequence[int], downs: int, classes: int, *, wide: bool = True, attention: Collection[int] = (),
        colours: int = 3, outputs: int = 1, norm: Spectral | None = ONE, packing: int = 1,
    ) -> None:  # fmt: skip
        block = partial(DownBlock, wide=wide, norm=norm)
        super().__init__(widths, downs, block, attention=attention, colours=colours * packing, norm=norm)
        self.classes, self.packing = classes, packing
        self.linear = linear(self.width, outputs, norm)
        self.embed = embedding(classes, self.width, norm) if classes else None

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        y = required(y, self.classes) if self.classes else None
        return judged(self.features(x), y, self.linear, self.embed)


def judged(features: Tensor, y: Tensor | None, head: nn.Module, embed: nn.Module | None) -> Tensor:
    """Logits (N,), or (N, outputs), of features (N, width) with labels y (N * packing,), whose rows count by the mean.

    Without an embedding no labels count.
    """
    logits = head(features)
    if embed is not None:
        logits = logits + (embed(y).view(len(features), -1, features.shape[1]).mean(1) * features).sum(1, keepdim=True)
    return logits.squeeze(1)
