"""`mulligan diagnose`: what ails a training."""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from ..doctor.report import Report

ILL = 3
"""The exit code where an illness is confirmed."""


def command(
    run: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help="run folder")] = None,
    csv: Annotated[Path | None, tyro.conf.arg(help="losses and signals of any training loop, instead of RUN")] = None,
    objective: Annotated[str, tyro.conf.arg(help="for --csv: minimax, nonsaturating, hinge, wasserstein, …")] = "",
    budget: Annotated[int, tyro.conf.arg(help="for --csv: where the training ends, in what counts its lines")] = 0,
    out: Annotated[
        Path | None, tyro.conf.arg(help="a .png (default: RUN/diagnosis.png, or FILE-diagnosis.png beside the CSV)")
    ] = None,
    json: Annotated[bool, tyro.conf.arg(help="print JSON for programs, and nothing else")] = False,
) -> None:
    """What ails a training, since when, on what evidence, and what helps; with every signal in one picture.

    Exit code 0 where it is healthy, to be watched, or too early to say; 3 where it is ill; 2 for wrong input.
    """
    from ..core.errors import UserError
    from ..diagnosis import diagnose
    from ..doctor.report import of_table

    if (run is None) == (csv is None):
        raise UserError("name either a run folder (mulligan diagnose RUN) or a table (mulligan diagnose --csv FILE)")
    if out is not None and out.suffix.lower() != ".png":
        raise UserError(f"--out {out}: the picture is written as .png")
    if run is not None and (objective or budget):
        raise UserError("--objective and --budget belong to --csv: a run knows its own")
    if run is not None and run.is_file():
        raise UserError(f"{run} is a file: mulligan diagnose --csv {run}")
    if csv is not None:
        report, usual = of_table(csv, objective, budget), csv.with_name(f"{csv.stem}-diagnosis.png")
    else:
        assert run is not None
        report, usual = diagnose(run), run / "diagnosis.png"
    picture = drawn(report, out or usual)
    if json:
        print(dumps({**report.as_json(), "picture": picture and str(picture)}, indent=2, allow_nan=False))
    else:
        print(report.as_text())
        print(picture or "no picture")
    if report.verdict.ill:
        raise SystemExit(ILL)


def drawn(report: Report, path: Path) -> Path | None:
    """Where the picture is; None, with a warning, where the disk refuses it, or there is nothing to draw."""
    from ..core.run import warn
    from ..doctor.plot import draw

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path if draw(report, path) else None
    except OSError as error:
        warn(f"the picture could not be written to {path} ({error.strerror or error}): name another place with --out")
        return None
