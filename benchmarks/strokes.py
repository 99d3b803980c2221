"""Does a mulligan help? The same run with --mulligans 2 and without, seed by seed.

    python -m benchmarks.strokes --seeds 10 --first 200 --keep FOLDER [--only vanilla …] [--write docs/doctor.md]

Measured by numbers that the doctor doesn't have: the KL of the modes on the ring, the Fréchet distance by the LeNet to
the test split of MNIST. Bars: better in 8 of 10 seeds of each ill case; never more than 5 % worse on healthy ones.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import multiprocessing
import os
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from .common import rewrite
from .doctor import folder
from .doctor_cases import Case
from .doctor_set import CASES

NAMES = (
    ("ring", "vanilla"), ("ring", "D lr ×10"), ("ring", "saturating, 5 turns of D ×10"), ("mnist", "64 pictures"),
    ("ring", "rpgan r1 r2"), ("mnist", "dcgan"),
)  # fmt: skip
TRIALS = tuple(case for name in NAMES for case in CASES if (case.group, case.name) == name)
BETTER, WORSE = 0.8, 1.05
MARK = "<!-- strokes -->"


def one(job: tuple[Case, int, Path]) -> str:
    """Both runs of a seed; what came of each, and what the strokes were."""
    import torch

    torch.set_num_threads(1)
    case, seed, keep = job
    out, both = folder(keep, case, seed), dict[str, Any]()
    out.mkdir(parents=True, exist_ok=True)
    for name, granted in (("without", 0), ("with", 2)):
        with tempfile.TemporaryDirectory() as room:
            run = Path(room) / "run"
            trial = replace(case, arguments={**case.arguments, "mulligans": granted})
            with contextlib.redirect_stdout(sys.stderr):  # the table alone belongs there
                both[name] = trial.train(seed, run)
            if (run / "strokes.jsonl").is_file():
                shutil.copy(run / "strokes.jsonl", out)
    (out / "pair.json").write_text(json.dumps(both), encoding="utf-8")
    return f"{out.name}: {json.dumps(both)}"


def number(case: Case, truth: dict[str, float]) -> float:
    """The number that counts, lower is better; infinite for a run that broke."""
    return truth.get("kl" if case.group == "ring" else "frechet", math.inf)


def table(keep: Path, cases: list[Case], seeds: range) -> tuple[str, bool]:
    lines = ["| set | case | measure | without, with (each seed) | better | worst ratio | strokes kept |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    passed = True
    for case in cases:
        files = [folder(keep, case, seed) / "pair.json" for seed in seeds]
        pairs = [json.loads(file.read_text(encoding="utf-8")) for file in files if file.is_file()]
        if not pairs:
            continue
        values = [(number(case, pair["without"]), number(case, pair["with"])) for pair in pairs]
        better, worst = sum(b < a for a, b in values), max(b / max(a, 1e-9) for a, b in values)
        kept = sum('"arm": "cure"' in line and '"kept"' in line for file in files for line in strokes_of(file.parent))
        passed = passed and (better >= BETTER * len(pairs) if case.right else worst <= WORSE)
        each = "; ".join(f"{a:.3g}, {b:.3g}" for a, b in values)
        measure = "KL" if case.group == "ring" else "Fréchet"
        lines.append(
            f"| {case.group} | {case.name} | {measure} | {each} | {better} of {len(pairs)} | {worst:.2f} | {kept} |"
        )
    return "\n".join(lines), passed


def strokes_of(out: Path) -> list[str]:
    file = out / "strokes.jsonl"
    return file.read_text(encoding="utf-8").splitlines() if file.is_file() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=200)
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--write", type=Path)
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    cases = [case for case in TRIALS if not args.only or case.name in args.only]
    seeds = range(args.first, args.first + args.seeds)
    jobs = [
        (case, seed, args.keep) for seed in seeds for case in cases
        if not (folder(args.keep, case, seed) / "pair.json").is_file()
    ]  # fmt: skip
    with multiprocessing.get_context("spawn").Pool(args.processes, maxtasksperchild=1) as pool:
        for done, line in enumerate(pool.imap_unordered(one, jobs), 1):
            print(f"{done}/{len(jobs)} {line}", file=sys.stderr, flush=True)
    text, passed = table(args.keep, cases, seeds)
    print(text)
    if args.write:
        rewrite(args.write, MARK, text)
    raise SystemExit(0 if passed else 1)


if __name__ == "__main__":
    main()
