"""What the core claims: turns that cannot touch another player's weights, and batches that may be shared out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mulligan import open_source
from mulligan.core.clock import Clock
from mulligan.core.engine import Engine, Optim
from mulligan.core.errors import UserError
from mulligan.core.game import Batch, Game, Turn
from mulligan.core.stream import Stream
from mulligan.zoo import find

from . import games, helpers

RECIPES: dict[str, dict[str, Any]] = {
    "gan": {"mlp": {"widths": (6,)}},
    "dcgan": {"width": 4, "stabilize": {"r1": 1.0, "feature_matching": 1.0, "historical_averaging": 0.1}},
    "wgan_gp": {"width": 4, "critic_turns": 2},
    "sngan": {"width": 4, "critic_turns": 1},
    "acgan": {"width": 4},
    "infogan": {"width": 4, "codes": {"categories": 3}},
    "unrolled": {"width": 4, "unroll": {"steps": 2}},
    "r3gan": {"width": 8},
}


def plan_of(recipe: str, data: Any, arguments: dict[str, Any]) -> Any:
    made = find(recipe)
    torch.manual_seed(0)
    return made.plan(data, made.arguments({"batch": 8, "latent": 5} | arguments))


@pytest.mark.parametrize("penalty", games.PENALTIES)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_forgotten_detach_changes_no_bit(penalty: games.Penalty, accumulate: int, tmp_path: Path):
    states = [
        games.rounds(tmp_path, games.duel(penalty, detach), 5, batch=8, accumulate=accumulate)
        for detach in (True, False)
    ]
    assert helpers.differences(*states) == []
    assert helpers.differences(states[0], games.duel(penalty).state_dict()), "nothing was trained"


@pytest.mark.parametrize("recipe", [*RECIPES, "forgetful"])
def test_a_turn_reaches_its_own_player_and_nobody_else(
    recipe: str, tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
):
    if recipe == "forgetful":
        trainer = games.trainer(tmp_path, games.duel(detach=False), batch=8, images=games.NEVER)
    else:
        source = open_source(pictures)
        plan = plan_of(recipe, source, RECIPES[recipe])
        trainer = games.trainer(tmp_path, plan.game, batch=8, images=games.NEVER, source=source, optims=plan.optims)
    game, seen, step = trainer.game, [], Engine.step

    def spy(self: Engine, player: str, loss: float) -> tuple[float, float]:
        own = {id(p) for p in game.owned(player)}
        before = {name: p.detach().clone() for name, p in game.named_parameters()}
        with_gradient = {name for name, p in game.named_parameters() if p.grad is not None}
        found = step(self, player, loss)
        changed = {name for name, p in game.named_parameters() if not torch.equal(p, before[name])}
        mine = {name for name, p in game.named_parameters() if id(p) in own}
        assert changed
        assert changed <= mine, f"{player}'s turn moved {changed - mine}"
        assert with_gradient <= mine, f"{player}'s turn left gradients on {with_gradient - mine}"
        assert all(p.requires_grad for p in game.parameters()), "somebody toggles requires_grad"
        assert all(p.grad is None for p in game.parameters()), "gradients outlive the turn"
        seen.append(player)
        return found

    monkeypatch.setattr(Engine, "step", spy)
    for _ in range(2):
        trainer._round()
    assert set(seen) == set(game.players)


@pytest.mark.parametrize("penalty", games.PENALTIES)
@pytest.mark.parametrize("accumulate", [2, 4])
def test_micro_batches_are_one_batch(penalty: games.Penalty, accumulate: int, tmp_path: Path):
    whole = games.rounds(tmp_path, games.duel(penalty), 6, batch=32)
    shared = games.rounds(tmp_path, games.duel(penalty), 6, batch=32, accumulate=accumulate)
    assert helpers.largest_difference(whole, shared) < 1e-12
    other = games.rounds(tmp_path, games.duel(penalty), 6, batch=16)
    assert helpers.largest_difference(whole, other) > 1e-6, "the measure can't tell batches apart"


class Shared(Game):
    """A game whose layer `common` has as many owners as asked for."""

    def __init__(self, owners: int) -> None:
        super().__init__()
        self.sampler, self.critic, self.common = nn.Linear(3, 2), nn.Linear(2, 1), nn.Linear(2, 2)
        names = [("critic", "common"), ("sampler", "common")][:owners]
        self.players = {"D": ("critic",), "G": ("sampler",)} | dict(zip("DG", names, strict=False))  # type: ignore[misc]


@pytest.mark.parametrize(("owners", "who"), [(0, "no player"), (2, "D and G")])
def test_every_parameter_has_one_owner(owners: int, who: str, tmp_path: Path):
    with pytest.raises(TypeError, match=f"'common.weight' of Shared belongs to {who}"):
        games.trainer(tmp_path, Shared(owners), batch=8, images=8)
    Shared(1).check()


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_game_is_played_without_a_trainer(recipe: str, pictures: Path):
    source = open_source(pictures)
    game = plan_of(recipe, source, RECIPES[recipe]).game
    turns = list(game.play(Stream(source, 8), Clock()))
    assert {turn.player for turn in turns} == set(game.players)
    assert turns[-1].player == "G"
    assert all(turn.loss.shape == () and bool(turn.loss.isfinite()) for turn in turns)
    assert all(turn.stats["real"].shape[0] == turn.stats["fake"].shape[0] for turn in turns if turn.stats)


class Silent(Game):
    """Plays nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.sampler, self.critic = nn.Linear(3, 2), nn.Linear(2, 1)


def test_a_game_without_play_says_what_is_missing():
    with pytest.raises(NotImplementedError, match="yields turns"):
        Silent().play(iter([]), Clock())


class Counted(Game):
    """Remembers the weights that each turn sees, and how many images were drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.sampler, self.critic = games.layers(3, 2), games.layers(2, 1)
        self.seen: list[tuple[int, int, float]] = []

    def play(self, data: Iterator[Batch], clock: Clock) -> Iterator[Turn]:
        batch = next(data)
        yield Turn("D", self.critic(batch["x"]).square().mean())
        self.seen.append((clock.round, clock.images, float(self.critic[0].bias.detach().sum())))
        yield Turn("G", self.critic(self.sampler(batch["z"])).mean())


def test_a_yield_is_a_step_and_the_game_sees_the_new_weights(tmp_path: Path):
    game = Counted()
    before = float(game.critic[0].bias.detach().sum())
    trainer = games.trainer(
        tmp_path, game, batch=8, images=games.NEVER, optims={p: Optim(0.5, kind="sgd") for p in "DG"}
    )
    for _ in range(3):
        trainer._round()
    assert [row[:2] for row in game.seen] == [(0, 0), (1, 8), (2, 16)]
    assert game.seen[0][2] != before, "the code after the yield runs after the step"
    assert (trainer.clock.round, trainer.clock.images) == (3, 24)


@pytest.mark.parametrize(("batch", "accumulate"), [(10, 4), (8, 0), (0, 1)])
def test_a_batch_that_cannot_be_shared_out_is_refused(batch: int, accumulate: int, tmp_path: Path):
    with pytest.raises(UserError, match="--batch"):
        games.trainer(tmp_path, games.duel(), batch=batch, images=8, accumulate=accumulate)
