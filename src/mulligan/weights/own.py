"""Mulligan's own `sampler.safetensors`, whose header holds the settings of its run."""

from __future__ import annotations

import json
from typing import Any

from mulligan.core.errors import UserError

from .found import Found
from .reading import Weights

LAYOUT = "sampler.safetensors of a Mulligan run"
SETTINGS: dict[str, type] = {"recipe": str, "sha256": str, "arguments": dict, "data": dict}
DATA: dict[str, type] = {"source": str, "name": str, "shape": list, "classes": list, "count": int, "fingerprint": str}
NUMBERS = ("columns", "scaling", "examples")
"""Of data with numbers for each picture; lists."""


def recognise(weights: Weights) -> Found | None:
    """The generator in a file that a run has written, or None. Raises UserError for a header of anything else."""
    if not weights.header:
        return None
    try:
        settings: Any = json.loads(weights.header)
        _typed(settings, SETTINGS)
        _typed(settings["data"], DATA)
        if not all(isinstance(settings["data"].get(name, []), list) for name in NUMBERS):
            raise ValueError("numbers")
        if not all(isinstance(side, int) and side > 0 for side in settings["data"]["shape"]):
            raise ValueError("shape")
        if not "".join(map(str, settings["data"].values())).isprintable():
            raise ValueError("letters")
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{weights.path} has a header that no run of Mulligan writes ({error}): name another file"
        ) from error
    facts = settings["imported"] if isinstance(settings.get("imported"), dict) else {}
    data = {name: settings["data"][name] for name in (*DATA, *NUMBERS) if name in settings["data"]}
    return Found(
        network=f"generator of a {settings['recipe']} run",
        layout="Mulligan",
        recipe=settings["recipe"],
        arguments=settings["arguments"],
        data={**data, "classes": [str(name) for name in data["classes"]]},
        tensors=weights.tensors,
        source=_said(facts, "source"),
        licence=_said(facts, "licence"),
        recipe_sha256=settings["sha256"],
    )


def _said(facts: dict[str, Any], name: str) -> str:
    text = facts.get(name, "")
    return text if isinstance(text, str) and text.isprintable() else ""


def _typed(found: Any, kinds: dict[str, type]) -> None:
    for name, kind in kinds.items():
        if not isinstance(found, dict) or not isinstance(found.get(name), kind):
            raise ValueError(f"no {name}")
