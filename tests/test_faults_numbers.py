"""NaN and inf stop a run before the step that would take them in; the checkpoints stay as they were."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mulligan.cli import main
from mulligan.core.checkpoints import Checkpoints, read_state
from mulligan.core.clock import Clock
from mulligan.core.engine import Engine, Optim
from mulligan.core.errors import NonFinite
from mulligan.core.game import Batch, Turn
from mulligan.core.trainer import Trainer

from . import games, helpers

SICK_ROUND, EVERY = 5, 2

# the game of a recipe file whose player falls ill when the environment says so
SICK = '''
import os, torch
from torch import nn
from torch.nn.functional import softplus
from mulligan import Game, Optim, Plan, Sampler, Turn, recipe

class Sick(Game):
    def __init__(self, latent):
        super().__init__()
        self.sampler = Sampler(nn.Sequential(nn.Linear(latent, 8), nn.Tanh(), nn.Linear(8, 2)), latent)
        self.critic = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
        self.register_buffer("memory", torch.zeros(3))

    def play(self, data, clock):
        where, _, what = os.environ.get("MULLIGAN_TEST_SICK", "").partition(":") if clock.round == 5 else ("", "", "")
        x = next(data)["x"]
        for player, net in (("D", self.critic), ("G", self.sampler)):
            weight = next(net.parameters())
            if where == player and what.endswith("weight"):
                with torch.no_grad():
                    weight[0, 0] = float(what.removesuffix("weight"))
            if where == player and what == "buffer":
                self.memory[1] = float("nan")
            fake = self.sampler(len(x))
            fake_loss = softplus(self.critic(fake.detach())) if player == "D" else softplus(-self.critic(fake))
            loss = fake_loss.mean() + (softplus(-self.critic(x)).mean() if player == "D" else 0)
            if where == player and what in ("nan", "inf"):
                loss = loss * float(what)
            if where == player and what == "gradient":  # sqrt(0): the value is 0, its slope is not a number
                loss = loss + (0 * weight.sum()).sqrt()
            yield Turn(player, loss)

@recipe("nobody")
def sick(data, *, latent: int = 4, batch: int = 8, images: int = 80):
    """Falls ill."""
    return Plan(Sick(latent), {"D": Optim(1e-3), "G": Optim(1e-3)}, batch, images, ema=50)
'''


def finite(state: dict[str, Any]) -> bool:
    return all(
        bool(v.isfinite().all()) for _, v in helpers.leaves(state) if isinstance(v, Tensor) and v.is_floating_point()
    )


def words(file: Path, run: Path) -> list[str]:
    return [
        "train",
        f"{file}:sick",
        "--data",
        "ring",
        "--out",
        str(run),
        "--device",
        "cpu",
        "--checkpoint-every",
        str(8 * EVERY),
    ]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from mulligan import job

    monkeypatch.setattr(job, "previewer", lambda *_: None)
    path = tmp_path / "sick.py"
    path.write_text(SICK, encoding="utf-8")
    return path


@pytest.mark.parametrize("player", ["D", "G"])
@pytest.mark.parametrize("what", ["nan", "inf", "gradient", "nanweight"])
def test_numbers_that_left_the_finite_stop_the_run(
    player: str,
    what: str,
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    run = tmp_path / "run"
    monkeypatch.setenv("MULLIGAN_TEST_SICK", f"{player}:{what}")
    with pytest.raises(SystemExit) as left:
        main(words(file, run))
    assert left.value.code == 3
    said = capsys.readouterr().err
    told = re.search(r"mulligan: round 5 \(40 images\): player (\w): loss (\S+), gradient norm (\S+)\. ", said)
    assert told, said
    assert told[1] == player
    assert not (math.isfinite(float(told[2])) and math.isfinite(float(told[3])))
    assert (what == "gradient") == math.isfinite(float(told[2]))
    assert "Stopped before the step; checkpoints keep finite weights" in said
    last = re.search(r"Last finite numbers: loss_D (\S+), grad_D (\S+), loss_G (\S+), grad_G ([^ .]+\.[^ .]+)", said)
    assert last, said
    assert all(math.isfinite(float(number)) for number in last.groups())
    checkpoints = Checkpoints(run / "checkpoints")
    digests = checkpoints.digests()
    states = [read_state(path, digests[path.name]) for path in checkpoints.newest_first()]
    assert [state["round"] for state in states] == [4, 2]
    assert all(finite(state) for state in states)
    capsys.readouterr()
    main(["info", str(run)])
    assert f"player {player}: loss" in capsys.readouterr().out

    monkeypatch.delenv("MULLIGAN_TEST_SICK")
    main(words(file, run))
    assert "going on from round 4 (32 images)" in capsys.readouterr().err
    main(words(file, tmp_path / "healthy"))
    assert helpers.differences(helpers.newest(run), helpers.newest(tmp_path / "healthy")) == []


@pytest.mark.parametrize(
    ("where", "name"),
    [
        ("D:buffer", "memory"),
        ("G:infweight", "sampler.G.0.weight, average.G.0.weight"),  # tanh(inf) is finite, and its slope is 0
        ("average", "average.G.0.weight"),
    ],
)
def test_what_no_loss_depends_on_is_checked_before_saving(
    where: str,
    name: str,
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    run = tmp_path / "run"
    if where == "average":
        monkeypatch.setattr(Trainer, "_round", poisoned(Trainer._round))
    else:
        monkeypatch.setenv("MULLIGAN_TEST_SICK", where)
    with pytest.raises(SystemExit) as left:
        main(words(file, run))
    assert left.value.code == 3
    said = capsys.readouterr().err
    assert f"round 6 (48 images): weights are not finite: {name}. Stopped before saving" in said
    assert helpers.newest(run)["round"] == 4
    assert finite(helpers.newest(run))


def poisoned(play: Any) -> Any:
    def patched(self: Trainer) -> None:
        play(self)
        if self.clock.round == SICK_ROUND:
            next(self.average.module.parameters()).data[0, 0] = float("nan")

    return patched


class Ill(games.Duel):
    """In the turn of `player` the gradient of one weight is `value`, the loss being what it was."""

    def __init__(self, player: str, value: float) -> None:
        super().__init__()
        self.player, self.value = player, value

    def play(self, data: Iterator[Batch], clock: Clock) -> Iterator[Turn]:
        for turn in super().play(data, clock):
            if turn.player == self.player:
                weight = self.owned(turn.player)[0]
                weight.register_hook(lambda gradient: torch.full_like(gradient, self.value))
            yield turn


@pytest.mark.parametrize("player", ["D", "G"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_step_is_not_taken(
    player: str, value: float, accumulate: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    trainer = games.trainer(tmp_path / "run", Ill(player, value), batch=8, images=games.NEVER, accumulate=accumulate)
    before: dict[str, Tensor] = {}
    step = Engine.step

    def spy(self: Engine, who: str, loss: float) -> tuple[float, float]:
        before.update({name: value.clone() for name, value in trainer.game.state_dict().items()})
        before.update({f"{k}": v.clone() for k, v in helpers.leaves(self.state()) if isinstance(v, Tensor)})
        return step(self, who, loss)

    monkeypatch.setattr(Engine, "step", spy)
    with pytest.raises(NonFinite) as stopped:
        trainer._round()
    assert (stopped.value.player, stopped.value.code) == (player, 3)
    assert math.isfinite(stopped.value.loss)
    after = dict(trainer.game.state_dict()) | {
        f"{k}": v for k, v in helpers.leaves(trainer.engine.state()) if isinstance(v, Tensor)
    }
    assert helpers.differences(before, after) == [], "weights and moments are those of before the turn"
    assert all(p.grad is None for p in trainer.game.parameters())


def test_clipping_does_not_hide_what_is_not_finite(tmp_path: Path):
    optims = {player: Optim(1e-2, clip_gradient=1.0) for player in "DG"}
    trainer = games.trainer(tmp_path / "run", Ill("D", math.inf), batch=8, images=games.NEVER, optims=optims)
    with pytest.raises(NonFinite):
        trainer._round()


def test_a_run_is_stopped_in_a_process_of_its_own_too(file: Path, tmp_path: Path):
    """The exit code as a shell sees it."""
    child = helpers.start(tmp_path, helpers.command, *words(file, tmp_path / "run"), before=[ill])
    assert child.wait() == 3, child.said()


def ill() -> None:
    os.environ["MULLIGAN_TEST_SICK"] = "G:nan"
