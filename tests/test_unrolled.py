"""The gradient of G goes through D's steps ahead: Metz et al. 2017, equation 8, against differences of the loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from mulligan import open_source
from mulligan.core.clock import Clock
from mulligan.core.game import Batch, Game
from mulligan.parts import objectives
from mulligan.zoo import find

STEPS = {"steps": 3, "size": 0.3}
LOSSES = ("auto", "nonsaturating")


def game_of(unroll: dict[str, Any], packing: int) -> Game:
    torch.manual_seed(0)
    recipe = find("unrolled")
    arguments = {"latent": 2, "width": 4, "unroll": unroll, "stabilize": {"packing": packing}}
    return recipe.plan(open_source("ring"), recipe.arguments(arguments)).game.double()


def loss_of_g(game: Game) -> torch.Tensor:
    """G's loss in one round without steps, always with the same draws."""
    torch.manual_seed(1)
    data: Iterator[Batch] = iter([{"x": torch.randn(8, 2, dtype=torch.float64)}])
    turns = game.play(data, Clock(budget=1))
    next(turns)
    return next(turns).loss


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("packing", [1, 2])
def test_gs_gradient_is_the_slope_of_its_loss_ahead(packing: int, loss: str):
    game = game_of(STEPS | {"loss": loss}, packing)
    weight = game.owned("G")[0]
    (slope,) = torch.autograd.grad(loss_of_g(game), weight)
    for at in ((0, 0), (3, 1), (5, 0)):
        losses, h = [], 1e-6
        for step in (h, -h):
            with torch.no_grad():
                weight[at] += step
            losses.append(loss_of_g(game).item())
            with torch.no_grad():
                weight[at] -= step
        assert float(slope[at]) == pytest.approx((losses[0] - losses[1]) / (2 * h), rel=1e-5, abs=1e-9)
    other = game_of({"steps": 0, "loss": loss}, packing)
    (short_sighted,) = torch.autograd.grad(loss_of_g(other), other.owned("G")[0])
    assert not torch.allclose(slope, short_sighted, rtol=0.01), "the steps ahead change nothing"


def test_without_steps_the_losses_are_the_two_of_goodfellow():
    """For points G minimizes the value function itself (equation 1); elsewhere as in section 3 there."""
    for loss, expected in (("auto", objectives.minimax), ("nonsaturating", objectives.nonsaturating)):
        game = game_of({"steps": 0, "loss": loss}, 1)
        torch.manual_seed(1)
        x = torch.randn(8, 2, dtype=torch.float64)
        game.sampler(8)  # D's turn draws first
        fake = game.sampler(8)
        critic: Any = game.critic
        other = expected.g(critic(x), critic(fake))
        a, b = (torch.autograd.grad(value, game.owned("G")[0])[0] for value in (loss_of_g(game), other))
        torch.testing.assert_close(a, b)
