"""A score: a number with its error, its floor and its whole protocol."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ..metrics.case import Metric
from .comparison_words import table as columns
from .panel import Panel

NOT_FID = "not comparable with FID"


@dataclass(frozen=True)
class Score:
    """Mean over repeats, its standard error (None from a single one), and what it takes to measure it again."""

    metric: str
    name: str
    value: float
    error: float | None
    values: tuple[float, ...]
    better: str
    floor: float | None
    note: str
    protocol: dict[str, Any]
    facts: dict[str, Any]
    details: Any = None

    def row(self) -> dict[str, Any]:
        """A line of `scores.jsonl`."""
        row = {
            "time": datetime.now(UTC).isoformat(timespec="seconds"), "metric": self.metric, "name": self.name,
            "value": _json(self.value), "error": self.error,
            "values": [_json(value) for value in self.values],
            "better": self.better, "floor": self.floor, "note": self.note, **self.facts, "protocol": self.protocol,
        }  # fmt: skip
        return row if self.details is None else {**row, "details": self.details}


def _json(value: float) -> float | None:
    return value if math.isfinite(value) else None


def mean_error(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean of independent repeats, and its standard error."""
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, None
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return mean, math.sqrt(variance / len(values))


def jackknife(whole: float, parts: Sequence[float]) -> tuple[float, float | None]:
    """The value of all samples, and its standard error from those that leave one group out each (Tukey 1958)."""
    if len(parts) < 2:
        return whole, None
    mean = sum(parts) / len(parts)
    return whole, math.sqrt((len(parts) - 1) / len(parts) * sum((value - mean) ** 2 for value in parts))


def notes(panel: Panel) -> dict[str, tuple[Metric, str, str]]:
    """Metric, which way is better, and a remark for each name."""
    found = {}
    for metric in panel.metrics:
        eyes = panel.eyes(metric)
        note = NOT_FID if eyes is not None and not eyes.official else ""
        for name, value in zip(metric.names(eyes), metric.values, strict=True):
            found[name] = (metric, value.better, note)
    return found


def table(scores: Sequence[Score]) -> str:
    """The scores as text: value ± error, the real-against-real floor, which way is better."""
    rows = []
    for score in scores:
        error, floor = ("–" if number is None else brief(number) for number in (score.error, score.floor))
        rows.append((score.name, brief(score.value), error, floor, score.better))
    return columns(("score", "value", "± error", "floor (real)", "better"), rows)


def brief(value: float) -> str:
    """Four digits; no exponent between 0.0001 and 100,000."""
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    return (
        f"{value:.4g}" if (size < 1e-4 and size > 0) or size >= 1e5 else f"{value:,.{max(0, 4 - len(str(int(size))))}f}"
    )
