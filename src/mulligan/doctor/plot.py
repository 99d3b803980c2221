"""A diagnosis as one picture: every signal that was taken, over images."""

from __future__ import annotations

import contextlib
import math
import os
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .bands import BANDS
from .illness import Spell
from .panels import Panel, band, chosen
from .report import Report, named
from .telling import judged
from .words import clean, line

ACROSS = 4
COLOURS = ("#0072b2", "#d55e00", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "black")
"""Told apart with any colour vision. Okabe & Ito 2008."""
HEALTHY, ALARM, BEST = "#009e73", "#d62728", "black"
SHARES = {"D(x)", "D(G(z))", "missing", "imbalance", "clipped"}
"""Signals between 0 and 1 of which small differences near 0 say nothing."""
DECADES = 50.0
"""Times the smallest value from which on an axis is logarithmic."""
REACH = 1.5
"""Times the span of the values from which on a bound of a band is too far away to be shown."""


def draw(report: Report, path: Path) -> bool:
    """A panel for each signal as a PNG: its healthy band shaded, confirmed alarms marked, the best checkpoint a line.

    At the top stands when which illness was there. False, with nothing written, where nothing was taken. Raises
    OSError where the place can't be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels, rest = chosen(report.history)
    if not panels:
        return False
    lines = -(-len(panels) // ACROSS)
    across, ill = -(-len(panels) // lines), list(dict.fromkeys(spell.key for spell in report.verdict.spells))
    strip = 0.45 + 0.22 * len(ill) if ill else 0.0
    heights = [*([strip] if ill else []), *[2.5] * lines]
    figure = Figure(figsize=(max(4.2 * across, 9), sum(heights) + 1.3), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(len(heights), across, height_ratios=heights)
    if ill:
        _timeline(figure.add_subplot(grid[0, :]), report, ill)
    for i, panel in enumerate(panels):
        row, column = divmod(i, across)
        axes = figure.add_subplot(grid[row + bool(ill), column])
        _panel(axes, report, panel)
        if i + across >= len(panels):
            axes.set_xlabel(report.unit, fontsize=9)
    _words(figure, report, rest)
    temporary = path.with_name(path.name + ".tmp")
    try:
        figure.savefig(temporary, format="png", dpi=100)
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return True


def _words(figure: Any, report: Report, rest: Sequence[str]) -> None:
    """The verdict above, and below what the colours mean."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    title = f"{_short(clean(report.subject), 60)}: {line(report.verdict, report.unit)}{judged(report)}"
    figure.suptitle(_plain(textwrap.fill(title, int(10 * figure.get_figwidth()))), fontsize=13, x=0.01, ha="left")
    keys: list[Any] = [Patch(color=HEALTHY, alpha=0.15, label="healthy")]
    if report.verdict.spells:
        keys.append(Patch(color=ALARM, alpha=0.18, label="confirmed alarm"))
    if report.best is not None:
        text = f"best checkpoint: {clean(report.best.checkpoint)} at {report.best.images:,} images"
        keys.append(Line2D([], [], color=BEST, linestyle="--", linewidth=1.2, label=_plain(text)))
    if rest:
        keys.append(Patch(color="none", label=f"not drawn, always healthy: {', '.join(rest)}"))
    figure.legend(handles=keys, loc="outside lower left", ncols=len(keys), frameon=False, fontsize=9)


def _timeline(axes: Any, report: Report, ill: Sequence[str]) -> None:
    """Which illness was there when."""
    for spell in report.verdict.spells:
        since, until = _span(report, spell)
        width = max(until - since, 0.004 * report.images)
        axes.barh(ill.index(spell.key), width, left=since, height=0.7, color=ALARM, alpha=0.75)
    axes.set_yticks(range(len(ill)), [named(key) for key in ill], fontsize=9)
    axes.set_ylim(len(ill) - 0.5, -0.5)
    axes.set_title("confirmed alarms", fontsize=10, loc="left")
    _across(axes, report)


