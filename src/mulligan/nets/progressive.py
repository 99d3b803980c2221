"""Progressively grown networks (Karras et al. 2018, arXiv:1710.10196): all layers from the start, used bit by bit.

`step` counts the doublings of the smallest picture so far, all of them where it is None; `alpha` is how much of the
newest ones has faded in, from 0 to 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mulligan.core.errors import UserError
from mulligan.parts.layers import MinibatchStdDev
from mulligan.parts.layout import fast_layout
from mulligan.parts.modulated import EPS, unit

from .sizes import pyramid

LEAK = 0.2
FINE = 1_000_000
"""Steps of a level from one size to the next: it is a whole number, which isn't averaged as weights are."""


def reached(level: float) -> tuple[int, float]:
    """(step, alpha) of a level from 0, the smallest picture, to the number of doublings: 2.3 -> (3, 0.3), 2 -> (2, 1).

    UserError below 0.
    """
    if not level >= 0:
        raise UserError(f"networks grow from level 0, the smallest picture: {level} is no level")
    step = math.ceil(level)
    return step, 1 - (step - level)


def sizes(shape: tuple[int, ...], widths: Sequence[int]) -> tuple[int, int, int]:
    """Height and width of the smallest picture, and the doublings; UserError where `widths` has another number."""
    height, breadth, ups = pyramid(shape[1], shape[2])
    if len(widths) != ups + 1:
        raise UserError(f"{shape[1]}x{shape[2]} pixels take {ups + 1} widths, one for each size, not {len(widths)}")
    return height, breadth, ups


def until(step: int | None, ups: int) -> int:
    """The step meant, all doublings where none is given; UserError for one that the network hasn't."""
    if step is not None and not 0 <= step <= ups:
        raise UserError(f"this network grows in steps from 0 to {ups}: {step} is none of them")
    return ups if step is None else step


def larger(x: Tensor) -> Tensor:
    """x (N, C, H, W) at twice the size, every pixel four times."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def smaller(x: Tensor) -> Tensor:
    """x (N, C, H, W) at half the size, means of four pixels."""
    return F.avg_pool2d(x, 2)


def started(layer: nn.Conv2d | nn.Linear, equalized: bool, zero: bool, rate: float = 1.0) -> float:
    """What the weights are multiplied by where they are used: He's constant, after starting them at variance 1."""
    if zero:
        nn.init.zeros_(cast(Tensor, layer.bias))
    if not equalized:
        return 1.0
    nn.init.normal_(layer.weight, std=1 / rate)
    return rate * (2 / layer.weight[0].numel()) ** 0.5


def leaky(x: Tensor, leak: float | None) -> Tensor:
    return x if leak is None else F.leaky_relu(x, leak)


