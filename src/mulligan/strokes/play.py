"""The mulligan: a run that has fallen ill goes back to where it was healthy, and plays on with one change.

Two branches are played for the same number of images: the run as it was (control), and from its last healthy checkpoint
with one change (cure). The one nearer to the held-out data stays: never a cure without its control.
A run that was stopped in the middle of a stroke goes on there, and no more are played than were granted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from ..core.errors import NonFinite, UserError
from ..core.recipe import Plan
from ..core.run import Run
from ..core.trainer import Trainer
from ..doctor.care import facts_from
from ..doctor.examine import examine
from ..doctor.history import History
from ..doctor.illness import Verdict
from ..job import Job, fit
from ..talk import say
from . import branch
from .book import Arm, Book, Stroke

Otherwise = Literal["go-on", "stop"]
BETTER = 0.95
"""Of the control's distance: what a cure must come below to stay."""
AHEAD = 0.1
"""Share of the budget that both branches play on beyond the alarm, at least."""


class StillIll(UserError):
    """No cure has helped, and the run was asked to stop then."""

    code = 3


def play(job: Job, run: Run, plan: Plan, granted: int, otherwise: Otherwise = "go-on") -> Trainer:
    """Train with up to `granted` strokes in all; the trainer at the end of the budget.

    Raises StillIll, with the state saved, where `otherwise` is "stop" and no stroke has helped.
    """
    book = Book(run)
    while True:
        stroke = book.open()
        if stroke is None:
            left = len(book.strokes()) < granted
            try:
                trainer = fit(replace(job, halts=left), run, plan)
                if not trainer.halted:
                    return trainer
            except NonFinite:
                if not left or not _begun(job, run, book, plan):
                    raise
            else:
                if not _begun(job, run, book, plan):
                    _or_stop(run, otherwise, "no cure is left to try")
                    return fit(replace(job, halts=False), run, plan)
            continue
        job = _stroke(job, run, book, stroke)
        plan = job.plan()
        if book.kept(stroke) == "control" and len(book.strokes()) >= granted:
            _or_stop(run, otherwise, "the last stroke that was granted didn't help")


def _or_stop(run: Run, otherwise: Otherwise, why: str) -> None:
    if otherwise == "stop":
        raise StillIll(f"{run.path} is ill, and {why}: stopped, its state is saved. mulligan diagnose {run.path}")


def _begun(job: Job, run: Run, book: Book, plan: Plan) -> bool:
    """Whether rank 0 has noted another stroke; the others read it."""
    if job.engine.rank == 0:
        facts = facts_from(job.settings["doctor"], plan.images, len(job.rows))
        verdict = examine(History.of(run.rows(), facts))
        stroke = chosen(job, run, book, verdict, plan.images)
        if stroke is None:
            say(job.engine, f"mulligan: no cure is left to try for {verdict.word}")
        else:
            book.begin(stroke)
            back = f"{stroke.origin:,} images, where it was healthy" if stroke.checkpoint else "the beginning"
            say(
                job.engine,
                f"mulligan {stroke.number}: {stroke.named.name} since {stroke.since:,} images. Back to {back}, and "
                f"on to {stroke.until:,} with {stroke.words}: {stroke.cure} ({stroke.source})",
            )
    job.engine.agree(False)
    return book.open() is not None


def chosen(job: Job, run: Run, book: Book, verdict: Verdict, budget: int) -> Stroke | None:
    """The first cure of the gravest illness that changes something and wasn't tried yet."""
    arguments, tried = job.asked, {(stroke.illness, stroke.cure) for stroke in book.strokes()}
    for finding in verdict.findings:
        for cure in finding.illness.cures:
            change = cure.of(arguments)
            if change and (finding.illness.key, cure.text) not in tried:
                at = max((int(row["images"]) for row in run.rows() if "images" in row), default=0)
                name, origin, number = _healthy(run, finding.since)
                until = min(at + max(at - origin, round(AHEAD * budget)), budget)
                return Stroke(
                    len(tried) + 1, finding.illness.key, finding.since, at, name, origin, number, until, cure.text,
                    cure.source, change,
                )  # fmt: skip
    return None


def _healthy(run: Run, before: int) -> tuple[str, int, int]:
    """Name, images and round of the newest checkpoint called healthy before an illness began; the beginning else."""
    name = run.checkpoints.healthy()
    row = run.checkpoints.index().get(name, {}) if name else {}
    return (name, row["images"], row["round"]) if name and row["images"] < before else ("", 0, 0)


def _stroke(job: Job, run: Run, book: Book, stroke: Stroke) -> Job:
    """Play both branches, keep the better one, and give the job that goes on."""
    jobs: dict[Arm, Job] = {"cure": job.changed(stroke.change), "control": job}
    for arm, there in jobs.items():
        if book.distance(stroke, arm) is None:
            branch.play(there, run, book, stroke, arm)
    kept = book.kept(stroke) or _better(book, stroke)
    if job.engine.rank == 0:
        if book.kept(stroke) is None:
            book.write("kept", stroke.number, arm=kept)
        branch.adopt(jobs[kept], run, book, stroke, kept)
        say(job.engine, book.outcome(stroke))
    job.engine.agree(False)
    return jobs[kept]


def _better(book: Book, stroke: Stroke) -> Arm:
    control, cure = book.distance(stroke, "control"), book.distance(stroke, "cure")
    assert control is not None
    assert cure is not None
    return "cure" if cure < BETTER * control else "control"
