"""DCGAN (Radford et al. 2016) for every size that pyramid allows; at 64 pixels the networks of the PyTorch example."""

import math
from copy import deepcopy
from itertools import pairwise
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mulligan.core.errors import UserError
from mulligan.nets.sizes import pyramid
from mulligan.parts.conditioning import one_hot, required
from mulligan.parts.convolve import Conv2d, ConvTranspose2d
from mulligan.parts.fold import Up, fold_norm
from mulligan.parts.layers import BatchNorm2d, Linear
from mulligan.parts.layout import fast_layout, fast_weights

Norm = Literal["batch", "layer", "none"]


def _counts(width: int, ups: int) -> list[int]:
    """Channels from the highest to the lowest resolution, doubling up to 8 * width as at 64 pixels."""
    return [width * min(2**i, 8) for i in range(max(ups, 1))]


def _norm(kind: Norm, channels: int) -> nn.Module:
    match kind:
        case "batch":
            return BatchNorm2d(channels)
        case "layer":
            return nn.GroupNorm(1, channels)
    return nn.Identity()


@torch.no_grad()
def _initialise(module: nn.Module) -> None:
    """Weights from N(0, 0.02), gains of norms from N(1, 0.02), biases 0 (Radford et al. 2016, section 4)."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            layer.weight.normal_(0, 0.02)
        elif isinstance(layer, nn.BatchNorm2d | nn.GroupNorm):
            layer.weight.normal_(1, 0.02)
        else:
            continue
        if layer.bias is not None:
            layer.bias.zero_()
    fast_weights(module)


def _kernel(ups: int) -> tuple[int, int, int]:
    """Kernel, stride and padding; below 8 pixels there is nothing to double, and one 3x3 layer keeps the size."""
    return (4, 2, 1) if ups else (3, 1, 1)


class Generator(nn.Module):
    """z (N, latent), y (N,) where classes > 0 -> images (N, C, H, W) in [-1, 1].

    A projection to the base, then one stride-2 transposed convolution per doubling. width: channels before the last
    of them. With classes the one-hot label is appended to z. UserError for sizes that pyramid refuses.
    """

    def __init__(
        self, latent: int, shape: tuple[int, int, int], *, width: int = 64, classes: int = 0, norm: bool = True
    ) -> None:
        super().__init__()
        colours, height, image_width = shape
        base_height, base_width, ups = pyramid(height, image_width)
        counts = [*reversed(_counts(width, ups)), colours]
        self.latent, self.shape, self.classes = latent, tuple(shape), classes
        self.base = (counts[0], base_height, base_width)
        kind: Norm = "batch" if norm else "none"
        # A transposed convolution of a 1x1 input is a matrix product, and a matrix product is what runs fast.
        self.project = Linear(latent + classes, math.prod(self.base), bias=not norm)
        self.norms = nn.ModuleList(_norm(kind, n) for n in counts[:-1])
        pairs = list(pairwise(counts))
        self.ups = nn.ModuleList(ConvTranspose2d(a, b, *_kernel(ups), bias=not norm) for a, b in pairs)
        _initialise(self)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        if self.classes:
            z = torch.cat([z, one_hot(required(y, self.classes), self.classes, z)], 1)
        h = self.project(z).view(len(z), *self.base)
        for norm, up in zip(self.norms, self.ups, strict=True):
            if not isinstance(up, Up):
                h = fast_layout(h)  # before the norm, whose gradient comes in the order of `up`
            h = up(F.relu(norm(h), inplace=True))
        return torch.tanh(h).contiguous()

    def folded(self) -> "Generator":
        """A copy for sampling only, its running statistics multiplied into the weights: the same pictures, sooner."""
        twin = deepcopy(self).eval().requires_grad_(False)
        for layer, norm in zip([twin.project, *twin.ups], self.norms):
            if isinstance(norm, nn.BatchNorm2d):
                fold_norm(cast(nn.Linear | nn.ConvTranspose2d, layer), norm)
        twin.norms = nn.ModuleList(nn.Identity() for _ in self.norms)
        twin.ups = nn.ModuleList(Up(cast(nn.ConvTranspose2d, up)) for up in twin.ups)
        return twin


class Body(nn.Module):
    """Images (N, C, H, W) -> features (N, width), a stride-2 convolution per halving and LeakyReLU(0.2).

    The features lie by row, column and channel, as convolutions leave them: no copy. The first layer has no norm. norm
    "layer" is per sample over (C, H, W), for gradient penalties; "none" leaves samples independent too. UserError for
    an unknown norm and for sizes that pyramid refuses.
    """

    head_std = 0.02

    def __init__(self, shape: tuple[int, int, int], *, width: int = 64, norm: Norm = "batch") -> None:
        super().__init__()
        if norm not in get_args(Norm):
            raise UserError(f"unknown norm {norm!r}: {', '.join(get_args(Norm))}")
        colours, height, image_width = shape
        base_height, base_width, ups = pyramid(height, image_width)
        counts = [colours, *_counts(width, ups)]
        self.shape = tuple(shape)
        bias = norm == "none"
        pairs = list(pairwise(counts))
        self.downs = nn.ModuleList(Conv2d(a, b, *_kernel(ups), bias=bias) for a, b in pairs)
        self.norms = nn.ModuleList([nn.Identity(), *(_norm(norm, n) for n in counts[2:])])
        # The original's last convolution spans the whole base: here the features are flat and the head is linear.
        self.width: int = counts[-1] * base_height * base_width
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        for down, norm in zip(self.downs, self.norms, strict=True):
            x = F.leaky_relu(norm(down(fast_layout(x))), 0.2, inplace=True)
        return x.permute(0, 2, 3, 1).flatten(1)
