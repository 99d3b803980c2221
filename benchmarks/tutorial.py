"""The tutorial's GAN on MNIST: recipe gan, all defaults, against the tutorial's own program.

    python -m benchmarks.tutorial --data ../shared/data/mnist [--only mulligan|tutorial] [--images N] [--threads 2]

Mulligan trains through its Trainer in a real run folder with the default rhythm, but that a slice ends with a line of
the log every 3,000 images instead of 15,000. The sheet and the checkpoint that come every 300,000 images are timed once
at the end and charged in proportion, and the curves with the share of the time that a run gives them. The tutorial's
program runs in a process of its own.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mulligan.core.engine import Engine
from mulligan.core.trainer import Hooks, Rhythm, Trainer
from mulligan.experiment import Experiment
from mulligan.previews import CURVES_SHARE, previewer
from mulligan.settings import describe
from mulligan.zoo import find

from .common import SHARED, Apart, compared, finish, mnist, parser, stop

PROGRAM = SHARED / "baselines" / "tutorial_gan_torch.py"
BAR, AIM = 2.6, 3.5
SLICE = 3_000


class _Enough(Exception):
    """A slice is over."""


class Mulligan:
    """One run that is trained slice by slice."""

    def __init__(self, data: Path, out: str) -> None:
        source, recipe = mnist(data), find("gan")
        torch.manual_seed(0)
        arguments = recipe.arguments({})
        plan = recipe.plan(source, arguments)
        run = Experiment(out, "cpu")
        run.create(describe(recipe, arguments, data, source, 0, "fp32"))
        every = Rhythm(SLICE, plan.images // 10, plan.images // 10)
        hooks = Hooks(preview=previewer(run, plan, source), log=[self._end])
        self.trainer = Trainer(plan, source, run, Engine("cpu", 0), rhythm=every, hooks=hooks)
        self.trainer._preview()  # imports matplotlib, which is no training
        self.seconds = 0.0

    def _end(self, row: dict[str, Any]) -> None:
        raise _Enough

    def slice(self) -> float:
        """Seconds per image of the next slice."""
        before, start = self.trainer.clock.images, time.perf_counter()
        with contextlib.suppress(_Enough):
            self.trainer.fit()
        seconds = time.perf_counter() - start
        self.seconds += seconds
        return seconds / (self.trainer.clock.images - before)

    def rest(self) -> float:
        """Seconds per image of the sheet and the checkpoint that come once every 300,000 images."""
        self.trainer._preview()  # draws the curves too, for which a run allows a share of its time
        start = time.perf_counter()
        self.trainer._preview()
        self.trainer._save()
        return (time.perf_counter() - start) / self.trainer.every.checkpoint


def tutorial(data: Path, images: int, threads: int) -> dict[str, float]:
    """The program as it is, run for so many images; its own JSON line."""
    if not PROGRAM.is_file():
        stop(f"the tutorial's program {PROGRAM} isn't there: only --only mulligan works")
    try:
        spec = importlib.util.spec_from_file_location("tutorial_gan_torch", PROGRAM)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except ImportError as error:
        stop(f"the tutorial's program needs torchvision ({error}): install it, or take --only mulligan")
    before, printed = sys.argv, io.StringIO()
    sys.argv = [str(PROGRAM), "--data", str(data), "--images", str(images), "--threads", str(threads)]
    try:
        with contextlib.redirect_stdout(printed):
            module.main()
    finally:
        sys.argv = before
    return json.loads(printed.getvalue())


def opponent(data: Path, images: int, threads: int) -> Callable[[], float]:
    """The tutorial's program, so many images a slice; seconds per image."""

    def work() -> float:
        row = tutorial(data, images, threads)
        return row["seconds"] / row["images"]

    return work


def line(program: str, images: int, seconds: float) -> None:
    facts = {"images": images, "seconds": round(seconds, 3), "images_per_second": round(images / seconds, 1)}
    print(json.dumps({"program": program, **facts}), flush=True)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--data", type=Path, default=SHARED / "data" / "mnist", help="folder of the MNIST files")
    options.add_argument("--images", type=int, default=75_000, help="images to train per program")
    options.add_argument("--only", choices=("mulligan", "tutorial"))
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        works: dict[str, Callable[[], float]] = {}
        ours = Mulligan(given.data, folder) if given.only != "tutorial" else None
        if ours is not None:
            works["mulligan"] = ours.slice

        if given.only != "mulligan":
            works["tutorial"] = Apart(opponent, given.data, min(SLICE, given.images), given.threads)
        for _ in range(max(round(given.images / SLICE), 1)):
            for name, work in works.items():
                found.setdefault(name, []).append(work())
        if ours is not None:
            rest, images = ours.rest(), ours.trainer.clock.images
            found["mulligan"] = [(value + rest) * (1 + CURVES_SHARE) for value in found["mulligan"]]
            line("mulligan", images, (ours.seconds + rest * images) * (1 + CURVES_SHARE))
        if given.only != "mulligan":
            images = min(SLICE, given.images) * len(found["tutorial"])
            line("tutorial", images, sum(found["tutorial"]) * images / len(found["tutorial"]))
    if given.only:
        return
    steps = {name: [64 * value for value in values] for name, values in found.items()}
    ratios = compared("a step of 64 images", steps, "mulligan", "tutorial")
    finish("tutorial", ratios["ratio_of_bests"] >= BAR, **ratios, bar=BAR, aim=AIM)


if __name__ == "__main__":
    main()
