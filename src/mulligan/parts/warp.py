"""Matrices of homogeneous coordinates, one per sample: (N, 3, 3) in the plane, (N, 4, 4) in the space of colours."""

from __future__ import annotations

import torch
from torch import Tensor


def scaled(factors: Tensor) -> Tensor:
    """By factors (N, D) along the axes."""
    return torch.diag_embed(torch.cat([factors, torch.ones_like(factors[:, :1])], 1))


def moved(by: Tensor) -> Tensor:
    """By (N, D)."""
    n, axes = by.shape
    out = torch.eye(axes + 1, dtype=by.dtype, device=by.device).repeat(n, 1, 1)
    out[:, :axes, axes] = by
    return out


def flipped(flag: Tensor) -> Tensor:
    """Mirrored left to right where flag (N,) is 1."""
    return scaled(torch.stack([1 - 2 * flag, torch.ones_like(flag)], 1))


def rotated(angle: Tensor) -> Tensor:
    """By angle (N,) in the plane."""
    s, c, zero, one = angle.sin(), angle.cos(), torch.zeros_like(angle), torch.ones_like(angle)
    return torch.stack([c, -s, zero, s, c, zero, zero, zero, one], 1).view(-1, 3, 3)


def along(axis: Tensor) -> Tensor:
    """The projection (4, 4) onto a unit vector (3,)."""
    v = torch.cat([axis, axis.new_zeros(1)])
    return v[:, None] * v[None]


def turned(axis: Tensor, angle: Tensor) -> Tensor:
    """By angle (N,) about a unit vector (3,) (Rodrigues)."""
    x, y, z = axis.tolist()
    cross = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=angle.dtype)
    s, c = angle.sin()[:, None, None], angle.cos()[:, None, None]
    outer = axis[:, None] * axis[None]
    out = torch.eye(4, dtype=angle.dtype).repeat(len(angle), 1, 1)
    out[:, :3, :3] = c * torch.eye(3) + s * cross + (1 - c) * outer
    return out
