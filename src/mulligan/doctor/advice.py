"""Which checkpoint is the best, and whether to go on: from scores where a run has them, else from `distance`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from mulligan.core.checkpoints import Checkpoints
from mulligan.core.run import Run

from .gather import number, whole
from .history import History
from .words import clean, share

LEAST = 8
"""Values that an advice needs."""
PATIENCE = 0.25
"""Share of the images so far in which nothing must have improved before the advice is to stop."""
SOONEST = 0.2
"""Share of the budget before which nobody should be told to stop."""
TRIFLE = 0.01
"""An improvement below this share of the best value is none."""
MEDIAN = 1.25
"""Times as far as a mean of as many values a median lies from the truth."""
NORMAL = 0.6745 * 6**0.5
"""Median size of a second difference of noise, in its standard deviations, where the noise is normal."""


@dataclass(frozen=True)
class Series:
    """(images, value) of what says how good samples are, lower is better; `sign` is -1 where its name means more."""

    name: str
    points: tuple[tuple[int, float], ...]
    sign: int = 1

    def __len__(self) -> int:
        return len(self.points)

    def smooth(self) -> list[tuple[int, float]]:
        """Medians of neighbours, `width` of them where there are as many: a cliff stays where it is."""
        values, half = [value for _, value in self.points], self.width // 2
        spans = [values[max(i - half, 0) : i + half + 1] for i in range(len(values))]
        return [(images, median(span)) for (images, _), span in zip(self.points, spans)]

    @property
    def width(self) -> int:
        return max(3, len(self) // 10 | 1)

    def noise(self) -> float:
        """Standard deviation from one value to the next, beside the trend: from second differences of the last half."""
        v = [value for _, value in self.points[len(self) // 2 - 1 :]]
        second = [abs(a - 2 * b + c) for a, b, c in zip(v, v[1:], v[2:])]
        return median(second) / NORMAL if second else 0.0

    def doubt(self) -> float:
        """Up to which difference two smoothed values may be the same: two standard deviations of such a median."""
        return 2 * MEDIAN * self.noise() / self.width**0.5

    def shown(self, value: float) -> str:
        return f"{self.sign * value:.4g}"


@dataclass(frozen=True)
class Best:
    """The best checkpoint that is still there, what it was chosen by, and its value."""

    checkpoint: str
    images: int
    by: str
    value: float
    why: str


@dataclass(frozen=True)
class Advice:
    """Whether to go on, why, and at how many images the best value was; `at` is None where that isn't known."""

    word: Literal["stop", "go on", "not enough"]
    why: str
    at: int | None = None


def distances(history: History) -> Series:
    return Series("distance", tuple(history.column("distance")))


def scores(run: Run) -> Series:
    """Scores of all checkpoints that were ever saved, under the name of what was scored while training."""
    found = [(whole(row.get("images")), number(row.get("score"))) for row in run.checkpoints.index().values()]
    points = sorted((at, value) for at, value in found if at is not None and value is not None and math.isfinite(value))
    first = next((row for row in run.scores() if row.get("training")), dict[str, Any]())
    return Series(clean(first.get("name", "score")), tuple(points), -1 if first.get("better") == "higher" else 1)


def best_checkpoint(checkpoints: Checkpoints, scored: Series, near: Series, budget: int) -> Best | None:
    """The checkpoint with the best score; without scores, the one where the smoothed distance was smallest."""
    name, index = checkpoints.best(), checkpoints.index()  # in this order: a run that trains adds to the index
    if name is not None and math.isfinite(score := float(index[name]["score"])):
        value = scored.sign * score
        why = f"best {scored.name}, {value:.4g}, of those that are still there"
        return Best(name, whole(index[name].get("images")) or 0, scored.name, value, why)
    smooth, there = near.smooth(), dict[str, int]()
    for path in checkpoints.newest_first():
        if (images := whole(index.get(path.name, {}).get("images"))) is not None:
            there[path.name] = images
    if not smooth or not there:
        return None
    values = {name: min(smooth, key=lambda point: abs(point[0] - at))[1] for name, at in there.items()}
    name = min(values, key=values.__getitem__)
    at, lowest = min(smooth, key=lambda point: point[1])
    why = f"smallest smoothed distance, {values[name]:.4g}, of the {len(there)} that are still there"
    if values[name] - lowest > near.doubt():
        why += f"; the run's smallest, {lowest:.4g}, was at {at:,} images{share(at, budget)}"
    return Best(name, there[name], "distance", values[name], why)


def advise(scored: Series, near: Series, budget: int = 0, unit: str = "images") -> Advice:
    """Stop where nothing has improved for the last quarter of the images beyond its noise; else go on."""
    series = scored if len(scored) >= LEAST else near
    if len(series) < LEAST:
        counts = " and ".join(f"{len(s)} of {s.name}" for s in (scored, near) if len(s))
        return Advice("not enough", f"{LEAST} scores or distances are needed, there are {counts or 'none'}")
    smooth, end = series.smooth(), series.points[-1][0]
    if end < SOONEST * budget:
        return Advice("not enough", f"only {end:,} of {budget:,} {unit} are done")
    before = [point for point in smooth if point[0] <= (1 - PATIENCE) * end]
    lately = [point for point in smooth if point[0] > (1 - PATIENCE) * end]
    if not before:
        return Advice("not enough", f"all values of {series.name} are from the last quarter of the {unit}")
    (at, best), (since, now) = (min(points, key=lambda point: point[1]) for points in (before, lately))
    if best - now > max(series.doubt(), TRIFLE * abs(best)):
        values = f"from {series.shown(best)} to {series.shown(now)}"
        used = "; the budget is used, a larger one may be worth it" if 0 < budget <= end else ""
        return Advice("go on", f"{series.name} still improves: {values} in the last quarter of the {unit}{used}", since)
    where = f"{series.shown(best)} at {at:,} {unit}{share(at, budget)}"
    why = f"nothing better than {series.name} {where}, beyond its noise of {series.noise():.2g}"
    return Advice("stop", f"the last quarter of the {unit} has brought {why}", at)
