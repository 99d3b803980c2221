"""The networks of StyleGAN (Karras et al. 2019, arXiv:1812.04948), grown progressively: `step` and `alpha` as there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mulligan.parts.filters import kernel, smooth
from mulligan.parts.layers import MinibatchStdDev
from mulligan.parts.layout import fast_layout
from mulligan.parts.modulated import unit

from . import progressive
from .progressive import LEAK, Conv, Dense, Painter, leaky, sizes, until

Noise = Literal["random", "none"] | Sequence[Tensor]
"""Drawn anew, left out, or one (N or 1, 1, H, W) for each layer."""
BINOMIAL = (1, 2, 1)
"""The filter after growing and before shrinking (section 2)."""


def widened(weight: Tensor) -> Tensor:
    """A kernel (…, 3, 3) averaged over the four places of a 2×2 mean: (…, 4, 4)."""
    return F.avg_pool2d(F.pad(weight, (1, 1, 1, 1)), 2, 1)


class Grow(nn.Module):
    """Twice the size, a 3×3 convolution and the filter: (N, inputs, H, W) -> (N, outputs, 2H, 2W).

    Each pixel four times, then convolved: one transposed convolution with a wider kernel. `fused` is how StyleGAN says
    the same for large pictures: kernels lie as in a transposed convolution, (inputs, outputs, 3, 3), and are a quarter
    as strong.
    """

    blur: Tensor

    def __init__(self, inputs: int, outputs: int, fused: bool = False) -> None:
        super().__init__()
        self.fused, self.scale = fused, (2 / (9 * inputs)) ** 0.5
        self.weight = nn.Parameter(torch.randn(*((inputs, outputs) if fused else (outputs, inputs)), 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("blur", kernel(BINOMIAL), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight if self.fused else 4 * self.weight.transpose(0, 1).flip((2, 3))
        x = F.conv_transpose2d(fast_layout(x), widened(weight * self.scale), self.bias, stride=2, padding=1)
        return smooth(x, self.blur)


class Shrink(Conv):
    """The filter, a 3×3 convolution and half the size: (N, inputs, H, W) -> (N, outputs, H/2, W/2), activated.

    Convolved, then the mean of four pixels: one convolution with a wider kernel.
    """

    blur: Tensor

    def __init__(self, inputs: int, outputs: int, leak: float | None = None) -> None:
        super().__init__(inputs, outputs, 3, leak)
        self.register_buffer("blur", kernel(BINOMIAL), persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        weight = widened(self.weight * self.scale)
        return leaky(F.conv2d(smooth(input, self.blur), weight, self.bias, stride=2, padding=1), self.leak)


class Constant(nn.Module):
    """A learned picture (1, channels, H, W) in place of a latent one (section 2)."""

    def __init__(self, channels: int, shape: tuple[int, int]) -> None:
        super().__init__()
        self.input = nn.Parameter(torch.randn(1, channels, *shape))

    def forward(self, like: Tensor) -> Tensor:
        """One for each row of `like`."""
        return self.input.expand(len(like), -1, -1, -1)


class Layer(nn.Module):
    """What `source` makes of x, with noise, a leaky ReLU and the style w: (N, channels, H, W) (figure 1b).

    The style is a scale and a shift of each channel, after it is normalized (AdaIN, equation 1).
    """

    def __init__(self, source: nn.Module, channels: int, style: int) -> None:
        super().__init__()
        self.source, self.scale = source, (2 / channels) ** 0.5
        self.noise = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.style = Dense(style, 2 * channels)
        with torch.no_grad():
            cast(Tensor, self.style.bias)[:channels] = 1

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None, random: bool) -> Tensor:
        x = self.source(fast_layout(x) if x.dim() == 4 else x)
        if random:
            noise = torch.randn_like(x[:, :1])
        if noise is not None:
            x = torch.addcmul(x, self.noise * self.scale, noise)
        scale, shift = self.style(w)[:, :, None, None].chunk(2, 1)
        return torch.addcmul(shift, scale, F.instance_norm(F.leaky_relu(x, LEAK)))


class Mapping(nn.Module):
    """z (N, latent) to w (N, style). `rate` multiplies the learning rate; the paper has 0.01 there."""

    def __init__(self, latent: int, style: int, layers: int = 8, rate: float = 1.0) -> None:
        super().__init__()
        ends = pairwise([latent, *[style] * layers])
        self.layers = nn.ModuleList(Dense(a, b, LEAK, rate=rate) for a, b in ends)

    def forward(self, z: Tensor) -> Tensor:
        w = unit(z)
        for layer in self.layers:
            w = layer(w)
        return w


class Synthesis(nn.Module):
    """Styles ws (N, count, style), two for each size, to pictures (N, C, H << step, W << step).

    `widths` are the channels of each size, the smallest first; from the size `fused` on, Grow is fused.
    """

    def __init__(self, style: int, shape: tuple[int, ...], widths: Sequence[int], fused: int | None = None) -> None:
        super().__init__()
        height, breadth, self.ups = sizes(shape, widths)
        self.count, before = 2 * len(widths), 0
        self.blocks = nn.ModuleList()
        for i, width in enumerate(widths):
            source = Grow(before, width, fused is not None and i >= fused) if i else Constant(width, (height, breadth))
            layers = {"layer1": Layer(source, width, style), "layer2": Layer(Conv(width, width, 3), width, style)}
            self.blocks.append(nn.ModuleDict(layers))
            before = width
        self.paint = Painter(widths, shape[0])

    def _features(self, ws: Tensor, noise: Noise) -> Iterator[Tensor]:
        given, styles, x = iter(() if isinstance(noise, str) else noise), iter(ws.unbind(1)), ws
        for block in self.blocks:
            for layer in block.children():
                x = layer(x, next(styles), next(given, None), noise == "random")
            yield x

    def forward(self, ws: Tensor, step: int | None = None, alpha: float = 1.0, noise: Noise = "random") -> Tensor:
        return self.paint(self._features(ws, noise), until(step, self.ups), alpha)


class Generator(nn.Module):
    """z (N, latent) to pictures (N, C, H << step, W << step) of the smallest H and W."""

    def __init__(self, mapping: Mapping, synthesis: Synthesis) -> None:
        super().__init__()
        self.mapping, self.synthesis = mapping, synthesis

    def forward(
        self, z: Tensor, step: int | None = None, alpha: float = 1.0, noise: Noise = "random", psi: float = 1.0,
        mean: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """`psi` pulls w towards its mean (1 or N, style) (appendix B)."""
        w = self.mapping(z)
        w = w if mean is None else mean.lerp(w, psi)
        return self.synthesis(w[:, None].expand(-1, self.synthesis.count, -1), step, alpha, noise)


class Discriminator(progressive.Discriminator):
    """As in progressive growing, with filters before shrinking; None for `group` is the whole batch."""

    def __init__(
        self, shape: tuple[int, ...], widths: Sequence[int], *, sees: float | None = LEAK, group: int | None = None
    ) -> None:
        super().__init__(shape, widths, sees=sees, deviation=MinibatchStdDev(group))

    def block(self, inputs: int, outputs: int, leak: float, **layer: Any) -> nn.Module:
        return nn.Sequential(Conv(inputs, outputs, 3, leak, **layer), Shrink(outputs, outputs, leak))