def _panel(axes: Any, report: Report, panel: Panel) -> None:
    history = report.history
    curves = {name: history.column(name) for name in panel.names}
    bands = {name: found for name in panel.names if (found := band(history, name)) is not None}
    values = [value for points in curves.values() for _, value in points]
    scale, low, high = limits(values, bands.values(), SHARES.isdisjoint(panel.names))
    axes.set_yscale(scale, **({"linthresh": _threshold(curves)} if scale == "symlog" else {}))
    axes.set_ylim(low, high)
    alike = len(set(bands.values())) == 1
    if alike:
        bottom, top = next(iter(bands.values()))
        axes.axhspan(max(bottom, low), min(top, high), color=HEALTHY, alpha=0.13, linewidth=0)
    for (name, points), colour in zip(curves.items(), COLOURS):
        marker, words = "." if len(points) <= 40 else "", name
        if name in bands and not alike:
            words = f"{name}, healthy: {BANDS[name].healthy}"
            for bound in filter(math.isfinite, bands[name]):
                axes.axhline(bound, color=colour, linestyle=":", linewidth=1.2)
        axes.plot(*zip(*points, strict=True), marker=marker, color=colour, linewidth=1.3, label=_plain(words))
    for since, until in merged([_span(report, s) for s in report.verdict.spells if panel.marks(history, s)]):
        axes.axvspan(since, until, color=ALARM, alpha=0.1, linewidth=0)
    axes.set_title(_plain(textwrap.fill(panel.title, 48)), fontsize=9.5, loc="left")
    axes.legend(framealpha=0.7, edgecolor="none", fontsize=8, loc="best")
    axes.grid(alpha=0.25)
    axes.tick_params(labelsize=8)
    if scale == "linear":
        axes.ticklabel_format(axis="y", useOffset=False)
    _across(axes, report)


def _across(axes: Any, report: Report) -> None:
    """The horizontal axis, the same everywhere, with the best checkpoint."""
    first = report.history.images(0)
    axes.set_xlim(min(first, 0), 1.01 * max(report.images, first + 1))
    axes.locator_params(axis="x", nbins=6)
    axes.xaxis.set_major_formatter(lambda images, _: _count(images))
    axes.tick_params(axis="x", labelsize=8)
    if report.best is not None:
        axes.axvline(report.best.images, color=BEST, linestyle="--", linewidth=1.1)


def limits(
    values: Sequence[float], bands: Iterable[tuple[float, float]] = (), decades: bool = True
) -> tuple[str, float, float]:
    """Kind of a vertical axis, and its ends: all values, the bound nearest to them, and others that aren't far away.

    `decades`: whether it may be logarithmic.
    """
    bounds = [bound for pair in bands for bound in pair if math.isfinite(bound)]
    bottom, top = min(values), max(values)
    span = top - bottom or abs(top) or 1.0
    away = {bound: max(bottom - bound, bound - top, 0.0) for bound in bounds}
    near = [bound for bound in bounds if away[bound] < REACH * span or away[bound] == min(away.values())]
    low, high = min([bottom, *near]), max([top, *near])
    positive = [value for value in (bottom, *bounds) if value > 0]
    if decades and bottom > 0 and high > DECADES * min(positive):
        near = [bound for bound in bounds if bottom / 100 < bound < 100 * top]
        low, high = min([bottom, *near]), max([top, *near])
        room = max(high / low, 2.0) ** 0.07
        return "log", low / room, high * room
    sizes = sorted(map(abs, values))
    if decades and bottom <= 0 < sizes[len(sizes) // 2] * DECADES < sizes[-1]:
        return "symlog", 1.2 * min(low, 0), 1.5 * max(high, 0)
    return "linear", low - 0.08 * (high - low or span), high + 0.08 * (high - low or span)


def _threshold(curves: dict[str, list[tuple[int, float]]]) -> float:
    """Where a symlog axis becomes linear: at the power of ten above an ordinary value."""
    sizes = sorted(abs(value) for points in curves.values() for _, value in points if value)
    return 10.0 ** math.ceil(math.log10(sizes[len(sizes) // 2]))


def merged(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans that overlap as one."""
    found: list[tuple[int, int]] = []
    for since, until in sorted(spans):
        if found and since <= found[-1][1]:
            found[-1] = found[-1][0], max(until, found[-1][1])
        else:
            found.append((since, until))
    return found


def _span(report: Report, spell: Spell) -> tuple[int, int]:
    return spell.since, report.images if spell.until is None else spell.until


def _count(images: float) -> str:
    """1,500 as 1.5k."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if abs(images) >= size:
            return f"{images / size:g}{unit}"
    return f"{images:g}"


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"…{text[1 - most :]}"


def _plain(text: str) -> str:
    """As it is: dollars would be read as formulas."""
    return text.replace("$", r"\$")
