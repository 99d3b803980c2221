"""ADA on few and on plenty of pictures: how often it augments, and whether D stays as sure as it should.

Small networks of StyleGAN2 on MNIST at 28 pixels: 200 pictures and 60,000. p must rise on the few and stay near 0
on the many; r_t, the mean sign of D at real pictures, must be near its target with the few. Means are those of the
second half of a run.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import mean
from typing import Any

import torch

import mulligan
from mulligan.data import Source

from .common import SHARED, finish, mnist, parser

TARGET, FEW = 0.6, 200
NEAR, LITTLE, MUCH = 0.1, 0.1, 0.2
"""How far the mean of r_t may be from its target; p at most on plenty and at least on few pictures."""
SIZE: dict[str, Any] = {
    "net": {"latent": 64, "style": 64, "base": 512, "most": 48}, "batch": 16, "path": 0.0,
    "stabilize": {"ada": TARGET, "r1": 0.1, "lazy": 16},
}  # fmt: skip


def played(source: Source, images: int, seed: int, folder: Path) -> list[dict[str, Any]]:
    """The lines of the log of a run."""
    run = mulligan.train(
        "stylegan2", source, out=folder, images=images, seed=seed, doctor=False, log_every=images // 60, **SIZE
    )
    return [row for row in run.rows() if "ada_p" in row]


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--images", type=int, default=40_000)
    options.add_argument("--seeds", type=int, default=3)
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    plenty = mnist(SHARED / "data" / "mnist")
    few = Source("few", {"x": plenty.tensors["x"][:FEW].clone()}, fingerprint="few")
    many = Source("plenty", {"x": plenty.tensors["x"]}, fingerprint="plenty")
    rows, passed = [], True
    print(f"{'seed':<6}{'pictures':>10}{'p, mean':>14}{'r_t, mean':>30}{'its worst tenth':>18}")
    for seed in range(given.seeds):
        for source in (few, many):
            with tempfile.TemporaryDirectory() as folder:
                log = played(source, given.images, seed, Path(folder) / "run")
            half = log[len(log) // 2 :]
            p, second = mean(row["ada_p"] for row in half), [row["ada_r"] for row in half]
            tenths = [mean(second[i : i + 3]) for i in range(0, len(second) - 2, 3)]
            worst = max(tenths, key=lambda r: abs(r - TARGET))
            print(f"{seed:<6}{len(source):>10,}{p:>14.3f}{mean(second):>30.3f}{worst:>18.3f}", flush=True)
            rows.append({"seed": seed, "pictures": len(source), "p": round(p, 4), "r": round(mean(second), 4)})
            good = p >= MUCH and abs(mean(second) - TARGET) <= NEAR if source is few else p <= LITTLE
            passed = passed and good
    finish("ada", passed, rows=rows)


if __name__ == "__main__":
    main()
