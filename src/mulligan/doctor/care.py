"""A doctor for a run that is about to train."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import torch

from mulligan.core.recipe import Plan
from mulligan.core.stream import Rows
from mulligan.parts.samplers import conditional

from .attend import Attending
from .data import problems
from .history import Facts
from .illness import Finding
from .known import Known
from .probe import Probe
from .words import paragraph


def attendant(
    plan: Plan,
    rows: Rows,
    held: Rows | None,
    device: torch.device,
    halts: bool = False,
    arguments: dict[str, Any] | None = None,
) -> Attending:
    """The doctor of a plan that is trained on `rows`, with `held` kept aside.

    An alarm is told with cures for these `arguments`; without them it isn't told.
    """
    probe = Probe(plan.game, Known(rows, held, device, int(conditional(plan.game.sampler))))
    facts = facts_from({**described(plan), "held_out": len(held) if held else 0}, plan.images, len(rows))
    return Attending(probe, facts, _silent if arguments is None else partial(told, plan.images, arguments), halts)


def events_of(rows: Rows, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Problems of the data as lines of a log."""
    return [
        {"round": 0, "images": 0, "event": "data", "problem": problem.key, **asdict(problem)}
        for problem in problems(rows, classes)
    ]


def facts_from(noted: dict[str, Any], budget: int, count: int) -> Facts:
    """From what `recipe.json` remembers: `described` and "held_out"."""
    names = {name: noted[name] for name in ("objective", "clip", "penalized") if name in noted}
    return Facts(**names, budget=budget, count=count, held=int(noted.get("held_out", 0)))


def described(plan: Plan) -> dict[str, Any]:
    """What `recipe.json` remembers of a plan for the doctor."""
    stabilize: Any = getattr(plan.game, "stabilize", None)
    slopes = (getattr(stabilize, name, 0) for name in ("r1", "r2", "gp", "dragan"))
    return {
        "objective": getattr(getattr(plan.game, "objective", None), "name", ""),
        "clip": float(getattr(stabilize, "clip_weights", 0)),
        "penalized": any(slopes),
    }


def told(budget: int, arguments: dict[str, Any], finding: Finding, others: list[str]) -> None:
    """The paragraph of an alarm, on stderr, without tearing a progress bar."""
    from tqdm import tqdm

    also = f"\nAlso seen: {', '.join(others)}." if others else ""
    tqdm.write(f"\n{paragraph(finding, budget, arguments=arguments)}{also}\n", file=sys.stderr)


def _silent(finding: Finding, others: list[str]) -> None:
    """A branch is spoken of when it has been played."""
