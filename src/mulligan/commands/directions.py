"""mulligan directions RUN"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

arg = tyro.conf.arg


def command(
    run: Annotated[Path, tyro.conf.Positional, arg(metavar="RUN", help="run folder")],
    count: Annotated[int, arg(help="how many, the strongest first")] = 5,
    layers: Annotated[str, arg(help="of styles: all, coarse, middle, fine, or numbers such as 0-3")] = "all",
    strength: Annotated[float, arg(help="how far the sheet goes, in deviations of w along a direction")] = 3.0,
    seeds: Annotated[str, arg(help="what is moved: seeds such as 1,5,10-20, and files of w")] = "0,1,2",
    psi: Annotated[float, arg(help="truncation of what is moved: 0, the average, to 1, all variety")] = 1.0,
    label: Annotated[str | None, arg(help="class number or name, on a run with labels; several with commas")] = None,
    out: Annotated[
        Path | None, arg(aliases=("-o",), help="a .png; a .safetensors of that name goes beside (RUN/directions.png)")
    ] = None,
    device: Annotated[str, arg(help="auto, cpu, cuda, cuda:1 or mps")] = "auto",
) -> None:
    """Directions of styles or latents along which pictures change most, without training (SeFa, arXiv:2007.06600)."""
    from ..edit.directions import directions_sheet, find_directions, save_directions
    from ..edit.styles import names_of, stops
    from ..media.image import save_png
    from ..verbs import load
    from .writing import named_png, writing

    experiment = load(run, device)
    suffix = "" if layers == "all" else f"-{layers}"
    out = named_png(out or experiment.path / f"directions{suffix}.png")
    found = find_directions(experiment, count, layers)
    experiment.truncate(psi)
    given = stops(experiment, seeds, label)
    made = directions_sheet(experiment, found, given, names_of(seeds, len(given[0])), strength)
    with writing(out):
        save_png(made, out)
    for i, (value, deviation) in enumerate(zip(found.eigenvalues.tolist(), found.deviations.tolist()), 1):
        print(f"{i:>3}  eigenvalue {value:<10.4g} deviation of w {deviation:.4g}")
    print(save_directions(out.with_suffix(".safetensors"), found, experiment))
    print(out)
