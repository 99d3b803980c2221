"""The doctor beside a run: it changes nothing of it, sees the same after a stop, and says what it sees."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

import mulligan
from mulligan import job
from mulligan.core.run import Run
from mulligan.core.stream import Part, Stream, kept_aside
from mulligan.data import Source
from mulligan.doctor.probe import Probe

from . import helpers
from .test_distributed import torchrun

SMALL: dict[str, Any] = {"batch": 16, "device": "cpu", "sample_every": 10**9, "checkpoint_every": 320, "log_every": 32}
RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    "gan: written out": ("gan", {"mlp": {"widths": (6,)}}),
    "dcgan: batch norm": ("dcgan", {"width": 4, "latent": 4}),
    "sngan: power iterations": ("sngan", {"width": 4, "latent": 4, "critic_turns": 1}),
    "cgan: labels": ("cgan", {"width": 4, "latent": 4}),
    "acgan: a second head": ("acgan", {"width": 4, "latent": 4}),
    "infogan: codes": ("infogan", {"width": 4}),
    "wgan: clipped": ("wgan", {"width": 4, "latent": 4, "critic_turns": 1}),
    "gan: everything": (
        "gan",
        {
            "mlp": {"widths": (6,)}, "ema": 100,
            "stabilize": {
                "packing": 2, "lecam": 0.1, "instance_noise": 0.1, "minibatch": "stddev", "historical_averaging": 0.1,
                "diffaugment": "color,translation", "r1": 0.1, "lazy": 2, "label_smoothing": 0.1,
            },
        },
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "previewer", lambda *_: None)


def state(run: Run) -> dict[str, Any]:
    found = run.checkpoints.load()[0]
    assert found is not None
    return found


def probes(run: Run) -> list[dict[str, Any]]:
    """What the doctor has measured. The other numbers are means since the line before, which a stop cuts in two."""
    means = ("loss_", "grad_", "seconds", "images_per_second", "joules", "real", "fake", "D(")
    return [{k: v for k, v in row.items() if not k.startswith(means)} for row in run.rows() if "diversity" in row]


@pytest.mark.parametrize("name", RECIPES)
def test_a_run_with_a_doctor_is_the_run_without(name: str, tmp_path: Path):
    recipe, arguments = RECIPES[name]
    watched, alone = (
        mulligan.train(recipe, "digits", out=tmp_path / str(on), images=640, doctor=on, **SMALL, **arguments)
        for on in (True, False)
    )
    assert len(probes(watched)) >= 10
    assert not probes(alone)
    left, right = state(watched), state(alone)
    for part in ("game", "average"):
        assert all(torch.equal(left[part][k], right[part][k]) for k in right[part])


def test_after_a_stop_the_doctor_sees_what_it_would_have_seen(tmp_path: Path):
    given: dict[str, Any] = {**SMALL, "mlp": {"widths": (6,)}, "images": 960}
    straight = mulligan.train("gan", "digits", out=tmp_path / "straight", **given)
    before = (helpers.no_pictures, partial(helpers.stop_after, 31))
    child = helpers.start(
        tmp_path, partial(helpers.train, **{k: v for k, v in given.items() if k != "device"}), "gan", "digits",
        tmp_path / "run", before=before,
    )  # fmt: skip
    assert child.wait() != 0
    again = mulligan.train("gan", "digits", out=tmp_path / "run", **given)
    assert probes(again) == probes(straight)
    assert "wander" in probes(again)[-1]


class TestKeptAside:
    @pytest.mark.parametrize(
        ("count", "aside"), [(100, 0), (4_999, 0), (5_000, 500), (20_000, 500), (60_000, 1_200), (10**6, 20_000)]
    )
    def test_two_percent_at_least_500_none_of_tiny_sets(self, count: int, aside: int):
        assert kept_aside(count) == aside

    def test_parts_are_disjoint_and_whole(self):
        source = Source("numbers", {"x": torch.arange(6_000.0)[:, None]})
        held, rest = Part(source, 0, 500), Part(source, 500, 6_000)
        seen = [part.gather(torch.arange(len(part)))["x"].flatten().tolist() for part in (held, rest)]
        assert sorted(seen[0] + seen[1]) == list(range(6_000))
        assert sorted(seen[0]) != list(range(500))  # no run of neighbours

    def test_what_is_kept_aside_is_never_trained_on(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        source = Source("numbers", {"x": torch.randn(5_000, 2)})
        held = {tuple(row) for row in Part(source, 0, 500).gather(torch.arange(500))["x"].tolist()}
        served, following = set[tuple[float, ...]](), Stream.__next__

        def watched(self: Stream) -> dict[str, Tensor]:
            batch = following(self)
            served.update(tuple(row) for row in batch["x"].tolist())
            return batch

        monkeypatch.setattr(Stream, "__next__", watched)
        mulligan.train("gan", source, out=tmp_path / "run", images=9_600, batch=64, device="cpu", mlp={"widths": (4,)})
        assert len(served) == 4_500
        assert not served & held

    def test_a_run_goes_on_with_what_it_had_aside(self, tmp_path: Path):
        source = Source("numbers", {"x": torch.randn(5_000, 2)})
        given: dict[str, Any] = {"out": tmp_path / "run", "batch": 64, "device": "cpu", "mlp": {"widths": (4,)}}
        mulligan.train("gan", source, images=640, doctor=False, **given)
        run = mulligan.train("gan", source, images=1_280, **given)
        assert run.settings()["doctor"]["held_out"] == 0


def test_a_run_from_before_the_doctor_goes_on_as_it_was(tmp_path: Path):
    given: dict[str, Any] = {**SMALL, "mlp": {"widths": (6,)}, "doctor": False}
    straight = mulligan.train("gan", "digits", out=tmp_path / "straight", images=640, **given)
    run = mulligan.train("gan", "digits", out=tmp_path / "run", images=320, **given)
    settings = json.loads(run.recipe_file.read_text())
    del settings["doctor"], settings["changes"], settings["arguments"]["stabilize.loss"]
    run.recipe_file.write_text(json.dumps(settings))
    again = mulligan.train("gan", "digits", out=tmp_path / "run", images=640, **{**given, "doctor": True})
    assert all(torch.equal(value, state(straight)["game"][name]) for name, value in state(again)["game"].items())
    assert again.settings()["doctor"]["held_out"] == 0


class TestWords:
    FROZEN: ClassVar[dict[str, Any]] = {
        "latent": 2, "batch": 32, "images": 16_000, "lr_d": 0.0, "device": "cpu", "log_every": 320, "probe_every": 640,
        "mlp": {"widths": (16,), "norm": False, "dropout": 0.0},
    }  # fmt: skip

    def test_an_alarm_is_told_once_and_stands_in_the_progress_line(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ):
        from mulligan.core.progress import Progress

        monkeypatch.setattr(Progress, "__init__", impatient(Progress.__init__))
        mulligan.train("gan", "ring", out=tmp_path / "run", **self.FROZEN)
        told = capsys.readouterr()
        assert told.err.count("doctor: ") == 1
        assert "left, D not learning · D" in told.err
        assert "doctor   D not learning (mulligan diagnose" in told.out

    def test_checkpoints_know_how_the_run_was(self, tmp_path: Path):
        run = mulligan.train("gan", "ring", out=tmp_path / "run", **self.FROZEN)
        rows = list(run.checkpoints.index().values())
        assert rows
        assert all(row["healthy"] is False for row in rows)
        assert all(row["distance"] > 0 for row in rows)


def impatient(make: Any) -> Any:
    def made(self: Any, *args: Any) -> None:
        make(self, *args)
        self.pause = self.next = 0.0

    return made


def test_a_probe_draws_the_same_however_the_batch_is_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    drawn = dict[int, list[float]]()

    def draws(shares: int) -> list[float]:
        monkeypatch.setattr(Probe, "__call__", lambda *_: drawn[shares].append(float(torch.rand(()))) or {"probe": 1.0})
        drawn[shares] = []
        given: dict[str, Any] = {**SMALL, "mlp": {"widths": (6,)}, "images": 320, "accumulate": shares}
        mulligan.train("gan", "digits", out=tmp_path / str(shares), **given)
        return drawn[shares]

    alone = draws(1)
    assert len(alone) >= 10
    assert alone == draws(2)


def test_two_processes_see_what_one_sees(tmp_path: Path):
    words = [
        "-m", "mulligan", "train", "gan", "--data", "ring", "--batch", "32", "--images", "16000", "--latent", "2",
        "--lr-d", "0", "--mlp.widths", "16", "--mlp.no-norm", "--mlp.dropout", "0", "--device", "cpu", "--log-every",
        "320", "--probe-every", "640", "--mulligans", "1",
    ]  # fmt: skip
    two = torchrun(*words, "--out", str(tmp_path / "two"))
    assert two.wait(200) == 0
    helpers.start(tmp_path, helpers.command, *words[2:], "--accumulate", "2", "--out", str(tmp_path / "one")).wait()
    both = [Run(tmp_path / name) for name in ("one", "two")]
    strokes = [[json.loads(line) for line in (run.path / "strokes.jsonl").read_text().splitlines()] for run in both]
    assert [row["what"] for row in strokes[0]] == [row["what"] for row in strokes[1]]
    assert {k: strokes[0][0][k] for k in ("illness", "since", "until", "change")} == {
        k: strokes[1][0][k] for k in ("illness", "since", "until", "change")
    }
    signals = [np.array([[row["distance"], row["diversity"]] for row in probes(run)]) for run in both]
    np.testing.assert_allclose(signals[0], signals[1], rtol=1e-3, atol=1e-4)
    assert both[0].settings()["changes"] == both[1].settings()["changes"] != {}
