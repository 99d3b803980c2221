"""The curves of several runs in one figure for each quantity."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from PIL import Image

from .comparison_scores import differences, finite

Row = dict[str, Any]
Curve = tuple[list[float], list[float]]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#7f7f7f")
"""Told apart with any colour vision. Okabe & Ito 2008, without yellow, which is too pale on white; and a grey."""
STYLES = ("-", "--", ":", "-.")
MOST = 24  # figures; a game of one's own may log any number of quantities
DPI = 160


def quantities(logs: Sequence[Sequence[Row]]) -> list[tuple[str, list[Curve]]]:
    """Title and one curve for each run: losses, D's verdicts and gradient norms over images."""
    keys = dict.fromkeys(key for log in logs for row in log for key in row)
    order = [key for start in ("loss_", "D(", "grad_") for key in keys if key.startswith(start)]
    return [(title(key), [curve(log, key) for log in logs]) for key in order[:MOST]]


def title(key: str) -> str:
    kind, _, player = key.partition("_")
    return {"loss": f"loss of {player}", "grad": f"gradient norm of {player}"}.get(kind, key)


def curve(rows: Sequence[Row], key: str) -> Curve:
    points = [(row["images"], row[key]) for row in rows if finite(row.get("images")) and finite(row.get(key))]
    return [x for x, _ in points], [y for _, y in points]


def scored(runs: Sequence[Sequence[Row]]) -> list[tuple[str, list[Curve], str]]:
    """Name, curves and what the protocols differ in, for every score that was taken while training."""
    taken = [[row for row in run if row["training"]] for run in runs]
    names = dict.fromkeys(row["name"] for run in taken for row in run)
    found = []
    for name in list(names)[:MOST]:
        each = [[row for row in run if row["name"] == name] for run in taken]
        last = [rows[-1] for rows in each if rows]
        apart = differences(last)[0] if len(last) > 1 else ""
        found.append((name, [curve(rows, "value") for rows in each], apart))
    return found


def draw(heading: str, curves: Sequence[Curve], names: Sequence[str]) -> Image.Image:
    """One figure over images drawn, on white; runs without a point are left out of it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.1), dpi=DPI, layout="constrained", facecolor="white")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for i, ((x, y), name) in enumerate(zip(curves, names, strict=True)):
        if x:
            dot = "o" if len(x) == 1 else ""
            style = STYLES[i // len(COLOURS) % len(STYLES)]
            axes.plot(x, y, dot + style, color=COLOURS[i % len(COLOURS)], label=plain(name), linewidth=1.3, alpha=0.9)
    if heading.startswith("D("):
        axes.set_ylim(-0.02, 1.02)
    if heading.startswith("gradient") and all(value > 0 for _, y in curves for value in y):
        axes.set_yscale("log")
    axes.set_title(plain(heading), fontsize=10)
    axes.set_xlabel("images", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.locator_params(axis="x", nbins=5)
    axes.xaxis.set_major_formatter(lambda images, _: f"{images:,.0f}")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a letter that the font lacks is drawn as a box
        canvas.draw()
    return Image.frombytes("RGBA", canvas.get_width_height(), bytes(canvas.buffer_rgba())).convert("RGB")


def plain(text: str) -> str:
    """A label as it is: dollars would be read as formulas, and what starts with "_" is left out of a legend."""
    text = text if len(text) <= 40 else text[:39] + "…"
    return text.replace("$", r"\$") if not text.startswith("_") else " " + text.replace("$", r"\$")
