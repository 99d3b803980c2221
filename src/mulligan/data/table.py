"""labels.csv: a table with a row for each picture, as text; a message names the line of whatever is wrong."""

import csv
import io
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass

from mulligan.core.errors import UserError
from mulligan.data.scan import shown

FIRST = ("file", "filename", "name", "image", "path")
"""What the column of the files may be called."""
DELIMITERS = ",;\t"
MOST_COLUMNS = 1024
MOST_BYTES = 512 << 20


@dataclass(frozen=True)
class Table:
    """`columns` after the first, and for each file its line in the CSV, from 1, and its cells."""

    title: str
    columns: tuple[str, ...]
    rows: dict[str, tuple[int, tuple[str, ...]]]

    def line(self, file: str) -> str:
        """Where a file's row is, in words."""
        return f"{self.title}, line {self.rows[file][0]:,}"


def read_table(data: bytes, title: str) -> Table:
    """The table of a CSV file in UTF-8 with commas, semicolons or tabs; its first column names files by their path
    within the data. Raises UserError naming the line."""
    if len(data) > MOST_BYTES:
        raise UserError(f"{title} has {len(data) >> 20} MiB, more than the limit of {MOST_BYTES >> 20}: {IGNORE}.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(f"{title}, line {line:,}, is no UTF-8: save the table as UTF-8.") from None
    lines = _lines(text, title)
    _, header = next(lines, (0, []))
    columns = _columns(header, title)
    rows: dict[str, tuple[int, tuple[str, ...]]] = {}
    seen: dict[str, str] = {}  # a word that comes a million times is kept once
    for number, cells in lines:
        if len(cells) != len(header):
            raise UserError(f"{title}, line {number:,}, has {len(cells)} cells, and the first line names "
                            f"{len(header)}: {shown(', '.join(cells))[:80]}.")  # fmt: skip
        file = posixpath.normpath(cells[0].replace("\\", "/"))
        if not cells[0]:
            raise UserError(f"{title}, line {number:,}, names no file.")
        if file in rows:
            raise UserError(f"{title} has two rows for {shown(file)}, lines {rows[file][0]:,} and {number:,}: "
                            "remove one of them.")  # fmt: skip
        if "" in cells:
            empty = columns[cells.index("") - 1]
            raise UserError(f"{title}, line {number:,} ({shown(file)}): {empty} is empty; fill it, or remove the row.")
        rows[file] = number, tuple(seen.setdefault(cell, cell) for cell in cells[1:])
    if not rows:
        raise UserError(f"{title} has no rows below its first line: {IGNORE}.")
    return Table(title, columns, rows)


IGNORE = "give a row for each picture, or leave the table aside with --labels none"


def _lines(text: str, title: str) -> Iterator[tuple[int, list[str]]]:
    """Lines that aren't empty, with their numbers."""
    head = text.split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise UserError(f"{title}, line {reader.line_num:,}, is no line of a CSV file: {error}.") from None


def _columns(header: list[str], title: str) -> tuple[str, ...]:
    """Names of the columns after the first."""
    if not header or header[0].lower() not in FIRST:
        found = f"{shown(header[0])[:40]!r}" if header else "nothing"
        raise UserError(f"{title}: the first line names the columns, and the first of them is {', '.join(FIRST[:-1])} "
                        f"or {FIRST[-1]}, not {found}; {IGNORE}.")  # fmt: skip
    columns = header[1:]
    if not 1 <= len(columns) <= MOST_COLUMNS:
        raise UserError(f"{title} has {len(columns):,} columns beside the files, and needs 1 to {MOST_COLUMNS:,}.")
    for number, name in enumerate(columns, 2):
        if not name or "," in name or "=" in name or not name.isprintable():
            raise UserError(f"{title}: column {number} is called {shown(name)!r}; a name needs a letter, and neither "
                            "a comma nor =.")  # fmt: skip
        if name in columns[: number - 2]:
            raise UserError(f"{title} has two columns {name}: rename one of them.")
    return tuple(columns)
