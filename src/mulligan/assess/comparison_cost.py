"""What runs have cost, and in what their settings differ."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.progress import duration
from ..core.recipe import flatten
from .comparison_scores import finite
from .comparison_words import joined, short

Row = dict[str, Any]
NO_PARAMETERS = ("running_mean", "running_var", "num_batches_tracked", "._u", "._v")  # buffers of the usual norms


@dataclass(frozen=True)
class Cost:
    """None is unknown. `partly` where some parts of the run know their energy and others don't."""

    images: int | None
    seconds: float | None
    joules: float | None
    partly: bool
    parameters: int | None
    bytes: int | None

    def words(self) -> dict[str, str]:
        """For a table."""
        rate = self.images / self.seconds if self.images and self.seconds else None
        least = "at least " if self.partly else ""
        return {
            "images seen": "unknown" if self.images is None else f"{self.images:,}",
            "time": "unknown" if self.seconds is None else took(self.seconds),
            "images per second": "unknown" if rate is None else f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}",
            "energy": "unknown" if self.joules is None else f"{least}{watt_hours(self.joules)} Wh",
            "parameters of the sampler": "unknown" if self.parameters is None else f"{self.parameters:,}",
            "size of sampler.safetensors": "unknown" if self.bytes is None else size(self.bytes),
        }


def cost(rows: Sequence[Row], sampler_file: Path) -> Cost:
    """From the lines of a log and the header of the weights."""
    images = [row["images"] for row in rows if finite(row.get("images"))]
    ends = [part[-1] for part in parts(rows)]
    joules = [row["joules"] for row in ends if finite(row.get("joules"))]
    parameters, length = weights(sampler_file)
    return Cost(
        int(images[-1]) if images else None,
        sum(float(row["seconds"]) for row in ends) if ends else None,
        sum(map(float, joules)) if joules else None,
        len(joules) < len(ends),
        parameters,
        length,
    )


def parts(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """The rows of each process that worked on the run: its clock starts anew, so "seconds" drops."""
    part: list[Row] = []
    for row in rows:
        if finite(row.get("seconds")):
            if part and row["seconds"] < part[-1]["seconds"]:
                yield part
                part = []
            part.append(row)
    if part:
        yield part


def weights(path: Path) -> tuple[int | None, int | None]:
    """Parameters and bytes of a file of weights, whose tensors are not read; None where it isn't there or damaged."""
    if not path.is_file():
        return None, None
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            names = [name for name in file.keys() if not name.endswith(NO_PARAMETERS)]  # noqa: SIM118
            return sum(math.prod(file.get_slice(name).get_shape()) for name in names), path.stat().st_size
    except (OSError, SafetensorError):
        return None, None


def took(seconds: float) -> str:
    return duration(seconds) if seconds >= 60 else f"{seconds:.1f} s"


def watt_hours(joules: float) -> str:
    hours = joules / 3600
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.3g}"


def size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.1f} kB"


def facts(settings: Row) -> dict[str, Any]:
    """The settings of a run as one flat table; what a damaged file lacks is left out."""
    found = {name: settings.get(name) for name in ("recipe", "sha256")} | settings["arguments"]
    found |= {name: settings.get(name) for name in ("seed", "precision", "shards")}
    for group in ("data", "versions"):
        inside = settings.get(group)
        found |= flatten(inside, f"{group}.") if isinstance(inside, dict) else {}
    return {name: value for name, value in found.items() if value not in (None, "")}


def differing(settings: Sequence[Row]) -> list[list[str]]:
    """Rows of a table: a setting that isn't the same in all runs, and what it is in each."""
    tables = [facts(each) for each in settings]
    names = dict.fromkeys(name for table in tables for name in table)
    rows = [(name, [table.get(name, "–") for table in tables]) for name in names]
    return [[short(name), *map(short, values)] for name, values in rows if any(v != values[0] for v in values)]


def data_warning(settings: Sequence[Row], names: Sequence[str]) -> list[str]:
    """One line where the runs have learned from different data, or nobody can tell."""
    tables = [facts(each) for each in settings]
    prints = [table.get("data.fingerprint") for table in tables]
    if None not in prints and len(set(map(str, prints))) == 1:
        return []
    groups: dict[str, list[str]] = {}
    for name, table in zip(names, tables, strict=True):
        groups.setdefault(described(table), []).append(name)
    start = "data not known to be the same" if None in prints else "different data"
    return [f"{start}: {joined(f'{joined(who)} learned from {what}' for what, who in groups.items())}"]


def described(table: dict[str, Any]) -> str:
    if not any(name.startswith("data.") for name in table):
        return "data that isn't on record"
    shape, count = table.get("data.shape"), short(table.get("data.count", "?"))
    sides = "×".join(map(short, shape)) if isinstance(shape, list) else "?"
    fingerprint = short(table.get("data.fingerprint", "not recorded"))
    return f"{short(table.get('data.source', '?'))} ({count} × {sides}, fingerprint {fingerprint})"
