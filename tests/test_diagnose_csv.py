"""`mulligan diagnose --csv FILE`: the table of anybody's training loop."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from mulligan import UserError
from mulligan.cli import main
from mulligan.doctor.bands import BANDS
from mulligan.doctor.columns import meaning
from mulligan.doctor.report import Report, of_table
from mulligan.doctor.table import read_table

from .diagnose_shelf import take_shelf


@pytest.fixture(autouse=True)
def _shelf(monkeypatch: pytest.MonkeyPatch) -> None:
    take_shelf(monkeypatch)


def table(path: Path, header: str, rows: Sequence[Sequence[object]], separator: str = ",") -> Path:
    lines = [header, *(separator.join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def curves(n: int = 40) -> list[tuple[object, ...]]:
    """step, loss_d, loss_g"""
    return [(100 * i, 1.3 + 0.1 * math.sin(i), 0.8) for i in range(n)]


def noted(report: Report, words: str) -> str:
    (note,) = [note for note in report.notes if words in note]
    return note


# The command


def test_a_table_leaves_with_0_and_a_picture_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = table(tmp_path / "my.log.csv", "step,loss_d,loss_g", curves())
    main(["diagnose", "--csv", str(file), "--objective", "nonsaturating", "--budget", "8000"])
    said = capsys.readouterr().out
    assert said.startswith("verdict     healthy; ")
    assert "3,900 of 8,000 steps (49 %)" in " ".join(said.split())
    assert said.splitlines()[-1] == str(tmp_path / "my.log-diagnosis.png")
    assert (tmp_path / "my.log-diagnosis.png").read_bytes().startswith(b"\x89PNG")


def test_an_ill_table_leaves_with_3_and_counts_in_its_own_unit(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rows = [(i, 0.1, 7.0, 0.99, 0.5 if i < 20 else 0.001) for i in range(40)]
    file = table(tmp_path / "log.csv", "epoch,errD,errG,D(x),D(G(z))", rows)
    with pytest.raises(SystemExit) as left:
        main(
            ["diagnose", "--csv", str(file), "--objective", "minimax", "--json", "--out", str(tmp_path / "x" / "p.png")]
        )
    found = json.loads(capsys.readouterr().out)
    assert left.value.code == 3
    assert found["verdict"] == "vanishing gradient"
    assert (found["unit"], found["findings"][0]["since"]) == ("epochs", 20)
    assert found["budget"] == 0
    assert "vanishing gradient since 20 epochs" in of_table(file, "minimax").as_text()


@pytest.mark.parametrize(
    ("text", "words", "told"),
    [
        (None, [], "can't be read"),
        ("", [], "is empty"),
        ("\n\n", [], "is empty"),
        ("1,0.5,0.7\n2,0.4,0.8\n", [], "no header: its first line is '1', '0.5', '0.7'"),
        ("loss_d\n1\n2\n", [], "only one column, 'loss_d'"),
        ("step,foo,bar\n1,2,3\n", [], "no number among its columns 'step', 'foo', 'bar' is understood"),
        ("step,epoch\n1,2\n", [], "Understood are what counts the lines (images, kimg, step"),
        ("step,loss_d,loss_g\n", [], "no line of numbers"),
        ("step,loss_d\nx,y\n", [], "no line of numbers"),
        ("step,loss_d\n1,2\n", ["--objective", "nonsense"], "--objective nonsense: one of minimax, nonsaturating"),
        ("step,loss_d\n1,2\n", ["--budget", "-1"], "--budget -1"),
        ("step,loss_d\n1,2\n", ["--out", "x.gif"], "written as .png"),
    ],
)
def test_wrong_input_leaves_with_2_and_writes_nothing(
    text: str | None, words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "log.csv"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SystemExit) as left:
        main(["diagnose", "--csv", str(file), *words])
    assert left.value.code == 2
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == ([] if text is None else [file])


def test_a_file_that_is_no_text_is_refused(tmp_path: Path):
    file = tmp_path / "log.csv"
    file.write_bytes(bytes(range(256)) * 20)
    with pytest.raises(UserError):
        of_table(file)


# Names


@pytest.mark.parametrize(
    ("name", "means"),
    [
        ("loss_d", "loss_D"), ("Loss_D", "loss_D"), ("d_loss", "loss_D"), ("errD", "loss_D"), ("Loss/D", "loss_D"),
        ("train/critic loss", "loss_D"), ("lossG", "loss_G"), ("generator_loss", "loss_G"), ("errG", "loss_G"),
        ("grad_norm_d", "grad_D"), ("gradG", "grad_G"), ("D(x)", "D(x)?"), ("D(G(z))", "D(G(z))?"), ("real", "real?"),
        ("real_score", "real?"), ("fake_logits", "fake"), ("logit_real", "real"), ("real_prob", "D(x)"),
        ("prob_fake", "D(G(z))"), ("auc", "auc"), ("R_T", "r_t"), ("moved_d", "moved_D"), ("Epoch", "epochs"),
        ("global_step", "steps"), ("kimg", "kimg"), ("Iteration", "steps"), ("nonfinite", None), ("lr", None),
        ("", None),
    ],
)  # fmt: skip
def test_what_a_column_means(name: str, means: str | None):
    assert meaning(name) == means


def test_every_signal_with_a_band_is_understood_by_its_name():
    assert {name for name in BANDS if meaning(name) != name} == {"nonfinite"}


def test_columns_that_are_not_understood_are_left_out_with_a_note(tmp_path: Path):
    rows = [(*row, 1e-4) for row in curves()]
    report = of_table(table(tmp_path / "log.csv", "step,loss_d,loss_g,learning_rate", rows))
    assert noted(report, "left out").startswith("columns left out: learning_rate. Understood are what counts the lines")
    assert report.history.has("loss_D", "loss_G")


def test_of_two_columns_that_mean_the_same_the_first_counts(tmp_path: Path):
    log = read_table(table(tmp_path / "log.csv", "step,loss_d,errD", [(i, 1.0, 2.0) for i in range(9)]))
    assert log.rows[0]["loss_D"] == 1.0
    assert any("left out: errD" in note for note in log.notes)


# Logits and probabilities


def verdicts(
    tmp_path: Path, header: str, real: float, fake: float, objective: str = ""
) -> tuple[dict[str, float], str]:
    log = read_table(table(tmp_path / "log.csv", header, [(i, real, fake) for i in range(9)]), objective)
    return log.rows[0], " ".join(log.notes)


def test_verdicts_between_0_and_1_are_probabilities(tmp_path: Path):
    row, notes = verdicts(tmp_path, "step,real_score,fake_score", 0.9, 0.1)
    assert (row["D(x)"], row["D(G(z))"]) == (0.9, 0.1)
    assert "real_score, fake_score: taken for probabilities; names with the word logit would say otherwise" in notes


def test_verdicts_beyond_0_and_1_on_either_side_are_logits(tmp_path: Path):
    row, notes = verdicts(tmp_path, "step,D(x),D(G(z))", 0.9, -0.1)
    assert (row["real"], row["fake"]) == (0.9, -0.1)
    assert "taken for logits" in notes


def test_an_objective_without_a_sigmoid_has_no_probabilities(tmp_path: Path):
    row, _ = verdicts(tmp_path, "step,real,fake", 0.9, 0.1, "wasserstein")
    assert (row["real"], row["fake"]) == (0.9, 0.1)


def test_a_name_with_the_word_logit_or_prob_decides(tmp_path: Path):
    row, notes = verdicts(tmp_path, "step,real_logit,fake_prob", 0.9, 0.1)
    assert (row["real"], row["D(G(z))"]) == (0.9, 0.1)
    assert "taken for" not in notes


@pytest.mark.parametrize(("objective", "push"), [("minimax", 0.1), ("nonsaturating", 0.9), ("hinge", None), ("", None)])
def test_probabilities_tell_how_hard_the_loss_pushes(objective: str, push: float | None, tmp_path: Path):
    file = table(tmp_path / "log.csv", "step,D(x),D(G(z))", [(i, 0.8, 0.1) for i in range(9)])
    value = of_table(file, objective).history.get(0, "push")
    assert value == (None if push is None else pytest.approx(push))


# What counts the lines


def counted(tmp_path: Path, header: str, rows: Sequence[Sequence[object]]) -> tuple[str, list[float], str]:
    log = read_table(table(tmp_path / "log.csv", header, rows))
    return log.unit, [row["images"] for row in log.rows], " ".join(log.notes)


def test_images_go_before_steps_and_epochs(tmp_path: Path):
    unit, images, _ = counted(tmp_path, "epoch,step,images,loss_d", [(i, 2 * i, 64 * i, 1) for i in range(5)])
    assert (unit, images) == ("images", [0, 64, 128, 192, 256])


def test_kimg_are_thousands_of_images(tmp_path: Path):
    unit, images, _ = counted(tmp_path, "kimg,loss_d", [(0.5 * i, 1) for i in range(4)])
    assert (unit, images) == ("images", [0, 500, 1000, 1500])


def test_a_step_that_starts_again_with_each_epoch_does_not_count(tmp_path: Path):
    unit, images, notes = counted(tmp_path, "epoch,batch,loss_d", [(i // 4, i % 4, 1) for i in range(12)])
    assert (unit, images) == ("lines", list(range(1, 13)))
    assert "batch starts again 2 times, so it can't count the lines" in notes
    assert "epoch has the same whole number in most lines" in notes


def test_epochs_count_where_each_line_is_one(tmp_path: Path):
    unit, images, _ = counted(tmp_path, "epoch,loss_d", [(i, 1) for i in range(1, 6)])
    assert (unit, images) == ("epochs", [1, 2, 3, 4, 5])


def test_without_a_count_the_lines_are_counted(tmp_path: Path):
    unit, images, notes = counted(tmp_path, "loss_d,loss_g", [(1, 1)] * 3)
    assert (unit, images) == ("lines", [1, 2, 3])
    assert "the lines are counted instead" in notes


def test_lines_out_of_order_are_sorted_and_gaps_named(tmp_path: Path):
    steps = [*range(10, 20), *range(1, 10), *range(100, 110)]
    unit, images, notes = counted(tmp_path, "step,loss_d", [(step, 1) for step in [0, *steps]])
    assert unit == "steps"
    assert images == sorted(images)
    assert "the count falls once" in notes
    assert "gaps: nothing was logged from 19 to 100 steps" in notes


# Cells


def test_cells_that_are_no_numbers_are_named_by_their_lines(tmp_path: Path):
    report = of_table(
        table(tmp_path / "log.csv", "step,loss_d,loss_g", [(0, 1, 1), (1, "oops", 1), (2, "", 1), (3, 1, 1)])
    )
    assert noted(report, "no numbers") == "cells that are no numbers: line 3 ('oops')"
    assert report.history.get(1, "loss_D") is None
    assert report.history.get(1, "loss_G") == 1.0


def test_lines_with_too_few_or_many_cells_are_named(tmp_path: Path):
    report = of_table(table(tmp_path / "log.csv", "step,loss_d,loss_g", [(0, 1, 1), (1, 1), (2, 1, 1, 1), (3, 1, 1)]))
    assert "header's 3: line 3 (2), line 4 (4)" in noted(report, "another number of cells")


def test_a_loss_that_is_nan_is_an_illness(tmp_path: Path):
    rows = [*curves(), (4_000, "nan", 0.8)]
    report = of_table(table(tmp_path / "log.csv", "step,loss_d,loss_g", rows))
    assert report.verdict.word == "non-finite numbers"


def test_a_signal_that_is_nan_is_only_missing(tmp_path: Path):
    rows = [(i, 1.0, "nan" if i % 2 else 0.7) for i in range(10)]
    report = of_table(table(tmp_path / "log.csv", "step,loss_d,auc", rows))
    assert report.history.column("auc") == [(i, 0.7) for i in range(0, 10, 2)]
    assert report.verdict.word == "healthy"


def test_semicolons_and_decimal_commas(tmp_path: Path):
    log = read_table(table(tmp_path / "log.csv", "step;loss_d;loss_g", [(1, "0,5", "1,25"), (2, "0,5", "1e-2")], ";"))
    assert [row["loss_G"] for row in log.rows] == [1.25, 0.01]


def test_tabs_quotes_and_a_byte_order_mark(tmp_path: Path):
    file = tmp_path / "log.csv"
    file.write_bytes('\ufeff"step"\t"D(G(z))"\n1\t"0.25"\n'.encode())
    log = read_table(file)
    assert (log.rows, log.unit) == ([{"images": 1.0, "D(G(z))": 0.25}], "steps")


def test_signals_of_a_table_are_judged_like_those_of_a_run(tmp_path: Path):
    rows = [(i, 0.7, 1.0 if i < 20 else 0.2, 0.1 + i / 100) for i in range(40)]
    report = of_table(table(tmp_path / "log.csv", "step,auc,diversity,distance", rows))
    assert report.verdict.word == "mode collapse"
    assert report.verdict.findings[0].since == 20
    assert report.advice.word == "stop"
    assert report.best is None


def test_many_lines_are_gathered_and_all_of_them_count(tmp_path: Path):
    file = tmp_path / "log.csv"
    with file.open("w") as out:
        out.write("step,loss_d,loss_g\n")
        out.writelines(f"{i},{i % 2},1\n" for i in range(50_000))
    log = read_table(file)
    assert log.lines == 50_000
    assert len(log.rows) <= 1_000
    assert log.rows[-1]["images"] == 49_999
    assert {row["loss_D"] for row in log.rows[:-1]} == {0.5}
    assert "50,000 lines were gathered: means of 64 each" in log.notes
