"""Toy laws in the plane, and the 8x8 digits that come with scikit-learn: data without a file."""

import hashlib
import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from mulligan.data.source import Source, fingerprint_tensors

POINTS = 100_000
Law = tuple[Tensor, Tensor | None, tuple[str, ...]]


def ring(random: torch.Generator) -> Law:
    """Eight Gaussians on the unit circle, sigma 0.01. Srivastava et al. 2017 (VEEGAN), Lin et al. 2018 (PacGAN)."""
    angles = torch.arange(8) * (2 * math.pi / 8)
    return _mixture(torch.stack([angles.cos(), angles.sin()], 1), 0.01, random)


def grid(random: torch.Generator) -> Law:
    """25 Gaussians on {-4,-2,0,2,4}^2, sigma 0.05. Lin et al. 2018 (PacGAN)."""
    axis = torch.arange(-4.0, 5.0, 2.0)
    return _mixture(torch.cartesian_prod(axis, axis), 0.05, random)


def swissroll(random: torch.Generator) -> Law:
    """One and a half turns of a spiral with noise 0.02, within about [-1, 1]^2; no labels."""
    turn = 1.5 * math.pi * (1 + 2 * torch.rand(POINTS, generator=random))
    points = torch.stack([turn * turn.cos(), turn * turn.sin()], 1) / (4.5 * math.pi)
    return points + 0.02 * torch.randn(points.shape, generator=random), None, ()


def moons(random: torch.Generator) -> Law:
    """Two interleaved half circles of radius 2/3 with noise 0.03, centred within about [-1, 1]^2."""
    side = torch.randint(2, (POINTS,), generator=random)
    angle = math.pi * torch.rand(POINTS, generator=random)
    sign = 1.0 - 2.0 * side
    x = sign * angle.cos() + side - 0.5
    y = sign * angle.sin() + 0.5 * side - 0.25
    points = torch.stack([x, y], 1) / 1.5 + 0.03 * torch.randn(POINTS, 2, generator=random)
    return points, side, ("upper", "lower")


TOYS: dict[str, Callable[[torch.Generator], Law]] = {"ring": ring, "grid": grid, "swissroll": swissroll, "moons": moons}


def toy(name: str, split: str, seed: int) -> Source:
    """A toy as float32 (100000, 2); the test split is a fresh draw from the same law."""
    random = torch.Generator().manual_seed(2 * seed + (split == "test"))
    x, y, classes = TOYS[name](random)
    tensors = {"x": x.float()} if y is None else {"x": x.float(), "y": y}
    # The law is hashed, not the values: processors differ in the last bit of cos and log.
    law = hashlib.sha256(f"mulligan toy 1: {name} {split} {POINTS} points, seed {seed}".encode()).hexdigest()
    return Source(name, tensors, classes, law)


def digits() -> Source:
    """scikit-learn's load_digits: 1,797 pictures uint8 (1,8,8), 0..16 scaled to 0..255, ten classes."""
    from sklearn.datasets import load_digits

    bunch = cast(Any, load_digits())
    pixels = torch.as_tensor(bunch["images"]).mul(255 / 16).round().to(torch.uint8)[:, None].contiguous()
    tensors = {"x": pixels, "y": torch.as_tensor(bunch["target"]).long()}
    return Source("digits", tensors, tuple("0123456789"), fingerprint_tensors(tensors))


def _mixture(centres: Tensor, sigma: float, random: torch.Generator) -> Law:
    mode = torch.randint(len(centres), (POINTS,), generator=random)
    points = centres[mode] + sigma * torch.randn(POINTS, 2, generator=random)
    return points, mode, tuple(f"({x:.3g}, {y:.3g})" for x, y in (centres.round(decimals=3) + 0.0).tolist())
