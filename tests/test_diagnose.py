"""`mulligan diagnose RUN`: the command, its exit codes, and what is left alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from mulligan import UserError
from mulligan.cli import main
from mulligan.core.run import Run
from mulligan.diagnosis import diagnose
from mulligan.doctor import plot

from .diagnose_shelf import (
    SICK,
    files,
    lines,
    made,
    saved,
    take_shelf,
)


@pytest.fixture(autouse=True)
def _shelf(monkeypatch: pytest.MonkeyPatch) -> None:
    take_shelf(monkeypatch)


@pytest.fixture
def sketched(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture takes seconds: here it is a few bytes."""
    monkeypatch.setattr(plot, "draw", lambda report, path: bool(path.write_bytes(b"a picture")))


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
