"""A forecast tells what a run will cost, and leaves the run, its folder and every random draw as they were."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mulligan import forecast
from mulligan.core.engine import Engine
from mulligan.core.recipe import flatten, nest
from mulligan.core.trainer import Trainer
from mulligan.data import Source, open_source
from mulligan.experiment import Experiment
from mulligan.forecast import foretell, measure, too_few
from mulligan.job import Job, fit
from mulligan.parts.stabilize import Stabilize
from mulligan.settings import describe
from mulligan.zoo import find

from . import helpers
from .test_distributed import torchrun

SMALL: dict[str, Any] = {"latent": 4, "width": 4, "batch": 8, "images": 96}
RICH: dict[str, Any] = SMALL | {
    "ema": 100, "schedule": "linear",
    "stabilize": {"spectral_norm": True, "lecam": 0.1, "historical_averaging": 0.1, "r1": 1.0, "lazy": 4},
}  # fmt: skip


def a_job(source: Source, recipe: str = "dcgan", **arguments: Any) -> Job:
    """Everything that a run needs, on one thread of a CPU."""
    made = find(recipe)
    chosen = made.arguments(SMALL | arguments)
    settings = describe(made, chosen, "noise", source, 0, "fp32") | {"shards": 1, "doctor": {}, "changes": {}}
    return Job(
        lambda changes: made.plan(source, made.arguments(nest({**flatten(chosen), **changes}))), source,
        Engine("cpu", 0), settings, {}, quiet=True, doctor=False,
    )  # fmt: skip


def told(job: Job, run: Experiment, capsys: pytest.CaptureFixture[str], *notes: str) -> str:
    capsys.readouterr()
    foretell(job, run, job.plan(), notes)
    return capsys.readouterr().err


def counted(monkeypatch: pytest.MonkeyPatch, seconds: float = 1.0, then: Callable[[], Any] = lambda: None) -> list[int]:
    """The numbers of the rounds that are played, each of which takes so long by a clock of its own."""
    play, rounds = Trainer._round, list[int]()

    def patched(self: Trainer) -> None:
        rounds.append(self.clock.round)
        then()
        play(self)

    monkeypatch.setattr(Trainer, "_round", patched)
    monkeypatch.setattr(forecast.Rehearsal, "_now", lambda _: len(rounds) * seconds)
    return rounds


@pytest.fixture
def source(pictures: Path) -> Source:
    return open_source(pictures, progress=False)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "SECONDS", 0.02)


@pytest.mark.parametrize("arguments", [RICH, SMALL | {"stabilize": {"instance_noise": 0.1}}], ids=["rich", "noise"])
def test_a_forecast_changes_no_bit_of_the_run(arguments: dict[str, Any], source: Source, tmp_path: Path):
    for name in ("without", "with"):
        job, run = a_job(source, **arguments), Experiment(tmp_path / name, "cpu")
        plan = job.plan()
        if name == "with":
            foretell(job, run, plan)
        fit(job, run, plan)
    assert helpers.differences(helpers.newest(tmp_path / "without"), helpers.newest(tmp_path / "with")) == []


def test_random_draws_stand_where_they_stood(source: Source, tmp_path: Path):
    job = a_job(source)
    plan, before = job.plan(), (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())  # type: ignore[index]
    foretell(job, Experiment(tmp_path / "run", "cpu"), plan)
    assert before == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())  # type: ignore[index]


def test_nothing_is_written(source: Source, tmp_path: Path):
    foretell(job := a_job(source), Experiment(tmp_path / "run", "cpu"), job.plan())
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_there_stays_as_it_is_and_its_rest_is_told(
    source: Source, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = Experiment(tmp_path / "run", "cpu")
    fit(job := a_job(source), run, job.plan())
    before = helpers.tree_hash(tmp_path)
    assert "104 images left of 200, 13 rounds" in told(a_job(source, images=200), run, capsys)
    assert told(a_job(source), run, capsys) == "", "a finished run costs nothing more"
    assert helpers.tree_hash(tmp_path) == before


def test_numbers_that_leave_the_finite_are_told_and_not_logged(
    source: Source, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    said = told(a_job(source, lr=1e30), Experiment(tmp_path / "run", "cpu"), capsys)
    assert "forecast  none: " in said
    assert "lower --lr" in said
    assert list(tmp_path.iterdir()) == []


def test_one_block_tells_cost_device_and_notes(source: Source, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    job = a_job(source, images=80_000, critic_turns=2)
    first, second, third, fourth, *rest = told(
        job, Experiment(tmp_path / "run", "cpu"), capsys, "--lr 3e-4: why"
    ).splitlines()
    assert first.startswith("forecast  80,000 images, 5,000 rounds: 0:0")
    assert f"{forecast.device_name(torch.device('cpu'))}, at " in first
    assert "1 thread" in first
    assert second.startswith("          memory ")
    assert "1,600.0 passes through 50 samples" in second
    assert third == "          auto: --lr 3e-4: why"
    assert fourth.startswith("          data: 50 pictures: so few are learnt by heart by D")
    assert rest == []


def test_the_time_is_that_of_all_rounds(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    counted(monkeypatch, seconds=0.5)
    said = told(a_job(source, images=80_000), Experiment(tmp_path / "run", "cpu"), capsys)
    assert "10,000 rounds: 1:23:20 on" in said
    assert "at 16 images/s" in said


@pytest.mark.parametrize(("lazy", "rounds"), [(1, 2), (3, 4), (16, 2)])
def test_whole_cycles_of_a_lazy_penalty_are_played(
    lazy: int, rounds: int, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(forecast, "SECONDS", 0.0)
    played = counted(monkeypatch)
    measure(a_job(source, stabilize={"r1": 1.0, "lazy": lazy}), Experiment(tmp_path / "run", "cpu"), 10**6)
    assert played == list(range(rounds)), "one to warm up, then a cycle"


def test_no_more_is_played_than_the_run_has(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(forecast, "SECONDS", 1e9)
    played = counted(monkeypatch)
    measure(a_job(source), Experiment(tmp_path / "run", "cpu"), 96)
    assert len(played) == 12


def test_the_size_of_a_checkpoint_is_right(source: Source, tmp_path: Path):
    job, run = a_job(source), Experiment(tmp_path / "run", "cpu")
    size = measure(job, run, 96).checkpoint
    fit(job, run, job.plan())
    assert run.checkpoints.newest_first()[0].stat().st_size == pytest.approx(size, rel=0.01)


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads /proc")
def test_memory_that_a_round_frees_again_counts(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    counted(monkeypatch, then=lambda: torch.ones(50_000_000).sum())
    cost = measure(a_job(source), Experiment(tmp_path / "run", "cpu"), 96)
    assert 195e6 < cost.grown < cost.peak


def test_few_pictures_are_warned_of_with_the_flags_that_help():
    assert too_few(10_000, True, Stabilize()) == ""
    assert too_few(9_999, True, Stabilize()).startswith("9,999 pictures: below 10,000, D overfits")
    said = too_few(999, True, Stabilize())
    assert "so few are learnt by heart" in said
    assert "--stabilize.diffaugment color,translation,cutout, --stabilize.r1 auto --stabilize.r2 auto, more" in said


@pytest.mark.parametrize(
    ("pictures", "stabilize", "unsaid"),
    [(True, Stabilize(diffaugment="color"), "diffaugment"), (True, Stabilize(r1=1.0), "r1"),
     (False, Stabilize(), "diffaugment"), (False, None, "diffaugment")],
)  # fmt: skip
def test_what_is_on_or_impossible_is_not_recommended(pictures: bool, stabilize: Stabilize | None, unsaid: str):
    assert unsaid not in too_few(100, pictures, stabilize)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0:00:01"), (59.5, "0:01:00"), (3_661, "1:01:01"), (360_000, "100:00:00")]
)
def test_time_is_hours_minutes_seconds(seconds: float, text: str):
    assert forecast.clock(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(123_456, "0.12 MB"), (15_400_000, "15.4 MB"), (2_500_000_000, "2.50 GB")])
def test_sizes_are_in_decimal_units(count: int, text: str):
    assert forecast.size(count) == text


def test_all_processes_play_the_same_rounds_and_one_speaks(pictures: Path, tmp_path: Path):
    launched = torchrun("-m", "tests.test_forecast", str(pictures), str(tmp_path))
    said = launched.communicate(timeout=120)[1]
    assert launched.returncode == 0, said
    first, second = ((tmp_path / f"rank-{rank}").read_text() for rank in (0, 1))
    assert first == second == "0 1 2"
    assert said.count("forecast  96 images, 12 rounds") == 1
    assert "2 processes" in said


def main(pictures: Path, folder: Path) -> None:
    """One process of two: rank 1 has had enough after two rounds, rank 0 never has."""
    torch.set_num_threads(1)
    patch, job = pytest.MonkeyPatch(), a_job(open_source(pictures, progress=False))
    patch.setattr(forecast, "SECONDS", 2.0 if job.engine.rank else 1e9)
    rounds = counted(patch)
    foretell(job, Experiment(folder / "run", "cpu"), job.plan())
    (folder / f"rank-{job.engine.rank}").write_text(" ".join(map(str, rounds)))
    job.engine.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
