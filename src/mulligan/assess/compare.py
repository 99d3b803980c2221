"""Runs beside each other: scores, samples from the same seeds, curves, cost; one page and a table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import UserError
from ..experiment import Experiment
from ..media.page import write_page
from . import comparison_cost, comparison_curves, comparison_scores
from .comparison_cost import Cost
from .comparison_curves import Curve
from .comparison_page import MARK, page
from .comparison_samples import Sheet, sheet
from .comparison_scores import Line, cell_text
from .comparison_words import clean, short, table

MOST = 1000  # samples on a sheet


@dataclass(frozen=True)
class Comparison:
    """What was found; lists are in the order of the runs. `str()` gives it as plain text."""

    names: list[str]
    about: list[tuple[str, str, str]]
    """Recipe, data and folder in words."""
    scores: list[Line]
    warnings: list[str]
    remarks: list[str]
    curves: list[tuple[str, list[Curve], str]]
    """Title, a curve for each run, and in what their protocols differ."""
    costs: list[Cost]
    settings: list[list[str]]
    """Rows of what differs: the setting, then its value in each run."""
    sheets: list[Sheet]

    def __str__(self) -> str:
        words = [cost.words() for cost in self.costs]
        parts = [
            "\n".join(f"WARNING  {text}" for text in self.warnings),
            scores_table(self.names, self.scores),
            "\n".join(f"remark   {text}" for text in self.remarks),
            table(["cost", *self.names], [[name, *(each[name] for each in words)] for name in words[0]]),
            table(["settings that differ", *self.names], self.settings) if self.settings else "",
        ]
        return "\n\n".join(filter(None, parts))


def scores_table(names: Sequence[str], scores: Sequence[Line]) -> str:
    if not scores:
        return "no scores yet: mulligan evaluate RUN makes some"
    star = any(line.best is not None for line in scores)
    legend = "\n* the best: no other's error bar touches its own" if star else ""
    return table(["score", *names, "floor", "verdict"], map(plain, scores)) + legend


def plain(line: Line) -> list[str]:
    """A line of the table of scores; the best has a star."""
    arrow = {"lower": " ↓", "higher": " ↑"}.get(line.better, "")
    cells = [cell_text(cell) + (" *" if i == line.best else "") for i, cell in enumerate(line.cells)]
    return [line.name + arrow, *cells, line.floor, line.verdict]


def compare(
    runs: Sequence[str | Path], out: str | Path | None = "compare.html", *, seed: int = 0, n: int = 36,
    device: str = "auto", samples: bool = True, progress: bool = True,
) -> Comparison:  # fmt: skip
    """Put run folders beside each other, and write the page where `out` names one.

    `n` samples of each run from the same `seed` (2,000 for points); `samples` False leaves them out. Raises UserError
    for fewer than two different runs, a folder that is none, or an `out` that can't be written or is another file.
    """
    if not 1 <= n <= MOST:
        raise UserError(f"-n {n}: take 1 to {MOST:,} samples")
    page_path = None if out is None else checked(Path(out))
    opened = [Experiment(path, device) for path in distinct(runs)]
    found = gather(opened, seed, n if samples else 0, progress)
    if page_path:
        try:
            write_page(page(found), page_path)
        except OSError as error:
            raise UserError(
                f"can't write {page_path} ({error.strerror or error}): name another place with --out"
            ) from error
    return found


def distinct(runs: Sequence[str | Path]) -> list[Path]:
    """At least two folders, each once. Raises UserError otherwise."""
    paths = [Path(run) for run in runs]
    if len(paths) < 2:
        raise UserError(f"compare needs at least two runs, {len(paths)} named: mulligan compare RUN RUN …")
    seen: dict[Path, Path] = {}
    for path in paths:
        real = path.resolve()
        if real in seen:
            same = "" if path == seen[real] else f" (also as {seen[real]})"
            raise UserError(f"{path} is named twice{same}: name each run once")
        seen[real] = path
    return paths


def checked(out: Path) -> Path:
    """A place for the page. Raises UserError where something else lies there."""
    if out.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--out {out}: the page is written as .html")
    try:
        if out.is_dir():
            raise UserError(f"--out {out} is a folder: name a file in it")
        if out.exists():
            with out.open("rb") as file:
                if MARK not in file.read(1000):
                    raise UserError(f"{out} is there and no page of compare: name another file with --out")
    except OSError as error:
        raise UserError(f"can't write {out} ({error.strerror or error}): name another place with --out") from error
    return out


def gather(runs: Sequence[Experiment], seed: int, n: int, progress: bool) -> Comparison:
    settings = [run.settings() for run in runs]
    names = labels([run.path for run in runs])
    try:
        logs = [[row for row in run.rows() if "event" not in row] for run in runs]
        scores = [comparison_scores.usable(run.scores()) for run in runs]
        costs = [comparison_cost.cost(log, run.sampler_file) for log, run in zip(logs, runs, strict=True)]
    except OSError as error:
        raise UserError(f"{error.filename} can't be read ({error.strerror or error})") from error
    lines = comparison_scores.lines([comparison_scores.latest(rows) for rows in scores], names)
    logged = [(title, curves, "") for title, curves in comparison_curves.quantities(logs)]
    return Comparison(
        names=names,
        about=[about(run, each) for run, each in zip(runs, settings, strict=True)],
        scores=lines,
        warnings=comparison_cost.data_warning(settings, names) + comparison_scores.warnings(lines, names),
        remarks=comparison_scores.remarks(lines, names),
        curves=[*comparison_curves.scored(scores), *logged],
        costs=costs,
        settings=comparison_cost.differing(settings),
        sheets=sheets(runs, seed, n, progress) if n else [],
    )


def sheets(runs: Sequence[Experiment], seed: int, n: int, progress: bool) -> list[Sheet]:
    from tqdm import tqdm

    bar = tqdm(runs, "samples", unit=" runs", file=sys.stderr, disable=None if progress else True, leave=False)
    return [sheet(run, n, seed) for run in bar]


def labels(paths: Sequence[Path]) -> list[str]:
    """The names of folders, with as many parents as tell them apart."""
    parts = [path.resolve().parts for path in paths]
    depth = 1
    while len({each[-depth:] for each in parts}) < len(parts):
        depth += 1
    return [clean("/".join(each[-depth:])) for each in parts]


def about(run: Experiment, settings: dict[str, Any]) -> tuple[str, str, str]:
    recipe = str(settings.get("recipe", "not recorded")).rpartition("/")[2]
    return short(recipe), comparison_cost.described(comparison_cost.facts(settings)), clean(run.path)
