"""A comparison as a page that is one file: no scripts, no network, every word from a run folder escaped."""

from __future__ import annotations

import datetime
import string
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import TYPE_CHECKING

from ..media.page import data_uri, escaped
from .comparison_curves import COLOURS, draw
from .comparison_scores import NATURAL, Line, Row, cell_text
from .comparison_words import joined, short

if TYPE_CHECKING:
    from .compare import Comparison

MARK = b'content="mulligan compare"'
"""What tells a page of ours from other files, within its first lines."""

READING = (
    "± is the standard error. The best score of a row is marked only where all protocols of the row agree and no "
    "other's error bar touches its own. The floor is the same score of real data against real data: about the best "
    "that a generator can reach. Scores marked “training” are the best of those taken on the way; they were picked, so "
    "they look better than a fresh evaluation would."
)
ENERGY = (
    "Energy is what the processor packages used while the run was training, whatever else ran on them; graphics cards "
    "are not in it. It is unknown where the system doesn't show its counters."
)


def page(found: Comparison) -> str:
    """The whole page."""
    names, title = found.names, f"{joined(found.names)} compared"
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    parts = [
        f"<h1>{escaped(title)}</h1>",
        f'<p class="pale">{len(names)} runs, {today}</p>',
        warned(found.warnings),
        overview(found),
        section("Scores", *scores(found)),
        section("Samples", *samples(found)) if found.sheets else "",
        section("Curves", *curves(found)),
        section("Cost", costs(found), f'<p class="pale">{escaped(ENERGY)}</p>'),
        section("Settings that differ", settings(found)),
        "<footer>Made by mulligan compare.</footer>",
    ]
    template = resources.files("mulligan.assess").joinpath("compare.html").read_text(encoding="utf-8")
    return string.Template(template).substitute(title=escaped(title), body="\n".join(filter(None, parts)))


def section(heading: str, *parts: str) -> str:
    return "\n".join(["<section>", f"<h2>{escaped(heading)}</h2>", *filter(None, parts), "</section>"])


def warned(warnings: Sequence[str]) -> str:
    if not warnings:
        return ""
    items = "".join(f"<li>{escaped(text)}</li>" for text in warnings)
    return f'<div class="warnings" role="alert"><h2>Warning</h2><ul>{items}</ul></div>'


def table(head: Iterable[str], rows: Iterable[str]) -> str:
    """A table that scrolls by itself where the page is narrow; cells are HTML already."""
    cells = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    inside = f"<thead><tr>{cells}</tr></thead>\n<tbody>\n{body}\n</tbody>"
    return f'<div class="scroll" tabindex="0"><table>{inside}</table></div>'


def first(text: str, small: str = "") -> str:
    return f'<th scope="row">{escaped(text)}{f"<small>{escaped(small)}</small>" if small else ""}</th>'


def cell(text: str, kind: str = "", small: str = "") -> str:
    kind = kind or ("missing" if text in ("–", "unknown") else "")
    below = f"<small>{escaped(small)}</small>" if small else ""
    return f"<td{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{escaped(text)}{below}</td>"


def columns(found: Comparison) -> list[str]:
    """The heads of the runs, with their colours in the curves."""
    return [
        f'<span class="swatch" style="background:{COLOURS[i % len(COLOURS)]}"></span>{escaped(name)}'
        for i, name in enumerate(found.names)
    ]


def overview(found: Comparison) -> str:
    rows = [
        f'<th scope="row">{head}</th>' + "".join(cell(text, "words") for text in words)
        for head, words in zip(columns(found), found.about, strict=True)
    ]
    return table(["run", "recipe", "data", "folder"], rows)


def scores(found: Comparison) -> list[str]:
    if not found.scores:
        return ['<p class="pale">None of these runs has a score yet: mulligan evaluate RUN makes some.</p>']
    remarks = "".join(f"<li>{escaped(text)}</li>" for text in found.remarks)
    return [
        table(["score", *columns(found), "floor", "verdict"], map(score, found.scores)),
        f'<ul class="remarks">{remarks}</ul>' if remarks else "",
        f'<p class="pale">{escaped(READING)}</p>',
        protocols(found),
    ]


def score(line: Line) -> str:
    better = f"{line.better} is better" if line.better else ""
    cells = [
        cell(cell_text(one), "best" if i == line.best else "", at(one) if one else "")
        for i, one in enumerate(line.cells)
    ]
    verdict = cell(line.verdict, "words bad" if line.differing else "words", line.differing)
    return first(line.name, "; ".join(filter(None, [better, line.note]))) + "".join(cells) + cell(line.floor) + verdict


def at(one: Row) -> str:
    return "" if one["images"] is None else f"at {one['images']:,} images"


def protocols(found: Comparison) -> str:
    tables = [f"<h3>{escaped(line.name)}</h3>{protocol(line, columns(found))}" for line in found.scores]
    return f"<details><summary>The whole protocol of every score</summary>{''.join(tables)}</details>"


def protocol(line: Line, heads: Sequence[str]) -> str:
    tables = [one["protocol"] if one else {} for one in line.cells]
    rows = []
    for field in dict.fromkeys(name for each in tables for name in each):
        values = [each.get(field) for each, one in zip(tables, line.cells, strict=True) if one]
        apart = field not in NATURAL and any(value != values[0] for value in values)
        cells = [cell(short(each.get(field, "–")), "words bad" if apart else "words") for each in tables]
        rows.append(first(short(field)) + "".join(cells))
    return table(["field", *heads], rows) if rows else '<p class="pale">Not on record.</p>'


def samples(found: Comparison) -> list[str]:
    figures = []
    for name, head, sheet in zip(found.names, columns(found), found.sheets, strict=True):
        picture = (
            f'<img src="{sheet.picture}" alt="{escaped(f"samples of {name}")}">'
            if sheet.picture
            else '<div class="none">no picture</div>'
        )
        figures.append(
            f"<figure>{picture}<figcaption>{head}<small>{escaped(sheet.caption)}</small></figcaption></figure>"
        )
    return [
        '<p class="pale">The same seed for every run, nothing picked by hand. Runs whose latents have the same length '
        "start from the same latents.</p>",
        f'<div class="pictures">{"".join(figures)}</div>',
    ]


def curves(found: Comparison) -> list[str]:
    drawn = [
        figure(heading, data_uri(draw(heading, lines, found.names)), apart)
        for heading, lines, apart in found.curves
        if any(x for x, _ in lines)
    ]
    if not drawn:
        return ['<p class="pale">None of these runs has logged anything yet.</p>']
    scale = (
        '<p class="pale">The recipes differ: losses of different objectives have scales of their own, and the lower '
        "curve need not be the better one.</p>"
        if len({recipe for recipe, *_ in found.about}) > 1
        else ""
    )
    return [scale, f'<div class="pictures">{"".join(drawn)}</div>']


def figure(heading: str, picture: str, apart: str) -> str:
    below = f'<figcaption class="bad">Not comparable: they {escaped(apart)}</figcaption>' if apart else ""
    return f'<figure><img src="{picture}" alt="{escaped(f"{heading} over images")}">{below}</figure>'


def costs(found: Comparison) -> str:
    words = [cost.words() for cost in found.costs]
    rows = [first(name) + "".join(cell(each[name]) for each in words) for name in words[0]]
    return table(["", *columns(found)], rows)


def settings(found: Comparison) -> str:
    if not found.settings:
        return '<p class="pale">None: recipe, arguments, data and versions are the same.</p>'
    rows = [first(name) + "".join(cell(value, "words") for value in values) for name, *values in found.settings]
    return table(["setting", *columns(found)], rows)
