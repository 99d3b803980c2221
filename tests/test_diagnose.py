"""`mulligan diagnose RUN`: what is read of a run, what is said of it, and what is left alone."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mulligan import UserError
from mulligan.cli import main
from mulligan.core.run import Run
from mulligan.diagnosis import diagnose
from mulligan.doctor import plot
from mulligan.doctor.advice import Series, advise
from mulligan.doctor.gather import MOST, Gathered
from mulligan.doctor.history import PROBED, Facts, History
from mulligan.doctor.illness import Finding, Illness, Reading, Spell, Verdict
from mulligan.doctor.panels import chosen
from mulligan.doctor.plot import draw, limits, merged
from mulligan.doctor.report import Report, of_run
from mulligan.doctor.words import line, paragraph
from mulligan.trust import trust

from .diagnose_shelf import PACK, STOP, take_shelf

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


@pytest.fixture(autouse=True)
def _shelf(monkeypatch: pytest.MonkeyPatch) -> None:
    take_shelf(monkeypatch)


@pytest.fixture
def sketched(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture takes seconds: here it is a few bytes."""
    monkeypatch.setattr(plot, "draw", lambda report, path: bool(path.write_bytes(b"a picture")))


# The command and its exit codes


def test_a_healthy_run_leaves_with_0_and_the_path_of_its_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = made(tmp_path / "run", lines())
    main(["diagnose", str(run)])
    said = capsys.readouterr().out
    assert said.startswith("verdict     healthy")
    assert said.splitlines()[-1] == str(run / "diagnosis.png")
    with Image.open(run / "diagnosis.png") as picture:
        assert picture.width > 800


@pytest.mark.usefixtures("sketched")
def test_an_ill_run_leaves_with_3_and_tells_since_when_why_and_what_helps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = made(tmp_path / "run", lines(sick_from=0.5))
    with pytest.raises(SystemExit) as left:
        main(["diagnose", str(run)])
    said = capsys.readouterr().out
    assert left.value.code == 3
    assert "doctor: mode collapse: G makes the same sample whatever z is." in said
    assert "since     52,000 images (52 % of the budget)" in said
    assert "diversity 0.1, too low (healthy: 0.9 to 1.3)" in said
    assert "cure      let D learn as fast as G: --lr-d 0.0002 (Heusel et al. 2017)" in said


@pytest.mark.usefixtures("sketched")
def test_an_illness_that_has_gone_is_in_the_time_line_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rows = lines()
    for row in rows[39:60:2]:
        row |= SICK
    main(["diagnose", str(made(tmp_path / "run", rows))])
    said = capsys.readouterr().out
    assert said.startswith("verdict     healthy")
    assert "mode collapse from 40,000 (40 %) to 62,000 images (62 %)" in said


