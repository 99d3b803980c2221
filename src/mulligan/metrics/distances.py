"""Distances between two sets of features, and between two histograms."""

from __future__ import annotations

import torch
from torch import Tensor


def frechet(a: Tensor, b: Tensor) -> float:
    """Fréchet distance between Gaussians fitted to features a (N, F) and b (M, F), computed in float64.

    ‖μ₁ − μ₂‖² + tr(C₁ + C₂ − 2 (C₁C₂)^½) (Dowson & Landau 1982; Heusel et al. 2017). The root by two symmetric
    eigenvalue problems: tr (C₁C₂)^½ = tr (C₁^½ C₂ C₁^½)^½. Raises ValueError for fewer than two rows.
    """
    if len(a) < 2 or len(b) < 2:
        raise ValueError(f"a covariance needs at least 2 rows, not {len(a)} and {len(b)}")
    a, b = a.double(), b.double()
    first, second = torch.cov(a.T).reshape(a.shape[1], -1), torch.cov(b.T).reshape(b.shape[1], -1)
    values, vectors = torch.linalg.eigh(first)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    overlap = torch.linalg.eigvalsh(root @ second @ root).clamp(min=0).sqrt().sum()
    return float((a.mean(0) - b.mean(0)).square().sum() + first.trace() + second.trace() - 2 * overlap)


def kl_to_uniform(labels: Tensor, classes: int) -> float:
    """KL divergence in nats of the histogram of labels (N,) from the uniform law over `classes`; 0 is even."""
    share = torch.bincount(labels.reshape(-1).long(), minlength=classes).double()
    share = share / share.sum()
    present = share > 0
    return float((share[present] * (share[present] * classes).log()).sum())
