"""Scores while training: the best checkpoint stays, curves show them, and the run is what it would have been."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import mulligan
from mulligan.assess import training
from mulligan.cli import main
from mulligan.core.run import Run

from . import helpers

NET = """
import torch
def make():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 12), torch.nn.Tanh())
"""
SMALL: dict[str, Any] = {"width": 8, "batch": 32, "device": "cpu"}


@pytest.fixture
def net(tmp_path: Path) -> str:
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    return f"{tmp_path / 'net.py'}:make"


def rows(path: Path) -> list[dict[str, Any]]:
    return [row for row in Run(path).scores() if row["training"]]


def test_scores_come_on_their_own_interval_with_a_checkpoint_each(tmp_path, net):
    run = mulligan.train("dcgan", "digits", out=tmp_path / "run", images=960, metrics="fid,pr", score_every=320,
                         score_count=200, extractor=net, checkpoint_every=10_000, **SMALL)  # fmt: skip
    found = rows(run.path)
    assert [row["images"] for row in found] == [320] * 3 + [640] * 3 + [960] * 3
    assert {row["metric"] for row in found} == {"fid", "pr"}
    assert found[0]["protocol"]["fake_count"] == 200
    assert found[0]["floor"] is not None
    index = run.checkpoints.index()
    fids = [row["value"] for row in found if row["metric"] == "fid"]
    assert [row["score"] for row in index.values()] == pytest.approx(fids)
    from mulligan.info import describe

    assert f"{found[-3]['name']} {found[-3]['value']:.4g} (while training)" in describe(run.path)
    best = found[3 * fids.index(min(fids))]
    assert run.checkpoints.best() == f"round-{best['round']:09d}.pt"


def test_the_best_checkpoint_stays_when_later_ones_are_worse(tmp_path, net, monkeypatch):
    given = iter([5.0, 1.0, 4.0, 3.0, 2.0, 6.0])
    values = training.Panel.values
    monkeypatch.setattr(training.Panel, "values", lambda self, case: dict.fromkeys(values(self, case), next(given)))
    run = mulligan.train("dcgan", "digits", out=tmp_path / "run", images=192, metrics=["fid"], score_every=32,
                         score_count=50, extractor=net, **SMALL)  # fmt: skip
    kept = sorted(p.name for p in run.checkpoints.newest_first())
    assert kept == ["round-000000002.pt", "round-000000005.pt", "round-000000006.pt"]
    best = run.use("best")
    assert best == {"checkpoint": "round-000000002.pt", "weights": "ema", "round": 2, "images": 64}


def test_higher_is_better_for_a_score_that_says_so(tmp_path, net, monkeypatch):
    given = iter([0.1, 0.9, 0.5])
    values = training.Panel.values
    monkeypatch.setattr(training.Panel, "values", lambda self, case: dict.fromkeys(values(self, case), next(given)))
    run = mulligan.train("dcgan", "digits", out=tmp_path / "run", images=96, metrics="pr,fid", score_every=32,
                         score_count=50, extractor=net, **SMALL)  # fmt: skip
    assert run.checkpoints.best() == "round-000000002.pt"


def test_scoring_changes_nothing_about_the_training(tmp_path, net):
    options: dict[str, Any] = {"images": 320, "checkpoint_every": 160, **SMALL}
    plain = mulligan.train("cgan", "digits", out=tmp_path / "plain", **options)
    scoring = {"metrics": "fid,kid", "score_every": 64, "score_count": 60, "extractor": net}
    scored = mulligan.train("cgan", "digits", out=tmp_path / "scored", **scoring, **options)
    assert helpers.differences(helpers.newest(plain.path), helpers.newest(scored.path)) == []
    assert len(rows(scored.path)) == 10


def test_scores_of_rounds_that_are_played_again_are_dropped(tmp_path, net):
    options: dict[str, Any] = {"metrics": "fid", "score_every": 64, "score_count": 50, "extractor": net, **SMALL}
    run = mulligan.train("dcgan", "digits", out=tmp_path / "run", images=192, **options)
    path = run.scores_file
    whole = path.read_text()
    (run.checkpoints.folder / "round-000000006.pt").unlink()
    *first, last = whole.splitlines()
    stale = json.dumps({**json.loads(last), "value": 999.0})  # of a round that will be played again
    asked = json.dumps({"name": "fd", "training": False, "round": 6})
    path.write_text("\n".join([*first, stale, asked]) + "\n")
    mulligan.train("dcgan", "digits", out=tmp_path / "run", images=192, **options)
    again = Run(tmp_path / "run").scores()
    assert sum(not row["training"] for row in again) == 1  # one that a user asked for stays
    assert [row["images"] for row in again if row["training"]] == [64, 128, 192]
    values = [json.loads(line)["value"] for line in whole.splitlines()]
    assert [row["value"] for row in again if row["training"]] == pytest.approx(values)
    mulligan.train("dcgan", "digits", out=tmp_path / "run", images=192, **options)
    assert len(Run(tmp_path / "run").scores()) == 4  # a finished run adds nothing


@pytest.mark.usefixtures("drawn")
def test_curves_have_a_panel_for_each_score(tmp_path, net):
    plain = mulligan.train("dcgan", "digits", out=tmp_path / "plain", images=64, **SMALL)
    scored = mulligan.train("dcgan", "digits", out=tmp_path / "scored", images=64, metrics="fid,kid,pr", score_every=32,
                            score_count=50, extractor=net, **SMALL)  # fmt: skip
    with Image.open(plain.curves) as one, Image.open(scored.curves) as other:
        assert other.width == one.width
        assert other.height == pytest.approx(3 * one.height, abs=3)


def test_a_recipe_names_its_metrics(tmp_path, net, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    recipe = """
from mulligan import recipe, Plan
from mulligan.zoo import find
import dataclasses
@recipe("me")
def mine(data, *, images: int = 96):
    made = find("dcgan")
    plan = made.plan(data, made.arguments({"images": images, "width": 8, "batch": 32}))
    return dataclasses.replace(plan, metrics=("fid",))
