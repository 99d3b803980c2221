"""Perceptual path length: how far a picture moves for a small step of its latent (Karras et al. 2019)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Map = Callable[[Tensor], Tensor]


def sphere(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Points (N, F) on the unit sphere, a share t (N, 1) of the way from a / ‖a‖ to b / ‖b‖ (Shoemake 1985)."""
    a, b = F.normalize(a, dim=1), F.normalize(b, dim=1)
    cosine = (a * b).sum(1, keepdim=True).clamp(-1, 1)
    angle = t * cosine.acos()
    across = F.normalize(b - cosine * a, dim=1)
    return F.normalize(a * angle.cos() + across * angle.sin(), dim=1)


def path_lengths(
    decode: Map,
    features: Map,
    a: Tensor,
    b: Tensor,
    t: Tensor,
    *,
    epsilon: float = 1e-4,
    walk: Literal["line", "sphere"] = "sphere",
) -> Tensor:
    """‖f(G(t)) − f(G(t + ε))‖² / ε² for each pair of latents a, b (N, …) at t (N,), in float64 of the features' type.

    decode: latents to pictures in [-1, 1]; features: pictures in [0, 255] to vectors (N, F). walk: a line for a latent
    that a network has mapped (w), the sphere for a normal one (z). t is 0 at an end, uniform for the full path.
    """
    t = t.view(-1, *(1,) * (a.dim() - 1))
    if walk == "line":
        here, there = torch.lerp(a, b, t), torch.lerp(a, b, t + epsilon)
    else:
        here, there = sphere(a, b, t), sphere(a, b, t + epsilon)
    x = features((decode(torch.cat([here, there])) + 1) * 127.5).double().flatten(1)
    return (x[: len(a)] - x[len(a) :]).square().sum(1) / epsilon**2


def path_length(lengths: Tensor) -> float:
    """Mean of the lengths (N,) between the 1st and the 99th percentile, both borders kept, as the authors take it."""
    values = lengths.double().numpy()
    low, high = np.percentile(values, 1, method="lower"), np.percentile(values, 99, method="higher")
    return float(values[(values >= low) & (values <= high)].mean())
