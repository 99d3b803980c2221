"""diagnose: what ails a training, for Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .core.errors import UserError
from .doctor.care import described
from .doctor.report import Report, of_run
from .experiment import Experiment


def diagnose(path: str | Path) -> Report:
    """What the doctor says of a run folder, which may be training right now; nothing is written.

    Raises UserError where it isn't a run, was imported, or has a log that can't be read.
    """
    run = Experiment(path, "cpu")
    return of_run(run, {} if "doctor" in run.settings() else _of_plan(run))


def _of_plan(run: Experiment) -> dict[str, Any]:
    """What a run from before the doctor doesn't note of its plan; a recipe file isn't run for that."""
    if ":" in str(run.settings().get("recipe")):
        return {}
    try:
        return described(run.plan)
    except (UserError, KeyError, TypeError):
        return {}
