"""A branch: the run's own folder in small, from a state on."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..core.checkpoints import read_state, write_whole
from ..core.engine import build_optimizer
from ..core.errors import NonFinite
from ..core.recipe import Plan
from ..core.run import Run
from ..job import Job, fit
from ..talk import say
from .book import Arm, Book, Stroke


def folder(run: Run, stroke: Stroke, arm: Arm) -> Run:
    """Where a branch is played."""
    return Run(run.path / "strokes" / f"{stroke.number}-{arm}")


def play(job: Job, run: Run, book: Book, stroke: Stroke, arm: Arm) -> None:
    """Play a branch to its end, and note how far from the held-out data it is then."""
    started, distance = time.monotonic(), math.inf
    job = replace(job, until=stroke.until, halts=False, quiet=True, scoring=None, tensorboard=False)
    branch, images = folder(run, stroke, arm), stroke.until - (stroke.origin if arm == "cure" else stroke.at)
    if arm == "control" and stroke.broken:
        images = 0
    else:
        say(job.engine, f"mulligan {stroke.number}: {arm}, {images:,} images in {branch.path}")
        plan = job.plan()
        if job.engine.rank == 0 and not branch.checkpoints.newest_first():
            _prepare(job, run, branch, plan, stroke, arm)
        job.engine.agree(False)
        try:
            trainer = fit(job, branch, plan)
            if trainer.doctor is not None:
                distance = trainer.doctor.distance(trainer.average.refresh())
        except NonFinite:
            pass  # the branch has lost
    if job.engine.rank == 0:
        known, seconds = distance if math.isfinite(distance) else None, round(time.monotonic() - started, 1)
        book.write("played", stroke.number, arm=arm, distance=known, images=images, seconds=seconds)
    job.engine.agree(False)


def _prepare(job: Job, run: Run, branch: Run, plan: Plan, stroke: Stroke, arm: Arm) -> None:
    """Make the folder stand where the branch begins."""
    branch.create(job.settings)
    state = None
    if arm == "control":
        state = run.checkpoints.load()[0]
    elif stroke.checkpoint:
        digests = run.checkpoints.digests().get(stroke.checkpoint, set())
        state = adapted(read_state(run.checkpoints.folder / stroke.checkpoint, digests), plan)
    number = state["round"] if state else 0  # what was seen of the data stands before the first round
    write_lines(branch.log_file, [row for row in run.rows() if row.get("round", 0) <= number])
    if state:
        branch.checkpoints.save(state, number, images=state["position"])


def adapted(state: dict[str, Any], plan: Plan) -> dict[str, Any]:
    """A state for a plan with other arguments.

    Players whose networks are still the same keep weights and moments, with the plan's learning rates; a network that
    is built otherwise starts anew.
    """
    fresh, game, optimizers = plan.game.state_dict(), dict(state["game"]), dict(state["optimizers"])
    for player, modules in plan.game.players.items():
        inside = tuple(f"{module}." for module in modules)
        new = {name: value for name, value in fresh.items() if name.startswith(inside)}
        old = {name: value for name, value in game.items() if name.startswith(inside)}
        optimizer = build_optimizer(plan.game.owned(player), plan.optims[player]).state_dict()
        if {name: value.shape for name, value in new.items()} == {name: value.shape for name, value in old.items()}:
            optimizers[player] = {**optimizers[player], "param_groups": optimizer["param_groups"]}
        else:
            game = {name: value for name, value in game.items() if name not in old} | new
            optimizers[player] = optimizer
    whole = {**fresh, **{name: value for name, value in game.items() if name in fresh}}
    return {**state, "game": whole, "optimizers": optimizers}


def adopt(job: Job, run: Run, book: Book, stroke: Stroke, arm: Arm) -> None:
    """Take what a branch has reached as the run's own; the same when it is done a second time."""
    branch = folder(run, stroke, arm)
    if not (arm == "control" and stroke.broken):
        state = branch.checkpoints.load()[0]
        assert state is not None
        facts = branch.checkpoints.index()[branch.checkpoints.newest_first()[0].name]
        run.create(job.settings)
        told = {"round": state["round"], "images": state["position"], "event": "stroke", "text": book.outcome(stroke)}
        write_lines(run.log_file, [*branch.rows(), told])
        kept = {name: facts[name] for name in ("images", "healthy", "distance") if name in facts}
        run.checkpoints.forget(stroke.origin_round if arm == "cure" else state["round"])
        run.checkpoints.save(state, state["round"], **kept)
    book.write("finished", stroke.number, text=book.outcome(stroke))
    for side in ("cure", "control"):
        shutil.rmtree(folder(run, stroke, side).checkpoints.folder, ignore_errors=True)


def write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Replace a file of JSON lines in one step."""
    write_whole(path, "".join(json.dumps(row) + "\n" for row in rows))
