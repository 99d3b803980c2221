"""What `mulligan diagnose` reads of a log, and what it knows of a run beside it."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import pytest

from mulligan.diagnosis import diagnose
from mulligan.doctor.gather import MOST, Gathered
from mulligan.doctor.history import Facts
from mulligan.trust import trust

from .diagnose_shelf import (
    BUDGET,
    SETTINGS,
    lines,
    made,
    noted,
    take_shelf,
)


@pytest.fixture(autouse=True)
def _shelf(monkeypatch: pytest.MonkeyPatch) -> None:
    take_shelf(monkeypatch)


def test_torn_lines_are_counted_and_passed_over(tmp_path: Path):
    run = made(tmp_path / "run", lines())
    text = (run / "log.jsonl").read_text()
    (run / "log.jsonl").write_text(f'[1]\n{"[" * 100_000}\n{text}{{"round": 101, "ima')
    report = diagnose(run)
    assert report.images == BUDGET
    assert "3 of 103 lines of the log are torn" in noted(report, "torn")


def test_lines_that_do_not_say_where_they_are_are_passed_over(tmp_path: Path):
    rows = [*lines(), *({"images": images, "loss_D": 1.0} for images in (None, "x", -1, math.nan, math.inf, 10**400))]
    report = diagnose(made(tmp_path / "run", rows))
    assert report.images == BUDGET
    assert "6 of 106 lines" in noted(report, "at how many images")


def test_lines_out_of_order_are_sorted(tmp_path: Path):
    rows = lines(sick_from=0.5)
    report = diagnose(made(tmp_path / "run", [*rows[50:], *rows[:50]]))
    assert "falls once" in noted(report, "out of order")
    assert report.verdict.ill
    assert report.verdict == diagnose(made(tmp_path / "sorted", rows)).verdict


def test_a_gap_is_named(tmp_path: Path):
    rows = lines()
    report = diagnose(made(tmp_path / "run", [*rows[:30], *rows[50:]]))
    assert noted(report, "gaps") == "gaps: nothing was logged from 30,000 to 51,000 images"


def test_a_log_without_gaps_has_no_such_note(tmp_path: Path):
    assert diagnose(made(tmp_path / "run", lines())).notes == ()


def test_a_signal_that_stops_is_named(tmp_path: Path):
    rows = lines()
    for row in rows[60:]:
        row.pop("auc", None)
    report = diagnose(made(tmp_path / "run", rows))
    assert noted(report, "not taken after") == "auc: not taken after 60,000 of 100,000 images"


def test_signals_that_lack_make_illnesses_impossible_to_judge(tmp_path: Path):
    rows = [{name: value for name, value in row.items() if name not in ("r_v", "auc")} for row in lines()]
    report = diagnose(made(tmp_path / "run", rows))
    assert "D overfitting: lacks r_v or auc" in report.as_text()
    assert {"illness": "overfitting", "name": "D overfitting", "lacks": "r_v or auc"} in report.as_json()["impossible"]


def test_a_log_without_probes_says_so_and_judges_by_the_losses(tmp_path: Path):
    rows = lines(probes=False)
    for row in rows[50:]:
        row["D(G(z))"] = 0.999  # G has won: its loss pushes it no more
    report = diagnose(made(tmp_path / "run", rows))
    assert noted(report, "no probe")
    assert report.verdict.word == "vanishing gradient"
    assert report.verdict.findings[0].readings[0].value == pytest.approx(0.001)


def test_numbers_that_left_the_finite_are_an_illness_with_the_words_of_the_event(tmp_path: Path):
    event = {"round": 5_000, "images": 50_000, "event": "non-finite", "text": "player D: loss nan\x1b[31m"}
    report = diagnose(made(tmp_path / "run", [*lines(upto=0.5), event]))
    assert report.verdict.word == "non-finite numbers"
    assert noted(report, "loss nan") == "at 50,000 images: player D: loss nan�[31m"


def test_a_damaged_event_does_no_harm(tmp_path: Path):
    events = [{"event": "data"}, {"event": "data", "problem": "p", "healthy": 1, "value": math.nan}, {"event": None},
              {"event": "non-finite", "images": "x"}]  # fmt: skip
    report = diagnose(made(tmp_path / "run", [*lines(upto=0.5), *events]))
    assert report.verdict.word == "non-finite numbers"


def test_rows_are_gathered_to_so_many_however_many_lines_there_are():
    gathered = Gathered()
    for i in range(10 * MOST):
        gathered.add({"images": float(i), "loss_D": float(i % 2)})
    rows = gathered.whole()
    assert MOST // 2 <= len(rows) <= MOST
    assert rows[-1]["images"] == 10 * MOST - 1
    assert rows[0]["loss_D"] == 0.5


def test_a_number_that_is_not_finite_survives_being_gathered(tmp_path: Path):
    rows = [{"images": i, "loss_D": 1.0, "grad_D": 1.0} for i in range(1, 2 * MOST)]
    rows[-1]["loss_D"] = math.nan
    assert diagnose(made(tmp_path / "run", rows)).verdict.word == "non-finite numbers"


def test_facts_come_from_what_the_run_remembers(tmp_path: Path):
    told = {"objective": "wasserstein", "held_out": 100, "clip": 0.01, "penalized": True}
    facts = diagnose(made(tmp_path / "run", lines(), doctor=told)).history.facts
    assert facts == Facts(objective="wasserstein", budget=BUDGET, count=59_900, held=100, clip=0.01, penalized=True)


def test_the_objective_of_an_older_run_comes_from_the_recipe(tmp_path: Path):
    old = made(tmp_path / "run", lines(probes=False), recipe="gan", arguments={"images": BUDGET, "stabilize.r1": 0.5},
               data={**SETTINGS["data"], "shape": [2]})  # fmt: skip
    settings = json.loads((old / "recipe.json").read_text())
    del settings["doctor"]
    (old / "recipe.json").write_text(json.dumps(settings))
    facts = diagnose(old).history.facts
    assert (facts.objective, facts.penalized) == ("nonsaturating", True)


def test_the_recipe_file_of_an_older_run_is_not_run_for_its_objective(tmp_path: Path):
    file, ran = tmp_path / "own.py", tmp_path / "ran"
    file.write_text(f"open({str(ran)!r}, 'w')\n")
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    trust(sha256, str(file))
    old = {name: value for name, value in SETTINGS.items() if name != "doctor"}
    run = made(tmp_path / "run", lines())
    (run / "recipe.json").write_text(json.dumps({**old, "recipe": f"{file}:mine", "sha256": sha256}))
    report = diagnose(run)
    assert report.history.facts.objective == ""
    assert noted(report, "objective isn't known")
    assert not ran.exists()


def test_damaged_settings_do_no_harm(tmp_path: Path):
    run = made(tmp_path / "run", lines(), doctor="x", changes=3, data=[], arguments={"images": math.inf})
    assert diagnose(run).budget == 0