def test_a_run_that_has_only_begun_leaves_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = made(tmp_path / "run", [])
    main(["diagnose", str(run)])
    said = capsys.readouterr().out
    assert said.startswith("verdict     too early to say")
    assert "nothing is logged yet" in said
    assert said.splitlines()[-1] == "no picture"
    assert not (run / "diagnosis.png").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "name either a run folder"),
        (["{run}", "--csv", "{run}/log.csv"], "name either a run folder"),
        (["{run}/nothing"], "no run at"),
        (["{run}/checkpoints"], "not a run folder"),
        (["{run}/log.jsonl"], "is a file: mulligan diagnose --csv"),
        (["{run}", "--out", "{run}/picture.jpg"], "written as .png"),
        (["{run}", "--objective", "hinge"], "belong to --csv"),
    ],
)
def test_wrong_input_leaves_with_2_and_writes_nothing(
    words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = made(tmp_path / "run", lines())
    saved(run, 1_000)
    before = files(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(["diagnose", *(word.format(run=run) for word in words)])
    assert left.value.code == 2
    assert told in capsys.readouterr().err
    assert files(tmp_path) == before


def test_an_imported_run_has_nothing_to_diagnose(tmp_path: Path):
    with pytest.raises(UserError, match="imported, and never trained here"):
        diagnose(made(tmp_path / "run", [], imported={"file": "x.pt"}))


def test_a_log_of_which_no_line_can_be_read_is_refused(tmp_path: Path):
    run = made(tmp_path / "run", [])
    (run / "log.jsonl").write_text("garbage\n[1, 2]\n")
    with pytest.raises(UserError, match="none of its 2 lines"):
        diagnose(run)


def test_a_picture_that_is_refused_is_a_warning_and_the_verdict_stands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = made(tmp_path / "run", lines())
    (run / "diagnosis.png").mkdir()  # the disk refuses, also for root
    main(["diagnose", str(run)])
    said = capsys.readouterr()
    assert said.out.startswith("verdict     healthy")
    assert "picture could not be written" in said.err
    assert not list(run.glob("*.tmp"))


@pytest.mark.usefixtures("sketched")
def test_nothing_but_the_picture_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = made(tmp_path / "run", lines())
    before = files(tmp_path)
    with Run(run).locked():  # as by a process that trains it right now
        main(["diagnose", str(run)])
    capsys.readouterr()
    after = files(tmp_path)
    assert after.keys() - before.keys() == {"run/diagnosis.png", "run/.lock"}
    assert {name: after[name] for name in before} == before


@pytest.mark.usefixtures("sketched")
def test_json_stands_alone_and_agrees_with_the_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = made(tmp_path / "run", lines(sick_from=0.5))
    saved(run, 20_000, 100_000)
    with pytest.raises(SystemExit) as left:
        main(["diagnose", str(run), "--json", "--out", str(tmp_path / "there" / "p.png")])
    found, text = json.loads(capsys.readouterr().out), " ".join(diagnose(run).as_text().split())
    assert left.value.code == 3
    assert found["ill"]
    assert f"verdict {found['verdict']} since" in text
    assert f"{found['images']:,} of {found['budget']:,} {found['unit']}" in text
    for finding in found["findings"]:
        assert f"{finding['name']} since {finding['since']:,}" in text
        assert all(f"{reading['signal']} {reading['value']:.4g}" in text for reading in finding["evidence"])
        assert f"{finding['cures'][0]['text']}: {finding['cures'][0]['flags']}" in text
    assert all(f"{spell['name']} from {spell['since']:,}" in text for spell in found["timeline"])
    assert f"best {found['best']['checkpoint']} at 20,000 images" in text
    assert text.endswith(f"{found['advice']['word']}: {found['advice']['why']}")
    assert Path(found["picture"]).read_bytes() == b"a picture"


def test_the_name_of_a_folder_does_not_steer_the_terminal(tmp_path: Path):
    assert "\x1b" not in diagnose(made(tmp_path / "a\x1b[31mb", lines())).as_text()


def test_text_fits_in_100_letters(tmp_path: Path):
    report = diagnose(made(tmp_path / "run", lines(sick_from=0.5)))
    report = replace(report, subject="run", notes=("word " * 60, *report.notes))
    assert max(map(len, report.as_text().splitlines())) <= 100


# What is read of a log


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


# What is known of a run beside its log


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


# Best checkpoint and advice


def test_the_best_checkpoint_by_score_goes_first(tmp_path: Path):
    run = made(tmp_path / "run", lines())
    saved(run, 20_000, 60_000, 100_000, score=[9.0, 3.0, 5.0])
    best = diagnose(run).best
    assert best is not None
    assert (best.checkpoint, best.images, best.by, best.value) == ("round-000060000.pt", 60_000, "score", 3.0)


def test_a_score_of_which_more_is_better_is_told_as_it_is(tmp_path: Path):
    run = made(tmp_path / "run", lines())
    saved(run, 20_000, 60_000, score=[-0.2, -0.7])
    (run / "scores.jsonl").write_text(json.dumps({"name": "Recall", "better": "higher", "training": True}) + "\n")
    best = diagnose(run).best
    assert best is not None
    assert best.why == "best Recall, 0.7, of those that are still there"


def test_without_scores_the_checkpoint_with_the_smallest_distance_is_the_best_of_those_that_are_there(tmp_path: Path):
    run = made(tmp_path / "run", lines(sick_from=0.5))
    saved(run, 20_000, 50_000, 100_000)
    report = diagnose(run)
    assert report.best is not None
    assert report.best.checkpoint == "round-000050000.pt"
    (run / "checkpoints" / "round-000050000.pt").unlink()
    report = diagnose(run)
    assert report.best is not None
    assert report.best.checkpoint == "round-000020000.pt"
    assert "of the 2 that are still there; the run's smallest, 0.05" in report.best.why


def test_a_run_without_checkpoints_has_no_best(tmp_path: Path):
    assert diagnose(made(tmp_path / "run", lines())).best is None


def series(values: Sequence[float], name: str = "distance") -> Series:
    return Series(name, tuple((1_000 * (i + 1), value) for i, value in enumerate(values)))


NONE = Series("score", ())
NOISE = [0.01 * math.sin(7 * i * i) for i in range(40)]


def test_what_rises_after_its_best_says_stop_and_where_the_best_was():
    advice = advise(NONE, series([abs(i - 20) / 20 + NOISE[i] for i in range(40)]))
    assert advice.word == "stop"
    assert advice.at == pytest.approx(21_000, abs=2_000)


def test_what_stands_still_but_for_its_noise_says_stop():
    assert advise(NONE, series([0.2 + e for e in NOISE])).word == "stop"


def test_what_falls_beyond_its_noise_says_go_on():
    advice = advise(NONE, series([1 - i / 50 + NOISE[i] for i in range(40)]), budget=40_000)
    assert advice.word == "go on"
    assert "the budget is used, a larger one may be worth it" in advice.why


def test_a_trifle_without_noise_is_no_improvement():
    assert advise(NONE, series([0.2 - 1e-6 * i for i in range(40)])).word == "stop"


def test_few_values_say_that_there_are_not_enough():
    advice = advise(series([1.0] * 3, "FID"), series([1.0] * 7))
    assert (advice.word, advice.at) == ("not enough", None)
    assert "3 of FID and 7 of distance" in advice.why


def test_nobody_is_told_to_stop_in_the_first_fifth_of_the_budget():
    assert advise(NONE, series([0.2] * 10), budget=100_000).word == "not enough"
    assert advise(NONE, series([0.2] * 10), budget=50_000).word == "stop"


def test_scores_say_more_than_distances():
    rising, falling = series([1.0 + i for i in range(20)], "FID"), series([1.0 - i / 20 for i in range(20)])
    assert advise(rising, falling).why.count("FID") == 1
    assert advise(rising, falling).word == "stop"


def test_an_ill_run_that_improves_is_told_that_the_cure_comes_first(tmp_path: Path):
    rows = lines()
    for i, row in enumerate(rows):
        if "distance" in row:
            row |= SICK | {"distance": 2 - i / 60}
    report = diagnose(made(tmp_path / "run", rows))
    assert report.advice.word == "go on"
    assert report.advice.why.endswith("it is ill, and the cure comes first")


# Words


ILLNESS = Illness(
    "test",
    "test illness",
    "something is wrong",
    "or it isn't",
    lambda h, i: None,
    (("auc",),),
    (PACK, STOP),
)
FOUND = Finding(ILLNESS, "alarm", 30_000, 34_000, (Reading("auc", 0.995, "0.4 to 0.97"), Reading("slope", 0.5, "x")))


def test_a_paragraph_tells_illness_evidence_rival_and_cure():
    assert paragraph(FOUND, BUDGET).splitlines() == [
        "doctor: test illness: something is wrong.",
        "  since     30,000 images (30 % of the budget), confirmed at 34,000",
        "  evidence  auc 0.995, too high (healthy: 0.4 to 0.97): how often D ranks a real sample above a",
        "            generated one",
        "            slope 0.5 times its early median, as it should be (healthy: x): gradient that G gets at",
        "            its samples",
        "  or else   or it isn't",
        "  cure      let D judge four samples together: --stabilize.packing 4 (PacGAN: Lin et al. 2018)",
        "  then      stop earlier: mulligan diagnose names it",
    ]


def test_a_cure_that_does_not_apply_to_the_run_is_left_out():
    assert "--stabilize.packing" not in paragraph(FOUND, arguments={"stabilize.packing": 4, "batch": 64})
    assert "--stabilize.packing" in paragraph(FOUND, arguments={"stabilize.packing": 1, "batch": 64})


def test_a_verdict_in_one_line():
    watched = replace(FOUND, level="watch", illness=replace(ILLNESS, name="another"))
    assert line(Verdict("too early")) == "too early to say"
    assert line(Verdict("healthy")) == "healthy"
    assert line(Verdict("watch", watched=(watched,))) == "watch: another"
    both = Verdict("test illness", (FOUND, replace(FOUND, illness=replace(ILLNESS, name="x"))), (watched,))
    assert line(both) == "test illness since 30,000 images, with x; watch: another"


# The picture


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
