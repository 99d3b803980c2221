"""ADA: when p moves, what the augmentations leave alone, and that gradients pass through them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mulligan import UserError
from mulligan.core.clock import Clock
from mulligan.parts.ada import AUGMENTATIONS, CHANGES, Augment, bank, margins
from mulligan.parts.adaptive import EVERY, Adaptive
from mulligan.parts.stabilize import Stabilize

BATCH = 32


def played(ada: Adaptive, sign: float, rounds: int, budget: int = 100_000, first: int = 0) -> Adaptive:
    """So many rounds in which D gives logits of one sign to real pictures."""
    for i in range(first, first + rounds):
        ada.at(Clock(i, i * BATCH, budget))
        ada.see(torch.full((BATCH,), sign))
    return ada


def test_p_rises_where_d_is_sure_of_the_training_data_and_falls_where_it_is_not():
    ada = played(Adaptive(0.6), 1.0, 101)
    assert float(ada.pipe.p) == pytest.approx(100 * BATCH / (0.1 * 100_000))
    assert float(played(ada, -1.0, 1_000, first=101).pipe.p) == 0


def test_in_a_long_run_p_goes_from_0_to_1_in_half_a_million_images():
    ada = played(Adaptive(0.6), 1.0, 101, budget=25_000_000)
    assert float(ada.pipe.p) == pytest.approx(100 * BATCH / 500_000)


def test_p_moves_every_few_rounds_only_and_never_beyond_1():
    ada = played(Adaptive(0.6), 1.0, EVERY)
    assert float(ada.pipe.p) == 0
    assert float(played(ada, 1.0, 1, first=EVERY).pipe.p) > 0
    assert float(played(Adaptive(0.6), 1.0, 2_000).pipe.p) == 1


def test_what_was_counted_survives_a_stop():
    straight = played(Adaptive(0.6), 1.0, 50)
    stopped, resumed = played(Adaptive(0.6), 1.0, 27), Adaptive(0.6)
    resumed.load_state_dict(stopped.state_dict())
    played(resumed, 1.0, 23, first=27)
    assert all(torch.equal(a, b) for a, b in zip(straight.buffers(), resumed.buffers(), strict=True))


def pictures(channels: int = 3, size: int = 24) -> Tensor:
    torch.manual_seed(0)
    return torch.randn(5, channels, size, size).clamp(-1, 1)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_with_probability_0_nothing_changes(channels: int):
    x = pictures(channels)
    torch.testing.assert_close(Augment(dict.fromkeys(CHANGES, 1.0))(x), x, atol=2e-2, rtol=0)  # drawn twice as large
    torch.testing.assert_close(Augment(dict.fromkeys(AUGMENTATIONS["color"], 1.0))(x), x)
    assert Adaptive(0.6)(x) is x


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_does_something_and_lets_gradients_through(change: str):
    x = pictures().requires_grad_()
    y = Augment({change: 1.0}, p=1.0)(x)
    assert y.shape == x.shape
    assert float((y - x).detach().abs().mean()) > 1e-3
    (slope,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    torch.autograd.grad(slope.square().sum(), x)
    assert bool(slope.isfinite().all())


def test_changes_happen_as_often_as_told():
    x = torch.ones(4_000, 1, 4, 4) * torch.tensor([-1.0, 1.0, -1.0, 1.0])
    flipped = Augment({"xflip": 1.0}, p=0.5)(x)[:, 0, 0, 0] > 0
    assert float(flipped.float().mean()) == pytest.approx(0.25, abs=0.03)  # half of them toss a coin


def test_the_fourth_channel_keeps_its_values_when_colours_change():
    x = pictures(4)
    y = Augment(dict.fromkeys(AUGMENTATIONS["color"], 1.0), p=1.0)(x)
    assert torch.equal(y[:, 3], x[:, 3])
    assert not torch.equal(y[:, :3], x[:, :3])


def test_the_bands_of_the_filter_add_up_to_doing_nothing():
    whole = bank().sum(0)
    assert float(whole[len(whole) // 2]) == pytest.approx(1, abs=1e-5)
    assert float(whole.abs().sum()) == pytest.approx(1, abs=1e-3)


def test_a_picture_that_stays_needs_no_margin_but_the_filter():
    assert margins(torch.eye(3)[None], 20, 30, 0) == (0, 0, 0, 0)
    assert margins(torch.eye(3)[None], 20, 30, 6) == (6, 6, 6, 6)


def test_unknown_changes_and_targets_are_refused():
    with pytest.raises(ValueError, match="unknown changes twirl"):
        Augment({"twirl": 1.0})
    with pytest.raises(UserError, match=r"stabilize\.ada is 1\.5"):
        Stabilize(ada=1.5)
    with pytest.raises(UserError, match="logits with a zero"):
        Stabilize(ada=0.6, loss="relativistic")
