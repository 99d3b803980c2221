"""mulligan sample RUN"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from ..experiment import Experiment

arg = tyro.conf.arg
ENDINGS = "name a .png for one sheet, or a folder for one file per sample"


def command(
    run: Annotated[Path, tyro.conf.Positional, arg(metavar="RUN", help="run folder")],
    number: Annotated[int, arg(name="n", aliases=("-n",), help="how many, on one sheet")] = 64,
    seed: int = 0,
    seeds: Annotated[str | None, arg(help="one picture for each instead: 1,5,10-20; also files of w")] = None,
    count: Annotated[
        int | None, arg(help="how many into a folder or .zip named with --out, in blocks that several processes share")
    ] = None,
    psi: Annotated[float, arg(help="truncation: 0, the average, to 1, all variety")] = 1.0,
    label: Annotated[str | None, arg(help="class number or name, on a run with labels; several with commas")] = None,
    out: Annotated[
        Path | None,
        arg(aliases=("-o",), help="a .png for one sheet, or a folder for one file per sample; with --count also .zip"),
    ] = None,
    batch: Annotated[int, arg(help="with --count: pictures made at a time")] = 64,
    workers: Annotated[int, arg(help="with --count: processes; or start it with torchrun")] = 1,
    device: Annotated[str, arg(help="auto, cpu, cuda, cuda:1 or mps")] = "auto",
) -> None:
    """Pictures from a trained run: one sheet, one for each of some seeds, or very many as files.

    A --count that was stopped goes on when the command is repeated, and labels stand in labels.csv.
    """
    from ..core.errors import UserError
    from ..verbs import load

    if count is not None and seeds is not None:
        raise UserError("--count and --seeds: take one of them, --count draws its samples itself")
    experiment = load(run, device)
    if psi != 1:
        experiment.truncate(psi)
    if count is not None:
        if out is None or out.suffix.lower() == ".png":
            raise UserError(f"--count {count}: name a folder or a .zip for the files with --out")
        _bulk(experiment, count, out, seed, label, batch, workers)
        return
    if out is not None and out.suffix.lower() == ".zip":
        raise UserError(f"--out {out}: a zip takes --count, such as --count {number}; or {ENDINGS}")
    if out is not None and out.suffix and out.suffix.lower() != ".png":
        raise UserError(f"--out {out}: {ENDINGS}")
    out = out or experiment.path / _name(seed, seeds, label, psi)
    print(_few(experiment, out, number, seed, seeds, label))


def _name(seed: int, seeds: str | None, label: str | None, psi: float) -> str:
    which = f"seed-{seed}" if seeds is None else f"seeds-{seeds[:60]}"
    suffix = ("" if label is None else f"-label-{label}") + ("" if psi == 1 else f"-psi-{psi:g}")
    return f"sample-{which.replace('/', '_')}{suffix}.png"


def _few(experiment: Experiment, out: Path, number: int, seed: int, seeds: str | None, label: str | None) -> Path:
    """One sheet, or a file each, numbered in their order."""
    from ..edit.styles import sampled, stops
    from .writing import writing

    if seeds is None:
        x = sampled(experiment, number, seed, label)
    else:
        x = experiment.picture(*stops(experiment, seeds, label))
    with writing(out):
        if out.suffix.lower() == ".png":
            out.parent.mkdir(parents=True, exist_ok=True)
            experiment.media.sheet(x, out)
        else:
            experiment.media.files(x, out)
    return out


def _bulk(
    experiment: Experiment, count: int, out: Path, seed: int, label: str | None, batch: int, workers: int
) -> None:
    from ..edit.bulk import bulk
    from .writing import writing

    with writing(out):
        path = bulk(experiment, count, out, seed=seed, label=label, batch=batch, workers=workers, show=_bar)
    if os.environ.get("RANK", "0") == "0":
        print(path)


def _bar(done: Iterator[int], total: int) -> Iterator[int]:
    from tqdm import tqdm

    with tqdm(total=total, unit="img", disable=None, dynamic_ncols=True) as bar:
        for more in done:
            bar.update(more)
            yield more
