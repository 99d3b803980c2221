"""Fréchet distance of 50,000 × 2,048 features against the way of pytorch-fid: scipy's sqrtm.

    python -m benchmarks.frechet [--count 50000] [--dims 2048] [--slices 2]

The features are those of a random network after a ReLU: correlated, not negative, spectrum falling over six decades.
"""

from __future__ import annotations

import numpy as np
import torch

from mulligan.metrics.gaussian import Gaussian, frechet_of

from .common import compared, finish, interleaved, parser, timed

BAR = 5.0
AGREE = 1e-6


def features(count: int, dims: int, seed: int, shift: float) -> torch.Tensor:
    """(count, dims) float32; one mixing for every seed."""
    mix = torch.randn(dims, dims, generator=torch.Generator().manual_seed(0))
    mix *= torch.logspace(0, -3, dims)[:, None] / dims**0.5 * 8
    draw = torch.Generator().manual_seed(seed)
    return torch.cat([torch.relu(torch.randn(n, dims, generator=draw) @ mix + shift) for n in _parts(count)])


def _parts(count: int, size: int = 5000) -> list[int]:
    return [min(size, count - start) for start in range(0, count, size)]


Statistics = tuple[np.ndarray, np.ndarray]


def statistics(x: np.ndarray) -> Statistics:
    """Mean and covariance as pytorch-fid takes them."""
    return np.mean(x, axis=0), np.cov(x, rowvar=False)


def textbook(a: Statistics, b: Statistics) -> float:
    """The distance as pytorch-fid computes it (Heusel et al. 2017)."""
    from scipy import linalg

    step, root = a[0] - b[0], linalg.sqrtm(a[1].dot(b[1]))
    return float(step.dot(step) + np.trace(a[1]) + np.trace(b[1]) - 2 * np.trace(root.real))


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--count", type=int, default=50_000)
    options.add_argument("--dims", type=int, default=2048)
    options.add_argument("--slices", type=int, default=2)
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    x, y = features(given.count, given.dims, 1, 0.0), features(given.count, given.dims, 2, 0.02)
    seen = {
        "mulligan": timed(lambda: ours.extend([Gaussian.of(x), Gaussian.of(y)]), 1),
        "pytorch-fid's way": timed(lambda: theirs.extend([statistics(x.numpy()), statistics(y.numpy())]), 1),
    }
    ours: list[Gaussian] = []
    theirs: list[Statistics] = []
    title = f"of {given.count:,} × {given.dims:,}"
    statistic = compared(f"both statistics {title}", interleaved(seen, given.slices), "mulligan", "pytorch-fid's way")
    values: dict[str, float] = {}
    works = {
        "mulligan": timed(lambda: values.update(ours=frechet_of(ours[0], ours[1])), 1),
        "pytorch-fid's way": timed(lambda: values.update(theirs=textbook(theirs[0], theirs[1])), 1),
    }
    ratios = compared(f"distance {title}", interleaved(works, given.slices), "mulligan", "pytorch-fid's way")
    apart = abs(values["ours"] / values["theirs"] - 1)
    print(f"{values['ours']:.9g} and {values['theirs']:.9g}: {apart:.1e} apart, at most {AGREE:.0e}")
    passed = ratios["ratio_of_bests"] >= BAR and apart <= AGREE
    finish("frechet", passed, **ratios, bar=BAR, apart=apart, statistics=statistic["ratio_of_bests"])


if __name__ == "__main__":
    main()
