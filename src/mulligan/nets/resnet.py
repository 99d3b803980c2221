"""Residual networks of WGAN-GP (Gulrajani et al. 2017) and SNGAN (Miyato et al. 2018), for every pyramid size."""

import math
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mulligan.core.errors import UserError
from mulligan.nets.sizes import pyramid
from mulligan.parts.conditioning import ConditionalBatchNorm2d, required
from mulligan.parts.layout import fast_layout

Upsample = Literal["nearest", "bilinear"]


def _conv(inputs: int, outputs: int, kernel: int, gain: float) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    nn.init.xavier_uniform_(conv.weight, gain)
    nn.init.zeros_(conv.bias)  # pyright: ignore[reportArgumentType]
    return conv


def _doubled(x: Tensor, mode: str) -> Tensor:
    align = False if mode == "bilinear" else None
    return F.interpolate(x, scale_factor=2, mode=mode, align_corners=align)


class UpBlock(nn.Module):
    """Norm, ReLU, doubling, 3x3, norm, ReLU, 3x3, plus a 1x1 shortcut: (N, A, H, W) -> (N, B, 2H, 2W)."""

    def __init__(self, inputs: int, outputs: int, classes: int, mode: Upsample) -> None:
        super().__init__()
        self.mode, self.classes = mode, classes
        self.norm1 = ConditionalBatchNorm2d(inputs, classes) if classes else nn.BatchNorm2d(inputs)
        self.norm2 = ConditionalBatchNorm2d(outputs, classes) if classes else nn.BatchNorm2d(outputs)
        self.conv1 = _conv(inputs, outputs, 3, math.sqrt(2))
        self.conv2 = _conv(outputs, outputs, 3, math.sqrt(2))
        self.shortcut = _conv(inputs, outputs, 1, 1)

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        labels = (y,) if self.classes else ()
        h = _doubled(F.relu(self.norm1(x, *labels)), self.mode)
        h = self.conv1(fast_layout(h))
        h = self.conv2(F.relu(self.norm2(h, *labels)))
        # A 1x1 convolution commutes with interpolation, and before it there are four times fewer pixels.
        return h + _doubled(self.shortcut(x), self.mode)


class Generator(nn.Module):
    """z (N, latent), y (N,) where classes > 0 -> images (N, C, H, W) in [-1, 1].

    width: channels up to 32 pixels as in Miyato et al. 2018, table 4; they halve with every doubling above. widths
    sets them one by one, from the base on (ups + 1 numbers), ups the number of doublings where it is not pyramid's.
    classes > 0: conditional batch norm in the blocks. UserError for sizes that pyramid refuses.
    """

    def __init__(
        self,
        latent: int,
        shape: tuple[int, int, int],
        *,
        width: int = 256,
        classes: int = 0,
        upsample: Upsample = "nearest",
        widths: tuple[int, ...] | None = None,
        ups: int | None = None,
    ) -> None:
        super().__init__()
        if upsample not in ("nearest", "bilinear"):
            raise UserError(f"unknown upsample {upsample!r}: nearest or bilinear")
        colours, height, image_width = shape
        if ups is None:
            ups = pyramid(height, image_width)[2]
        counts = widths or tuple(max(width >> max(i - 3, 0), 1) for i in range(ups + 1))
        if len(counts) != ups + 1:
            raise UserError(f"{ups} doublings need {ups + 1} widths, not {len(counts)}")
        self.latent, self.shape, self.classes = latent, tuple(shape), classes
        self.base = (counts[0], height >> ups, image_width >> ups)
        self.project = nn.Linear(latent, math.prod(self.base))
        nn.init.xavier_uniform_(self.project.weight)
        nn.init.zeros_(self.project.bias)
        pairs = pairwise(counts)
        self.blocks = nn.ModuleList(UpBlock(a, b, classes, upsample) for a, b in pairs)
        self.norm = nn.BatchNorm2d(counts[-1])
        self.paint = _conv(counts[-1], colours, 3, 1)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        if self.classes:
            y = required(y, self.classes)
        h = self.project(z).view(len(z), *self.base)
        for block in self.blocks:
            h = block(h, y)
        return torch.tanh(self.paint(F.relu(self.norm(h)))).contiguous()


class DownBlock(nn.Module):
    """Two 3x3 convolutions plus a shortcut: (N, A, H, W) -> (N, B, H/2, W/2), or the same size without `down`.

    first: the optimized first block, which does not begin with a ReLU (Gulrajani et al. 2017, appendix F).
    activated: the shortcut sees the rectified input, as in code whose in-place ReLU changes it.
    """

    def __init__(self, inputs: int, outputs: int, *, down: bool, first: bool = False, activated: bool = False) -> None:
        super().__init__()
        self.down, self.first, self.activated = down, first, activated
        hidden = outputs if first else inputs
        self.conv1 = _conv(inputs, hidden, 3, math.sqrt(2))
        self.conv2 = _conv(hidden, outputs, 3, math.sqrt(2))
        self.shortcut = _conv(inputs, outputs, 1, 1) if down or inputs != outputs else nn.Identity()

    def _pool(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2) if self.down else x

    def forward(self, x: Tensor) -> Tensor:
        h = x if self.first else F.relu(x)
        if self.activated:
            x = h
        h = self._pool(self.conv2(F.relu(self.conv1(fast_layout(h)))))
        # A 1x1 convolution commutes with average pooling, and after it there are four times fewer pixels.
        return h + self.shortcut(self._pool(x))


def _halvings(height: int, width: int) -> int:
    side, count = min(height, width) // 2, 1
    while side > 8:
        side, count = side // 2, count + 1
    return count


class Body(nn.Module):
    """Images (N, C, H, W) -> features (N, width): residual blocks, ReLU and a global sum (or mean) pooling.

    By default blocks halve down to 8 pixels or below and two more keep the size, as in Miyato et al. 2018, table 4;
    images above 32 pixels start narrower and double up to `width`. widths sets the blocks' outputs one by one and
    downs how many of them, from the first, halve. activated_shortcut: see DownBlock. UserError for sizes that
    pyramid refuses and for an unknown pool.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        width: int = 128,
        pool: Literal["sum", "mean"] = "sum",
        widths: tuple[int, ...] | None = None,
        downs: int | None = None,
        activated_shortcut: bool = False,
    ) -> None:
        super().__init__()
        if pool not in ("sum", "mean"):
            raise UserError(f"unknown pool {pool!r}: sum or mean")
        colours, height, image_width = shape
        extra = max(pyramid(height, image_width)[2] - 3, 0)
        downs = _halvings(height, image_width) if downs is None else downs
        counts = widths or tuple(max(width >> max(extra - i, 0), 1) for i in range(downs + 2))
        self.shape, self.pool = tuple(shape), pool
        self.blocks = nn.ModuleList(
            DownBlock(a, b, down=i < downs, first=i == 0, activated=activated_shortcut)
            for i, (a, b) in enumerate(pairwise((colours, *counts)))
        )
        self.width: int = counts[-1]

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        x = F.relu(x)
        return x.sum((2, 3)) if self.pool == "sum" else x.mean((2, 3))
