"""BigGAN-deep (Brock et al. 2019, arXiv:1809.11096, appendix B), modules named as in the official PyTorch code."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mulligan.core.errors import UserError
from mulligan.parts.conditional_norm import STORED, Statistics
from mulligan.parts.conditioning import required
from mulligan.parts.layers import pack
from mulligan.parts.layout import fast_layout
from mulligan.parts.spectral import ONE, Spectral, conv, embedding, linear

from .biggan import Base, doubled, followed, judged, norms, output, run, sides

RATIO = 4
"""How many times narrower the inside of a block is than its wide end."""


class UpBlock(nn.Module):
    """Norm, ReLU and a convolution, four times: 1x1, 3x3, 3x3, 1x1; the size doubles before the second, with `up`.

    (N, A, H, W) -> (N, B, H, W) or (N, B, 2H, 2W), B <= A. The shortcut drops the last channels (figure 16).
    """

    def __init__(
        self, inputs: int, outputs: int, make: Callable[[int], nn.Module], norm: Spectral | None, up: bool
    ) -> None:
        super().__init__()
        inner = inputs // RATIO
        self.up, self.outputs = up, outputs
        self.conv1, self.conv2 = conv(inputs, inner, 1, norm), conv(inner, inner, 3, norm)
        self.conv3, self.conv4 = conv(inner, inner, 3, norm), conv(inner, outputs, 1, norm)
        self.bn1, self.bn2, self.bn3, self.bn4 = make(inputs), make(inner), make(inner), make(inner)

    def forward(self, x: Tensor, *style: Tensor | float) -> Tensor:
        h = self.conv1(F.relu(self.bn1(x, *style)))
        h = F.relu(self.bn2(h, *style))
        x = x[:, : self.outputs]
        if self.up:
            h, x = doubled(h), doubled(x)
        h = self.conv3(F.relu(self.bn3(self.conv2(h), *style)))
        return self.conv4(F.relu(self.bn4(h, *style))) + x


class Generator(nn.Module):
    """z (N, latent) and labels y (N,) to pictures (N, colours, H, W) in [-1, 1], each side = base * 2**doublings.

    widths: channels from the base on, one more than there are doublings. attention: the doublings that self-attention
    follows. depth: blocks for each; the first keeps the channels, the last doubles the size. shared: width of the
    embedding of labels; it and all of z go into the base and into every norm. Without classes z goes there alone.
    last: statistics of the norm before the picture. UserError for widths that grow, or change at a depth other than 2,
    where the blocks don't fit together.
    """

    def __init__(
        self, latent: int, classes: int, widths: Sequence[int], *, depth: int = 2, shared: int = 128,
        attention: Collection[int] = (), base: Base = 4, colours: int = 3, norm: Spectral | None = ONE,
        statistics: Statistics = STORED, last: Statistics = STORED,
    ) -> None:  # fmt: skip
        super().__init__()
        if any(a < b for a, b in pairwise(widths)) or (depth != 2 and len(set(widths)) > 1):
            raise UserError(
                f"widths {tuple(widths)} don't fit a generator of depth {depth}: none may grow, and only 2 may narrow"
            )
        self.latent, self.classes, self.start = latent, classes, (widths[0], *sides(base))
        style = latent + (shared if classes else 0)
        self.shared = nn.Embedding(classes, shared) if classes else None
        self.linear = linear(style, math.prod(self.start), norm)
        make = norms(style, classes, norm, statistics)
        self.blocks = nn.ModuleList(
            followed(
                [UpBlock(a, b if k else a, make, norm, k == depth - 1)],
                b if k == depth - 1 and i in attention else 0,
                norm,
            )
            for i, (a, b) in enumerate(pairwise(widths))
            for k in range(depth)
        )
        self.output_layer = output(widths[-1], colours, norm, last)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        style = z if self.shared is None else torch.cat([self.shared(required(y, self.classes)), z], 1)
        h = fast_layout(self.linear(style).view(len(z), *self.start))
        for block in self.blocks:
            h = run(block, h, style)
        return torch.tanh(self.output_layer(h)).contiguous()


class DownBlock(nn.Module):
    """ReLU and a convolution, four times: 1x1, 3x3, 3x3, 1x1; the size halves before the last, with `down`.

    (N, A, H, W) -> (N, B, H, W) or (N, B, H/2, W/2), B >= A. The shortcut appends B - A channels (figure 16).
    """

    def __init__(self, inputs: int, outputs: int, norm: Spectral | None, down: bool) -> None:
        super().__init__()
        inner = outputs // RATIO
        self.down = down
        self.conv1, self.conv2 = conv(inputs, inner, 1, norm), conv(inner, inner, 3, norm)
        self.conv3, self.conv4 = conv(inner, inner, 3, norm), conv(inner, outputs, 1, norm)
        self.conv_sc = conv(inputs, outputs - inputs, 1, norm) if outputs != inputs else None

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(F.relu(self.conv1(F.relu(x))))
        h = F.relu(self.conv3(F.relu(h)))
        if self.down:
            h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)
        return self.conv4(h) + (x if self.conv_sc is None else torch.cat([x, self.conv_sc(x)], 1))


class Discriminator(nn.Module):
    """Pictures (N, colours, H, W) and labels y (N,) to logits (N,), or (N, outputs) for several outputs.

    widths: channels of the first convolution, and then from group to group of `depth` blocks; the first `downs` groups
    halve the size. attention: the groups that self-attention follows. Without classes there are no labels. packing: so
    many pictures are judged together: logits (N/packing,).
    """

    separable = True  # no layer lets samples of a batch see each other

    def __init__(
        self, widths: Sequence[int], downs: int, classes: int, *, depth: int = 2, attention: Collection[int] = (),
        colours: int = 3, outputs: int = 1, norm: Spectral | None = ONE, packing: int = 1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.width, self.classes, self.packing = widths[-1], classes, packing
        self.input_conv = conv(colours * packing, widths[0], 3, norm)
        self.blocks = nn.ModuleList(
            followed(
                [DownBlock(b if k else a, b, norm, i < downs and k == 0) for k in range(depth)],
                b if i in attention else 0, norm,
            )
            for i, (a, b) in enumerate(pairwise(widths))
        )  # fmt: skip
        self.linear = linear(self.width, outputs, norm)
        self.embed = embedding(classes, self.width, norm) if classes else None

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """(N/packing, width), from which the logits are one layer away."""
        h = self.input_conv(fast_layout(pack(x, self.packing) if self.packing > 1 else x))
        for block in self.blocks:
            h = run(block, h)
        return F.relu(h).sum((2, 3))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        y = required(y, self.classes) if self.classes else None
        return judged(self.features(x), y, self.linear, self.embed)
