"""A job: everything that a run is trained with, and the training of it in its folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from .assess.scoring import Scoring
from .core.engine import Engine
from .core.errors import UserError
from .core.progress import brief, duration
from .core.recipe import Plan
from .core.run import Run, warn
from .core.stream import Part
from .core.trainer import Hooks, Rhythm, Trainer
from .data import Source
from .doctor.attend import Attending
from .doctor.care import attendant, described, events_of
from .doctor.cures import asked
from .previews import previewer, tensorboard_writer
from .settings import compare
from .talk import say

PROBES = 60
"""In a run, where rounds allow it."""
FEWEST, MOST, LEAST = 100, 500, 15
"""Rounds between two probes at least and at most; probes in a run at least."""


@dataclass(frozen=True)
class Job:
    """What a run is trained with.

    `build` makes the plan anew with changed arguments, and `changes` are those that were made. `settings` is what
    `recipe.json` records. `every` holds the intervals that were asked for, in images. `aside`: rows of the source that
    are kept out of training. `halts`: whether a confirmed illness ends the training; `until`: images at which it ends
    before its budget, as a part of a longer run. `quiet`: no words, no pictures.
    """

    build: Callable[[dict[str, Any]], Plan]
    source: Source
    engine: Engine
    settings: dict[str, Any]
    every: dict[str, int | None]
    accumulate: int = 1
    tensorboard: bool = False
    scoring: Scoring | None = None
    doctor: bool = True
    aside: int = 0
    halts: bool = False
    until: int = 0
    quiet: bool = False
    changes: dict[str, Any] = field(default_factory=dict)

    def plan(self) -> Plan:
        """The networks as they start, the same for the same seed."""
        torch.manual_seed(self.engine.seed)
        return self.build(self.changes)

    def changed(self, change: dict[str, Any]) -> Job:
        """The same job with other arguments."""
        changes = {**self.changes, **change}
        noted = {**self.settings["doctor"], **described(self.build(changes))}
        return replace(self, changes=changes, settings={**self.settings, "changes": changes, "doctor": noted})

    @property
    def asked(self) -> dict[str, Any]:
        """The arguments as they are now, for cures."""
        noted = self.settings["doctor"]["objective"]
        return asked({**self.settings["arguments"], **self.changes}, len(self.source.shape) == 3, noted)

    @property
    def rows(self) -> Part | Source:
        """What is trained on."""
        return Part(self.source, self.aside, len(self.source)) if self.aside else self.source

    @property
    def held(self) -> Part | None:
        """What is kept aside."""
        return Part(self.source, 0, self.aside) if self.aside else None


def rhythm(every: dict[str, int | None], plan: Plan) -> Rhythm:
    """Intervals in images: as asked for, else shares of the budget."""
    defaults = {"log": plan.images // 200, "preview": max(plan.images // 10, 5_000), "checkpoint": plan.images // 10}
    given = {name: max(every.get(name) or default, 1) for name, default in defaults.items()}
    rounds = min(max(plan.images // plan.batch // PROBES, FEWEST), MOST)
    probe = every.get("probe") or min(rounds * plan.batch, max(plan.images // LEAST, 1))
    whole = given["log"] * max(round(probe / given["log"]), 1)  # a probe is part of a line of the log
    return Rhythm(**given, score=every.get("score") or 0, probe=whole)


def fit(job: Job, run: Run, plan: Plan) -> Trainer:
    """Train the job's plan in the folder from where it stands; the trainer at the end."""
    engine = job.engine
    # a run that never saved anything has nothing to contradict: out of memory, say, and the next try with less
    fresh, existed = not run.checkpoints.newest_first(), run.exists
    if existed and not fresh:
        notes = compare(run, job.settings, plan)
        for note in notes if engine.rank == 0 else ():
            warn(note)
    first = engine.rank == 0
    doctor = None
    if first and job.doctor:
        say_so = None if job.quiet else job.asked
        doctor = attendant(plan, job.rows, job.held, engine.device, job.halts, say_so)
    hooks = Hooks(
        preview=None if job.quiet else previewer(run, plan, job.source),
        score=job.scoring.hook(run, plan, job.source, engine) if first and job.scoring else None,
        log=[tensorboard_writer(run)] if job.tensorboard and first else [],
        doctor=doctor,
        halts=job.halts,
    )
    trainer = Trainer(
        plan, job.rows, run, engine, accumulate=job.accumulate, rhythm=rhythm(job.every, plan), hooks=hooks,
        until=job.until,
    )  # fmt: skip
    _resume(run, trainer, job, doctor)
    _greet(job, run, trainer)
    try:
        trainer.fit()
    except Exception:
        if first and not existed:
            run.discard()
        raise
    return trainer


