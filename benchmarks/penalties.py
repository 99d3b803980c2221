"""What lazy R1, R1, and R1 with R2 cost over a plain step: DCGAN at 32 pixels without norms in D."""

from __future__ import annotations

import tempfile
from statistics import median

import torch

from mulligan.core.engine import Optim
from mulligan.core.recipe import Plan
from mulligan.data import Source
from mulligan.parts import objectives
from mulligan.parts.stabilize import Stabilize
from mulligan.zoo.image.classic import classic

from .common import finish, interleaved, parser, pictures, timed, trainer

CASES = {
    "plain": (Stabilize(), 1.0, 1.0),
    "lazy R1, every 16th": (Stabilize(r1=1.0, lazy=16), 1.1, 1.0),
    "R1": (Stabilize(r1=1.0), 1.6, 1.4),
    "R1 + R2": (Stabilize(r1=1.0, r2=1.0), 2.1, 1.8),
}


def plan(source: Source, stabilize: Stabilize, batch: int = 32) -> Plan:
    optims = {"D": Optim(2e-4), "G": Optim(2e-4)}
    return classic(
        source, objectives.nonsaturating, family="dcgan", latent=100, width=64, batch=batch, critic_turns=1,
        optims=optims, schedule="constant", ema=10_000, images=1_000_000, stabilize=stabilize, norm="none",
    )  # fmt: skip


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--slices", type=int, default=4)
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    source = pictures(32)
    with tempfile.TemporaryDirectory() as folder:
        trainers = {name: trainer(plan(source, case[0]), source, folder) for name, case in CASES.items()}
        # A slice is one whole cycle of the lazy penalty.
        works = {name: timed(t._round, 16) for name, t in trainers.items()}
        found = interleaved(works, given.slices)
    print(f"\n{'step':<24}{'median ms':>12}{'best ms':>12}{'cost':>8}{'bar':>8}{'aim':>8}")
    costs, passed = {}, True
    for name, (_, bar, aim) in CASES.items():
        cost = min(found[name]) / min(found["plain"])
        print(
            f"{name:<24}{median(found[name]) * 1e3:>12.1f}{min(found[name]) * 1e3:>12.1f}{cost:>8.2f}{bar:>8}{aim:>8}"
        )
        costs[name] = {"cost_of_bests": round(cost, 3), "bar": bar, "aim": aim}
        passed = passed and (name == "plain" or cost <= bar)
    finish("penalties", passed, **costs)


if __name__ == "__main__":
    main()
