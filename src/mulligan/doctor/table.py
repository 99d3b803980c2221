"""Reads the CSV that anybody's training loop has written."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mulligan.core.errors import UserError

from .columns import COUNTS, LOGITS, PROBABILITIES, UNDERSTOOD, UNSURE, meaning
from .gather import Gathered, Log, gaps, ordered, some
from .history import TRAINED, Row
from .reading import LARGEST
from .words import clean

SIGMOIDS = ("", "minimax", "nonsaturating")
"""Objectives, beside an unknown one, whose D may give probabilities."""
UNITS = {"images": "images", "kimg": "images", "steps": "steps", "epochs": "epochs", "lines": "lines"}


def read_table(path: Path, objective: str = "") -> Log:
    """A table with a header: what counts the lines, losses, gradient norms, D's verdicts, and signals by their names.

    D's verdicts whose name says neither logit nor probability are probabilities where all of them, on both sides, lie
    in [0, 1] and the objective is none without a sigmoid; logits otherwise. The separator is a comma, semicolon or tab;
    with semicolons, numbers may have decimal commas. Raises UserError where the file can't be read, has no header, or
    holds no column of numbers that is understood.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            first = file.readline()
            file.seek(0)
            separator = max(",;\t", key=first.count)
            lines = csv.reader(file, delimiter=separator)
            header = [name.strip() for name in next(lines, [])]
            columns = understood(path, header)
            table = Table(header, columns, separator == ";")
            for cells in lines:
                if any(cell.strip() for cell in cells):
                    table.add(cells, lines.line_num)
    except OSError as error:
        raise UserError(f"{path} can't be read ({error.strerror or error})") from error
    except csv.Error as error:
        raise UserError(f"{path} is no table ({error}): it needs lines of numbers with commas between them") from error
    if not table.gathered.lines:
        raise UserError(f"{path} has a header, but no line of numbers below it")
    return table.log(objective in SIGMOIDS)


def understood(path: Path, header: Sequence[str]) -> dict[int, str]:
    """What each column means, by its place; of two that mean the same, the first. Raises UserError where none does."""
    shown = some([repr(clean(name[:40])) for name in header])
    if not any(header):
        raise UserError(f"{path} is empty: it needs a header and lines of numbers. Understood are {UNDERSTOOD}")
    if all(decimal(name, False) is not None for name in header):
        raise UserError(f"{path} has no header: its first line is {shown}. Understood as names are {UNDERSTOOD}")
    if len(header) < 2:
        raise UserError(f"{path} has only one column, {shown}: what counts the lines and a number beside it are needed")
    known = dict[int, str]()
    for place, name in enumerate(header):
        if (found := meaning(name)) is not None and found not in known.values():
            known[place] = found
    if not known.keys() - {place for place, found in known.items() if found in COUNTS}:
        raise UserError(f"{path}: no number among its columns {shown} is understood. Understood are {UNDERSTOOD}")
    return known


def decimal(cell: str, comma: bool) -> float | None:
    """The number in a cell; None where there is none."""
    try:
        return float(cell.replace(",", ".") if comma else cell)
    except ValueError:
        return None


@dataclass
class Counter:
    """How a column that counts behaves: whether it falls, starts again, or stands still."""

    first: float = 0.0
    last: float = 0.0
    lines: int = 0
    falls: int = 0
    restarts: int = 0
    ties: int = 0

    def see(self, value: float) -> None:
        if not self.lines:
            self.first = value
        else:
            self.falls += value < self.last
            self.restarts += value < self.last and value <= self.first
            self.ties += int(value) == int(self.last)
        self.last, self.lines = value, self.lines + 1

    @property
    def fault(self) -> str:
        """Why it can't count the lines; "" where it can."""
        if self.restarts:
            return "starts again" if self.restarts == 1 else f"starts again {self.restarts:,} times"
        return "has the same whole number in most lines" if self.ties > self.lines / 2 else ""


class Table:
    """Takes the lines of a table, and makes a log of them."""

    def __init__(self, header: Sequence[str], columns: dict[int, str], comma: bool) -> None:
        self.header, self.columns, self.comma, self.gathered = header, columns, comma, Gathered()
        self.counters = {name: Counter() for name in columns.values() if name in COUNTS}
        self.odd, self.uneven, self.beyond = list[str](), list[str](), False

    def add(self, cells: Sequence[str], line: int) -> None:
        """One line: its cells, and its number in the file."""
        if len(cells) != len(self.header):
            self.uneven.append(f"line {line:,} ({len(cells)})")
        row: Row = {"lines": self.gathered.lines + 1.0}
        for place, name in self.columns.items():
            cell = cells[place] if place < len(cells) else ""
            value = decimal(cell, self.comma)
            if value is None or (name in COUNTS and not 0 <= value <= LARGEST):
                if cell.strip():
                    self.odd.append(f"line {line:,} ({clean(cell[:20])!r})")
            elif name in self.counters:
                row[name] = 1_000 * value if name == "kimg" else value
                self.counters[name].see(row[name])
            elif math.isfinite(value):
                row[name] = value
                if name in UNSURE:
                    self.beyond = self.beyond or not 0 <= value <= 1
            elif name in TRAINED:
                row[name] = value
        if len(row) > 1:
            self.gathered.add(row)

    def log(self, sigmoid: bool) -> Log:
        """What was taken. `sigmoid`: whether D may give probabilities."""
        count, notes = self._count()
        kinds = PROBABILITIES if sigmoid and not self.beyond else LOGITS
        names = {name: kinds[side] for name, side in UNSURE.items()}
        rows = [
            {"images": row[count], **{names.get(name, name): v for name, v in row.items() if name not in UNITS}}
            for row in self.gathered.whole()
            if count in row
        ]
        falls = self.counters[count].falls if count in self.counters else 0
        rows, sorting = ordered(rows, falls)
        notes += [*self._notes(kinds is PROBABILITIES), *sorting, *self.gathered.notes(), *gaps(rows, UNITS[count])]
        return Log(rows, [], notes, UNITS[count], self.gathered.lines)

    def _count(self) -> tuple[str, list[str]]:
        """Which column counts the lines, and why the finer ones can't."""
        notes = []
        for name in COUNTS:
            counter = self.counters.get(name)
            if counter is None or not counter.lines:
                continue
            if not counter.fault:
                lacking = self.gathered.lines - counter.lines
                return name, notes + ([f"{lacking:,} lines without {name} were passed over"] if lacking else [])
            notes.append(f"{self._named(name)} {counter.fault}, so it can't count the lines")
        return "lines", [*notes, "nothing counts the steps: the lines are counted instead"]

    def _named(self, meant: str) -> str:
        return next(clean(self.header[place]) for place, name in self.columns.items() if name == meant)

    def _notes(self, probable: bool) -> list[str]:
        notes = []
        ignored = [clean(name) for place, name in enumerate(self.header) if name and place not in self.columns]
        if ignored:
            notes.append(f"columns left out: {', '.join(ignored)}. Understood are {UNDERSTOOD}")
        if unsure := [self._named(name) for name in self.columns.values() if name in UNSURE]:
            taken, other = ("probabilities", "logit") if probable else ("logits", "prob")
            notes.append(f"{', '.join(unsure)}: taken for {taken}; names with the word {other} would say otherwise")
        if self.odd:
            notes.append(f"cells that are no numbers: {some(self.odd)}")
        if self.uneven:
            notes.append(
                f"lines with another number of cells than the header's {len(self.header)}: {some(self.uneven)}"
            )
        return notes
