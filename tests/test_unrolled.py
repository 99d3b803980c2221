"""The gradient of G goes through D's steps ahead: Metz et al. 2017, equation 8, against differences of the loss."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from mulligan import open_source
from mulligan.core.clock import Clock
from mulligan.core.game import Batch, Game
from mulligan.zoo import find

STEPS = {"steps": 3, "size": 0.3}


def game_of(unroll: dict[str, float], packing: int) -> Game:
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


@pytest.mark.parametrize("packing", [1, 2])
def test_gs_gradient_is_the_slope_of_its_loss_ahead(packing: int):
    game = game_of(STEPS, packing)
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
    other = game_of({"steps": 0}, packing)
    (short_sighted,) = torch.autograd.grad(loss_of_g(other), other.owned("G")[0])
    assert not torch.allclose(slope, short_sighted, rtol=0.01), "the steps ahead change nothing"
