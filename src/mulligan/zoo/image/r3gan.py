"""R3GAN: a relativistic loss with both zero-centred penalties, and residual networks without any normalization."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mulligan.core.engine import Schedule
from mulligan.core.recipe import Plan, Shape, recipe
from mulligan.nets.sizes import pyramid
from mulligan.parts import objectives
from mulligan.parts.samplers import Sampler
from mulligan.parts.stabilize import Stabilize

from .classic import Classic, Family, discriminator, finish, generator, players, seen_shape

GAIN = (2 / (1 + 0.2**2)) ** 0.5  # of leaky ReLU 0.2 (He et al. 2015)
BLOCKS = 1  # in a stage; the paper's large networks have two
GROUP = 16  # channels in a group of the 3×3 convolution


def conv(inputs: int, outputs: int, kernel: int = 1, groups: int = 1, gain: float = 1.0) -> nn.Conv2d:
    """A convolution without bias, weights of variance gain² / fan-in."""
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False)
    nn.init.normal_(layer.weight, std=gain / (inputs // groups * kernel**2) ** 0.5) if gain else nn.init.zeros_(
        layer.weight
    )
    return layer


class Block(nn.Module):
    """x + L3 φ(L2 φ(L1 x)): 1×1 up to twice the width, grouped 3×3, 1×1 back (Huang et al. 2024, section 4, config E).

    Fix-up initialization (Zhang et al. 2019): the last layer starts at `last`, usually zero; the others are scaled by
    depth^(-1/4).
    """

    def __init__(self, width: int, depth: int, last: float) -> None:
        super().__init__()
        inner, gain = 2 * width, GAIN * depth**-0.25
        self.linear1 = conv(width, inner, 1, gain=gain)
        self.bias1 = nn.Parameter(torch.zeros(inner, 1, 1))
        self.linear2 = conv(inner, inner, 3, groups=max(inner // GROUP, 1) if inner % GROUP == 0 else 1, gain=gain)
        self.bias2 = nn.Parameter(torch.zeros(inner, 1, 1))
        self.linear3 = conv(inner, width, 1, gain=last)

    def forward(self, x: Tensor) -> Tensor:
        h = F.leaky_relu(self.linear1(x) + self.bias1, 0.2)
        h = F.leaky_relu(self.linear2(h) + self.bias2, 0.2)
        return x + self.linear3(h)


def stage(width: int, blocks: int, depth: int, last: float = 0.0) -> nn.Sequential:
    return nn.Sequential(*(Block(width, depth, last) for _ in range(blocks)))


def widths(width: int, ups: int) -> list[int]:
    """Channels of each stage from the smallest picture to the largest: halved from 32 pixels on."""
    return [max(width >> max(i - 2, 0), 8) for i in range(ups + 1)]


class Generator(nn.Module):
    """z (N, latent) to (N, *shape): a learned basis picture per channel, then stages with bilinear doubling between."""

    def __init__(self, latent: int, shape: tuple[int, ...], width: int, blocks: int = BLOCKS) -> None:
        super().__init__()
        height, breadth, ups = pyramid(shape[1], shape[2])
        sizes, depth = widths(width, ups), blocks * (ups + 1)
        self.basis = nn.Parameter(torch.randn(sizes[0], height, breadth))
        self.linear = nn.Linear(latent, sizes[0], bias=False)
        nn.init.normal_(self.linear.weight, std=latent**-0.5)
        self.stages = nn.ModuleList(stage(size, blocks, depth) for size in sizes)
        self.joints = nn.ModuleList(conv(a, b) if a != b else nn.Identity() for a, b in pairwise(sizes))
        self.paint = conv(sizes[-1], shape[0])

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        x = self.stages[0](self.basis * self.linear(z)[:, :, None, None])
        for joint, layers in zip(self.joints, self.stages[1:], strict=True):  # type: ignore[call-overload]
            x = layers(F.interpolate(joint(x), scale_factor=2, mode="bilinear", align_corners=False))
        return self.paint(x)


class Body(nn.Module):
    """The generator backwards: (N, *shape) to features (N, width)."""

    def __init__(self, shape: tuple[int, ...], width: int, blocks: int = BLOCKS, last: float = 0.0) -> None:
        super().__init__()
        height, breadth, ups = pyramid(shape[1], shape[2])
        sizes, depth = widths(width, ups)[::-1], blocks * (ups + 1)
        self.width = sizes[-1]
        self.extract = conv(shape[0], sizes[0])
        self.stages = nn.ModuleList(stage(size, blocks, depth, last) for size in sizes)
        self.joints = nn.ModuleList(conv(a, b) if a != b else nn.Identity() for a, b in pairwise(sizes))
        self.basis = nn.Conv2d(self.width, self.width, (height, breadth), groups=self.width, bias=False)
        nn.init.normal_(self.basis.weight, std=(height * breadth) ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages[0](self.extract(x))
        for joint, layers in zip(self.joints, self.stages[1:], strict=True):  # type: ignore[call-overload]
            x = layers(joint(F.avg_pool2d(x, 2)))
        # the full-window depthwise convolution as a sum: exact, and many times faster under double backward
        return (x * self.basis.weight.squeeze(1)).sum((2, 3))


@recipe("Huang, Gokaslan, Kuleshov & Tompkin 2024, arXiv:2501.05441")
def r3gan(
    data: Shape,
    *,
    latent: int = 64,
    width: int = 64,
    family: Literal["r3gan", "dcgan", "resnet"] = "r3gan",
    batch: int = 64,
    critic_turns: int = 1,
    lr: float = 2e-4,
    lr_d: float | None = None,
    betas: tuple[float, float] = (0.0, 0.99),
    schedule: Schedule = "cosine",
    ema: int = 20_000,
    images: int = 2_000_000,
    stabilize: Stabilize = Stabilize(r1=1.0, r2=1.0),
) -> Plan:
    """Relativistic pairing GAN with R1 and R2 (gamma 1): stable without tricks, small residual networks.

    `family` takes the networks of another recipe: those of dcgan are three to four times cheaper on a CPU.
    """
    if family != "r3gan" or len(data.shape) == 1:
        other: Family = "dcgan" if family == "r3gan" else family
        G = generator(data, other, latent, width)
        D = discriminator(data, other, width, stabilize, norm="none")
    else:
        G = Generator(latent, data.shape, width)
        # a layer of zeros has no spectral norm to be divided by
        last = 0.1 if stabilize.spectral_norm else 0.0
        D = finish(Body(seen_shape(data.shape, stabilize.packing), width, last=last), stabilize)
    game = Classic(Sampler(G, latent), D, objectives.relativistic, stabilize, critic_turns=critic_turns)
    return Plan(game, players(stabilize, lr, lr_d, betas), batch, images, ema, schedule)
