"""What has been seen of a run so far: one row of signals for each probe."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

Row = dict[str, float]
PROBED = "probe"
"""Only rows of the log that hold a probe have it."""
BLOCKS = 60
"""Into so many observations the lines of a log without probes are gathered."""
EARLY, SETTLED = 0.05, 200
"""Share of the budget, and rounds, in which a run finds its feet: nothing is judged."""
TRAINED = ("loss_D", "loss_G", "grad_D", "grad_G", "real", "fake")
"""Numbers that end a run where they aren't finite."""
LEAST = 2
"""Observations at the start that are never judged."""
LAG, SMOOTH = 0.1, 3
"""Share of the budget in which a signal that gets better must have done so; observations whose median is taken."""
BASE = 4
"""Observations from the first judged one on whose median is what later ones are compared with."""


@dataclass(frozen=True)
class Facts:
    """What is known about a run beside its numbers; nothing is a must.

    `objective` is a name of `parts.objectives`, `count` the training samples, `held` those kept aside, `budget` in
    images, `clip` the bound of D's weights, `penalized` whether D pays R1, R2 or a gradient penalty.
    """

    objective: str = ""
    budget: int = 0
    count: int = 0
    held: int = 0
    labelled: bool = False
    clip: float = 0.0
    penalized: bool = False


@dataclass
class History:
    """Rows of signals in the order of their images, and `events`: what else the log tells."""

    rows: list[Row]
    facts: Facts = field(default_factory=Facts)
    events: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, log: Iterable[dict[str, Any]], facts: Facts) -> History:
        """From the lines of a log: its probes, with the means of the lines before each; else blocks of plain lines."""
        rows, events = [], []
        for row in log:
            (events if "event" in row else rows).append(row)
        found = observations(rows)
        for event in events:
            if event["event"] == "non-finite":
                found.append({"images": float(event.get("images", 0)), "nonfinite": 1.0})
        found.sort(key=lambda row: row["images"])  # a run may have gone on from an older checkpoint
        return cls(found, facts, events)

    def __len__(self) -> int:
        return len(self.rows)

    def get(self, i: int, name: str) -> float | None:
        """The value of a signal in observation i; None where it wasn't taken or is no number."""
        value = self.rows[i].get(name)
        return (
            value if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) else None
        )

    def images(self, i: int) -> int:
        return int(self.rows[i]["images"])

    def has(self, *names: str) -> bool:
        """Whether every one of these signals was taken at least once."""
        return all(any(self.get(i, name) is not None for i in range(len(self))) for name in names)

    def column(self, name: str) -> list[tuple[int, float]]:
        """(images, value) of a signal wherever it was taken."""
        return [(self.images(i), value) for i in range(len(self)) if (value := self.get(i, name)) is not None]

    @property
    def start(self) -> int:
        """The first observation that is judged."""
        early = EARLY * self.facts.budget
        judged = (i for i in range(LEAST, len(self)) if self.images(i) >= early and self._settled(i))
        return next(judged, len(self))

    def _settled(self, i: int) -> bool:
        rounds = self.get(i, "round")
        return rounds is None or rounds >= SETTLED

    def base(self, name: str, until: int | None = None) -> float | None:
        """Median of the first judged observations: what the run itself calls normal."""
        start = max(self.start - 1, 0)
        values = [v for i in range(start, min(start + BASE, len(self))) if (v := self.get(i, name)) is not None]
        return median(values) if values else None

    def ratio(self, i: int, name: str) -> float | None:
        """A signal over its base."""
        value, base = self.get(i, name), self.base(name)
        return None if value is None or not base else value / base

    def smooth(self, i: int, name: str) -> float | None:
        """Median of a signal over SMOOTH observations up to i."""
        values = [v for j in range(max(i - SMOOTH + 1, 0), i + 1) if (v := self.get(j, name)) is not None]
        return median(values) if values else None

    def back(self, i: int) -> int:
        """The observation that lies LAG of the budget before i, at least SMOOTH observations; -1 where none does."""
        until = self.images(i) - LAG * self.facts.budget
        return next((j for j in range(i - SMOOTH, -1, -1) if self.images(j) <= until), -1)


def observations(rows: Sequence[dict[str, Any]]) -> list[Row]:
    """One row per probe, or per block where there is none; numbers of the lines between are averaged into it."""
    rows = [row for row in rows if isinstance(row.get("images"), (int, float))]
    size, found, block = max(-(-len(rows) // BLOCKS), 1), list[Row](), list[dict[str, Any]]()
    probed = any(PROBED in row for row in rows)
    for row in rows:
        block.append(row)
        if PROBED in row if probed else len(block) == size:
            found.append(joined(block))
            block = []
    if block and not probed:
        found.append(joined(block))
    return found


def joined(block: Sequence[dict[str, Any]]) -> Row:
    """Means over the lines of a block; what a probe says is its last line's."""
    last = block[-1]
    names = {name for row in block for name, value in row.items() if isinstance(value, (int, float))}
    probe = PROBED in last
    out: Row = {}
    for name in names:
        values = [float(row[name]) for row in block if isinstance(row.get(name), (int, float))]
        kept = name in last and (name in ("images", "round") or (probe and not name.startswith(("loss_", "grad_"))))
        out[name] = float(last[name]) if kept else sum(values) / len(values)
    if not all(math.isfinite(value) for name, value in out.items() if name in TRAINED):
        out["nonfinite"] = 1.0
    return out
