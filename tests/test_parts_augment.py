"""DiffAugment beyond the parity fixture."""

import pytest
import torch

from mulligan.core.errors import UserError
from mulligan.parts import augment


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("size", [(8, 8), (6, 10)])
def test_every_policy_keeps_shape_and_differentiates_twice(channels, size):
    torch.manual_seed(0)
    x = torch.randn(2, channels, *size, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(1)
    y = augment.diffaugment(x)
    assert y.shape == x.shape
    assert not torch.equal(y, x)
    torch.manual_seed(1)
    assert torch.equal(augment.diffaugment(x), y)
    (first,) = torch.autograd.grad(y.pow(3).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    assert second.abs().sum() > 0


def test_second_derivatives_are_right():
    x = torch.randn(2, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    u, shift = torch.tensor([0.2, 0.9]), torch.tensor([1, -2])

    def chain(x):
        x = augment.contrast(augment.saturation(augment.brightness(x, u), u), u)
        return augment.cutout(augment.translation(x, shift, -shift), shift + 2, shift + 2).pow(3)

    assert torch.autograd.gradcheck(chain, (x,))
    assert torch.autograd.gradgradcheck(chain, (x,))


def test_translation_moves_and_fills_with_zeros():
    x = torch.arange(1.0, 13).view(1, 1, 3, 4)
    moved = augment.translation(x, torch.tensor([1]), torch.tensor([-2]))
    assert torch.equal(moved[0, 0], torch.tensor([[0.0, 0, 5, 6], [0, 0, 9, 10], [0, 0, 0, 0]]))
    assert not augment.translation(x, torch.tensor([3]), torch.tensor([0])).any()


def test_cutout_is_a_rectangle_around_its_centre():
    x = torch.ones(2, 1, 6, 8)
    y = augment.cutout(x, torch.tensor([3, 0]), torch.tensor([4, 0]))
    hole = torch.ones(6, 8)
    hole[2:5, 2:6] = 0
    assert torch.equal(y[0, 0], hole)
    assert y[1, 0].sum() == 48 - 2 * 2
    assert torch.equal(augment.cutout(x, torch.tensor([3, 0]), torch.tensor([4, 0]), 0.0), x)


def test_cutout_of_odd_sides_rounds_up_and_covers_every_centre():
    assert augment.cutout(torch.ones(1, 1, 5, 5), torch.tensor([2]), torch.tensor([2])).sum() == 25 - 3 * 3
    torch.manual_seed(0)
    # An odd hole (3 of 5) has its centre on one of 5 pixels, an even one (2 of 4) on one of 5 corners.
    for side, areas in ((5, {4, 6, 9}), (4, {1, 2, 4})):
        holes = side * side - augment.diffaugment(torch.ones(500, 1, side, side), "cutout").sum((1, 2, 3))
        assert set(holes.int().tolist()) == areas


def test_draws_cover_their_ranges():
    torch.manual_seed(0)
    x = torch.zeros(400, 1, 16, 16)
    x[:, :, 8, 8] = 1
    where = augment.diffaugment(x, "translation").flatten(1).argmax(1)
    assert sorted((where // 16).unique().tolist()) == [6, 7, 8, 9, 10]
    assert sorted((where % 16).unique().tolist()) == [6, 7, 8, 9, 10]
    grey = augment.diffaugment(torch.zeros(400, 1, 2, 2), "color")[:, 0, 0, 0]
    assert -0.5 <= grey.min() < -0.45
    assert 0.45 < grey.max() <= 0.5


def test_policy_words():
    x = torch.randn(2, 3, 8, 8)
    assert augment.diffaugment(x, "") is x
    with pytest.raises(UserError, match="'translation'"):
        augment.diffaugment(x, "color,transltion")