"""
    (tmp_path / "mine.py").write_text(recipe, encoding="utf-8")
    run = mulligan.train(
        f"{tmp_path}/mine.py:mine", "digits", out=tmp_path / "run", device="cpu", extractor=net, score_count=50
    )
    assert {row["metric"] for row in rows(run.path)} == {"fid"}
    assert run.checkpoints.best() is not None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--metrics", "fidd"], "did you mean 'fid'"),
        (["--metrics", "modes"], "needs the toys ring and grid"),
        (["--metrics", "fid", "--score-count", "1"], "--score-count 1: at least 2"),
        (["--metrics", "fid", "--score-every", "0"], "score interval is 0"),
        (["--metrics", "fid", "--extractor", "vgg"], "take auto, inception, own"),
    ],
)
def test_wrong_words_are_told_and_nothing_is_written(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["train", "dcgan", "--data", "digits", "--images", "64", "--width", "8", "--device", "cpu", *words])
    assert end.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_metrics_and_a_score_of_ones_own_exclude_each_other(tmp_path):
    with pytest.raises(mulligan.UserError, match="give one of them"):
        mulligan.train("dcgan", "digits", out=tmp_path / "run", images=64, metrics="fid", score=lambda _: 1.0, **SMALL)
    assert not (tmp_path / "run").exists()


def test_a_toy_is_scored_by_its_modes(tmp_path):
    run = mulligan.train("gan", "ring", out=tmp_path / "run", images=256, batch=64, metrics="modes", score_every=128,
                         score_count=100, device="cpu")  # fmt: skip
    assert [row["name"] for row in rows(run.path)] == ["modes", "good", "reverse_kl"] * 2
    assert torch.isfinite(torch.tensor([row["value"] for row in rows(run.path)])).all()
