"""Reads `log.jsonl` of a run, also one that a kill, a full disk or a hand has damaged."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mulligan.core.errors import UserError

from .gather import Gathered, Log, gaps, number, ordered, told
from .history import PROBED, Row

LARGEST = 1e15
"""A count of images beyond this is a damaged one."""
LONGEST = 80
"""Letters of an event's words that are shown."""


def read_log(path: Path) -> Log:
    """The lines of a log. One that isn't there, or is empty, gives no rows: the run has only begun.

    Raises UserError where it can't be read, or has lines and none of them is one of a log.
    """
    log, gathered, torn, uncounted, falls, last = Log(), Gathered(), 0, 0, 0, 0.0
    for row in _objects(path):
        log.lines += 1
        if row is None:
            torn += 1
        elif "event" in row:
            log.events += _event(row, last)
        elif (kept := _numbers(row)) is None:
            uncounted += 1
        else:
            falls += kept["images"] < last
            last = kept["images"]
            gathered.add(kept)
    if log.lines and not gathered.lines and not log.events:
        raise UserError(f"{path}: none of its {log.lines:,} lines is one of a log: put a good copy back")
    log.rows, sorting = ordered(gathered.whole(), falls)
    if torn:
        log.notes.append(f"{torn:,} of {log.lines:,} lines of the log are torn, or no objects, and were passed over")
    if uncounted:
        log.notes.append(f"{uncounted:,} of {log.lines:,} lines of the log don't say at how many images they are")
    log.notes += [*sorting, *gathered.notes(), *gaps(log.rows, log.unit)]
    if not log.rows:
        log.notes.append("nothing is logged yet")
    elif not any(PROBED in row for row in log.rows):
        log.notes.append("no probe of the doctor is in the log: only losses, gradient norms and logits can be judged")
    return log


def _objects(path: Path) -> Iterator[dict[str, Any] | None]:
    """Each line that isn't empty as an object; None where it is none."""
    if not path.exists():
        return
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.strip():
                    yield _object(line)
    except OSError as error:
        raise UserError(f"{path} can't be read ({error.strerror or error})") from error


def _object(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _numbers(row: dict[str, Any]) -> Row | None:
    """The numbers of a line; None where it doesn't say at how many images it is."""
    images = number(row.get("images"))
    if images is None or not 0 <= images <= LARGEST:
        return None
    found = ((name, number(value)) for name, value in row.items())
    return {name: value for name, value in found if value is not None and told(name, value)}


def _event(row: dict[str, Any], last: float) -> list[dict[str, Any]]:
    """An event as rules take it: with a place, and what is said of data whole; none where that lacks."""
    images = number(row.get("images"))
    placed = {**row, "images": images if images is not None and 0 <= images <= LARGEST else last}
    if row["event"] != "data":
        return [placed]
    value = number(row.get("value"))
    whole = value is not None and math.isfinite(value) and "problem" in row and "healthy" in row
    return [{**placed, **{name: str(row[name])[:LONGEST] for name in ("problem", "healthy")}}] if whole else []
