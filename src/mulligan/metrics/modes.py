"""Modes found by samples of a mixture whose centres are known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .distances import kl_to_uniform


@dataclass(frozen=True)
class Modes:
    """`found` of `total` modes, share of `good` points, and the reverse KL of the points over the modes in nats."""

    found: int
    total: int
    good: float
    kl: float


def modes(x: Tensor, centres: Tensor, sigma: float) -> Modes:
    """Modes of points x (N, d) around centres (K, d), as PacGAN counts them (Lin et al. 2018, section 4.1).

    A point is good within 3 sigma of its nearest centre; a mode is found by one good point.
    """
    distance, nearest = torch.cdist(x.double(), centres.double()).min(1)
    good = distance <= 3 * sigma
    found, total = len(nearest[good].unique()), len(centres)
    return Modes(found, total, float(good.double().mean()), kl_to_uniform(nearest, total))


def ring(count: int = 8, radius: float = 1.0) -> tuple[Tensor, float]:
    """Centres and sigma of the ring of PacGAN."""
    angle = torch.arange(count, dtype=torch.float64) * (2 * torch.pi / count)
    return radius * torch.stack([angle.cos(), angle.sin()], 1), 0.01


def grid() -> tuple[Tensor, float]:
    """Centres and sigma of the grid of PacGAN."""
    side = torch.tensor([-4.0, -2.0, 0.0, 2.0, 4.0], dtype=torch.float64)
    return torch.cartesian_prod(side, side), 0.05
