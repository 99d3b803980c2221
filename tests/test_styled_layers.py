"""Layers of the big GANs: second derivatives in float64, quick ways beside plain ones, compiled beside eager."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mulligan.nets.progressive import Conv as GrownConv
from mulligan.nets.progressive import Dense as GrownDense
from mulligan.nets.progressive import Deviation
from mulligan.nets.stylegan1 import Grow, Shrink
from mulligan.nets.stylegan2 import Block, Epilogue, SynthesisBlock
from mulligan.nets.stylegan3 import Synthesis as AliasFree
from mulligan.parts import banded
from mulligan.parts import modulated as parts
from mulligan.parts import winograd as quick
from mulligan.parts.ada import AUGMENTATIONS, Augment
from mulligan.parts.alias_free import filtered_lrelu, lowpass, styled
from mulligan.parts.attention import SelfAttention
from mulligan.parts.bent import bent
from mulligan.parts.conditional_norm import AffineNorm
from mulligan.parts.filters import TAPS, Pair, filtered, kernel, resampled
from mulligan.parts.layout import fast_slope
from mulligan.parts.modulated import Conv, Dense, Modulated, ToPicture, grouped, modulated

F64 = torch.float64


def draw(*shape: int, seed: int = 0, scale: float = 1.0, start: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return (start + scale * torch.randn(*shape, generator=generator, dtype=F64)).requires_grad_()


def module(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    net = make().to(F64)
    for name, p in net.named_parameters():
        if "noise" in name:
            p.data.fill_(0.3)
    return net


f = kernel(TAPS).to(F64)
W = lambda: draw(3, 2, 3, 3, seed=5)  # noqa: E731
S = lambda: draw(2, 2, seed=6, start=1.0, scale=0.3)  # noqa: E731

FUNCTIONS: dict[str, tuple[Callable[..., Any], Callable[[], tuple[Tensor, ...]]]] = {
    "bent": (lambda x: bent(x, 0.2, 1.5), lambda: (draw(2, 3, 4),)),
    "activated lrelu": (lambda x, b: parts.activated(x, b, "lrelu", 0.7, 1.1), lambda: (draw(2, 3, 4), draw(3))),
    "activated swish": (lambda x, b: parts.activated(x, b, "swish", None, 1.1), lambda: (draw(2, 3, 4), draw(3))),
    "unit": (parts.unit, lambda: (draw(2, 3),)),
    "filtered": (lambda x: filtered(x, f, 2, 1, (2, 1, 2, 1), gain=4), lambda: (draw(1, 2, 3, 3),)),
    "resampled up": (lambda x, w, b: resampled(x, w, f, up=2, padding=1, flip=False, bias=b),
                     lambda: (draw(1, 2, 3, 3), W(), draw(3))),
    "resampled down": (lambda x, w, b: resampled(x, w, f, down=2, padding=1, bias=b),
                       lambda: (draw(1, 2, 4, 4), W(), draw(3))),
    "modulated": (lambda x, w, s: modulated(x, w, s, padding=1), lambda: (draw(2, 2, 3, 3), W(), S())),
    "modulated up": (lambda x, w, s, n: modulated(x, w, s, noise=n, up=2, padding=1, f=f, flip=False, gain=1.4),
                     lambda: (draw(2, 2, 2, 2), W(), S(), draw(3, 1, 1))),
    "grouped": (lambda x, w, s: grouped(x, w, s, padding=1), lambda: (draw(2, 2, 3, 3), W(), S())),
    "styled": (lambda x, w, s: styled(x, w, s, padding=1), lambda: (draw(2, 2, 3, 3), W(), S())),
    "filtered_lrelu": (
        lambda x, b: filtered_lrelu(x, LOW, LOW, b, 2, 2, 4, clamp=2.0), lambda: (draw(1, 2, 3, 3), draw(2))
    ),
}  # fmt: skip
LOW = lowpass(6, 0.4, 0.3, 2.0)
assert LOW is not None
LOW = LOW.to(F64)

MODULES: dict[str, tuple[Callable[[], nn.Module], Callable[[], tuple[Tensor, ...]], tuple[Any, ...]]] = {
    "Dense": (lambda: Dense(3, 2, "lrelu", 0.1), lambda: (draw(2, 3),), ()),
    "Conv down": (lambda: Conv(2, 3, 3, act="lrelu", down=2, clamp=2.0), lambda: (draw(1, 2, 4, 4),), ()),
    "Conv up, linear": (lambda: Conv(2, 3, 1, up=2), lambda: (draw(1, 2, 2, 2),), ()),
    "Modulated": (
        lambda: Modulated(2, 3, 4, (4, 4), up=2, clamp=3.0), lambda: (draw(2, 2, 2, 2), draw(2, 4)), ("const",)
    ),
    "ToPicture": (lambda: ToPicture(2, 3, 4), lambda: (draw(2, 2, 2, 2), draw(2, 4)), ()),
    "Grow": (lambda: Grow(2, 3), lambda: (draw(1, 2, 2, 2),), ()),
    "Grow fused": (lambda: Grow(2, 3, True), lambda: (draw(1, 2, 2, 2),), ()),
    "Shrink": (lambda: Shrink(2, 3, 0.2), lambda: (draw(1, 2, 4, 4),), ()),
    "grown Conv": (lambda: GrownConv(2, 3, 3, 0.2), lambda: (draw(1, 2, 3, 3),), ()),
    "grown Dense": (lambda: GrownDense(3, 2, 0.2), lambda: (draw(2, 3),), ()),
    "Deviation": (lambda: Deviation(2), lambda: (draw(2, 2, 2, 2),), ()),
    "SelfAttention": (lambda: SelfAttention(8, None), lambda: (draw(1, 8, 2, 2, scale=0.5),), ()),
    "AffineNorm": (lambda: AffineNorm(2), lambda: (draw(3, 2, 2, 2),), ()),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_second_derivatives_of_functions(name: str) -> None:
    function, inputs = FUNCTIONS[name]
    assert torch.autograd.gradcheck(function, inputs(), atol=1e-5)
    assert torch.autograd.gradgradcheck(function, inputs(), atol=1e-5)


def test_second_derivatives_of_samples_convolved_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "LARGE", 9)
    function, inputs = FUNCTIONS["modulated"]
    calls = list[int]()
    monkeypatch.setattr(parts, "own", lambda *given, own=parts.own: [calls.append(1), own(*given)][1])
    assert torch.autograd.gradcheck(function, inputs(), atol=1e-5)
    assert torch.autograd.gradgradcheck(function, inputs(), atol=1e-5)
    assert calls


@pytest.mark.parametrize("name", MODULES)
def test_second_derivatives_of_layers(name: str) -> None:
    make, inputs, more = MODULES[name]
    net, xs = module(make), inputs()
    named = dict(net.named_parameters())
    keys, values = list(named), [p.detach().clone().requires_grad_() for p in named.values()]

    def call(*given: Tensor) -> Tensor:
        mine, held = given[: len(xs)], given[len(xs) :]
        return torch.func.functional_call(net, dict(zip(keys, held, strict=True)), (*mine, *more))

    assert torch.autograd.gradcheck(call, (*xs, *values), atol=1e-5)
    assert torch.autograd.gradgradcheck(call, (*xs, *values), atol=1e-5)


def test_second_derivatives_of_whole_blocks() -> None:
    synthesis = module(lambda: SynthesisBlock(2, 2, 3, (4, 4), 1, True))
    block, end = module(lambda: Block(0, 2, 3, 1)), module(lambda: Epilogue(3, (2, 2), 1, 1))
    free = module(lambda: AliasFree(3, (1, 8, 8), layers=2, critical=1, base=16, most=2))

    def charged(x: Tensor) -> Tensor:
        return end(block(None, x)[0], None).sum(1)

    assert torch.autograd.gradgradcheck(
        lambda x, ws: synthesis(x, None, ws, "const")[1], (draw(1, 2, 2, 2), draw(1, 3, 3))
    )
    assert torch.autograd.gradgradcheck(charged, (draw(4, 1, 4, 4),), atol=1e-5)
    assert torch.autograd.gradgradcheck(free, (draw(1, free.count if hasattr(free, "count") else 4, 3),), atol=1e-4)


PLACES = [  # up, down, padding
    (1, 1, 0), (1, 1, 5), (2, 1, (6, 5)), (1, 2, (3, 4, 5, 6)), (2, 2, 4), (4, 1, (-2, 3, 7, -1)), ((2, 1), (1, 3), 6),
]  # fmt: skip


@pytest.mark.parametrize(("up", "down", "padding"), PLACES)
@pytest.mark.parametrize("channels", [3, banded.FEW])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("flip", [False, True])
def test_a_banded_product_is_the_convolution(
    up: Pair, down: Pair, padding: Pair, channels: int, layout: torch.memory_format, flip: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    taps, bias = draw(9).detach(), draw(channels)

    def play() -> list[Tensor]:
        torch.manual_seed(1)
        x = draw(2, channels, 9, 12).detach().contiguous(memory_format=layout).requires_grad_()
        y = filtered(x, taps, up, down, padding, flip, 2.0, bias)
        (slope,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        return [y, slope, *torch.autograd.grad(slope.square().sum(), (x, bias))]

    quick = play()
    monkeypatch.setattr(banded, "suits", lambda x: False)
    for one, other in zip(quick, play(), strict=True):
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-12)


def test_half_precision_and_large_pictures_are_convolved() -> None:
    small = torch.zeros(1, 1, 8, 8)
    assert banded.suits(small)
    assert not banded.suits(small.bfloat16())
    assert not banded.suits(torch.zeros(1, 1, 1, banded.MOST + 1))
    with torch.autocast("cpu", torch.bfloat16):
        assert not banded.suits(small)


def test_slopes_reach_the_convolution_in_its_layout() -> None:
    """However they come: those of a sum have none of their own."""
    x = torch.randn(2, 8, 8, 8).contiguous(memory_format=torch.channels_last).requires_grad_()
    y, seen = fast_slope(x), list[Tensor]()
    x.register_hook(seen.append)
    assert torch.equal(y, x)
    y.backward(torch.randn(2, 8, 8, 8))
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


def test_second_derivatives_through_the_augmentations() -> None:
    augment = Augment(dict.fromkeys(AUGMENTATIONS["bgcf"], 1.0), p=1.0).to(F64)

    def same(x: Tensor) -> Tensor:
        torch.manual_seed(3)
        return augment(x)

    assert torch.autograd.gradgradcheck(same, (draw(1, 3, 8, 8),), atol=1e-5, nondet_tol=1e-9)


@pytest.mark.parametrize("up", [1, 2])
@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize(("channels", "side"), [(2, 3), (2, 16), (7, 4), (2, 64)])
def test_the_fused_and_the_plain_modulated_convolution_agree(
    channels: int, side: int, demodulate: bool, up: int
) -> None:
    x, style = draw(3, channels, side, side), draw(3, channels, start=1.0)
    weight, noise = draw(4, channels, 3, 3), draw(4, 1, 1)
    options: dict[str, Any] = {
        "noise": noise, "up": up, "padding": 1, "f": f if up > 1 else None, "flip": up == 1, "demodulate": demodulate,
        "gain": 1.3,
    }  # fmt: skip
    scaled = functools.partial(modulated, **options)
    ours, theirs = scaled(x, weight, style), grouped(x, weight, style, **options)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    slopes = [torch.autograd.grad(y.square().sum(), (x, weight, style, noise)) for y in (ours, theirs)]
    for a, b in zip(*slopes, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shape", [(1, 4, 4), (2, 2, 6), (3, 16, 10), (2, 64, 34)])
def test_winograd_is_the_convolution(shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick, "CHANNELS", 4)
    monkeypatch.setattr(quick, "TILES", 40)
    n, height, width = shape
    x, weight = torch.randn(n, 5, height, width), torch.randn(6, 5, 3, 3)
    with torch.no_grad():
        assert quick.suits(x, weight)
        torch.testing.assert_close(quick.winograd(x, weight), F.conv2d(x, weight, padding=1), rtol=1e-4, atol=1e-4)


def test_winograd_is_left_out_where_it_cannot_be() -> None:
    x, weight = torch.randn(1, 256, 4, 4), torch.randn(256, 256, 3, 3, requires_grad=True)
    assert not quick.suits(x, weight)  # there are slopes to keep
    with torch.no_grad():
        assert quick.suits(x, weight)
        assert not quick.suits(x[:, :, :3], weight)
        assert not quick.suits(x.double(), weight.double())
        assert not quick.suits(x[:, :255], weight[:, :255])
        assert not quick.suits(x, weight[:, :, :1, :1])


@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("clamp", [None, 0.5])
def test_bent_is_a_leaky_relu_within_bounds(slope: float, clamp: float | None) -> None:
    x = draw(50)
    plain = F.leaky_relu(x, slope) if slope < 1 else x
    plain = plain if clamp is None else plain.clamp(-clamp, clamp)
    assert torch.equal(bent(x, slope, clamp), plain)
    (ours,), (theirs,) = (torch.autograd.grad(y.sum(), x) for y in (bent(x, slope, clamp), plain))
    assert torch.equal(ours, theirs)


def test_compiled_and_eager_agree() -> None:
    """The graph that a compiler takes: traced whole, run by torch's own operations."""
    torch.manual_seed(0)
    block = SynthesisBlock(4, 4, 6, (16, 16), 3, True, clamp=256.0)
    x, ws = torch.randn(2, 4, 8, 8), torch.randn(2, 3, 6, requires_grad=True)
    compiled = torch.compile(block, backend="aot_eager", fullgraph=True)
    ours, theirs = block(x, None, ws, "const")[1], compiled(x, None, ws, "const")[1]
    torch.testing.assert_close(ours, theirs)
    (a,), (b,) = (torch.autograd.grad(y.square().sum(), ws) for y in (ours, theirs))
    torch.testing.assert_close(a, b)
