"""The lines of a log, however many they are, as rows that fit in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any

from .bands import BANDS
from .history import TRAINED, History, Row

MOST = 1_000
"""Rows that are kept of a log; where there are more lines, neighbours are averaged."""
COUNTED = ("images", "kimg", "steps", "epochs", "lines", "round")
"""Numbers that count: a mean takes their last."""
GAP = 5.0
"""Times the usual distance between two lines, from which on something is missing."""
SHOWN = 3
"""Places that a note names before it only counts."""


@dataclass
class Log:
    """What was read: rows of numbers in the order of their images, events, and remarks in words.

    `unit`: what "images" of the rows counts. `lines`: how many there were.
    """

    rows: list[Row] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unit: str = "images"
    lines: int = 0


class Gathered:
    """Takes rows one by one, and holds at most MOST of them: means of as many neighbours as it needs."""

    def __init__(self) -> None:
        self.rows, self.block, self.size, self.lines = list[Row](), list[Row](), 1, 0

    def add(self, row: Row) -> None:
        self.lines += 1
        self.block.append(row)
        if len(self.block) == self.size:
            self.rows.append(mean(self.block))
            self.block = []
            if len(self.rows) == MOST:
                self.rows, self.size = [mean(self.rows[i : i + 2]) for i in range(0, MOST, 2)], 2 * self.size

    def whole(self) -> list[Row]:
        return [*self.rows, mean(self.block)] if self.block else self.rows

    def notes(self) -> list[str]:
        return [] if self.size == 1 else [f"{self.lines:,} lines were gathered: means of {self.size:,} each"]


def mean(rows: Sequence[Row]) -> Row:
    """Means of numbers, wherever they were taken; the last of those that count."""
    if len(rows) == 1:
        return rows[0]
    sums, counts = dict[str, float](), dict[str, int]()
    for row in rows:
        for name, value in row.items():
            sums[name] = sums.get(name, 0.0) + value
            counts[name] = counts.get(name, 0) + 1
    last = {name: value for row in rows for name, value in row.items() if name in COUNTED}
    return {name: last.get(name, sums[name] / counts[name]) for name in sums}


def number(value: Any) -> float | None:
    """A float, also an infinite one; None for anything that isn't a number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def whole(value: Any) -> int | None:
    """A number without its fraction; None for what is none, or isn't finite."""
    found = number(value)
    return int(found) if found is not None and math.isfinite(found) else None


def told(name: str, value: float) -> bool:
    """Whether a number says something: a loss that isn't finite does, a signal doesn't."""
    return math.isfinite(value) or name in TRAINED


def ordered(rows: list[Row], falls: int) -> tuple[list[Row], list[str]]:
    """Rows in the order of their images, which fell so often; with a note where they did."""
    if not falls:
        return rows, []
    times = "once" if falls == 1 else f"{falls:,} times"
    return sorted(rows, key=lambda row: row["images"]), [
        f"out of order: the count falls {times}; the lines were sorted"
    ]


def gaps(rows: Sequence[Row], unit: str) -> list[str]:
    """Where the count jumps much farther than usual: there, nothing was logged."""
    images = [row["images"] for row in rows]
    jumps = [b - a for a, b in pairwise(images)]
    usual = median(jumps) if len(jumps) >= 4 else math.inf
    wide = [f"{a:,.0f} to {b:,.0f}" for a, b in pairwise(images) if b - a > GAP * max(usual, 1)]
    return [f"gaps: nothing was logged from {some(wide)} {unit}"] if wide else []


def stopped(history: History, unit: str) -> list[str]:
    """Signals that the newest three observations, or more, lack although earlier ones had them."""
    ends: dict[int, list[str]] = {}
    for name in BANDS:
        last = max((i for i in range(len(history)) if history.get(i, name) is not None), default=len(history))
        if last < len(history) - 3:
            ends.setdefault(last, []).append(name)
    end = f"{history.images(len(history) - 1):,}" if len(history) else ""
    return [f"{', '.join(names)}: not taken after {history.images(i):,} of {end} {unit}" for i, names in ends.items()]


def some(places: Sequence[str]) -> str:
    """The first places, and how many more."""
    more = f" and {len(places) - SHOWN:,} more" if len(places) > SHOWN else ""
    return ", ".join(places[:SHOWN]) + more
