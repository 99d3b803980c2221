"""The best checkpoint, when to stop, and the words of a diagnosis."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from mulligan.diagnosis import diagnose
from mulligan.doctor.advice import Series, advise
from mulligan.doctor.illness import Finding, Illness, Reading, Verdict
from mulligan.doctor.words import line, paragraph

from .diagnose_shelf import (
    BUDGET,
    PACK,
    SICK,
    STOP,
    lines,
    made,
    saved,
    take_shelf,
)


@pytest.fixture(autouse=True)
def _shelf(monkeypatch: pytest.MonkeyPatch) -> None:
    take_shelf(monkeypatch)


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
