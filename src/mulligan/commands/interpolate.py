"""mulligan interpolate RUN"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

arg = tyro.conf.arg


def command(
    run: Annotated[Path, tyro.conf.Positional, arg(metavar="RUN", help="run folder")],
    out: Annotated[Path | None, arg(aliases=("-o",), help="a .gif, .webp, .mp4 or .webm")] = None,
    steps: Annotated[int, arg(help="frames from one stop to the next")] = 16,
    seeds: Annotated[str | None, arg(help="the stops of one walk: seeds such as 1,5,10-20, and files of w")] = None,
    through: Annotated[int, arg(help="without --seeds: latents on the way")] = 5,
    walks: Annotated[int, arg(help="without --seeds: walks side by side")] = 9,
    seed: Annotated[int, arg(help="without --seeds: of the latents")] = 0,
    closed: Annotated[bool, arg(help="return to the first stop")] = True,
    space: Annotated[
        Literal["auto", "w", "z"],
        arg(name="in", help="w: lines between styles; z: arcs between latents; auto: w where there are styles"),
    ] = "auto",
    ease: Annotated[Literal["smooth", "linear"], arg(help="smooth slows down at the stops")] = "smooth",
    psi: Annotated[float, arg(help="truncation: 0, the average, to 1, all variety")] = 1.0,
    label: Annotated[str | None, arg(help="class number or name, on a run with labels; several with commas")] = None,
    fps: Annotated[int, arg(help="frames per second")] = 12,
    device: Annotated[str, arg(help="auto, cpu, cuda, cuda:1 or mps")] = "auto",
) -> None:
    """A walk through styles or latents as a GIF or a video."""
    from dataclasses import replace

    from ..edit.between import named_walk, random_walk, save_walk
    from ..media.video import check_video
    from ..verbs import load
    from .writing import writing

    experiment = load(run, device)
    stem = f"walk-seed-{seed}" if seeds is None else "walk-seeds-" + Path(seeds[:60].replace("/", "_")).stem
    out = check_video(out or experiment.path / f"{stem}.gif", fps)
    experiment.truncate(psi)
    if seeds is None:
        walk = replace(random_walk(experiment, through, walks, seed, label, space), closed=closed)
    else:
        walk = named_walk(experiment, seeds, label, space, closed)
    with writing(out):
        print(save_walk(experiment, walk, out, steps=steps, ease=ease, fps=fps, show=bar))


def bar(made: Iterator[Any], count: int) -> Iterator[Any]:
    from tqdm import tqdm

    return iter(tqdm(made, total=count, unit="frame", disable=None, dynamic_ncols=True))