def _greet(job: Job, run: Run, trainer: Trainer) -> None:
    plan, source, start = trainer.plan, job.source, trainer.clock.images
    if job.quiet:
        return
    if start >= plan.images and trainer.clock.round:
        say(job.engine, f"already finished: {start:,} images; a larger --images goes on")
        return
    name = job.settings["recipe"].rpartition("/")[2]
    aside = f" ({job.aside:,} of them kept aside for the doctor)" if job.aside else ""
    say(
        job.engine,
        f"{name} on {source.name}: {len(source):,} × {'×'.join(map(str, source.shape))}{aside}, {job.engine.device}, "
        f"to {plan.images:,} images in {run.path}",
    )


def _resume(run: Run, trainer: Trainer, job: Job, doctor: Attending | None) -> None:
    state, notes = run.checkpoints.load()  # first: where all are damaged, nothing may be touched
    if state is not None:
        try:
            trainer.load(state)
        except (KeyError, RuntimeError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"the newest checkpoint in {run.path} does not fit its recipe ({str(error).splitlines()[0]}): it was "
                "made by other code. Put that back, or start anew with another --out."
            ) from error
    if job.engine.rank == 0:
        if state is None or run.settings()["arguments"] != job.settings["arguments"]:
            run.create(job.settings)
        run.checkpoints.clean()
        for note in notes:
            warn(note)
        run.rewind(state["round"] if state else 0)
        if doctor is not None:
            if state is None:
                _examine(job, run)
            doctor.remember(run.rows())
    if state is not None and not job.quiet:
        say(job.engine, f"going on from round {state['round']:,} ({state['position']:,} images)")


def _examine(job: Job, run: Run) -> None:
    """Look at the data once: what is wrong goes to the log, and to the user where it is bad."""
    for event in () if job.quiet else events_of(job.rows, job.source.classes):
        run.log(event)
        if event["level"] == "alarm":
            say(job.engine, f"doctor: {event['text']} {event['advice']}")


def report(run: Run, trainer: Trainer, strokes: str = "") -> None:
    """The end of a run: what was made and where."""
    rows = [row for row in run.rows() if "event" not in row]
    sheets = sorted(run.samples.glob("*.png"))
    numbers = brief(rows[-1]) if rows else "none logged"
    rate = (
        f", {duration(rows[-1]['seconds'])} at {rows[-1]['images_per_second']:,.0f} images/s"
        if rows and "seconds" in rows[-1]
        else ""
    )
    word = trainer.doctor.word if trainer.doctor else ""
    lines = [
        f"done: {trainer.clock.images:,} images in {trainer.clock.round:,} rounds{rate}",
        *([f"doctor   {word} (mulligan diagnose {run.path})"] if word else []),
        *([f"strokes  {strokes}"] if strokes else []),
        f"samples  {sheets[-1] if sheets else 'none'}",
        f"curves   {run.curves}",
        f"numbers  {run.log_file}  (last: {numbers})",
        f"weights  {run.sampler_file}",
    ]
    print("\n".join(lines), flush=True)
