"""What a network is told of each picture: class numbers from one column, numbers from several.

One column of words or whole numbers names classes. Otherwise each column of 0 and 1 stays as it is, other numbers are
brought to mean 0 and deviation 1, and words become one column of 0 and 1 each, `colour=red`.
"""

import math
import re
from dataclasses import dataclass

import numpy as np

from mulligan.core.errors import UserError
from mulligan.data.scan import shown
from mulligan.data.table import MOST_COLUMNS, Table

WHOLE = re.compile(r"[+-]?\d+")
MOST_WORDS = 256
"""Words of a column beside others."""
SURELY = 64
"""Classes of one column that may be rarer than two pictures each."""
TOLD = 8
"""Columns that a note names."""

Scaling = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Conditions:
    """Labels of N pictures: int64 (N,) with the names of `classes`, or float32 (N, k) with `columns`.

    `scaling` holds what was taken off each column and what it was then divided by: (0, 1) where nothing was done.
    """

    values: np.ndarray
    classes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    scaling: Scaling = ()
    note: str = ""


def conditions(table: Table, files: list[str]) -> Conditions:
    """Labels of the files, which all have a row. Raises UserError naming line, column and value."""
    cells = list(zip(*(table.rows[file][1] for file in files), strict=True))
    if len(cells) == 1 and (classes := _classes(table, files, cells[0])):
        return classes
    names, columns = [], []
    for name, words in zip(table.columns, cells, strict=True):
        numbers = _numbers(table, files, name, words)
        found = _one_hot(table, name, words) if numbers is None else {name: numbers}
        names += found.keys()
        columns += found.values()
    if len(names) > MOST_COLUMNS:
        raise UserError(f"{table.title} makes {len(names):,} columns of numbers, more than {MOST_COLUMNS:,}: "
                        "leave out columns of many words.")  # fmt: skip
    return scaled(np.stack(columns, 1), tuple(names), table.title)


def scaled(raw: np.ndarray, names: tuple[str, ...], title: str) -> Conditions:
    """Numbers (N, k) as conditions: a column of 0 and 1 as it is, any other one with mean 0 and deviation 1."""
    scaling: list[tuple[float, float]] = []
    for column in raw.astype(np.float64).T:
        if np.isin(column, (0, 1)).all():
            scaling.append((0.0, 1.0))
        else:
            spread = float(column.std()) if column.min() < column.max() else 1.0
            scaling.append((float(column.mean()), spread))
    mean, deviation = np.array(scaling).T
    values = ((raw - mean) / deviation).astype(np.float32)
    return Conditions(values, (), names, tuple(scaling), _told(title, names, tuple(scaling)))


def _told(title: str, names: tuple[str, ...], scaling: Scaling) -> str:
    words = [
        name if scale == (0, 1) else f"{name} (mean {scale[0]:.4g}, deviation {scale[1]:.4g})"
        for name, scale in zip(names[:TOLD], scaling, strict=False)
    ]
    more = f" and {len(names) - TOLD:,} more" if len(names) > TOLD else ""
    count = f"{len(names):,} number{'s' * (len(names) != 1)}"
    return f"{title}: {count} for each picture, {', '.join(words)}{more}."


def _classes(table: Table, files: list[str], words: tuple[str, ...]) -> Conditions | None:
    """The classes of a single column; None where it holds numbers with a fraction."""
    whole = [WHOLE.fullmatch(word) is not None for word in words]
    if not any(whole) or not all(whole):
        if _numbers(table, files, table.columns[0], words) is not None:
            return None
        names = sorted(set(words))
    else:
        names = sorted(set(words), key=int)
    column = table.columns[0]
    if len(names) < 2:
        raise UserError(f"{table.title}: {column} is {shown(names[0])!r} in every row, which tells nothing: take "
                        "another column, or --labels none.")  # fmt: skip
    if len(names) > max(SURELY, len(words) // 2):
        kind = "numbers: write them with a point, such as 30.0, where they measure something" if all(whole) else "words"
        raise UserError(f"{table.title}: {column} has {len(names):,} different {kind}; for {len(words):,} pictures "
                        "these are no classes.")  # fmt: skip
    index = {name: i for i, name in enumerate(names)}
    y = np.array([index[word] for word in words], dtype=np.int64)
    return Conditions(y, tuple(map(shown, names)), note=f"{table.title}: {len(names):,} classes of {column}.")


def _numbers(table: Table, files: list[str], name: str, words: tuple[str, ...]) -> np.ndarray | None:
    """Numbers (N,) of a column; None where there are words in every row."""
    found = [_number(word) for word in words]
    wrong = [i for i, value in enumerate(found) if value is None]
    if len(wrong) == len(words):
        return None
    if wrong:
        first = wrong[0]
        raise UserError(f"{table.line(files[first])} ({shown(files[first])}): {name} is {shown(words[first])!r}, which "
                        "is no number, while other rows have numbers there.")  # fmt: skip
    values = np.array(found, dtype=np.float64)
    if len(extreme := (~(np.abs(values) < 1e30)).nonzero()[0]):
        first = int(extreme[0])
        raise UserError(f"{table.line(files[first])} ({shown(files[first])}): {name} is {shown(words[first])!r}; "
                        "numbers are finite and below 1e30.")  # fmt: skip
    return values


def _number(word: str) -> float | None:
    """As float() reads it, without Python's underscores."""
    try:
        return None if "_" in word else float(word)
    except ValueError:
        return None


def _one_hot(table: Table, name: str, words: tuple[str, ...]) -> dict[str, np.ndarray]:
    """A column of 0 and 1 for each word."""
    found = sorted(set(words))
    if len(found) > MOST_WORDS:
        raise UserError(f"{table.title}: {name} has {len(found):,} different words; beside other columns at most "
                        f"{MOST_WORDS} are taken. Leave the column out.")  # fmt: skip
    if bad := next((word for word in found if "," in word or "=" in word), None):
        raise UserError(f"{table.title}: {name} has the value {shown(bad)!r}; beside other columns a value has neither "
                        "a comma nor =.")  # fmt: skip
    return {f"{name}={shown(word)}": np.array([word == each for each in words], dtype=np.float64) for word in found}


def wished(text: str, columns: tuple[str, ...], scaling: Scaling) -> dict[int, float]:
    """Scaled values by the number of their column, from `smiling=1,age=30,colour=red` in the table's own numbers.

    Raises UserError naming what isn't understood.
    """
    found: dict[int, float] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, word = (part.strip() for part in item.rpartition("="))
        if f"{name}={word}" in columns:
            group = [i for i, column in enumerate(columns) if column.startswith(f"{name}=")]
            found |= {i: float(columns[i] == f"{name}={word}") for i in group}
        elif name in columns:
            value, i = _number(word), columns.index(name)
            if value is None or not math.isfinite(value):
                raise UserError(f"--label {name}={word}: {word!r} is no number, such as {name}=1")
            found[i] = (value - scaling[i][0]) / scaling[i][1]
        else:
            raise UserError(f"--label {item}: {_known(item, name, columns)}")
    if not found:
        raise UserError(f"--label {text!r} names no value: give some of {_list(columns)}, such as {columns[0]}=1")
    return found


def _known(item: str, name: str, columns: tuple[str, ...]) -> str:
    if group := [column for column in columns if name and column.startswith(f"{name}=")]:
        return f"there is no such {name}; take one of {_list(tuple(group))}"
    what = f"no column {name}" if name else f"no value: give {item}=1, say"
    return f"{what}; there are {_list(columns)}"


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names[:12]) + (" …" if len(names) > 12 else "")
