"""Many samples into a folder or a zip, made by any number of processes, and gone on with where they were stopped."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import torch

from ..core.blocks import BLOCK, blocks_of, own_draws, seed_of
from ..core.engine import Engine
from ..core.errors import UserError
from ..experiment import CHUNK, Experiment
from .keeping import Keeping, encoded
from .sheet import needs_pictures
from .styles import labels_in_turn
from .wish import Wish, drawn, size_of, table


def bulk(
    experiment: Experiment, count: int, out: str | Path, *, seed: int = 0, label: str | None = None,
    batch: int = CHUNK, workers: int = 1, show: Callable[[Iterator[int], int], Iterator[int]] = lambda done, _: done,
) -> Path:  # fmt: skip
    """Write `count` samples as 000000.png, … into a folder, or into a .zip that appears when it is whole.

    Block b of BLOCK samples draws from a stream of (seed, b), as in scores, so neither `batch` nor the number of
    processes matters (convolutions may round otherwise for another batch, which 8 bits seldom show). Labels are drawn
    evenly, or are those of `label` in turn, and stand in labels.csv. `workers` are processes of this machine, which a
    script must start under `if __name__ == "__main__"`; under torchrun every process does its share. `show` is handed
    the counts of samples that are there and their number, for a progress bar.

    A call that was stopped goes on when it is repeated, and a larger count adds to a folder. Raises UserError for wrong
    input with nothing written, and for a folder of other things; OSError.
    """
    needs_pictures(experiment, "--count")
    for name, value in (("count", count), ("batch", batch), ("workers", workers)):
        if value < 1:
            raise UserError(f"--{name} {value}: at least 1")
    many = int(os.environ.get("WORLD_SIZE", "1")) > 1
    if workers > 1 and many:
        raise UserError(f"--workers {workers}: torchrun has started the processes already, leave it out")
    labels_in_turn(experiment, label)
    wish = Wish.of(experiment, seed, label, count)
    engine = Engine(experiment.device.type if many else str(experiment.device), seed)
    experiment.device = engine.device
    experiment.sampler.to(engine.device)
    keeping = Keeping(Path(out), wish, count)
    try:
        _together(engine, keeping.prepare)
        mine = range(engine.rank, blocks_of(count), engine.world)
        made = _made(experiment, keeping, mine, batch, workers)
        total = sum(size_of(number, count) for number in mine)
        for _ in show(made, total) if engine.rank == 0 else made:
            pass
        engine.agree(False)  # all are there
        _together(engine, lambda: keeping.finish(table(experiment, wish, count)))
    finally:
        engine.close()
    return keeping.out


def _together(engine: Engine, work: Callable[[], None]) -> None:
    """Rank 0 works, and the others wait for it, or leave with it."""
    error: Exception | None = None
    if engine.rank == 0:
        try:
            work()
        except (UserError, OSError) as refused:
            error = refused
    if engine.agree(error is not None):
        raise error or UserError("rank 0 couldn't write, see its message")


def make(experiment: Experiment, keeping: Keeping, number: int, batch: int) -> Iterator[int]:
    """Make and keep the samples of a block that isn't there yet; gives how many more are there, batch by batch.

    Raises UserError for values that aren't finite.
    """
    n = size_of(number, keeping.count)
    if keeping.has(number, n):
        yield n
        return
    z, y = drawn(experiment, keeping.wish, number)
    with own_draws(seed_of(keeping.wish.seed, number), z.device), keeping.block(number, n) as keep:
        for i in range(0, n, batch):
            end = min(i + batch, n)
            x = experiment.decode(z[i:end], None if y is None else y[i:end], batch)
            if not bool(x.isfinite().all()):
                raise UserError(
                    f"{experiment.path}: samples {number * BLOCK + i:,} to {number * BLOCK + end - 1:,} have values "
                    "that are NaN or infinite: the generator is broken, look at the log of its training"
                )
            for place, picture in enumerate(x, number * BLOCK + i):
                keep(place, encoded(picture))
            yield end - i


@dataclass(frozen=True)
class Worker:
    """What a process needs to make blocks of a run."""

    path: str
    device: str
    which: tuple[str, bool]
    keeping: Keeping
    batch: int
    threads: int

    def begin(self, places: Any) -> None:
        """In a process that has just started; it ends with the one that has started it."""
        parent = multiprocessing.parent_process()
        assert parent is not None
        Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        torch.set_num_threads(self.threads)
        global _here
        _here = self, places.get()

    def open(self, place: int) -> Experiment:
        """The run, on GPUs in turn. Raises UserError where its weights are others by now."""
        on_gpu = self.device == "cuda"
        experiment = Experiment(self.path, f"cuda:{place % torch.cuda.device_count()}" if on_gpu else self.device)
        if self.which != ("newest", False):
            experiment.use(*self.which)
        wish = self.keeping.wish
        if wish.psi != 1:
            experiment.truncate(wish.psi)
        if Wish.of(experiment, wish.seed, wish.label, wish.count) != wish:
            raise UserError(f"the weights in {self.path} have changed meanwhile: let the training end, or name a copy")
        return experiment


_here: tuple[Worker, int] | None = None
_opened: list[Experiment] = []
"""What a worker process makes blocks with."""


def _one(number: int) -> int:
    assert _here is not None
    worker, place = _here
    if not _opened:
        _opened.append(worker.open(place))
    return sum(make(_opened[0], worker.keeping, number, worker.batch))


def _made(experiment: Experiment, keeping: Keeping, numbers: Sequence[int], batch: int, workers: int) -> Iterator[int]:
    """Make blocks here or in other processes; gives how many more samples are there."""
    workers = min(workers, len(numbers))
    if workers <= 1:
        for number in numbers:
            yield from make(experiment, keeping, number, batch)
        return
    ways = multiprocessing.get_context("spawn")  # a fork would inherit the threads of torch half-way
    places, threads = ways.SimpleQueue(), max(1, (os.cpu_count() or 1) // workers)
    for i in range(workers):
        places.put(i)
    worker = Worker(str(experiment.path), experiment.device.type, experiment._which, keeping, batch, threads)
    pool = ProcessPoolExecutor(workers, ways, worker.begin, (places,))
    try:
        for done in as_completed([pool.submit(_one, number) for number in numbers]):
            yield done.result()
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process was killed, perhaps for want of memory: repeat the command with fewer --workers or a "
            "smaller --batch, it goes on where it stopped"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
