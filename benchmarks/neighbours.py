"""Memory of precision, recall, density and coverage at 10,000 × 10,000 × 512 features: the peak above the features.

    python -m benchmarks.neighbours [--count 10000] [--dims 512]

Linux. `test_metrics.py` compares the blocks with the definitions.
"""

from __future__ import annotations

import resource
import time
from pathlib import Path

import torch

from mulligan.metrics.neighbours import prdc

from .common import finish, parser, stop

BAR = 2_000
"""MB."""


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--count", type=int, default=10_000)
    options.add_argument("--dims", type=int, default=512)
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    if not Path("/proc/self/status").is_file():
        stop("needs /proc, which only Linux has")
    draw = torch.Generator().manual_seed(0)
    real, fake = (torch.randn(given.count, given.dims, generator=draw) * scale for scale in (1.0, 0.95))
    prdc(real[:1000], fake[:1000])  # what is loaded once
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    found = prdc(real, fake)
    seconds = time.perf_counter() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    names = ("precision", "recall", "density", "coverage")
    print(", ".join(f"{name} {value:.4f}" for name, value in zip(names, found, strict=True)))
    print(f"{given.count:,} × {given.count:,} × {given.dims}: {grown:.0f} MB more at the peak, {seconds:.1f} s")
    finish("neighbours", grown <= BAR, megabytes=round(grown), seconds=round(seconds, 1), bar=BAR)


if __name__ == "__main__":
    main()
