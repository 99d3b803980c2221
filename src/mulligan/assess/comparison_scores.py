"""Scores beside each other: which may be compared, which is the best, and why not."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.recipe import flatten
from .comparison_words import clean, joined, listed

NATURAL = {"fake", "checkpoint", "time"}
"""Fields of a protocol that differ between any two runs."""
WEAK = ("device", "versions", "seed", "repeats", "floor")
"""Fields that change a number by rounding or chance, or not at all: a remark, no warning."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """One score of all runs, `cells` in their order, `best` the number of one of them.

    `verdict` says how they compare, `differing` why they can't be, `weakly` what else is not the same.
    """

    name: str
    better: str
    note: str
    cells: tuple[Row | None, ...]
    floor: str
    best: int | None
    verdict: str
    differing: str = ""
    weakly: str = ""


def usable(rows: Iterable[Row]) -> list[Row]:
    """The rows with a name and a value (NaN where it isn't finite), every other field made safe to read."""
    return [tidy(row) for row in rows if isinstance(row.get("name"), str) and is_value(row.get("value", ""))]


def is_value(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def tidy(row: Row) -> Row:
    protocol = row.get("protocol")
    return {
        "name": clean(row["name"]), "training": bool(row.get("training", False)),
        "value": float(row["value"]) if finite(row["value"]) else math.nan,
        "error": float(row["error"]) if finite(row.get("error")) else None,
        "floor": float(row["floor"]) if finite(row.get("floor")) else None,
        "better": row["better"] if row.get("better") in ("lower", "higher") else "",
        "metric": str(row.get("metric") or row["name"]), "note": clean(row.get("note") or ""),
        "images": int(row["images"]) if finite(row.get("images")) else None,
        "protocol": flatten(protocol) if isinstance(protocol, dict) else {},
    }  # fmt: skip


def finite(value: Any) -> bool:
    return is_value(value) and value is not None and abs(value) < 1e300


def latest(rows: Sequence[Row]) -> dict[str, Row]:
    """For each name the last evaluation; where there is none, the best score taken while training."""
    found: dict[str, Row] = {}
    for row in rows:
        there = found.get(row["name"])
        if there is None or not row["training"] or (there["training"] and not worse(row, there)):
            found[row["name"]] = row
    return found


def worse(row: Row, than: Row) -> bool:
    if not row["better"] or math.isnan(than["value"]):
        return False
    return math.isnan(row["value"]) or (row["value"] > than["value"]) == (row["better"] == "lower")


def lines(runs: Sequence[dict[str, Row]], names: Sequence[str]) -> list[Line]:
    """A line for each score that any run has, in the order in which they are first met."""
    scores = list(dict.fromkeys(itertools.chain.from_iterable(runs)))
    return [line(score, [run.get(score) for run in runs], names) for score in scores]


def line(score: str, cells: Sequence[Row | None], names: Sequence[str]) -> Line:
    here = [(name, cell) for name, cell in zip(names, cells, strict=True) if cell is not None]
    rows = [cell for _, cell in here]
    differing, weakly, best, verdict = "", "", None, "one run only"
    if len(rows) > 1:
        differing, weakly = differences(rows)
        best, verdict = (None, "not comparable") if differing else judged(cells, names)
    floors = dict.fromkeys(measured(row["floor"]) for row in rows if row["floor"] is not None)
    return Line(
        score, said(rows, "better"), said(rows, "note"), tuple(cells), " / ".join(floors) or "–", best, verdict,
        differing, weakly,
    )  # fmt: skip


def said(rows: Sequence[Row], field: str) -> str:
    """What the first row says that says anything."""
    return next((row[field] for row in rows if row[field]), "")


def judged(cells: Sequence[Row | None], names: Sequence[str]) -> tuple[int | None, str]:
    """The best of comparable cells and a word on it: it is the best where no other's error bar touches its own."""
    there = [(i, cell) for i, cell in enumerate(cells) if cell is not None]
    if not there[0][1]["better"]:
        return None, ""
    if any(math.isnan(cell["value"]) for _, cell in there):
        return None, "not finite"
    sign = 1 if there[0][1]["better"] == "lower" else -1
    first, leader = min(there, key=lambda pair: sign * pair[1]["value"])
    if any(cell["error"] is None for _, cell in there):
        return None, "no error known"
    near = [
        i for i, cell in there
        if i != first and sign * (cell["value"] - leader["value"]) <= cell["error"] + leader["error"]
    ]  # fmt: skip
    if not near:
        return first, f"{names[first]} is best"
    return None, "within error" if len(
        there
    ) == 2 else f"within error: {joined(names[i] for i in sorted([first, *near]))}"


def differences(rows: Sequence[Row]) -> tuple[str, str]:
    """In what the protocols differ, as "differ in fake_count (50,000 and 2,000)"; and in what they differ weakly."""
    protocols = [protocol(row) for row in rows]
    if not all(row["protocol"] for row in rows):
        return "have no whole protocol on record", ""
    strong, weak = list[str](), list[str]()
    prints = {found.get("fingerprint") for found in protocols}
    same_data = len(prints) == 1 and None not in prints
    for field in dict.fromkeys(itertools.chain.from_iterable(protocols)):
        values = [found.get(field, "not recorded") for found in protocols]
        named_otherwise = field == "real" and same_data
        if any(value != values[0] for value in values) and not named_otherwise:
            mild = field.split(".")[0] in WEAK or unlabelled(field, values)
            (weak if mild else strong).append(f"{clean(field)} ({listed(values)})")
    return differ_in(strong), differ_in(weak)


def unlabelled(field: str, values: Sequence[Any]) -> bool:
    """Whether the law of the labels differs only because some of the generators take none."""
    return field == "labels" and len({str(value) for value in values if value}) == 1


def differ_in(fields: Sequence[str]) -> str:
    return f"differ in {', '.join(fields)}" if fields else ""


def protocol(row: Row) -> Row:
    """What has to agree."""
    found = {field: value for field, value in row["protocol"].items() if field not in NATURAL}
    return {**found, "better": row["better"], "taken": "while training" if row["training"] else "afterwards"}


def warnings(found: Sequence[Line], names: Sequence[str]) -> list[str]:
    """One warning for all scores that differ in the same way, and one for each metric seen through several networks."""
    return grouped(found, names, "differing", "not comparable: ") + strangers(found, names)


def remarks(found: Sequence[Line], names: Sequence[str]) -> list[str]:
    return grouped(found, names, "weakly", "")


def grouped(found: Sequence[Line], names: Sequence[str], field: str, start: str) -> list[str]:
    groups: dict[tuple[str, str], list[str]] = {}
    for score in found:
        if what := getattr(score, field):
            who = joined(name for name, cell in zip(names, score.cells, strict=True) if cell)
            groups.setdefault((who, what), []).append(score.name)
    return [f"{start}{', '.join(scores)} of {who} {what}" for (who, what), scores in groups.items()]


def strangers(found: Sequence[Line], names: Sequence[str]) -> list[str]:
    """Runs that have a metric in common, but through different networks, so in different rows."""
    metrics: dict[str, dict[int, list[str]]] = {}
    for score in found:
        for i, cell in enumerate(score.cells):
            if cell:
                metrics.setdefault(cell["metric"], {}).setdefault(i, []).append(score.name)
    told = []
    for runs in metrics.values():
        if any(not set(a) & set(b) for a, b in itertools.combinations(runs.values(), 2)):
            each = joined(f"{', '.join(scores)} ({names[i]})" for i, scores in runs.items())
            told.append(f"not comparable: {each} look through different networks, so they stand in different rows")
    return told


def measured(value: float, error: float | None = None) -> str:
    """A number with its error: two digits of the error, or four of the number where no error is known."""
    scale = error or value
    if not scale:
        return f"{value:.4g}" if error is None else f"{value:.4g} ± {error:.2g}"
    digits = (1 if error else 3) - math.floor(math.log10(abs(scale)))
    if digits > 6 or abs(value) >= 1e12:
        return f"{value:.3e}" + (f" ± {error:.1e}" if error is not None else "")
    digits = max(digits, 0)
    return f"{value:,.{digits}f}" + (f" ± {error:,.{digits}f}" if error is not None else "")


def cell_text(cell: Row | None) -> str:
    """What stands in the table: the value, its error, and whether it was taken while training."""
    if cell is None:
        return "–"
    value = "not finite" if math.isnan(cell["value"]) else measured(cell["value"], cell["error"])
    return value + (" (training)" if cell["training"] else "")
