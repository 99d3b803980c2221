"""The networks that DCGAN's authors published: 5×5 kernels, no biases, and a norm for every unit under the picture.

`weights/radford.py` reads their checkpoint into them. What the paper leaves open was settled by its SVHN generator:

- A transposed convolution is the slope of a convolution (stride 2, padding 2) of a picture twice as large: padding 2,
  output_padding 1. Of the four windows that keep 2h of the 2h + 3 pixels only this one draws to the edge (the border
  varies as the rest does, ratio 1.0; the others have a grey frame, at most 0.15).
- Only this window, with the kernels as they are, meets the running variances that come with the weights: off by 1 % in
  the mean over 2,000 samples; with another window by 16 to 37 %, with flipped kernels by 37 to 67 %.
- z is normal: the first norm's running variances are those of 100 normal numbers times the weights (ratio 1.00; uniform
  ones would give 1/3).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mulligan.core.engine import Schedule
from mulligan.core.errors import UserError
from mulligan.core.recipe import Plan, Shape, recipe
from mulligan.nets import dcgan
from mulligan.nets.sizes import pyramid
from mulligan.parts import objectives
from mulligan.parts.layers import BatchNorm2d, Linear
from mulligan.parts.layout import fast_weights
from mulligan.parts.samplers import Sampler
from mulligan.parts.stabilize import Stabilize

from .classic import Classic, discriminator, finish, generator, norm_for, picture, players, seen_shape

EPS = 1e-8  # of the norms in the authors' code


class Generator(nn.Module):
    """z (N, latent) -> images (N, C, H, W) in [-1, 1]; the names of the tensors are those of the official checkpoint.

    `width`: channels before the last doubling, doubled downwards to at most 8 * width. UserError for sizes that pyramid
    refuses, and while training for a single sample, whose units have no variance.
    """

    def __init__(self, latent: int, shape: tuple[int, int, int], *, width: int = 64) -> None:
        super().__init__()
        colours, height, breadth = shape
        base_height, base_width, doublings = pyramid(height, breadth)
        counts = [width * min(2**i, 8) for i in reversed(range(max(doublings, 1)))]
        self.base, self.ups = (counts[0], base_height, base_width), len(counts) - 1
        units = math.prod(self.base)
        self.fc = Linear(latent, units, bias=False)
        self.bn1 = nn.BatchNorm1d(units, eps=EPS)
        for i, (a, b) in enumerate(pairwise(counts), 1):
            self.add_module(f"up{i}", _up(a, b))
            self.add_module(f"bn{i + 1}", BatchNorm2d(b, eps=EPS))
        self.out = _up(counts[-1], colours, stride=2 if doublings else 1)
        _initialise(self)

    def forward(self, z: Tensor) -> Tensor:
        if self.training and len(z) < 2:
            raise UserError("radford's first norm needs 2 samples at a time: raise --batch or lower --accumulate")
        h = F.relu(self.bn1(self.fc(z))).view(-1, *self.base)
        for i in range(1, self.ups + 1):
            up, norm = self.get_submodule(f"up{i}"), self.get_submodule(f"bn{i + 1}")
            h = F.relu(norm(up(h)), inplace=True)
        return torch.tanh(self.out(h)).contiguous()


class Body(dcgan.Body):
    """The discriminator of `dcgan` with kernels of 5×5."""

    def __init__(self, shape: tuple[int, int, int], *, width: int = 64, norm: dcgan.Norm = "batch") -> None:
        super().__init__(shape, width=width, norm=norm)
        self.downs = nn.ModuleList(_five(down) for down in self.downs if isinstance(down, nn.Conv2d))
        _initialise(self)


def _up(inputs: int, outputs: int, stride: int = 2) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, 5, stride, 2, output_padding=stride - 1, bias=False)


def _five(down: nn.Conv2d) -> nn.Conv2d:
    """The same convolution with a kernel of 5×5."""
    return nn.Conv2d(down.in_channels, down.out_channels, 5, down.stride[0], 2, bias=down.bias is not None)


@torch.no_grad()
def _initialise(module: nn.Module) -> None:
    """Weights from N(0, 0.02), gains of norms from N(1, 0.02), biases 0 (Radford et al. 2016, section 4)."""
    for name, parameter in module.named_parameters():
        if name.endswith("bias"):
            parameter.zero_()
        else:
            parameter.normal_(1.0 if parameter.dim() == 1 else 0.0, 0.02)
    fast_weights(module)


@recipe("Radford, Metz & Chintala 2016, arXiv:1511.06434")
def radford(
    data: Shape,
    *,
    latent: int = 100,
    width: int = 64,
    batch: int = 128,
    critic_turns: int = 1,
    lr: float = 2e-4,
    lr_d: float | None = None,
    betas: tuple[float, float] = (0.5, 0.999),
    schedule: Schedule = "constant",
    ema: int = 10_000,
    images: int = 1_000_000,
    stabilize: Stabilize = Stabilize(),
) -> Plan:
    """DCGAN with its authors' networks: 5x5 kernels; takes their SVHN weights by `mulligan import`."""
    if len(data.shape) == 1:
        G = generator(data, "dcgan", latent, width)
        D = discriminator(data, "dcgan", width, stabilize)
    else:
        G = Generator(latent, picture(data.shape), width=width)
        seen, norm = picture(seen_shape(data.shape, stabilize.packing)), cast(dcgan.Norm, norm_for(stabilize))
        D = finish(Body(seen, width=width, norm=norm), stabilize)
    game = Classic(Sampler(G, latent), D, objectives.nonsaturating, stabilize, critic_turns=critic_turns)
    return Plan(game, players(stabilize, lr, lr_d, betas), batch, images, ema, schedule)
