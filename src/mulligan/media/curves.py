"""The curves of a run as one picture."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MOST = 9
"""Scores that are drawn, a panel each."""


def draw(rows: Sequence[dict[str, Any]], path: Path, scores: Sequence[dict[str, Any]] = ()) -> Path:
    """Losses, D(x) and D(G(z)), and gradient norms over images drawn, from the lines of a log, as a PNG.

    Below, a panel for each score taken while training, with its real-against-real floor and a dot at the best.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [row for row in rows if "event" not in row]
    names = list(dict.fromkeys(row["name"] for row in scores))[:MOST]
    lines = 1 + -(-len(names) // 3)
    figure = Figure(figsize=(12, 3.6 * lines))
    figure.subplots_adjust(
        left=0.05, right=0.985, top=1 - 0.1 / lines, bottom=0.14 / lines, wspace=0.18, hspace=0.24 / 0.76
    )
    FigureCanvasAgg(figure)
    panels: list[Any] = list(figure.subplots(lines, 3, squeeze=False).flatten())
    _training(rows, panels[:3])
    for axes, name in zip(panels[3:], names, strict=False):
        _score([row for row in scores if row["name"] == name], name, axes)
    for axes in panels[3 + len(names) :]:
        axes.set_axis_off()
    temporary = path.with_name(path.name + ".tmp")
    figure.savefig(temporary, format="png", dpi=90)
    os.replace(temporary, path)
    return path


def _training(rows: Sequence[dict[str, Any]], panels: Sequence[Any]) -> None:
    kinds = (
        ("loss", sorted({k for row in rows for k in row if k.startswith("loss_")}), "linear"),
        ("D's verdict (sigmoid of its logits)", ["D(x)", "D(G(z))"], "linear"),
        ("gradient norm", sorted({k for row in rows for k in row if k.startswith("grad_")}), "log"),
    )
    for axes, (title, names, scale) in zip(panels, kinds, strict=True):
        for name in names:
            points = [(row["images"], row[name]) for row in rows if name in row]
            if points:
                axes.plot(
                    *zip(*points, strict=True), label=name.removeprefix("loss_").removeprefix("grad_"), linewidth=1.2
                )
        _dress(axes, title, scale)
    panels[1].set_ylim(-0.02, 1.02)


def _score(rows: Sequence[dict[str, Any]], name: str, axes: Any) -> None:
    points = [(row["images"], row["value"]) for row in rows if row.get("value") is not None]
    if points:
        axes.plot(*zip(*points, strict=True), marker=".", linewidth=1.2, label=name)
        better = rows[0].get("better")
        if better in ("lower", "higher"):
            best = (min if better == "lower" else max)(points, key=lambda point: point[1])
            axes.plot(*best, "o", color="tab:green", label=f"best: {best[1]:.4g} at {best[0]:,} images")
    floor = next((row["floor"] for row in rows if row.get("floor") is not None), None)
    if floor is not None:
        axes.axhline(floor, color="0.5", linestyle="--", linewidth=1, label=f"real against real: {floor:.4g}")
    _dress(axes, name, "linear")


def _dress(axes: Any, title: str, scale: str) -> None:
    axes.set(title=title, xlabel="images", yscale=scale if any(axes.lines) else "linear")
    axes.locator_params(axis="x", nbins=5)
    axes.xaxis.set_major_formatter(lambda images, _: f"{images:,.0f}")
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(frameon=False)


def draw_apart(rows: Sequence[dict[str, Any]], path: Path, scores: Sequence[dict[str, Any]] = ()) -> Path:
    """The same in a process of its own, so that a long run doesn't carry the plotting library: 30 MB and more.

    Where that process fails, it is drawn here, and what goes wrong is raised here.
    """
    command = [sys.executable, "-I", __file__, str(path)]
    try:
        # a session of its own: Ctrl-C is for the run
        subprocess.run(
            command,
            input=json.dumps([list(rows), list(scores)]).encode(),
            capture_output=True,
            check=True,
            start_new_session=True,
            timeout=60,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return draw(rows, path, scores)
    return path


if __name__ == "__main__":
    given, scored = json.load(sys.stdin)
    draw(given, Path(sys.argv[1]), scored)
