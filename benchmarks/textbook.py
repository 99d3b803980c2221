"""DCGAN as PyTorch's tutorial has it: convolutions in sequence, BCELoss, plain Adam, one generated batch a step."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

LATENT, WIDTH, COLOURS = 100, 64, 3


def initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


def generator(side: int) -> nn.Module:
    """1x1 latents to side x side pictures, 32 or 64."""
    counts = [WIDTH * 2**i for i in range((side // 8).bit_length() - 1, -1, -1)]
    layers: list[nn.Module] = [nn.ConvTranspose2d(LATENT, counts[0], 4, 1, 0, bias=False)]
    for a, b in zip(counts, [*counts[1:], COLOURS]):
        layers += [nn.BatchNorm2d(a), nn.ReLU(True), nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False)]
    return nn.Sequential(*layers, nn.Tanh()).apply(initialise)


def discriminator(side: int) -> nn.Module:
    counts = [WIDTH * 2**i for i in range((side // 8).bit_length())]
    layers: list[nn.Module] = [nn.Conv2d(COLOURS, WIDTH, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True)]
    for a, b in pairwise(counts):
        layers += [nn.Conv2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.LeakyReLU(0.2, inplace=True)]
    return nn.Sequential(*layers, nn.Conv2d(counts[-1], 1, 4, 1, 0, bias=False), nn.Sigmoid()).apply(initialise)


class Loop:
    """One iteration of the tutorial's loop per call, on one batch."""

    def __init__(self, real: Tensor) -> None:
        self.real, side = real, real.shape[-1]
        self.G, self.D, self.criterion = generator(side), discriminator(side), nn.BCELoss()
        self.adam_d = torch.optim.Adam(self.D.parameters(), lr=0.0002, betas=(0.5, 0.999))
        self.adam_g = torch.optim.Adam(self.G.parameters(), lr=0.0002, betas=(0.5, 0.999))

    def __call__(self) -> tuple[float, float, float, float, float]:
        n = len(self.real)
        self.D.zero_grad()
        label = torch.full((n,), 1.0)
        output = self.D(self.real).view(-1)
        error_real = self.criterion(output, label)
        error_real.backward()
        d_x = output.mean().item()
        fake = self.G(torch.randn(n, LATENT, 1, 1))
        label.fill_(0.0)
        output = self.D(fake.detach()).view(-1)
        error_fake = self.criterion(output, label)
        error_fake.backward()
        d_g1 = output.mean().item()
        self.adam_d.step()
        self.G.zero_grad()
        label.fill_(1.0)
        output = self.D(fake).view(-1)
        error = self.criterion(output, label)
        error.backward()
        self.adam_g.step()
        return (error_real + error_fake).item(), error.item(), d_x, d_g1, output.mean().item()
