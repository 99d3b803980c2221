"""Objectives and the losses beside them."""

import math

import pytest
import torch

from mulligan.core.errors import UserError
from mulligan.parts import auxiliary as aux
from mulligan.parts import objectives as o


def _logits(n=6, seed=0):
    torch.manual_seed(seed)
    return tuple(torch.randn(n, dtype=torch.float64).mul_(1.5).requires_grad_() for _ in range(2))


@pytest.mark.parametrize("objective", o.OBJECTIVES.values(), ids=o.OBJECTIVES)
def test_directions_and_derivatives(objective):
    """D wants real logits up and fake ones down, G the opposite for the fake ones, at equal logits near 0."""
    real, fake = (torch.zeros(6, dtype=torch.float64, requires_grad=True) for _ in range(2))
    up, down = torch.autograd.grad(objective.d(real, fake), (real, fake), materialize_grads=True)
    assert (up < 0).all()
    # LSGAN's fake target is 0, the very point.
    assert (down > 0).all() if objective.name != "least_squares" else (down == 0).all()
    pushed, pulled = torch.autograd.grad(objective.g(real, fake), (fake, real), materialize_grads=True)
    assert (pushed < 0).all()
    assert (pulled > 0).all() == objective.needs_real
    real, fake = _logits()
    assert torch.autograd.gradcheck(objective.d, (real, fake))
    assert torch.autograd.gradcheck(objective.g, (real, fake))


@pytest.mark.parametrize("objective", o.OBJECTIVES.values(), ids=o.OBJECTIVES)
def test_mixed_shapes_do_not_broadcast(objective):
    real, fake = _logits()
    for loss in (objective.d, objective.g):
        value = loss(real, fake)
        assert value.shape == ()
        torch.testing.assert_close(loss(real[:, None], fake), value)


@pytest.mark.parametrize("objective", o.OBJECTIVES.values(), ids=o.OBJECTIVES)
def test_finite_for_extreme_logits(objective):
    real = torch.tensor([-200.0, 200.0], requires_grad=True)
    fake = torch.tensor([200.0, -200.0], requires_grad=True)
    total = objective.d(real, fake) + objective.g(real, fake)
    gradients = torch.autograd.grad(total, (real, fake), materialize_grads=True)
    assert all(torch.isfinite(t).all() for t in (total, *gradients))


def test_needs_real_is_what_happens():
    real, fake = _logits()
    for objective in o.OBJECTIVES.values():
        changed = objective.g(real + torch.arange(6), fake)
        assert torch.equal(changed, objective.g(real, fake)) != objective.needs_real


def test_unequal_batches_do_not_pair():
    with pytest.raises(ValueError, match="do not pair"):
        o.relativistic.d(torch.zeros(4), torch.zeros(1))


def test_minimax_equilibrium_value():
    zero = torch.zeros(3)
    assert o.minimax.d(zero, zero).item() == pytest.approx(2 * math.log(2))
    assert o.minimax.g(zero, zero).item() == pytest.approx(-math.log(2))


def test_smoothed():
    real, fake = _logits()
    smooth = o.smoothed(o.nonsaturating, 0.9)
    by_hand = torch.nn.functional.binary_cross_entropy_with_logits
    expected = by_hand(real, torch.full_like(real, 0.9)) + by_hand(fake, torch.zeros_like(fake))
    torch.testing.assert_close(smooth.d(real, fake), expected)
    assert smooth.g(real, fake) == o.nonsaturating.g(real, fake)
    two_sided = o.smoothed(o.least_squares, 0.8, 0.1).d(real, fake)
    torch.testing.assert_close(two_sided, ((real - 0.8).square().mean() + (fake - 0.1).square().mean()) / 2)
    with pytest.raises(UserError, match="hinge"):
        o.smoothed(o.hinge)
    with pytest.raises(UserError, match=r"fake=0\.9"):
        o.smoothed(o.minimax, 0.9, 0.9)


def test_auxiliary_losses():
    torch.manual_seed(0)
    real, fake = torch.randn(8, 5), torch.randn(8, 5)
    assert aux.feature_matching(real, real.flip(0)) < 1e-12
    torch.testing.assert_close(aux.feature_matching(real, real + 2), torch.tensor(20.0))
    torch.testing.assert_close(aux.feature_matching_l1(real, real - 2), torch.tensor(2.0))
    assert aux.pulling_away(torch.eye(4)) == 0
    torch.testing.assert_close(aux.pulling_away(torch.ones(3, 4)), torch.tensor(1.0))
    normal = torch.distributions.Normal(fake, 2.0)
    expected = -normal.log_prob(real).sum(1).mean()
    torch.testing.assert_close(aux.gaussian_nll(real, fake, torch.full_like(fake, 4.0)), expected)
    assert aux.energy_margin(torch.zeros(2), torch.full((2,), 5.0), 5.0) == 0
    assert aux.multiclass_hinge(torch.eye(3) * 2, torch.arange(3)) == 0
    assert aux.energy_balance(torch.ones(2), torch.ones(2), 0.25) == 0.75
