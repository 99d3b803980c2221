"""Samples of several runs from the same seed, or the reason why there are none."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import UserError
from ..experiment import Experiment
from ..media import BadImage, Points
from ..media.decode import decode
from ..media.page import data_uri

POINTS = 2000  # of a run that makes points: a few dozen dots show no shape


@dataclass(frozen=True)
class Sheet:
    """A picture as an address that carries it, "" for none, and what to know about it."""

    picture: str
    caption: str


def sheet(run: Experiment, n: int, seed: int) -> Sheet:
    """Samples of a run; where it can't make any, its newest sheet with the reason. Never raises."""
    try:
        return fresh(run, n, seed)
    except UserError as error:
        reason = str(error)
    except Exception as error:  # a recipe of somebody else, or a damaged folder, may fail in any way
        reason = f"{type(error).__name__}: {error}"
    return old(run, f"no samples from seed {seed}: {reason}")


def fresh(run: Experiment, n: int, seed: int) -> Sheet:
    media = run.media
    if isinstance(media, Points):
        media, n = Points(reference(run.settings()["data"])), POINTS
    x = run.sample(n, seed)
    with tempfile.TemporaryDirectory() as folder:
        picture = data_uri(media.sheet(x, Path(folder) / "sheet.png"))
    labels = f", the {len(run.classes)} labels in turn" if run.classes else ""
    return Sheet(picture, f"{len(x):,} samples, seed {seed}{labels}")


def reference(facts: dict[str, Any]) -> Any:
    """The points that a toy run has learned, which are drawn anew; None for points from a file."""
    from ..data.toys import TOYS, toy

    name = str(facts.get("name"))
    source = toy(name, "train", 0) if name in TOYS else None
    return source.tensors["x"][:POINTS] if source and source.fingerprint == facts.get("fingerprint") else None


def old(run: Experiment, reason: str) -> Sheet:
    """The newest sheet of a run, decoded and written anew: what is called .png may be a link to anything."""
    for path in sorted(run.samples.glob("*.png"), reverse=True)[:1]:
        try:
            return Sheet(data_uri(decode(path)), f"{reason}. Shown is the newest sheet of its training, {path.name}")
        except BadImage:
            break
    return Sheet("", reason)
