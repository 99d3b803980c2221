"""Before a run starts: what it will cost here, told by a few rounds of the same plan."""

from __future__ import annotations

import gc
import math
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch

from .core.engine import Engine
from .core.errors import NonFinite
from .core.memory import map_large
from .core.recipe import Plan
from .core.run import Run
from .core.trainer import Trainer
from .job import Job
from .talk import say

SECONDS, CYCLE = 1.0, 5
"""So long is played, in whole cycles of a lazy penalty where these are no longer than so many rounds."""
FEW, ENOUGH = 1_000, 10_000
"""Samples below which D learns them by heart, and below which augmentation about halves FID (docs/auto.md)."""
DIFFAUGMENT = "--stabilize.diffaugment color,translation,cutout"


@dataclass(frozen=True)
class Cost:
    """Of a round: seconds and real images; bytes of a checkpoint, of memory that the rounds took, and of it in all."""

    seconds: float
    images: int
    checkpoint: int
    grown: int
    peak: int


def foretell(job: Job, run: Run, plan: Plan, notes: Sequence[str] = ()) -> None:
    """Say what the run will cost from where it stands, and the notes on what was chosen for it.

    Every rank must call it. The rounds are played on a second plan: weights, random draws and the run's folder stay as
    they are. Raises what the first rounds of the run would, such as out of memory.
    """
    left, stabilize = plan.images - _stands_at(run), getattr(plan.game, "stabilize", None)
    if left <= 0:
        return
    try:
        lines = _told(measure(job, run, left), job, plan, left)
    except NonFinite as error:
        lines = [f"none: {error}, in the very first rounds; try a lower --lr"]
    gc.collect()
    if job.engine.device.type == "cuda":
        torch.cuda.empty_cache()
    lines += [f"auto: {note}" for note in notes]
    if warning := too_few(len(job.rows), len(job.source.shape) == 3, stabilize):
        lines.append(f"data: {warning}")
    say(job.engine, f"forecast  {lines[0]}", *(f"          {line}" for line in lines[1:]))


class Rehearsal(Trainer):
    """A trainer that only plays, and writes nothing."""

    def play(self, budget: int) -> tuple[float, int]:
        """One round to warm up, then the seconds that a round takes and the real images that it draws."""
        lazy = getattr(getattr(self.game, "stabilize", None), "lazy", 1)
        cycle, played = lazy if lazy <= CYCLE else 1, 0
        self._round()
        images, started, spent, enough = self.clock.images, self._now(), 0.0, False
        while not enough or played % cycle:
            self._round()
            played, spent = played + 1, self._now() - started
            enough = self.engine.agree(spent >= SECONDS or self.clock.images >= budget)
        return spent / played, images

    def _now(self) -> float:
        """When what was asked for is done: a GPU works behind."""
        if self.engine.device.type == "cuda":
            torch.cuda.synchronize(self.engine.device)
        return time.perf_counter()

    def _explained(self, error: NonFinite, when: str = "") -> NonFinite:
        return error


def measure(job: Job, run: Run, budget: int) -> Cost:
    """Play some rounds, of `budget` images at most, on a plan made for it; all random state is put back."""
    draws, engine = job.engine.draws(), Engine(str(job.engine.device), job.engine.seed, job.settings["precision"])
    before = held(engine.device, fresh=True)[0]
    try:
        rehearsal = Rehearsal(job.plan(), job.rows, run, engine, accumulate=job.accumulate)
        seconds, images = rehearsal.play(budget)
        peak, written = held(engine.device)[1], _Tally()
        torch.save(rehearsal.state(), cast(BinaryIO, written))
    finally:
        job.engine.restore_draws(draws)
        if engine.device.type == "cpu":
            map_large()  # as it is before a first round
    return Cost(seconds, images, written.size, max(peak - before, 0), peak)


class _Tally:
    """A file that only counts."""

    size = 0

    def write(self, data: bytes) -> int:
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        pass


def held(device: torch.device, fresh: bool = False) -> tuple[int, int]:
    """Bytes now and at the peak: allocated on a GPU, resident on a CPU (0 where the system doesn't tell).

    `fresh`: a GPU's peak counts from here on.
    """
    if device.type == "cuda":
        if fresh:
            torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device), torch.cuda.max_memory_allocated(device)
    if device.type == "mps":
        return torch.mps.current_allocated_memory(), torch.mps.driver_allocated_memory()
    status = Path("/proc/self/status")
    if status.is_file():
        lines = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines() if ":" in line)
        return tuple(int(lines[name].split()[0]) << 10 for name in ("VmRSS", "VmHWM"))  # type: ignore[return-value]
    try:
        import resource
    except ImportError:  # Windows
        return 0, 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << (0 if sys.platform == "darwin" else 10)
    return peak, peak


def too_few(count: int, pictures: bool, stabilize: Any) -> str:
    """What it means to train on so few, and the flags that help and aren't on; "" where there are enough."""
    if count >= ENOUGH:
        return ""
    flags = [DIFFAUGMENT] if pictures and not getattr(stabilize, "diffaugment", "") else []
    flags += ["--stabilize.r1 auto --stabilize.r2 auto"] if not getattr(stabilize, "r1", 0) else []
    what = "pictures" if pictures else "points"
    fate = "so few are learnt by heart by D" if count < FEW else f"below {ENOUGH:,}, D overfits"
    return f"{count:,} {what}: {fate}. What helps: {', '.join([*flags, f'more {what}'])}"


def device_name(device: torch.device) -> str:
    """The device as its maker calls it; of a CPU, with the threads that are used."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"{platform.processor() or platform.machine()} GPU"
    threads = torch.get_num_threads()
    return f"{_processor()}, {threads} thread{'s' * (threads > 1)}"


def _processor() -> str:
    known = Path("/proc/cpuinfo")
    lines = known.read_text(encoding="utf-8", errors="replace").splitlines() if known.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine() or "CPU"


def _told(cost: Cost, job: Job, plan: Plan, left: int) -> list[str]:
    rounds, world, count = math.ceil(left / cost.images), job.engine.world, len(job.rows)
    what = f"{left:,} images" if left == plan.images else f"{left:,} images left of {plan.images:,}"
    where = device_name(job.engine.device) + (f", {world} processes" if world > 1 else "")
    return [
        f"{what}, {rounds:,} rounds: {clock(rounds * cost.seconds)} on {where}, at {cost.images / cost.seconds:,.0f} "
        "images/s; scores, sheets and checkpoints come on top",
        f"memory {size(cost.grown)} for the rounds, {size(cost.peak)} in all; a checkpoint is {size(cost.checkpoint)}; "
        f"{left / count:,.1f} passes through {count:,} samples",
    ]


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss, rounded up."""
    whole = math.ceil(seconds)
    return f"{whole // 3600:,}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def size(count: int) -> str:
    """Bytes as MB or GB with three digits or more."""
    value, unit = (count / 1e9, "GB") if count >= 1e9 else (count / 1e6, "MB")
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f} {unit}"


def _stands_at(run: Run) -> int:
    """Images that the run has drawn at its newest checkpoint."""
    index = run.checkpoints.index()
    return next((int(index.get(path.name, {}).get("images", 0)) for path in run.checkpoints.newest_first()), 0)
