"""Runs for the tests of `diagnose`, and illnesses that stay as they are whatever the doctor's own rules become."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mulligan.doctor import panels, report, telling
from mulligan.doctor.bands import BANDS
from mulligan.doctor.examine import examine
from mulligan.doctor.history import PROBED, History
from mulligan.doctor.illness import Cure, Illness, Reading, Rule, Sign
from mulligan.doctor.report import Report

BUDGET = 100_000
LINES = 100
WELL = {
    "diversity": 1.0, "spread": 1.0, "duplicates": 1.1, "wander": 0.05, "auc": 0.7, "auc_held": 0.7, "r_t": 0.3,
    "r_v": 0.0, "margin": 0.5, "push": 0.6, "slope": 0.4, "moved_D": 1e-3, "missing": 0.0, "imbalance": 0.1,
    "repeats": 1.2, "copies": 1.0,
}  # fmt: skip
SICK = {"diversity": 0.1, "spread": 0.1, "duplicates": 0.05, "missing": 0.8, "imbalance": 0.8}
SETTINGS = {
    "format": 1, "recipe": "dcgan",
    "arguments": {"images": BUDGET, "lr": 2e-4, "lr_d": 8e-4, "batch": 64, "stabilize.r1": 0.0, "stabilize.packing": 1},
    "data": {"source": "photos", "name": "photos", "shape": [3, 64, 64], "classes": [], "count": 60_000},
    "doctor": {"objective": "nonsaturating", "held_out": 1_200, "clip": 0.0, "penalized": False},
}  # fmt: skip


def alarm(name: str, low: float, high: float) -> Rule:
    """A rule that alarms where a signal is between two values."""

    def rule(h: History, i: int) -> Sign | None:
        value = h.get(i, name)
        if value is None or not low <= value <= high:
            return None
        return Sign("alarm", (Reading(name, value, BANDS[name].healthy),))

    return rule


EQUAL = Cure(
    "let D learn as fast as G", "--lr-d", "Heusel et al. 2017", lambda a: {"lr_d": a["lr"]} if "lr" in a else {}
)
PACK = Cure("let D judge four samples together", "--stabilize.packing 4", "PacGAN: Lin et al. 2018",
            lambda a: {"stabilize.packing": 4} if a.get("stabilize.packing") == 1 else {})  # fmt: skip
STOP = Cure("stop earlier", "mulligan diagnose names it", "", lambda a: {})
SHELF = (
    Illness("nonfinite", "non-finite numbers", "a number is none", "the data hold one", alarm("nonfinite", 1, 1), (),
            at_once=True),
    Illness("vanishing", "vanishing gradient", "nothing pushes G", "G has won", alarm("push", 0, 0.05),
            (("push",), ("slope",)), (STOP,)),
    Illness("overfitting", "D overfitting", "D knows the data", "other data", alarm("r_v", 0.9, 9),
            (("r_v",), ("auc",))),
    Illness("collapse", "mode collapse", "G makes the same sample whatever z is", "z has no width",
            alarm("diversity", 0, 0.5), (("diversity",),), (EQUAL, PACK)),
)  # fmt: skip


def take_shelf(patch: pytest.MonkeyPatch) -> None:
    """Let reports be made by this shelf."""
    patch.setattr(report, "examine", partial(examine, shelf=SHELF))
    for module in (report, telling, panels):
        patch.setattr(module, "SHELF", SHELF)


def lines(sick_from: float = 2.0, probes: bool = True, upto: float = 1.0) -> list[dict[str, Any]]:
    """A log: a probe in every second line; from a share of the budget on a collapse."""
    rows = []
    for i in range(1, round(LINES * upto) + 1):
        share = i / LINES
        row: dict[str, Any] = {
            "round": 100 * i, "images": i * BUDGET // LINES, "loss_D": 1.2, "grad_D": 2.0, "loss_G": 0.9, "grad_G": 1.0,
            "real": 0.4, "fake": -0.4, "D(x)": 0.6, "D(G(z))": 0.4,
        }  # fmt: skip
        if probes and i % 2 == 0:
            sick = share > sick_from
            row |= (
                {PROBED: 1.0} | WELL | {"distance": 0.05 + 0.5 * math.exp(-9 * share) + sick} | (SICK if sick else {})
            )
        rows.append(row)
    return rows


def made(path: Path, rows: Iterable[dict[str, Any]], **settings: Any) -> Path:
    """A run folder with this log."""
    path.mkdir(parents=True)
    (path / "recipe.json").write_text(json.dumps({**SETTINGS, **settings}))
    (path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def saved(run: Path, *at: int, **facts: Sequence[float]) -> None:
    """Checkpoints at so many images, empty files, with facts in the index."""
    folder = run / "checkpoints"
    folder.mkdir()
    with (folder / "index.jsonl").open("w") as file:
        for i, images in enumerate(at):
            row = {"file": f"round-{images:09d}.pt", "images": images, **{name: v[i] for name, v in facts.items()}}
            (folder / row["file"]).write_bytes(b"")
            file.write(json.dumps(row) + "\n")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def noted(report: Report, words: str) -> str:
    """The one note with these words."""
    (note,) = [note for note in report.notes if words in note]
    return note
