"""What the benchmarks share: where the data lie, interleaved timing, one table and one JSON line."""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NoReturn

import torch

from mulligan.core.engine import Engine
from mulligan.core.errors import UserError
from mulligan.core.recipe import Plan
from mulligan.core.run import Run
from mulligan.core.trainer import Trainer
from mulligan.data import Source, open_source

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"


def parser(text: str | None) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--threads", type=int, default=2)
    return made


def stop(text: str) -> NoReturn:
    print(f"benchmark: {text}", file=sys.stderr)
    raise SystemExit(2)


def mnist(folder: Path) -> Source:
    """MNIST as users get it: packed once, then memory-mapped."""
    if not folder.is_dir():
        stop(f"there is no {folder}: name the folder of the MNIST files with --data")
    try:
        return open_source("mnist", root=folder.parent, cache=Path(tempfile.gettempdir()) / "mulligan-benchmarks")
    except UserError as error:
        stop(str(error))


def pictures(side: int, count: int = 2048, channels: int = 3) -> Source:
    """Random pictures; speed doesn't depend on what is on them."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (count, channels, side, side), dtype=torch.uint8, generator=generator)
    return Source("noise", {"x": x})


def trainer(plan: Plan, source: Source, folder: str) -> Trainer:
    return Trainer(plan, source, Run(folder), Engine("cpu", 0))


def interleaved(works: dict[str, Callable[[], float]], slices: int) -> dict[str, list[float]]:
    """Run the works in turn, `slices` times each after one to warm up; each gives its own seconds per unit."""
    for work in works.values():
        work()
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(slices):
        for name, work in works.items():
            found[name].append(work())
    return found


class Apart:
    """An opponent in a process of its own, as its users run it; a call is one slice and gives its seconds per unit.

    The engine tunes the C library's memory for its whole process, which would make a guest faster than it is at home.
    `make(*given)` builds the work over there.
    """

    def __init__(self, make: Callable[..., Callable[[], float]], *given: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, make, given, torch.get_num_threads()), daemon=True)
        self.process.start()
        theirs.close()

    def __call__(self) -> float:
        self.pipe.send(True)
        try:
            return self.pipe.recv()
        except EOFError:
            stop("the opponent ended early: its message stands above")


def _serve(pipe: Any, make: Callable[..., Callable[[], float]], given: tuple[Any, ...], threads: int) -> None:
    torch.set_num_threads(threads)
    work = make(*given)
    with contextlib.suppress(EOFError):  # the other end is gone: the benchmark is over
        while pipe.recv():
            pipe.send(work())


def timed(work: Callable[[], Any], times: int) -> Callable[[], float]:
    """Seconds of one call, averaged over `times`."""

    def measure() -> float:
        start = time.perf_counter()
        for _ in range(times):
            work()
        return (time.perf_counter() - start) / times

    return measure


def compared(name: str, found: dict[str, list[float]], ours: str, opponent: str) -> dict[str, float]:
    """Print both with median and best in milliseconds; the ratio of the bests is the claim."""
    print(f"\n{name:<34}{'median ms':>12}{'best ms':>12}")
    for program, seconds in found.items():
        print(f"{program:<34}{median(seconds) * 1e3:>12.3f}{min(seconds) * 1e3:>12.3f}")
    best = min(found[opponent]) / min(found[ours])
    middle = median(found[opponent]) / median(found[ours])
    print(f"{ours} is {best:.2f} times as fast (bests), {middle:.2f} (medians)")
    return {"ratio_of_bests": round(best, 3), "ratio_of_medians": round(middle, 3)}


def rewrite(page: Path, mark: str, text: str) -> None:
    """Put a text between the two marks of a page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(mark)
    page.write_text(f"{before}{mark}\n{text}\n{mark}{rest.partition(mark)[2]}", encoding="utf-8")


def finish(benchmark: str, passed: bool, **facts: Any) -> NoReturn:
    """The JSON line, and exit code 1 below the bar."""
    row = {"benchmark": benchmark, "torch": torch.__version__, "threads": torch.get_num_threads(), **facts}
    print(json.dumps({**row, "passed": passed}), flush=True)
    raise SystemExit(0 if passed else 1)
