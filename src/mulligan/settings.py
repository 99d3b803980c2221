"""What `recipe.json` records of a run, and what must not differ when it goes on."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import torch

from . import __version__
from .core.errors import UserError
from .core.recipe import Plan, Recipe, flatten, nest
from .core.run import Run
from .zoo import find


def describe(
    recipe: Recipe, arguments: dict[str, Any], data: str | Path, source: Any, seed: int, precision: str,
    labels: str | Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """What `recipe.json` records."""
    facts = {
        "source": str(data), "name": source.name, "shape": list(source.shape), "classes": list(source.classes),
        "count": len(source), "fingerprint": source.fingerprint,
    }  # fmt: skip
    if columns := getattr(source, "columns", ()):
        scaling = [list(scale) for scale in source.scaling]
        facts |= {"columns": list(columns), "scaling": scaling, "examples": [list(row) for row in source.examples]}
    if labels is not None:
        facts["labels"] = str(labels)
    versions = {"mulligan": __version__, "torch": torch.__version__, "python": platform.python_version()}
    return {
        "recipe": recipe.spec, "sha256": recipe.sha256, "paper": recipe.paper, "arguments": flatten(arguments),
        "data": facts, "seed": seed, "precision": precision, "versions": versions,
    }  # fmt: skip


def compare(run: Run, asked: dict[str, Any], plan: Plan) -> list[str]:
    """Raises UserError naming every setting that differs from the run's; gives remarks on what need not be the same.

    A larger budget is no difference unless something runs down with the budget.
    """
    there = run.settings()
    told: list[tuple[str, Any, Any]] = [
        (key, there.get(key), asked[key]) for key in ("recipe", "sha256", "seed", "precision")
    ]
    known = there["arguments"]
    if all(there.get(key) == asked[key] for key in ("recipe", "sha256")):
        # a run from before an argument was there has it at its default
        known = flatten(find(asked["recipe"]).arguments(nest(known)))
    keys = {**known, **asked["arguments"]}
    told += [("--" + key.replace("_", "-"), known.get(key), asked["arguments"].get(key)) for key in keys]
    told += [
        (f"data {key}", there["data"].get(key), asked["data"].get(key))
        for key in ("shape", "count", "classes", "columns", "fingerprint")
    ]
    told += [
        (f"--{key.replace('_', '-')}", *(s.get("start", {}).get(key) for s in (there, asked)))
        for key in ("from", "freeze_d")
    ]
    differ = [(name, old, new) for name, old, new in told if old != new]
    noise = getattr(getattr(plan.game, "stabilize", None), "instance_noise", 0)
    if plan.schedule == "constant" and not noise:
        differ = [row for row in differ if not (row[0] == "--images" and row[2] > row[1])]
    if differ:
        lines = "; ".join(f"{name}: {_short(old)} in the run, {_short(new)} asked for" for name, old, new in differ)
        raise UserError(
            f"{run.path} was made with other settings ({lines}). Take the same ones to go on, or another "
            "--out to start anew."
        )
    notes, version, shards = [], there.get("versions", {}).get("torch"), there.get("shards", asked["shards"])
    if version != torch.__version__:
        notes.append(f"made with torch {version}, this is {torch.__version__}: numbers may differ in the last digits")
    if shards != asked["shards"]:
        notes.append(
            f"made with {shards} processes × micro-batches, these are {asked['shards']}: the same images in each "
            "round, but other random draws"
        )
    return [f"the run was {note}" for note in notes]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "…"
