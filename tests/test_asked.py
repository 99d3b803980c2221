"""A turn works out the slopes that its player steps by, and no others."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from mulligan.parts import convolve, product
from mulligan.parts.convolve import Conv2d, ConvTranspose2d
from mulligan.parts.layers import Linear


def linear() -> tuple[nn.Module, nn.Module, Tensor]:
    return Linear(3, 4), Linear(4, 2), torch.randn(5, 3)


def convolutions() -> tuple[nn.Module, nn.Module, Tensor]:
    return ConvTranspose2d(5, 3, 4, 2, 1), Conv2d(3, 6, 4, 2, 1), torch.randn(2, 5, 6, 8)


@pytest.fixture(params=[linear, convolutions])
def game(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[nn.Module, nn.Module, Tensor]:
    if request.param is linear and not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        pytest.skip("this torch has no oneDNN")
    monkeypatch.setattr(product, "onednn", lambda: True)
    monkeypatch.setattr(product, "WORTH", 0)
    torch.manual_seed(0)
    return request.param()


@pytest.fixture
def worked_out(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of the weights whose slopes are worked out."""
    shapes: list[tuple[int, ...]] = []

    def watch(module: object) -> None:
        inner: Callable[..., Tensor] = module._of_weight  # type: ignore[attr-defined]

        def outer(a: Tensor, b: Tensor, weight: Tensor, *rest: bool) -> Tensor:
            shapes.append(tuple(weight.shape))
            return inner(a, b, weight, *rest)

        monkeypatch.setattr(module, "_of_weight", outer)

    watch(product)
    watch(convolve)
    return shapes


def test_gs_turn_leaves_ds_weights_alone(game, worked_out):
    G, D, z = game
    D(G(z)).square().sum().backward(inputs=list(G.parameters()))
    assert worked_out == [tuple(G.weight.shape)]
    assert all(p.grad is None for p in D.parameters())


def test_the_penalty_on_a_slope_works_out_none_of_a_weight_first(game, worked_out):
    G, D, z = game
    x = G(z).detach().requires_grad_()
    (slope,) = torch.autograd.grad(D(x).sum(), x, create_graph=True)
    assert worked_out == []
    slope.square().sum().backward()
    assert D.weight.grad is not None


@pytest.mark.parametrize("way", ["backward", "inputs", "grad"])
def test_whoever_asks_gets_every_slope(game, way):
    """Beside torch's own layers, which share the weights."""
    G, D, z = game
    wanted = [*G.parameters(), *D.parameters()]
    plain = [type(layer).__mro__[1].forward for layer in (G, D)]
    losses = [D(G(z)).sin().sum(), plain[1](D, plain[0](G, z)).sin().sum()]
    found = []
    for loss in losses:
        if way == "grad":
            found.append(torch.autograd.grad(loss, wanted))
            continue
        loss.backward(**({"inputs": wanted} if way == "inputs" else {}))
        found.append([p.grad for p in wanted])
        for p in wanted:
            p.grad = None
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
