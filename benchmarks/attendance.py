"""What the doctor costs: DCGAN at 64 pixels with it and without, side by side in one run.

    python -m benchmarks.attendance [--threads 2] [--slices 3]

A slice is as many rounds as lie between two probes where they are most frequent, 100 (--rounds: fewer, which is
quicker and makes the difference larger), and one line of the log with a probe. Bar: a probe below 3 % of 100 rounds.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from statistics import median

import torch

from mulligan.core.engine import Engine
from mulligan.core.run import Run
from mulligan.core.stream import Part, kept_aside
from mulligan.core.trainer import Hooks, Trainer
from mulligan.doctor.care import attendant
from mulligan.job import FEWEST
from mulligan.zoo import find

from .common import finish, interleaved, parser, pictures

SIDE, COUNT, BAR = 64, 6_000, 0.03


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--slices", type=int, default=3)
    options.add_argument("--rounds", type=int, default=FEWEST)
    args = options.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        watched, alone = (player(folder, doctor) for doctor in (True, False))
        probes: list[float] = []
        works = {
            "without": slice_of(alone, args.rounds, []),
            "with the doctor": slice_of(watched, args.rounds, probes),
        }
        found = interleaved(works, args.slices)
    share = median(found["with the doctor"]) / median(found["without"]) - 1
    alone_share = median(probes) / FEWEST / median(found["without"])
    for name, seconds in found.items():
        each = ", ".join(f"{s * 1e3:.1f}" for s in seconds)
        print(f"{name:<18}{median(seconds) * 1e3:>10.1f} ms a round (each slice: {each})")
    print(f"a probe{median(probes):>17.3f} s every {FEWEST} rounds: {alone_share:.2%} of the time")
    print(f"with less without, a probe every {args.rounds} rounds: {share:+.2%}")
    finish("attendance", alone_share < BAR, probe_share=round(alone_share, 4), difference=round(share, 4))


def player(folder: str, doctor: bool) -> Trainer:
    """A trainer of DCGAN with its defaults, on random pictures."""
    source = pictures(SIDE, COUNT)
    aside = kept_aside(COUNT)
    rows, held = Part(source, aside, COUNT), Part(source, 0, aside)
    made = find("dcgan")
    torch.manual_seed(0)
    plan = made.plan(source, made.arguments({}))
    hooks = Hooks(doctor=attendant(plan, rows, held, torch.device("cpu")) if doctor else None)
    return Trainer(plan, rows, Run(folder), Engine("cpu", 0), hooks=hooks)


def slice_of(trainer: Trainer, rounds: int, probes: list[float]) -> Callable[[], float]:
    """Seconds a round, over `rounds` of them and what the doctor does after them."""

    def work() -> float:
        start = time.perf_counter()
        for _ in range(rounds):
            trainer._round()
        if trainer.doctor is not None:
            before = time.perf_counter()
            trainer.doctor.note({"images": float(trainer.clock.images), **trainer._probe(trainer.doctor)})
            probes.append(time.perf_counter() - before)
        return (time.perf_counter() - start) / rounds

    return work


if __name__ == "__main__":
    main()
