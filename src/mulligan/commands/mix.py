"""mulligan mix RUN"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import tyro

arg = tyro.conf.arg


def command(
    run: Annotated[Path, tyro.conf.Positional, arg(metavar="RUN", help="run folder, with styles")],
    rows: Annotated[str, arg(help="seeds such as 1,5,10-20 and files of w, whose pictures are changed")] = "0-3",
    columns: Annotated[str, arg(help="seeds and files of w, whose styles they take")] = "10-15",
    layers: Annotated[str, arg(help="which styles: coarse, middle, fine, or numbers such as 0-3")] = "coarse",
    psi: Annotated[float, arg(help="truncation: 0, the average, to 1, all variety")] = 1.0,
    label: Annotated[str | None, arg(help="class number or name, on a run with labels; several with commas")] = None,
    out: Annotated[Path | None, arg(aliases=("-o",), help="a .png (default: RUN/mix-LAYERS.png)")] = None,
    device: Annotated[str, arg(help="auto, cpu, cuda, cuda:1 or mps")] = "auto",
) -> None:
    """Each row's picture with the coarse, middle or fine styles of each column's (Karras et al. 2019, figure 3)."""
    from ..edit.mixing import mixing_sheet, words_of
    from ..edit.styles import names_of, needs_styles, stops
    from ..media.image import save_png
    from ..verbs import load
    from .writing import named_png, writing

    experiment = load(run, device)
    count = needs_styles(experiment, "mixing")
    words = words_of(layers, count)
    out = named_png(out or experiment.path / f"mix-{layers}.png")
    experiment.truncate(psi)
    given = stops(experiment, rows, label), stops(experiment, columns, label)
    names = names_of(rows, len(given[0][0])), names_of(columns, len(given[1][0]))
    made = mixing_sheet(experiment, *given, layers, names)
    with writing(out):
        save_png(made, out)
    print(words, file=sys.stderr)
    print(out)
