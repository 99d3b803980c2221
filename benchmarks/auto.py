"""What gamma and learning rate suit how many samples and which batch: `r3gan` and `stylegan2` on parts of MNIST.

    python -m benchmarks.auto [--only gamma slow batch rate styles] [--write FILE.md]

Each run draws 40,000 images with one thread, one of StyleGAN2 half as many; 5,000 samples are judged by the Fréchet
distance on the 84 features of `../shared/weights`' LeNet to the 10,000 test pictures, so that learning few pictures by
heart doesn't pay. All of it takes a quarter of an hour of one core, and that of StyleGAN2 an hour.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

import mulligan
from mulligan.data import Source, open_source
from mulligan.metrics.distances import frechet

from .instruments import SHARED, LeNet, digits_test

IMAGES, SAMPLES, ALL = 40_000, 5_000, 60_000
COUNTS, GAMMAS = (100, 1_000, ALL), (0.1, 1.0, 10.0)
RATE, BATCH = 3e-3, 32
"""Of both players, at that batch, as in benchmarks/mnist.py: a budget so short asks for more than the recipe's 2e-4."""
STYLES = {"latent": 64, "style": 64, "base": 512, "most": 48}
"""Networks of StyleGAN2, which has a rate of its own and its penalty every 16 rounds."""


@dataclass(frozen=True)
class Case:
    """`rate` is a factor on 3e-3 × √(batch / 32); penalties are due every `lazy` rounds."""

    count: int = ALL
    batch: int = BATCH
    gamma: float = 1.0
    rate: float = 1.0
    seed: int = 0
    lazy: int = 4
    recipe: str = "r3gan"

    @property
    def lr(self) -> float:
        return 2.5e-3 if self.recipe == "stylegan2" else self.rate * RATE * (self.batch / BATCH) ** 0.5

    def arguments(self) -> dict[str, Any]:
        shared = {"batch": self.batch, "lr": self.lr, "ema": 5_000}
        if self.recipe == "stylegan2":
            return {**shared, "images": IMAGES // 2, "net": STYLES, "stabilize": {"r1": self.gamma, "lazy": self.lazy}}
        penalty = {"r1": self.gamma, "r2": self.gamma, "lazy": self.lazy}
        return {**shared, "images": IMAGES, "family": "dcgan", "width": 16, "stabilize": penalty}


CASES: dict[str, list[Case]] = {
    "gamma": [Case(count, gamma=gamma, seed=seed) for seed in (0, 1) for count in COUNTS for gamma in GAMMAS],
    "slow": [Case(100, gamma=gamma, rate=2**0.5 / 3, seed=seed, lazy=1) for seed in (0, 1) for gamma in GAMMAS],
    "batch": [Case(count, 4 * BATCH, gamma) for count in (100, ALL) for gamma in (1.0, 10.0)],
    "rate": [
        *(Case(count, rate=rate) for count in (100, ALL) for rate in (1 / 3, 3.0)),
        *(Case(batch=4 * BATCH, rate=rate) for rate in (0.5, 2.0)),
    ],
    "styles": [
        Case(batch=batch, gamma=gamma, seed=seed, lazy=16, recipe="stylegan2")
        for seed in (0, 1)
        for batch, gamma in ((16, 0.01), (16, 0.1), (16, 1.0), (16, 10.0), (64, 0.1), (64, 1.0))
    ],
}


def part(count: int) -> Source:
    """So many training pictures, the same for every run."""
    source = open_source("mnist", root=SHARED / "data", progress=False)
    rows = torch.randperm(len(source), generator=torch.Generator().manual_seed(0))[:count]
    return Source(f"mnist-{count}", {"x": source.gather(rows.sort().values)["x"]}, fingerprint=str(count))


class Judge:
    """Fréchet distance to the test pictures, on LeNet's features."""

    def __init__(self) -> None:
        self.net = LeNet()
        self.real, _ = self.net(digits_test()[0])

    def __call__(self, x: torch.Tensor) -> float:
        return frechet(self.net(x)[0], self.real)


def play(case: Case, judge: Judge) -> dict[str, Any]:
    """Train one and judge it."""
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        run = mulligan.train(
            case.recipe, part(case.count), out=Path(folder) / "run", seed=case.seed, device="cpu",
            sample_every=10**12, checkpoint_every=10**12, log_every=10_000, doctor=False, **case.arguments(),
        )  # fmt: skip
        x = run.sample(SAMPLES, seed=case.seed)
    spent = time.process_time() - started
    return {**asdict(case), "lr": case.lr, "frechet": round(judge(x), 2), "cpu_seconds": round(spent, 1)}


def table(rows: list[dict[str, Any]]) -> str:
    """One line per setting; seeds side by side."""
    keys = ("recipe", "count", "batch", "lr", "lazy", "gamma")
    found: dict[tuple[Any, ...], list[float]] = {}
    for row in rows:
        found.setdefault(tuple(row[key] for key in keys), []).append(row["frechet"])
    lines = ["| recipe | pictures | batch | lr | lazy | γ | Fréchet, each seed |", "|---|---|---|---|---|---|---|"]
    for (recipe, count, batch, lr, lazy, gamma), values in sorted(found.items()):
        scores = ", ".join(f"{value:.3g}" for value in values)
        lines.append(f"| {recipe} | {count:,} | {batch} | {lr:.2g} | {lazy} | {gamma:g} | {scores} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--write", type=Path, help="the table as Markdown")
    given = parser.parse_args()
    torch.set_num_threads(1)
    judge, rows = Judge(), []
    for count in COUNTS[:-1]:
        pictures = part(count).tensors["x"].float() / 127.5 - 1
        print(f"the {count:,} training pictures themselves: {judge(pictures):.2f}", flush=True)
    for case in (case for what in given.only for case in CASES[what]):
        rows.append(play(case, judge))
        print(json.dumps(rows[-1]), flush=True)
    print(table(rows))
    if given.write:
        given.write.write_text(table(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
