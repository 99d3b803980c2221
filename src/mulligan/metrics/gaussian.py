"""Gaussians fitted to features that stream by, and the Fréchet distance between them."""

from __future__ import annotations

import torch
from torch import Tensor

from .bank import Rows

ROWS = 8192
"""Rows of a matrix that are made float64 at a time."""


class Gaussian:
    """Mean and covariance of features (N, F) that are added in batches; takes F² numbers, whatever N.

    float64 throughout. Batches are joined by the update of Chan, Golub & LeVeque (1983), so nothing cancels.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.empty(0, dtype=torch.float64)
        self.scatter = torch.empty(0, 0, dtype=torch.float64)

    @classmethod
    def of(cls, features: Rows) -> Gaussian:
        """Of a whole matrix (N, F), in memory or in a file."""
        found = cls()
        for part in features.split(ROWS):
            found.add(part)
        return found

    def add(self, features: Tensor) -> Gaussian:
        """Take in a batch (n, F). Raises ValueError for another F, and for values that aren't finite."""
        features = features.detach().flatten(1).double()
        if self.count and features.shape[1] != len(self.mean):
            raise ValueError(f"features have {features.shape[1]} dimensions, but {len(self.mean)} before")
        if len(features):
            mean = finite(features.mean(0))  # one value that isn't finite spoils its column
            self._join(len(features), mean.cpu(), _scatter(features - mean))
        return self

    def merge(self, other: Gaussian) -> Gaussian:
        """Take in what another one has seen, as from another process."""
        if other.count:
            self._join(other.count, other.mean, other.scatter)
        return self

    def _join(self, count: int, mean: Tensor, scatter: Tensor) -> None:
        if not self.count:
            self.count, self.mean, self.scatter = count, mean.clone(), scatter.clone()
            return
        step, total = mean - self.mean, self.count + count
        self.mean = self.mean + step * (count / total)
        self.scatter += scatter
        self.scatter += torch.outer(step, step) * (self.count * count / total)
        self.count = total

    def covariance(self, unbiased: bool = True) -> Tensor:
        """(F, F), divided by N - 1, or by N where not unbiased. Raises ValueError for fewer than two rows."""
        if self.count < 2:
            raise ValueError(f"a covariance needs at least 2 rows, not {self.count}")
        return self.scatter / (self.count - unbiased)


def frechet_of(a: Gaussian, b: Gaussian, unbiased: bool = True) -> float:
    """Fréchet distance between two Gaussians: ‖μ₁ − μ₂‖² + tr(C₁ + C₂ − 2 (C₁C₂)^½) (Dowson & Landau 1982).

    The trace of the root by the symmetric problem tr (C₁C₂)^½ = tr (LᵀC₂L)^½ with C₁ = LLᵀ, so rank-deficient
    covariances need no jitter and no complex numbers. Heusel et al. (2017) and most codes divide by N − 1; NVIDIA's
    divides by N, which is unbiased=False.
    """
    covariances = a.covariance(unbiased), b.covariance(unbiased)
    return frechet_given(a.mean, covariances[0], b.mean, covariances[1], (a.count - 1, b.count - 1))


def frechet_given(
    mean_a: Tensor, first: Tensor, mean_b: Tensor, second: Tensor, ranks: tuple[int, int] | None = None
) -> float:
    """The same from means (F,) and covariances (F, F).

    ranks: the most that the covariances can have, where that is known. Eigenvalues beyond are rounding errors, and
    their roots would add up.
    """
    if first.shape != second.shape:
        raise ValueError(f"features have {len(first)} and {len(second)} dimensions: take one extractor for both")
    mean_a, first, mean_b, second = (v.double() for v in (mean_a, first, mean_b, second))
    rank_a, rank_b = (min(rank, len(first)) for rank in ranks or (len(first), len(first)))
    root = _root(first, rank_a)  # C₁ = root rootᵀ, and rootᵀ C₂ root has the eigenvalues of C₁C₂
    product = torch.linalg.eigvalsh(root.T @ second @ root)
    overlap = product[max(rank_a - rank_b, 0) :].clamp(min=0).sqrt().sum()
    distance = (mean_a - mean_b).square().sum() + first.trace() + second.trace() - 2 * overlap
    return float(distance.clamp(min=0))  # of a set from itself, rounding may leave less than nothing


def _root(covariance: Tensor, rank: int) -> Tensor:
    """A factor (F, rank) with covariance = root rootᵀ: Cholesky's, a tenth of the work, or by eigenvalues."""
    if rank == len(covariance):
        lower, failed = torch.linalg.cholesky_ex(covariance)
        if not failed:
            return lower
    values, vectors = torch.linalg.eigh(covariance)  # in ascending order
    return vectors[:, len(covariance) - rank :] * values[len(covariance) - rank :].clamp(min=0).sqrt()


def finite(features: Tensor) -> Tensor:
    """The features; ValueError where a value isn't finite, which comparisons would pass over in silence."""
    if not bool(features.isfinite().all()):
        raise ValueError("features aren't finite: a picture with NaN or infinity, or an extractor that overflows")
    return features


def _scatter(x: Tensor) -> Tensor:
    """xᵀx on the CPU; numpy sees that it is symmetric and works out one half."""
    if x.device.type != "cpu":
        return (x.T @ x).cpu()
    rows = x.numpy()
    return torch.from_numpy(rows.T @ rows)
