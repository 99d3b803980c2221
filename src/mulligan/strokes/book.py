"""`strokes.jsonl`: what was found, tried, gained and spent. A stroke is written down before it is played."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from ..core.checkpoints import append_line, read_lines
from ..core.progress import duration
from ..core.run import Run
from ..doctor.illness import Illness
from ..doctor.illnesses import SHELF

Arm = Literal["cure", "control"]


@dataclass(frozen=True)
class Stroke:
    """What was found at `at` images, standing since `since`; the checkpoint from which it is played again ("" for the
    beginning) with its images and round; where both branches end; and the change that is tried."""

    number: int
    illness: str
    since: int
    at: int
    checkpoint: str
    origin: int
    origin_round: int
    until: int
    cure: str
    source: str
    change: dict[str, Any]

    @property
    def named(self) -> Illness:
        return next(illness for illness in SHELF if illness.key == self.illness)

    @property
    def broken(self) -> bool:
        """Whether the run can't go on as it was: the same numbers would leave the finite again."""
        return self.illness == "nonfinite"

    @property
    def words(self) -> str:
        """The change in words."""
        return ", ".join(f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in self.change.items())


class Book:
    """The strokes of a run."""

    def __init__(self, run: Run) -> None:
        self.file = run.path / "strokes.jsonl"

    def rows(self, what: str, number: int = 0) -> list[dict[str, Any]]:
        """Lines of a kind, of one stroke or of all."""
        return [row for row in read_lines(self.file) if row.get("what") == what and number in (0, row["number"])]

    def write(self, what: str, number: int, **facts: Any) -> None:
        append_line(self.file, {"what": what, "number": number, **facts}, sync=True)

    def begin(self, stroke: Stroke) -> None:
        self.write("begun", **asdict(stroke))

    def strokes(self) -> list[Stroke]:
        names = [field.name for field in fields(Stroke)]
        return [Stroke(**{name: row[name] for name in names}) for row in self.rows("begun")]

    def open(self) -> Stroke | None:
        """The stroke that was begun and isn't finished."""
        return next((stroke for stroke in self.strokes() if not self.rows("finished", stroke.number)), None)

    def distance(self, stroke: Stroke, arm: Arm) -> float | None:
        """How far from the held-out data a branch ended, infinite where it broke; None where it wasn't played yet."""
        for row in self.rows("played", stroke.number):
            if row["arm"] == arm:
                return math.inf if row["distance"] is None else float(row["distance"])
        return None

    def kept(self, stroke: Stroke) -> Arm | None:
        """The branch that was chosen."""
        rows = self.rows("kept", stroke.number)
        return rows[-1]["arm"] if rows else None

    def cost(self, stroke: Stroke) -> tuple[int, float]:
        """Images that were played beyond the run's own, and seconds that the branches took."""
        rows = self.rows("played", stroke.number)
        return sum(row["images"] for row in rows) - (stroke.until - stroke.at), sum(row["seconds"] for row in rows)

    def outcome(self, stroke: Stroke) -> str:
        """What came of a stroke, in words."""
        control, cure = (_number(self.distance(stroke, arm)) for arm in ("control", "cure"))
        better = "the change stays" if self.kept(stroke) == "cure" else "no better, so the run goes on as it was"
        images, seconds = self.cost(stroke)
        return (
            f"mulligan {stroke.number}, {stroke.named.name}: distance to held-out data {cure} with {stroke.words}, "
            f"{control} as it was: {better} ({images:,} images more, {duration(seconds)})"
        )

    def summary(self) -> str:
        """What all strokes have cost; "" where none was played."""
        played = [stroke for stroke in self.strokes() if self.rows("finished", stroke.number)]
        if not played:
            return ""
        images, seconds = (sum(part) for part in zip(*map(self.cost, played)))
        kept = sum(self.kept(stroke) == "cure" for stroke in played)
        return f"{len(played)} played, {kept} kept, {images:,} images and {duration(seconds)} more ({self.file})"


def _number(value: float | None) -> str:
    return "none, its numbers left the finite" if value is None or math.isinf(value) else f"{value:.4g}"
