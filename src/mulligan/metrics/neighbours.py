"""Metrics by nearest neighbours, block by block: the matrix of all distances is never held."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from .bank import PART, Rows
from .gaussian import finite

BLOCK = 1024
"""Rows of distances at a time: against 10,000 samples in float64, 80 MB."""


class PRDC(NamedTuple):
    """Precision and recall, density and coverage; all but density lie in [0, 1]."""

    precision: float
    recall: float
    density: float
    coverage: float


class PrecisionRecall(NamedTuple):
    precision: float
    recall: float


def prdc(real: Tensor, fake: Tensor, k: int = 5) -> PRDC:
    """Precision, recall, density and coverage of features real (N, F) and fake (M, F) (Naeem et al. 2020).

    A sphere reaches to the k-th neighbour of its own kind, itself not counted, and holds what is strictly nearer.
    Raises ValueError where there are not more than k samples on each side.
    """
    real, fake = _checked(real, k), _checked(fake, k)
    reach, reach_fake = radii(real, k), radii(fake, k)
    inside = torch.zeros(len(fake), dtype=torch.int64)
    recalled = covered = 0
    for rows, distance in blocks(real, fake):
        within = distance < reach[rows, None]
        inside += within.sum(0)
        covered += int((distance.amin(1) < reach[rows]).sum())
        recalled += int((distance < reach_fake).any(1).sum())
    return PRDC(
        float((inside > 0).double().mean()),
        recalled / len(real),
        float(inside.double().mean()) / k,
        covered / len(real),
    )


def precision_recall(real: Tensor, fake: Tensor, k: int = 3, half: bool = False) -> PrecisionRecall:
    """Improved precision and recall (Kynkäänniemi et al. 2019): as in `prdc`, but a sphere holds its border too.

    half: features and distances in float16, as the authors' code has them.
    """
    real, fake = _checked(real, k), _checked(fake, k)
    reach, reach_fake = radii(real, k, half), radii(fake, k, half)
    precise = torch.zeros(len(fake), dtype=torch.bool)
    recalled = 0
    for rows, distance in blocks(real, fake, half):
        precise |= (distance <= reach[rows, None]).any(0)
        recalled += int((distance <= reach_fake).any(1).sum())
    return PrecisionRecall(float(precise.double().mean()), recalled / len(real))


def radii(x: Tensor, k: int, half: bool = False) -> Tensor:
    """Distance (N,) of each row of x (N, F) to its k-th neighbour, itself not counted."""
    return torch.cat([distance.kthvalue(k + 1, 1).values for _, distance in blocks(x, x, half)])


def nearest(x: Tensor, to: Rows) -> tuple[Tensor, Tensor]:
    """Distance (N,) of each row of x (N, F) to its nearest row of `to` (M, F), and the number (N,) of that row."""
    x = finite(x.flatten(1))
    distance = torch.full((len(x),), torch.inf, dtype=torch.float64)
    index = torch.zeros(len(x), dtype=torch.int64)
    start = 0
    for part in to.split(PART):
        part = finite(part.flatten(1))
        for rows, each in blocks(x, part):
            best = each.min(1)
            nearer = best.values < distance[rows]
            distance[rows] = torch.where(nearer, best.values, distance[rows])
            index[rows] = torch.where(nearer, best.indices + start, index[rows])
        start += len(part)
    return distance, index


def blocks(a: Tensor, b: Tensor, half: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
    """Row numbers of a block of a (N, F), and their distances to all of b (M, F)."""
    a, b = (v.half() if half else v.double() for v in (a, b))
    lengths = b.square().sum(1)
    for start in range(0, len(a), BLOCK):
        part = a[start : start + BLOCK]
        rows = torch.arange(start, start + len(part))
        if half:
            yield rows, torch.cdist(part, b).double()
            continue
        squared = (part @ b.T).mul_(-2).add_(lengths).add_(part.square().sum(1)[:, None])
        yield rows, squared.clamp_(min=0).sqrt_()


def _checked(x: Tensor, k: int) -> Tensor:
    if len(x) <= k:
        raise ValueError(f"the {k}-th neighbour needs more than {k} samples on each side, not {len(x)}")
    return finite(x.detach().flatten(1))
