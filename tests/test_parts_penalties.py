"""Gradient penalties and LeCam."""

import pytest
import torch
from torch import nn

from mulligan.parts import penalties as p


def _critic(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 5), nn.Softplus(), nn.Linear(5, 1)).double()


def _samples(n=4, seed=1):
    torch.manual_seed(seed)
    return torch.randn(n, 3, dtype=torch.float64), torch.randn(n, 3, dtype=torch.float64)


def test_slope_of_a_known_function():
    x, _ = _samples()
    logits, squared = p.slope(lambda x: x.square().sum(1), x)
    torch.testing.assert_close(logits, x.square().sum(1))
    torch.testing.assert_close(squared, 4 * x.square().sum(1))
    torch.testing.assert_close(p.r1(lambda x: x.square().sum(1), x), 2 * x.square().sum(1).mean())
    assert not x.requires_grad


def test_slope_gives_extra_arguments_and_works_under_no_grad():
    x, y = _samples()
    with torch.no_grad():
        _, squared = p.slope(lambda x, y: (x * y).sum(1), x, y)
    torch.testing.assert_close(squared, y.square().sum(1))


def test_penalty_of_a_linear_critic_is_exact():
    w = torch.tensor([3.0, 0.0, 4.0], dtype=torch.float64)
    real, fake = _samples()

    def D(x):
        return x @ w

    torch.testing.assert_close(p.gradient_penalty(D, real, fake), torch.tensor(16.0, dtype=torch.float64))
    torch.testing.assert_close(p.gradient_penalty(D, real, fake, target=5.0).item(), 0.0)
    assert p.gradient_penalty(D, real, fake, target=6.0, one_sided=True) == 0
    torch.testing.assert_close(p.gradient_penalty(D, real, fake, target=6.0).item(), 1.0)
    torch.testing.assert_close(p.dragan(D, real).item(), 16.0)


def test_alpha_weights_real_one_per_sample():
    real, fake = _samples()
    alpha = torch.tensor([1.0, 0.0, 0.5, 0.25], dtype=torch.float64)
    for shape in ((4,), (4, 1)):
        x = p.interpolate(real, fake, alpha.reshape(shape))
        torch.testing.assert_close(x[0], real[0])
        torch.testing.assert_close(x[1], fake[1])
        torch.testing.assert_close(x[3], 0.25 * real[3] + 0.75 * fake[3])
    drawn = (p.interpolate(torch.ones(50, 3, 2, 2), torch.zeros(50, 3, 2, 2))).flatten(1)
    assert torch.equal(drawn, drawn[:, :1].expand_as(drawn))
    assert drawn[:, 0].unique().numel() > 40
    with pytest.raises(ValueError, match="interpolate"):
        p.interpolate(real, fake[:1])


def test_flat_critic_keeps_gradients_finite():
    w = torch.zeros(3, requires_grad=True)
    value = p.gradient_penalty(lambda x: x @ w, torch.randn(4, 3), torch.randn(4, 3))
    (gradient,) = torch.autograd.grad(value, w)
    assert value == 1
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", ["gp", "one_sided", "dragan", "r1"])
def test_penalties_are_differentiable_in_the_weights(name):
    """gradcheck of the penalty is a check of D's second derivative; gradgradcheck of a third."""
    D = _critic()
    weights = {key: value.detach() for key, value in D.named_parameters()}
    real, fake = _samples()
    alpha = torch.rand(4, dtype=torch.float64)

    def penalty(*values):
        named = dict(zip(weights, values, strict=True))

        def call(x):
            return torch.func.functional_call(D, named, (x,))

        if name == "r1":
            return p.r1(call, real)
        if name == "dragan":
            return p.dragan(call, real, alpha=alpha, u=torch.full_like(real, 0.3))
        target = 0.1 if name == "one_sided" else 1.0
        return p.gradient_penalty(call, real, fake, alpha=alpha, one_sided=name == "one_sided", target=target)

    values = tuple(v.clone().requires_grad_() for v in weights.values())
    assert torch.autograd.gradcheck(penalty, values)
    assert torch.autograd.gradgradcheck(penalty, values)


def test_lecam_average_and_penalty():
    lecam = p.LeCam(decay=0.9, start=1).double()
    real, fake = _samples()
    lecam(real, fake)
    assert lecam.ema_real == real.mean()
    value = lecam(real + 1, fake)
    torch.testing.assert_close(lecam.ema_real, real.mean() + 0.1)
    expected = (real + 1 - lecam.ema_fake).relu().square().mean() + (lecam.ema_real - fake).relu().square().mean()
    torch.testing.assert_close(value, expected)
    before = {k: v.clone() for k, v in lecam.state_dict().items()}
    lecam.eval()(real + 5, fake)
    assert all(torch.equal(v, before[k]) for k, v in lecam.state_dict().items())
