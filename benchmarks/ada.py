"""ADA on few and on plenty of pictures: how often it augments, and whether D stays as sure as it should.

DCGAN on MNIST at 28 pixels: 200 pictures and 60,000, with and without ADA. Without it, r_t, the mean sign of D at real
pictures, must leave its target behind on the few. With it, p must rise there and r_t be near the target; on the many p
must stay near 0. Means are those of the last quarter of a run.
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
NEAR, LITTLE, MUCH = 0.1, 0.005, 0.2
"""How far the mean of r_t may be from its target; p at most on plenty and at least on few pictures.

Each of twelve changes is made with probability p: at 0.03 a third of the pictures are changed.
"""
NEVER = 0.999
"""A target that r_t hardly ever is above, so that p stays 0."""
SIZE: dict[str, Any] = {"width": 16, "batch": 64, "lr": 1e-3}


def played(source: Source, images: int, seed: int, target: float) -> list[dict[str, Any]]:
    """The lines of the log of the last quarter of a run."""
    with tempfile.TemporaryDirectory() as folder:
        run = mulligan.train(
            "dcgan", source, out=Path(folder) / "run", images=images, seed=seed, doctor=False, log_every=images // 200,
            sample_every=10**12, stabilize={"ada": target, "r1": 1.0, "lazy": 4}, **SIZE,
        )  # fmt: skip
        rows = [row for row in run.rows() if "ada_p" in row]
    return rows[-len(rows) // 4 :]


def good(few: bool, target: float, p: float, r: float) -> bool:
    """Whether this is what ADA is for."""
    if target == NEVER:
        return r > TARGET + NEAR if few else r < TARGET
    return (p >= MUCH and abs(r - TARGET) <= NEAR) if few else p <= LITTLE


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--images", type=int, default=400_000)
    options.add_argument("--seeds", type=int, default=3)
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    plenty = mnist(SHARED / "data" / "mnist")
    few = Source("few", {"x": plenty.tensors["x"][:FEW].clone()}, fingerprint="few")
    many = Source("plenty", {"x": plenty.tensors["x"]}, fingerprint="plenty")
    rows, passed = [], True
    print(f"{'seed':<6}{'pictures':>10}{'target':>10}{'p, mean':>10}{'p, last':>10}{'r_t, mean':>12}")
    for seed in range(given.seeds):
        for source, target in ((few, NEVER), (few, TARGET), (many, NEVER), (many, TARGET)):
            log = played(source, given.images, seed, target)
            p, r, last = mean(row["ada_p"] for row in log), mean(row["ada_r"] for row in log), log[-1]["ada_p"]
            print(
                f"{seed:<6}{len(source):>10,}{'-' if target == NEVER else target:>10}{p:>10.3f}{last:>10.3f}{r:>12.3f}",
                flush=True,
            )
            rows.append({"seed": seed, "pictures": len(source), "target": target, "p": round(p, 4), "r": round(r, 4)})
            passed = passed and good(source is few, target, p, r)
    finish("ada", passed, rows=rows)


if __name__ == "__main__":
    main()
