"""`mulligan export RUN`: the generator of a run in a form that others can use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro


def command(
    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help="run folder")],
    to: Annotated[
        Literal["onnx", "safetensors", "hub-folder", "stylegan2-ada-state", "card"],
        tyro.conf.arg(help="what to make"),
    ] = "onnx",
    out: Annotated[
        Path | None, tyro.conf.arg(aliases=("-o",), help="file or, for hub-folder, new folder (default: in the run)")
    ] = None,
    psi: Annotated[float, tyro.conf.arg(help="truncation that becomes a part of an ONNX graph; 1 is off")] = 1.0,
    checkpoint: Annotated[str, tyro.conf.arg(help="newest, best, or a file name")] = "newest",
    force: Annotated[bool, tyro.conf.arg(help="replace a file that is there")] = False,
) -> None:
    """The averaged generator as an ONNX graph, weights, a folder for a model hub, or a model card; nothing is sent."""
    from ..export.deliver import deliver

    verdict = last_word(run) if to in ("hub-folder", "card") else ""
    made = deliver(run, to, out, psi=psi, checkpoint=checkpoint, force=force, verdict=verdict)
    print("\n".join(filter(None, (made.note, str(made.path)))))


def last_word(run: Path) -> str:
    """What the doctor says of the run; nothing where it can't be asked."""
    from ..core.errors import UserError
    from ..diagnosis import diagnose

    try:
        report = diagnose(run)
    except UserError:
        return ""
    return f"{report.verdict.word}; {report.advice.word}: {report.advice.why}"
