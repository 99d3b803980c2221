"""Words and plain tables that the parts of a comparison share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

LONGEST = 60
DIGEST = re.compile(r"[0-9a-f]{40,}")


def clean(text: object) -> str:
    """One line without control characters: words from a run folder must not steer a terminal."""
    return "".join(c if c.isprintable() else "�" for c in str(text))


def short(value: Any) -> str:
    """A setting in few letters."""
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else clean(value)
    if DIGEST.fullmatch(text):
        return text[:8]
    text = text or "none"
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def joined(words: Iterable[str]) -> str:
    """a, b and c"""
    *first, last = list(words) or [""]
    return f"{', '.join(first)} and {last}" if first else last


def listed(values: Sequence[Any]) -> str:
    """Two values with "and", more with slashes, since numbers have commas of their own."""
    return (" and " if len(values) == 2 else " / ").join(short(value) for value in values)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns of plain text, two spaces apart."""
    cells = [list(head), *map(list, rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    return "\n".join("  ".join(word.ljust(width) for word, width in zip(row, widths)).rstrip() for row in cells)
