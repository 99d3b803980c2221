"""From a run folder to files that others can use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from mulligan.core.errors import UserError
from mulligan.experiment import Experiment

from . import hub, onnx, state
from .card import card
from .facts import header
from .place import check, whole

Kind = Literal["onnx", "safetensors", "hub-folder", "stylegan2-ada-state", "card"]
NAMES: dict[str, str] = {
    "onnx": "model.onnx", "safetensors": "model.safetensors", "hub-folder": "hub",
    "stylegan2-ada-state": "stylegan2-ada-state.pt", "card": "model-card.md",
}  # fmt: skip
TRUNCATED = ("onnx", "hub-folder")
"""Kinds that psi can be a part of: weights are the same for every psi."""


@dataclass(frozen=True)
class Delivered:
    """Where the export lies, and a remark about it."""

    path: Path
    note: str = ""


def deliver(
    run: str | Path | Experiment, to: Kind = "onnx", out: str | Path | None = None, *, psi: float = 1.0,
    checkpoint: str = "newest", force: bool = False, verdict: str = "",
) -> Delivered:  # fmt: skip
    """The averaged generator of a run as `to`: in `out`, or in the run folder under a usual name.

    `checkpoint` is newest, best by its score, or a file name; `psi` truncates, as a part of an ONNX graph; `force`
    replaces a file; `verdict` is what the card says of the run's health, otherwise what was noted with the checkpoint.
    Raises UserError, with nothing written, for an unknown kind, a place that is taken, a missing package, and a
    generator that this kind can't hold.
    """
    if to not in get_args(Kind):
        raise UserError(f"--to {to}: take {', '.join(get_args(Kind))}")
    if psi != 1 and to not in TRUNCATED:
        raise UserError(f"--psi {psi:g} changes no weight: it is for --to {' and '.join(TRUNCATED)}, leave it out here")
    source = Experiment(run.path if isinstance(run, Experiment) else run, "cpu")
    source.settings()  # a folder that is no run is told before anything else
    suffix = "" if psi == 1 else f"-psi-{psi:g}"
    usual = source.path / NAMES[to]
    target = Path(out) if out is not None else usual.with_name(f"{usual.stem}{suffix}{usual.suffix}")
    check(target, force, folder=to == "hub-folder")
    if to == "onnx":
        onnx.needed()
    told = header(source, source.use(checkpoint))
    source.truncate(psi).truncate(1)  # a psi that isn't one is told before anything is written
    with whole(target) as path:
        note = _written(source, to, path, told, psi, verdict)
    return Delivered(target, note)


def _written(run: Experiment, to: Kind, path: Path, told: dict[str, Any], psi: float, verdict: str) -> str:
    match to:
        case "onnx":
            return onnx.write(run, path, told, psi)
        case "safetensors":
            return hub.safetensors(run, path, told)
        case "stylegan2-ada-state":
            return state.write(run, path, told)
        case "hub-folder":
            return hub.write(run, path, told, psi, verdict)
    path.write_text(card(run, told, verdict=verdict), encoding="utf-8")
    return ""