class Conv(nn.Conv2d):
    """A convolution that keeps the size, its weights of variance 1 scaled where they are used (section 4.1).

    `leak` is the slope of a leaky ReLU behind it. With `whole` all is scaled, the bias as well; without `equalized` the
    layer starts as PyTorch's own and nothing is scaled; `zero` starts the bias at 0.
    """

    def __init__(
        self, inputs: int, outputs: int, size: int, leak: float | None = None, *, equalized: bool = True,
        zero: bool = True, whole: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(inputs, outputs, size, padding=size // 2)
        self.leak, self.whole, self.scale = leak, whole, started(self, equalized, zero)

    def forward(self, input: Tensor) -> Tensor:
        if self.whole:
            return leaky(super().forward(input) * self.scale, self.leak)
        return leaky(F.conv2d(input, self.weight * self.scale, self.bias, 1, self.padding), self.leak)


class Dense(nn.Linear):
    """A fully connected layer of the same kind; `rate` multiplies its learning rate."""

    def __init__(
        self, inputs: int, outputs: int, leak: float | None = None, *, equalized: bool = True, zero: bool = True,
        whole: bool = False, rate: float = 1.0,
    ) -> None:  # fmt: skip
        super().__init__(inputs, outputs)
        self.leak, self.whole, self.rate, self.scale = leak, whole, rate, started(self, equalized, zero, rate)

    def forward(self, input: Tensor) -> Tensor:
        if self.whole:
            return leaky(super().forward(input) * self.scale, self.leak)
        return leaky(F.linear(input, self.weight * self.scale, self.bias * self.rate), self.leak)


class Deviation(MinibatchStdDev):
    """MinibatchStdDev over groups of neighbours, unbiased; all samples are one group where N is no multiple.

    (N, C, H, W) -> (N, C + 1, H, W). A sample alone has none: 0.
    """

    def appended(self, x: Tensor) -> Tensor:
        n = len(x)
        group = min(self.group or n, n)
        group = n if n % group else group
        if group == 1:
            return torch.cat([x, torch.zeros_like(x[:, :1])], 1)
        deviation = (x.reshape(n // group, group, -1).var(1) + EPS).sqrt().mean(1)
        plane = deviation.repeat_interleave(group).view(n, 1, 1, 1).expand(-1, -1, *x.shape[2:])
        return torch.cat([x, plane], 1)


class Painter(nn.Module):
    """Features of every size to pictures (N, channels, H, W), the newest size faded in (figure 2)."""

    def __init__(self, widths: Sequence[int], channels: int, **layer: Any) -> None:
        super().__init__()
        self.sizes = nn.ModuleList(Conv(width, channels, 1, **layer) for width in widths)

    def forward(self, features: Iterator[Tensor], step: int, alpha: float) -> Tensor:
        """`features` (N, width, H, W) of each size from the smallest on, of which those up to `step` are drawn."""
        before, x = None, next(features)
        for _ in range(step):
            before, x = x, next(features)
        picture = self.sizes[step](x)
        if before is None or alpha == 1:
            return picture
        return larger(self.sizes[step - 1](before)).lerp(picture, alpha)


class Generator(nn.Module):
    """z (N, latent) to pictures (N, C, H << step, W << step) of the smallest H and W, at the last step of `shape`.

    `widths` are the channels of each size, the smallest first. `normalized`: z and features are scaled to mean square 1
    in each pixel (section 4.2). `ending` is what the picture passes through; the paper has nothing there. Other
    arguments are those of each Conv.
    """

    def __init__(
        self, latent: int, shape: tuple[int, ...], widths: Sequence[int], *, leak: float = LEAK,
        normalized: bool = True, ending: Literal["linear", "tanh"] = "linear", **layer: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        height, breadth, self.ups = sizes(shape, widths)
        self.base, self.normalized, self.ending = (widths[0], height, breadth), normalized, ending
        self.project = Dense(latent, math.prod(self.base), leak, **layer)
        self.first = Conv(widths[0], widths[0], 3, leak, **layer)
        self.blocks = nn.ModuleList(
            nn.ModuleList([Conv(a, b, 3, leak, **layer), Conv(b, b, 3, leak, **layer)]) for a, b in pairwise(widths)
        )
        self.paint = Painter(widths, shape[0], **layer)

    def _normal(self, x: Tensor) -> Tensor:
        return unit(x) if self.normalized else x

    def _features(self, z: Tensor) -> Iterator[Tensor]:
        x = self._normal(self.project(self._normal(z)).view(-1, *self.base))
        x = self._normal(self.first(fast_layout(x)))
        yield x
        for block in self.blocks:
            x = larger(x)
            for conv in cast(nn.ModuleList, block):
                x = self._normal(conv(x))
            yield x

    def forward(self, z: Tensor, step: int | None = None, alpha: float = 1.0) -> Tensor:
        picture = self.paint(self._features(z), until(step, self.ups), alpha)
        return torch.tanh(picture) if self.ending == "tanh" else picture


class Discriminator(nn.Module):
    """Pictures (N, C, H << step, W << step) to logits (N,), or (N, outputs) where those are several.

    `widths` are the channels of each size, the smallest first. `sees` is the slope of the leaky ReLU behind each layer
    that reads a picture, None for no activation there. `deviation` is a layer that appends one feature (section 3).
    """

    def __init__(
        self, shape: tuple[int, ...], widths: Sequence[int], *, outputs: int = 1, leak: float = LEAK,
        sees: float | None = LEAK, deviation: nn.Module | None = None, **layer: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        height, breadth, self.ups = sizes(shape, widths)
        width, self.outputs = widths[0], outputs
        self.see = nn.ModuleList(Conv(shape[0], w, 1, sees, **layer) for w in widths)
        self.blocks = nn.ModuleList(self.block(b, a, leak, **layer) for a, b in pairwise(widths))
        self.deviation = deviation or nn.Identity()
        self.conv = Conv(width + (deviation is not None), width, 3, leak, **layer)
        self.dense = Dense(width * height * breadth, width, leak, **layer)
        self.decide = Dense(width, outputs, **layer)

    def block(self, inputs: int, outputs: int, leak: float, **layer: Any) -> nn.Module:
        """(N, inputs, H, W) to (N, outputs, H/2, W/2)."""
        return nn.Sequential(
            Conv(inputs, inputs, 3, leak, **layer), Conv(inputs, outputs, 3, leak, **layer), nn.AvgPool2d(2)
        )

    def features(self, x: Tensor, step: int | None = None, alpha: float = 1.0) -> Tensor:
        """(N, width), from which the logits are one layer away."""
        step = until(step, self.ups)
        h = self.see[step](fast_layout(x))
        for i in range(step, 0, -1):
            h = self.blocks[i - 1](h)
            if i == step and alpha != 1:
                h = self.see[i - 1](smaller(fast_layout(x))).lerp(h, alpha)
        return self.dense(self.conv(self.deviation(h)).flatten(1))

    def forward(self, x: Tensor, step: int | None = None, alpha: float = 1.0) -> Tensor:
        y = self.decide(self.features(x, step, alpha))
        return y.squeeze(1) if self.outputs == 1 else y
