"""Distances between two sets of features, and between two histograms."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .bank import Rows, some
from .gaussian import ROWS, Gaussian, finite, frechet_of


class Spread(NamedTuple):
    """Mean and population standard deviation over subsets or splits."""

    mean: float
    std: float


def frechet(a: Rows, b: Rows) -> float:
    """Fréchet distance between Gaussians fitted to features a (N, F) and b (M, F) (Heusel et al. 2017).

    Raises ValueError for fewer than two rows.
    """
    return frechet_of(Gaussian.of(a), Gaussian.of(b))


class Extrapolated(NamedTuple):
    """A distance at infinitely many samples, its standard error, and the plain one at all that there are."""

    value: float
    error: float
    plain: float


def frechet_infinite(
    fake: Rows, real: Gaussian | Tensor, *, points: int = 15, smallest: int | None = None, seed: int = 0
) -> Extrapolated:
    """The Fréchet distance of features fake (N, F) without the bias of a finite N (Chong & Forsyth 2020).

    The bias is nearly proportional to 1 / N: a straight line through the distances of `points` random subsets, from
    `smallest` (a tenth of N, or more than F where N allows it) to N, is read at 1 / N = 0. The bias that the real side
    has stays. Raises ValueError for fewer than 20 samples.
    """
    if len(fake) < 20:
        raise ValueError(f"an extrapolation needs at least 20 samples, not {len(fake)}")
    real = real if isinstance(real, Gaussian) else Gaussian.of(real)
    smallest = smallest or min(max(len(fake) // 10, fake.shape[1] + 1), len(fake) // 2)
    draw = torch.Generator().manual_seed(seed)
    sizes = np.linspace(smallest, len(fake), points).round().astype(int)
    found = [frechet_of(Gaussian.of(some(fake, torch.randperm(len(fake), generator=draw)[:n])), real) for n in sizes]
    line, covariance = np.polyfit(1 / sizes, found, 1, cov=True)
    return Extrapolated(float(line[1]), float(covariance[1, 1] ** 0.5), found[-1])


def frechet_by_class(fake: Rows, fake_labels: Tensor, real: Rows, real_labels: Tensor) -> dict[int, float]:
    """The Fréchet distance inside each class of the real data: features (N, F), (M, F), labels (N,), (M,).

    Their mean is the intra-class distance of Miyato & Koyama (2018). Raises ValueError, naming the class, where a side
    has fewer than two of it.
    """
    found = {}
    for label in real_labels.unique().tolist():
        sides = _of(fake, fake_labels, label), _of(real, real_labels, label)
        if min(map(len, sides)) < 2:
            raise ValueError(
                f"class {label} has {len(sides[0])} generated and {len(sides[1])} real samples, not 2 each"
            )
        found[int(label)] = frechet(*sides)
    return found


def _of(rows: Rows, labels: Tensor, label: int) -> Rows:
    return some(rows, (labels == label).nonzero()[:, 0])


def mmd(
    x: Tensor,
    y: Tensor,
    *,
    kernel: Literal["polynomial", "rbf"] = "polynomial",
    degree: int = 3,
    sigma: float = 10.0,
) -> float:
    """Unbiased squared maximum mean discrepancy between features x (N, F) and y (M, F), float64.

    polynomial: (xᵀy / F + 1)^degree (Bińkowski et al. 2018, eq. 4); rbf: exp(−‖x − y‖² / 2σ²). May be negative.
    """
    if min(len(x), len(y)) < 2:
        raise ValueError(f"a kernel distance needs at least 2 rows on each side, not {len(x)} and {len(y)}")
    x, y = finite(x).double(), finite(y).double()

    def between(a: Tensor, b: Tensor) -> Tensor:
        if kernel == "polynomial":  # in place: these matrices are the cost of the whole
            return (a @ b.T).div_(a.shape[1]).add_(1).pow_(degree)
        return torch.cdist(a, b).square_().div_(-2 * sigma**2).exp_()

    def within(a: Tensor) -> Tensor:
        k = between(a, a)
        return (k.sum() - k.trace()) / (len(a) * (len(a) - 1))

    return float(within(x) + within(y) - 2 * between(x, y).mean())


def kernel_distance(
    fake: Rows,
    real: Rows,
    *,
    subsets: int = 100,
    size: int = 1000,
    seed: int = 2020,
    kernel: Literal["polynomial", "rbf"] = "polynomial",
    degree: int = 3,
    sigma: float = 10.0,
) -> Spread:
    """KID of features fake (N, F) and real (M, F): the mean of `mmd` over random subsets, and how it spreads.

    Subsets as torch-fidelity draws them: from RandomState(seed), generated first, without replacement; a size above
    N or M becomes the smaller of both (Bińkowski et al. 2018).
    """
    size = min(size, len(fake), len(real))
    draw = np.random.RandomState(seed)
    values = []
    for _ in range(subsets):
        x, y = (torch.from_numpy(draw.choice(len(v), size, replace=False)) for v in (fake, real))
        values.append(mmd(fake[x], real[y], kernel=kernel, degree=degree, sigma=sigma))
    return Spread(float(np.mean(values)), float(np.std(values)))


def inception_score(logits: Rows, splits: int = 10, seed: int | None = 2020) -> Spread:
    """exp of the mean KL(p(y|x) ‖ p(y)) over splits of the rows of logits (N, K) (Salimans et al. 2016).

    A seed shuffles the rows first, as torch-fidelity does; None leaves their order. Raises ValueError for fewer rows
    than splits.
    """
    if len(logits) < splits:
        raise ValueError(f"{splits} splits need at least as many samples, not {len(logits)}")
    n = len(logits)
    order = torch.arange(n) if seed is None else torch.from_numpy(np.random.RandomState(seed).permutation(n))
    scores = [_score(some(logits, order[i * n // splits : (i + 1) * n // splits])) for i in range(splits)]
    return Spread(float(np.mean(scores)), float(np.std(scores)))


def _score(logits: Rows) -> float:
    """exp(H(p̄) − mean H(p)), which is the mean KL from the mean p̄, row by row."""
    total, negative = 0.0, 0.0
    for part in logits.split(ROWS):
        log_p = F.log_softmax(finite(part).double(), 1)
        p = log_p.exp()
        total = total + p.sum(0)
        negative += float(torch.where(p > 0, p * log_p, 0.0).sum())  # the limit, where 0 · ∞ would be NaN
    mean = torch.as_tensor(total) / len(logits)
    return float(np.exp(negative / len(logits) - float(torch.special.xlogy(mean, mean).sum())))


def sliced_wasserstein(a: Tensor, b: Tensor, projections: int = 1000, seed: int = 2020) -> float:
    """3 F × the mean squared Wasserstein-2 distance over random projections of features a (N, F) and b (M, F).

    Known as MIND; directions are drawn on the CPU, the larger set is thinned first.
    """
    draw = torch.Generator().manual_seed(seed)
    n = min(len(a), len(b))
    a, b = (finite(v) if len(v) == n else finite(v)[torch.randperm(len(v), generator=draw)[:n]] for v in (a, b))
    direction = F.normalize(torch.randn(projections, a.shape[1], generator=draw), dim=1).double()
    along_a, along_b = ((v.double() @ direction.T).sort(0).values for v in (a, b))
    return float(3 * a.shape[1] * (along_a - along_b).square().mean())


def kl_to_uniform(labels: Tensor, classes: int) -> float:
    """KL divergence in nats of the histogram of labels (N,) from the uniform law over `classes`; 0 is even."""
    share = torch.bincount(labels.reshape(-1).long(), minlength=classes).double()
    share = share / share.sum()
    present = share > 0
    return float((share[present] * (share[present] * classes).log()).sum())
