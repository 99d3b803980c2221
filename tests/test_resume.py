"""Stopped and resumed in a new process = never stopped, bit for bit, whatever the game carries from round to round."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from mulligan import job
from mulligan.core.trainer import Trainer
from mulligan.parts.penalties import LeCam

from . import helpers

ROUNDS, STOP, BATCH = 12, 7, 8  # 7 lies inside every lazy interval below, and 56 images inside the second epoch of 50

SMALL = {"latent": 5, "batch": BATCH, "width": 4}
MLP = {"latent": 5, "batch": BATCH, "mlp": {"widths": (6, 8)}}

Case = tuple[str, dict[str, Any]]
CASES: dict[str, Case] = {
    "gan: dropout, batch norm, label smoothing": ("gan", MLP | {"stabilize": {"label_smoothing": 0.1}}),
    "gan: maxout, packing, minibatch discrimination": (
        "gan",
        {"latent": 5, "batch": BATCH, "mlp": {"widths": (6,), "maxout": 2}, "ema": 100, "schedule": "cosine"}
        | {"stabilize": {"packing": 2, "minibatch": "discrimination"}},
    ),
    "dcgan: lazy r1, linear, average": (
        "dcgan", SMALL | {"ema": 100, "schedule": "linear", "stabilize": {"r1": 1.0, "lazy": 4}},
    ),
    "dcgan: lazy r1 and r2, diffaugment, cosine": (
        "dcgan",
        SMALL | {"ema": 50, "schedule": "cosine", "lr_d": 4e-4}
        | {"stabilize": {"r1": 0.5, "r2": 0.5, "lazy": 3, "diffaugment": "color,translation,cutout"}},
    ),
    "dcgan: lecam, instance noise, step": (
        "dcgan", SMALL | {"schedule": "step", "stabilize": {"lecam": 0.1, "instance_noise": 0.2, "noise_until": 0.8}},
    ),
    "dcgan: dragan, historical averaging, minibatch stddev": (
        "dcgan", SMALL | {"ema": 100, "stabilize": {"dragan": 1.0, "historical_averaging": 0.1, "minibatch": "stddev"}},
    ),
    "dcgan: shared fake, micro-batches": (
        "dcgan", SMALL | {"ema": 0, "shared_fake": True, "accumulate": 2, "stabilize": {"historical_averaging": 0.1}},
    ),
    "lsgan: least squares, feature matching": (
        "lsgan", SMALL | {"ema": 30, "stabilize": {"label_smoothing": 0.2, "feature_matching": 1.0}},
    ),
    "wgan: RMSprop, clipping, two critic turns": ("wgan", SMALL | {"critic_turns": 2, "ema": 0}),
    "wgan_gp: lazy penalty, two critic turns": (
        "wgan_gp", SMALL | {"critic_turns": 2, "stabilize": {"gp": 10.0, "lazy": 2}},
    ),
    "sngan: spectral norm, hinge, linear": ("sngan", SMALL | {"critic_turns": 2, "schedule": "linear"}),
    "r3gan: relativistic, cosine": ("r3gan", SMALL | {"width": 8, "ema": 100}),
    "cgan: spectral norm, packing, noise": (
        "cgan", SMALL | {"stabilize": {"spectral_norm": True, "packing": 2, "instance_noise": 0.1}},
    ),
    "acgan: classes named": ("acgan", SMALL | {"schedule": "linear"}),
    "projection: conditional batch norm": ("projection", SMALL | {"critic_turns": 1, "ema": 100}),
    "infogan: codes read back": ("infogan", SMALL | {"codes": {"categories": 3}}),
    "unrolled: two steps ahead": ("unrolled", SMALL | {"unroll": {"steps": 2}, "schedule": "step"}),
}  # fmt: skip

# What this case carries: both optimizers, average, spectral norm, LeCam, historical means, batch norm, rates, noise.
RICH: Case = (
    "dcgan",
    SMALL | {"ema": 100, "schedule": "linear"}
    | {"stabilize": {"spectral_norm": True, "lecam": 0.1, "historical_averaging": 0.1, "r1": 1.0, "lazy": 4}},
)  # fmt: skip


def options(case: Case) -> dict[str, Any]:
    arguments = {"stabilize": {}} | case[1]
    turns = arguments.get("critic_turns", 1)
    return arguments | {"images": ROUNDS * BATCH * turns, "checkpoint_every": 10**9, "log_every": 16}


SOON = (0.99, 2, 1000.0)  # LeCam's averages only equal the last batch during its first 1,000 calls: here its first 2


def lecam_soon() -> None:
    LeCam.__init__.__defaults__ = SOON


def train_child(folder: Path, case: Case, data: Path, run: Path, stop: int | None = None) -> helpers.Child:
    before = [helpers.no_pictures, lecam_soon] + ([partial(helpers.stop_after, stop)] if stop else [])
    job = partial(helpers.train, case[0], data, run, **options(case))
    return helpers.start(folder, job, before=before)


@pytest.mark.parametrize("name", CASES)
def test_resuming_in_a_new_process_changes_no_bit(name: str, tmp_path: Path, pictures: Path):
    straight = train_child(tmp_path, CASES[name], pictures, tmp_path / "straight")
    stopped = train_child(tmp_path, CASES[name], pictures, tmp_path / "resumed", STOP)
    assert stopped.wait() == 143, stopped.said()
    assert helpers.newest(tmp_path / "resumed")["round"] == STOP
    resumed = train_child(tmp_path, CASES[name], pictures, tmp_path / "resumed")
    assert resumed.wait() == 0, resumed.said()
    assert f"going on from round {STOP}" in resumed.said()
    assert straight.wait() == 0, straight.said()
    a, b = helpers.newest(tmp_path / "straight"), helpers.newest(tmp_path / "resumed")
    assert a["round"] == ROUNDS
    assert helpers.differences(a, b) == []
    shipped = [(tmp_path / run / "sampler.safetensors").read_bytes() for run in ("straight", "resumed")]
    assert shipped[0] == shipped[1]


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> tuple[Path, dict[str, Any]]:
    """A run of the rich case stopped midway, and the final state of the run that was never stopped."""
    folder = tmp_path_factory.mktemp("rich")
    straight = train_child(folder, RICH, pictures, folder / "straight")
    stopped = train_child(folder, RICH, pictures, folder / "stopped", STOP)
    assert (stopped.wait(), straight.wait()) == (143, 0), stopped.said() + straight.said()
    return folder / "stopped", helpers.newest(folder / "straight")


def without(part: str) -> Any:
    """A change of what is loaded: the part as a fresh run has it."""

    def change(state: dict[str, Any], fresh: dict[str, Any]) -> dict[str, Any]:
        if part in ("round", "position", "average"):
            return state | {part: fresh[part]}
        if part in ("D", "G"):
            return state | {"optimizers": state["optimizers"] | {part: fresh["optimizers"][part]}}
        assert any(part in name for name in state["game"]), part
        return state | {"game": {k: fresh["game"][k] if part in k else v for k, v in state["game"].items()}}

    return change


PARTS = (
    "round", "position", "average", "D", "G",  # the last two: their optimizers
    "sampler.G.ups", "critic.D.body", "running_mean", "num_batches_tracked", ".u",
    "lecam.ema_real", "lecam.ema_fake", "lecam.steps", "critic.history.mean", "critic.history.count", "nothing",
)  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
def test_each_part_of_the_state_is_needed(
    part: str, tmp_path: Path, pictures: Path, rich: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
):
    """The test of the test above: leave one part out when resuming, and the runs differ."""
    stopped, straight = rich
    shutil.copytree(stopped, tmp_path / "run")
    load = Trainer.load

    def forgetful(self: Trainer, state: dict[str, Any]) -> None:
        load(self, state if part == "nothing" else without(part)(state, self.state()))

    monkeypatch.setattr(Trainer, "load", forgetful)
    monkeypatch.setattr(job, "previewer", lambda *_: None)
    monkeypatch.setattr(LeCam.__init__, "__defaults__", SOON)
    helpers.train(RICH[0], pictures, tmp_path / "run", **options(RICH))
    assert (helpers.differences(straight, helpers.newest(tmp_path / "run")) == []) == (part == "nothing")


def test_a_resumed_run_needs_no_state_of_the_random_streams(tmp_path: Path, pictures: Path):
    """Draws follow from seed and round, so noise drawn by something else in between changes nothing."""
    straight = tmp_path / "straight"
    helpers.train(CASES["gan: dropout, batch norm, label smoothing"][0], pictures, straight, **_quick())

    def disturbing(_: Any) -> float:
        return float(torch.rand(17).sum())

    helpers.train("gan", pictures, tmp_path / "scored", score=disturbing, checkpoint_every=8, **_quick())
    a, b = helpers.newest(straight), helpers.newest(tmp_path / "scored")
    assert helpers.differences(a, b) == []


def _quick() -> dict[str, Any]:
    return MLP | {"stabilize": {}, "images": 40, "sample_every": 10**9}


def test_a_state_whose_weights_meant_something_else_is_refused(tmp_path: Path, pictures: Path, monkeypatch, capsys):
    state = Trainer.state
    monkeypatch.setattr(Trainer, "state", lambda self: state(self) | {"format": 1})
    helpers.train("gan", pictures, tmp_path / "run", **_quick())
    before = helpers.newest(tmp_path / "run")
    with pytest.raises(SystemExit, match="2"):
        helpers.train("gan", pictures, tmp_path / "run", **(_quick() | {"images": 80}))
    assert "format 1, this version reads 2" in capsys.readouterr().err
    assert helpers.differences(before, helpers.newest(tmp_path / "run")) == []
