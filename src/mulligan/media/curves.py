"""The curves of a run as one picture."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def draw(rows: Sequence[dict[str, Any]], path: Path) -> Path:
    """Losses, D(x) and D(G(z)), and gradient norms over images drawn, from the lines of a log, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [row for row in rows if "event" not in row]
    figure = Figure(figsize=(12, 3.6))
    figure.subplots_adjust(left=0.05, right=0.985, top=0.9, bottom=0.14, wspace=0.18)
    FigureCanvasAgg(figure)
    panels = (
        ("loss", sorted({k for row in rows for k in row if k.startswith("loss_")}), "linear"),
        ("D's verdict (sigmoid of its logits)", ["D(x)", "D(G(z))"], "linear"),
        ("gradient norm", sorted({k for row in rows for k in row if k.startswith("grad_")}), "log"),
    )
    for axes, (title, names, scale) in zip(figure.subplots(1, 3), panels, strict=True):
        for name in names:
            points = [(row["images"], row[name]) for row in rows if name in row]
            if points:
                axes.plot(
                    *zip(*points, strict=True), label=name.removeprefix("loss_").removeprefix("grad_"), linewidth=1.2
                )
        axes.set(title=title, xlabel="images", yscale=scale if any(axes.lines) else "linear")
        axes.locator_params(axis="x", nbins=5)
        axes.xaxis.set_major_formatter(lambda images, _: f"{images:,.0f}")
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(frameon=False)
    if panels[1][1]:
        figure.axes[1].set_ylim(-0.02, 1.02)
    temporary = path.with_name(path.name + ".tmp")
    figure.savefig(temporary, format="png", dpi=90)
    os.replace(temporary, path)
    return path


def draw_apart(rows: Sequence[dict[str, Any]], path: Path) -> Path:
    """The same in a process of its own, so that a long run doesn't carry the plotting library: 30 MB and more.

    Where that process fails, it is drawn here, and what goes wrong is raised here.
    """
    command = [sys.executable, "-I", __file__, str(path)]
    try:
        # a session of its own: Ctrl-C is for the run
        subprocess.run(
            command,
            input=json.dumps(list(rows)).encode(),
            capture_output=True,
            check=True,
            start_new_session=True,
            timeout=60,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return draw(rows, path)
    return path


if __name__ == "__main__":
    draw(json.load(sys.stdin), Path(sys.argv[1]))
