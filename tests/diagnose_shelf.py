"""Illnesses for the tests of `diagnose`: they stay as they are, whatever the doctor's own rules become."""

from __future__ import annotations

from functools import partial

import pytest

from mulligan.doctor import panels, report, telling
from mulligan.doctor.bands import BANDS
from mulligan.doctor.examine import examine
from mulligan.doctor.history import History
from mulligan.doctor.illness import Cure, Illness, Reading, Rule, Sign


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
