"""Does the doctor see what ails a run? Trainings that are known to be healthy or ill, on fresh seeds, and its verdicts.

    python -m benchmarks.doctor --seeds 10 --first 100 --keep FOLDER [--groups ring mnist] [--only d10] [--processes 2]
    python -m benchmarks.doctor --judge FOLDER [--write docs/doctor.md]

The first trains what isn't in the folder yet, keeps recipe.json, log.jsonl and truth.json of each, and judges; the
second only judges. A verdict follows from the log alone. The diagnosis of a run is the illness that was its gravest for
the longest time; any confirmed alarm in a healthy run is a false one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from .common import rewrite
from .doctor_cases import Case
from .doctor_set import CASES, UNEVEN

RIGHT, FALSE, EARLY = 0.9, 0.05, 0.3
EVEN, AS_GOOD = 0.1, 1.5
"""KL over the modes, in nats, below which a run that should have lost some has not: one of eight is 0.13. Fréchet
distance, over that of the healthy run of its seed, up to which one is as good."""
MARK = "<!-- verdicts -->"


@dataclass(frozen=True)
class Outcome:
    """A run judged: its diagnosis, whether any alarm was given, and the share of the budget at the first right one.

    `well`: in truth it isn't ill, although its case should be.
    """

    case: Case
    seed: int
    said: str
    alarm: bool
    detected: float | None
    well: bool = False

    @property
    def right(self) -> bool:
        return self.said in self.case.right if self.case.right else not self.alarm


def folder(keep: Path, case: Case, seed: int) -> Path:
    return keep / re.sub(r"[^a-z0-9]+", "-", f"{case.group} {case.name} {seed}".lower())


def one(job: tuple[Case, int, Path]) -> str:
    """Train a case with a seed, and keep what judging needs."""
    import torch

    torch.set_num_threads(1)
    case, seed, keep = job
    out = folder(keep, case, seed)
    with tempfile.TemporaryDirectory() as room:
        with contextlib.redirect_stdout(sys.stderr):  # the table alone belongs there
            truth = case.train(seed, Path(room) / "run")
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        for name in ("recipe.json", "log.jsonl"):
            shutil.copy(Path(room) / "run" / name, out / name)
    (out / "truth.json").write_text(json.dumps({"settings": case.settings, **truth}), encoding="utf-8")
    return f"{out.name}: {json.dumps(truth)}"


def judged(keep: Path, case: Case, seed: int) -> Outcome | None:
    """The doctor's verdict on a run that was kept; None where there is none of these settings."""
    from mulligan.core.run import Run
    from mulligan.doctor.report import of_run

    out = folder(keep, case, seed)
    truth = truth_of(keep, case, seed)
    if truth is None:
        return None
    report = of_run(Run(out))
    verdict, budget = report.verdict, case.images
    first = min((spell.confirmed for spell in verdict.spells if spell.key in case.right), default=None)
    detected = None if first is None else first / budget
    well = healthy_in_truth(keep, case, seed, truth)
    return Outcome(case, seed, verdict.chief or "healthy", bool(verdict.spells), detected, well)


def truth_of(keep: Path, case: Case, seed: int) -> dict[str, float] | None:
    """What came of a run by numbers that the doctor doesn't have; None where there is none of these settings."""
    file = folder(keep, case, seed) / "truth.json"
    truth = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return truth if truth.pop("settings", None) == case.settings else None


def healthy_in_truth(keep: Path, case: Case, seed: int, truth: dict[str, float]) -> bool:
    """Whether a run of an ill case has even modes, or is as good as the healthy run of its seed."""
    if case.right == UNEVEN:
        return truth.get("kl", EVEN) < EVEN
    healthy = next((other for other in CASES if (other.group, other.name) == (case.group, case.beside)), None)
    best = truth_of(keep, healthy, seed) if healthy else None
    return best is not None and truth.get("frechet", math.inf) <= AS_GOOD * best["frechet"]


def table(found: list[Outcome]) -> str:
    """Each case with its diagnoses, then the totals against the bars."""
    lines = ["| set | case | right is | right | called | alarm, median % of the run |", "|---|---|---|---|---|---|"]
    for case in (case for case in CASES if any(outcome.case is case for outcome in found)):
        of = [outcome for outcome in found if outcome.case is case]
        called = ", ".join(f"{said} {count}" for said, count in Counter(o.said for o in of).most_common())
        seen = [o.detected for o in of if o.detected is not None]
        when = f"{100 * median(seen):.0f} (of {len(seen)})" if seen else "–"
        what = " or ".join(case.right) or "healthy"
        right = f"{sum(o.right for o in of)} of {len(of)}"
        lines.append(f"| {case.group} | {case.name} | {what} | {right} | {called} | {when} |")
    return "\n".join(lines)


def totals(found: list[Outcome]) -> tuple[str, bool]:
    """The three figures and their bars, in words; whether all are kept."""
    sick, healthy = [o for o in found if o.case.right], [o for o in found if not o.case.right]
    lines, passed = [], True
    if sick:
        right = sum(o.right for o in sick) / len(sick)
        when = median(o.detected if o.detected is not None else 1.0 for o in sick)
        lines.append(f"right illness {right:.1%} of {len(sick)} (bar {RIGHT:.0%})")
        lines.append(f"first right alarm after {when:.0%} of the run, median (bar {EARLY:.0%}; never counts as 100 %)")
        passed = right >= RIGHT and when <= EARLY
        lines += beside(sick)
    if healthy:
        false = sum(o.alarm for o in healthy) / len(healthy)
        lines.append(f"false alarms in {false:.1%} of {len(healthy)} healthy runs (bar {FALSE:.0%})")
        passed = passed and false <= FALSE
    return "; ".join(lines), passed


def beside(sick: list[Outcome]) -> list[str]:
    """What is said beside the bar: how many of these runs were not ill in truth, and the figure without them."""
    well, rest = [o for o in sick if o.well], [o for o in sick if not o.well]
    if not (well and rest):
        return []
    called, right = sum(not o.alarm for o in well), sum(o.right for o in rest) / len(rest)
    return [
        f"{len(well)} of these runs are healthy in truth, and {called} of them are called so",
        f"right illness in {right:.1%} of the other {len(rest)}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=100)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--judge", type=Path)
    parser.add_argument("--groups", nargs="+", default=[])
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--write", type=Path)
    args = parser.parse_args()
    if bool(args.keep) == bool(args.judge):
        parser.error("name a folder with --keep to train, or with --judge only to judge")
    keep = args.keep or args.judge
    cases = [c for c in CASES if (not args.groups or c.group in args.groups) and (not args.only or c.name in args.only)]
    seeds = range(args.first, args.first + args.seeds)
    if args.keep:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        jobs = [(case, seed, keep) for seed in seeds for case in cases if judged(keep, case, seed) is None]
        with multiprocessing.get_context("spawn").Pool(args.processes, maxtasksperchild=4) as pool:
            for done, line in enumerate(pool.imap_unordered(one, jobs), 1):
                print(f"{done}/{len(jobs)} {line}", file=sys.stderr, flush=True)
    found = [outcome for case in cases for seed in seeds if (outcome := judged(keep, case, seed)) is not None]
    words, passed = totals(found)
    text = f"{table(found)}\n\n{words}."
    print(text)
    if args.write:
        rewrite(args.write, MARK, text)
    raise SystemExit(0 if passed else 1)


if __name__ == "__main__":
    main()
