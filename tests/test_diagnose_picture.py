"""The picture of a diagnosis: panels, axes, marks."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from mulligan.core.run import Run
from mulligan.doctor.history import Facts, History
from mulligan.doctor.illness import Spell
from mulligan.doctor.panels import chosen
from mulligan.doctor.plot import draw, limits, merged
from mulligan.doctor.report import of_run

from .diagnose_shelf import (
    WELL,
    lines,
    made,
    take_shelf,
)


@pytest.fixture(autouse=True)
def _shelf(monkeypatch: pytest.MonkeyPatch) -> None:
    take_shelf(monkeypatch)


def test_there_are_at_most_16_panels_and_what_left_its_band_comes_first():
    rows = [{"images": float(i), "loss_D": 1.0, "obeyed": 0.1, "contrast": 1.0, "checkerboard": 1.0, "clipped": 0.1,
             "grad_D": 1.0, "grad_G": 1.0, "distance": 0.05, **WELL} for i in range(20)]  # fmt: skip
    panels, rest = chosen(History(rows))
    assert len(panels) == 16
    assert ("obeyed",) in [panel.names for panel in panels]
    assert rest
    assert not {name for panel in panels for name in panel.names}.intersection(rest)


def test_what_says_nothing_under_an_objective_is_not_drawn():
    rows = [{"images": float(i), "r_t": 1.0, "D(x)": 0.5, "D(G(z))": 0.5, "real": 9.0, "fake": 8.0} for i in range(5)]
    names = [panel.names for panel in chosen(History(rows, Facts("wasserstein")))[0]]
    assert names == [("real", "fake")]
    names = [panel.names for panel in chosen(History(rows, Facts("nonsaturating")))[0]]
    assert names == [("D(x)", "D(G(z))"), ("r_t",)]


def test_an_alarm_is_marked_where_its_signal_left_its_band():
    rows = [{"images": float(i), "push": 0.5, "slope": 1.0 if i < 9 else 1e-3} for i in range(20)]
    history, spell = History(rows), Spell("vanishing", 9, None)
    assert {panel.names[0]: panel.marks(history, spell) for panel in chosen(history)[0]} == {
        "push": False,
        "slope": True,
    }


@pytest.mark.parametrize(
    ("values", "bands", "kind"),
    [
        ([0.9, 1.0], [(0.4, 0.97)], "linear"),
        ([1e-4, 1.0], [], "log"),
        ([0.05, 0.06], [(-math.inf, 10.0)], "log"),
        ([-0.01, 0.02, 0.01, 0.01, 90.0], [], "symlog"),
        ([0.0, 0.0], [], "linear"),
        ([3.0, 3.0], [(-math.inf, 0.01)], "log"),
    ],
)
def test_an_axis_holds_its_values_and_the_nearest_bound(
    values: list[float], bands: list[tuple[float, float]], kind: str
):
    scale, low, high = limits(values, bands)
    assert scale == kind
    assert low < min(values)
    assert high > max(values)


def test_spans_that_overlap_are_one():
    assert merged([(5, 9), (1, 3), (2, 6), (12, 13)]) == [(1, 9), (12, 13)]


def test_a_picture_with_one_observation_and_words_like_formulas_is_drawn(tmp_path: Path):
    report = of_run(Run(made(tmp_path / "a$b^{", [{**lines()[1], "loss_$x$": 1.0}])))
    assert draw(report, tmp_path / "one.png")
    assert (tmp_path / "one.png").stat().st_size > 1_000


def test_where_nothing_was_taken_nothing_is_drawn(tmp_path: Path):
    report = of_run(Run(made(tmp_path / "run", [{"images": 5, "round": 1}])))
    assert not draw(report, tmp_path / "one.png")
    assert not (tmp_path / "one.png").exists()
