"""The networks of R3GAN (Huang et al. 2024, arXiv:2501.05441): residual stages without any normalization."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mulligan.core.errors import UserError
from mulligan.parts.conditioning import required
from mulligan.parts.filters import downsample, kernel, upsample

from .sizes import pyramid
from .stylegan2 import conditions

LEAK = 0.2
GAIN = (2 / (1 + LEAK**2)) ** 0.5
"""Of leaky ReLU (He et al. 2015)."""
SMOOTH = (1, 2, 1)
"""Filter of a picture that grows by repeating pixels or shrinks by means of them: together they are bilinear."""


class Stage(NamedTuple):
    """One resolution: its channels, its residual blocks, and the groups of their middle convolution."""

    width: int
    blocks: int = 2
    groups: int = 1


def conv(inputs: int, outputs: int, size: int = 1, groups: int = 1, gain: float = 1.0) -> nn.Conv2d:
    """A convolution without bias, weights of variance gain² / fan-in."""
    layer = nn.Conv2d(inputs, outputs, size, padding=size // 2, groups=groups, bias=False)
    nn.init.normal_(layer.weight, std=gain / layer.weight[0].numel() ** 0.5) if gain else nn.init.zeros_(layer.weight)
    return layer


class Block(nn.Module):
    """x + L3 φ(L2 φ(L1 x)): 1×1 up to the inner width, grouped 3×3, 1×1 back (section 4, configuration E).

    Fix-up initialization (Zhang et al. 2019): the last layer starts at `last`, usually zero; the others are scaled by
    depth^(-1/4), `depth` being the number of blocks in the network.
    """

    def __init__(self, width: int, inner: int, groups: int, depth: int, last: float = 0.0, size: int = 3) -> None:
        super().__init__()
        gain = GAIN * depth**-0.25
        self.linear1 = conv(width, inner, gain=gain)
        self.bias1 = nn.Parameter(torch.zeros(inner, 1, 1))
        self.linear2 = conv(inner, inner, size, groups, gain)
        self.bias2 = nn.Parameter(torch.zeros(inner, 1, 1))
        self.linear3 = conv(inner, width, gain=last)

    def forward(self, x: Tensor) -> Tensor:
        h = F.leaky_relu(self.linear1(x) + self.bias1, LEAK)
        h = F.leaky_relu(self.linear2(h) + self.bias2, LEAK)
        return x + self.linear3(h)


class Resampling(nn.Module):
    """Twice or half the size, `taps` being the filter beside repeated pixels or means of four.

    Without taps by PyTorch's own operations, several times quicker: bilinear, with edges continued instead of zeros
    behind them, or means alone. UserError for an even number of taps, which would move the picture by half a pixel.
    """

    taps: Tensor | None

    def __init__(self, taps: Sequence[float] | None) -> None:
        super().__init__()
        if taps is not None and len(taps) % 2 == 0:
            raise UserError(f"a filter needs an odd number of taps, not {len(taps)}")
        self.register_buffer("taps", None if taps is None else kernel(boxed(taps)), persistent=False)

    def up(self, x: Tensor) -> Tensor:
        if self.taps is None:
            return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        return upsample(x, self.taps)

    def down(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2) if self.taps is None else downsample(x, self.taps)


def boxed(taps: Sequence[float]) -> list[float]:
    """The taps, convolved with those of a mean of two: (1, 2, 1) -> (1, 3, 3, 1)."""
    return [a + b for a, b in zip([0.0, *taps], [*taps, 0.0], strict=True)]


def residual(
    stages: Sequence[Stage], expansion: int, size: int, last: float = 0.0
) -> tuple[nn.ModuleList, nn.ModuleList]:
    """Residual blocks at each of the stages, in the order they are passed, and the joints between.

    A joint is a 1×1 convolution where the width changes.
    """
    depth = sum(stage.blocks for stage in stages)
    blocks = nn.ModuleList(
        nn.Sequential(*(Block(w, expansion * w, groups, depth, last, size) for _ in range(count)))
        for w, count, groups in stages
    )
    joints = (conv(a.width, b.width) if a.width != b.width else nn.Identity() for a, b in pairwise(stages))
    return blocks, nn.ModuleList(joints)


def base(shape: tuple[int, ...], stages: Sequence[Stage]) -> tuple[int, int]:
    """Height and width of the smallest stage. Raises UserError where there are too few or too many of them."""
    height, breadth, ups = pyramid(shape[1], shape[2])
    if len(stages) != ups + 1:
        raise UserError(f"{shape[1]}x{shape[2]} pixels take {ups + 1} stages, not {len(stages)}")
    return height, breadth


class Generator(nn.Module):
    """z (N, latent) and labels to pictures (N, *shape), the stages from the smallest to the largest.

    A learned basis picture for each channel, weighted by z and the embedded condition. Labels are class numbers (N,) or
    conditions (N, labels). `expansion`: the inner width of a block in multiples of its own; `size`: the side of its
    middle kernel; `taps`: see Resampling.
    """

    def __init__(
        self, latent: int, shape: tuple[int, ...], stages: Sequence[Stage], labels: int = 0, embed: int = 0, *,
        expansion: int = 2, size: int = 3, taps: Sequence[float] | None = SMOOTH,
    ) -> None:  # fmt: skip
        super().__init__()
        width, embed, self.labels = stages[0].width, embed if labels else 0, labels
        self.embedding = nn.Linear(labels, embed, bias=False) if labels else None
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight, std=labels**-0.5)
        self.basis = nn.Parameter(torch.randn(width, *base(shape, stages)))
        self.linear = nn.Linear(latent + embed, width, bias=False)
        nn.init.normal_(self.linear.weight, std=(latent + embed) ** -0.5)
        self.resampling = Resampling(taps)
        self.stages, self.joints = residual(stages, expansion, size)
        self.paint = conv(stages[-1].width, shape[0])

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        if self.embedding is not None:
            z = torch.cat([z, self.embedding(conditions(required(c, self.labels), self.labels))], 1)
        x = self.stages[0](self.basis * self.linear(z)[:, :, None, None])
        for joint, blocks in zip(self.joints, list(self.stages)[1:], strict=True):
            x = blocks(self.resampling.up(joint(x)))
        return self.paint(x)


class Body(nn.Module):
    """Pictures (N, *shape) to features (N, width): the generator backwards, its stages from the largest size down.

    `last` is where the last layers of blocks start: not at 0 for a spectral norm, which would divide by it.
    """

    def __init__(
        self, shape: tuple[int, ...], stages: Sequence[Stage], *, expansion: int = 2, size: int = 3,
        taps: Sequence[float] | None = SMOOTH, last: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        (height, breadth), self.width = base(shape, stages), stages[-1].width
        self.extract = conv(shape[0], stages[0].width)
        self.resampling = Resampling(taps)
        self.stages, self.joints = residual(stages, expansion, size, last)
        self.basis = nn.Conv2d(self.width, self.width, (height, breadth), groups=self.width, bias=False)
        nn.init.normal_(self.basis.weight, std=(height * breadth) ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages[0](self.extract(x))
        for joint, blocks in zip(self.joints, list(self.stages)[1:], strict=True):
            x = blocks(joint(self.resampling.down(x)))
        # the full-window depthwise convolution as a sum: exact, and many times faster under double backward
        return (x * self.basis.weight.squeeze(1)).sum((2, 3))


class Discriminator(nn.Module):
    """Pictures (N, *shape) and labels, as for Generator, to logits (N,): projection on the embedded condition."""

    separable = True

    def __init__(self, body: Body, labels: int = 0, embed: int = 0) -> None:
        super().__init__()
        self.body, self.labels, outputs = body, labels, embed if labels else 1
        self.head = nn.Linear(body.width, outputs, bias=False)
        nn.init.normal_(self.head.weight, std=body.width**-0.5)
        self.embedding = nn.Linear(labels, embed, bias=False) if labels else None
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight, std=(labels * embed) ** -0.5)

    def features(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """(N, width), which don't depend on the condition."""
        return self.body(x)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        y = self.head(self.features(x))
        if self.embedding is None:
            return y.squeeze(1)
        return (y * self.embedding(conditions(required(c, self.labels), self.labels))).sum(1)
