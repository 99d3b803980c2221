"""Convolutions as products: the same numbers and slopes as torch's own, twice differentiable, in either layout."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mulligan.nets import dcgan
from mulligan.parts import convolve
from mulligan.parts.layout import fast_layout

WAYS: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor]]] = {
    "halve": (convolve.halve, lambda x, w, b: F.conv2d(x, w, b, 2, 1)),
    "double": (convolve.double, lambda x, w, b: F.conv_transpose2d(x, w, b, 2, 1)),
}
SHAPES = {  # channels of the small and the large side, size of the small side
    "few pixels": (6, 5, (4, 3)),
    "one pixel": (6, 5, (1, 1)),
    "few channels": (6, 3, (5, 6)),
    "one channel": (6, 1, (5, 6)),
    "neither": (6, 5, (5, 6)),
}


def given(way: str, shape: str, last: bool) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    small, large, (h, w) = SHAPES[shape]
    x = torch.randn(2, large, 2 * h, 2 * w) if way == "halve" else torch.randn(2, small, h, w)
    weight, bias = torch.randn(small, large, 4, 4), torch.randn(small if way == "halve" else large)
    order = torch.channels_last if last else torch.contiguous_format
    x, weight = (v.double().contiguous(memory_format=order).requires_grad_() for v in (x, weight))
    return x, weight, bias.double().requires_grad_()


def slopes(y: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> list[Tensor]:
    """The first slopes by a curved loss, and the slopes of a gradient penalty."""
    first = torch.autograd.grad(y.sin().sum(), (x, weight, bias), create_graph=True)
    return [*first, *torch.autograd.grad(first[0].square().sum(), (x, weight), create_graph=True)]


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("way", WAYS)
def test_values_and_slopes_are_torchs(way: str, shape: str, biased: bool, last: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(convolve, "LARGE", 1)
    ours, theirs = WAYS[way]
    x, weight, bias = given(way, shape, last)
    a, b = (f(x, weight, bias if biased else None) for f in (ours, theirs))
    torch.testing.assert_close(a, b)
    offset = 0 if biased else bias.sum()  # so that there is a slope of the bias to ask for
    for found, expected in zip(slopes(a + offset, x, weight, bias), slopes(b + offset, x, weight, bias)):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("way", WAYS)
def test_each_way_is_taken_where_it_is_meant_to(way: str, shape: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(convolve, "LARGE", 1)
    taken: set[str] = set()
    for name in ("_Patches", "_Overlay", "_Halve", "_Double"):
        function = getattr(convolve, name)
        apply = function.apply
        monkeypatch.setattr(function, "apply", lambda *a, name=name, apply=apply: (taken.add(name), apply(*a))[1])
    WAYS[way][0](*given(way, shape, True))
    narrow = {"halve": "_Halve", "double": "_Double"}
    names = {"few channels": narrow, "one channel": narrow, "neither": {"halve": "_Halve"}}
    few = {"halve": "_Patches", "double": "_Overlay"}
    assert taken == {name for name in [names.get(shape, few).get(way)] if name}


def test_slopes_of_slopes_stand_up_to_differences(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(convolve, "LARGE", 1)
    for way, (ours, _) in WAYS.items():
        for shape in ("one pixel", "few channels"):
            assert torch.autograd.gradgradcheck(ours, given(way, shape, True), atol=1e-4)


def test_only_the_kernel_that_was_meant_goes_another_way():
    """Other strides, paddings, sizes and groups stay torch's own."""
    x = torch.randn(2, 4, 7, 9)
    for options in ({}, {"stride": 1}, {"padding": 2}, {"dilation": 2}, {"groups": 2}, {"padding_mode": "reflect"}):
        kernel = {"kernel_size": 4, "stride": 2, "padding": 1} | options
        torch.manual_seed(1)
        ours = convolve.Conv2d(4, 6, **kernel)
        torch.manual_seed(1)
        assert torch.equal(ours(x), nn.Conv2d(4, 6, **kernel)(x))
    turned = convolve.ConvTranspose2d(4, 3, 4, 2, 1)
    assert turned(x, output_size=[15, 19]).shape[2:] == (15, 19)


def test_dcgan_names_its_weights_as_before():
    G, D = dcgan.Generator(5, (3, 16, 16), width=4), dcgan.Body((3, 16, 16), width=4)
    assert all(isinstance(up, nn.ConvTranspose2d) for up in G.ups)
    assert all(isinstance(down, nn.Conv2d) for down in D.downs)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_in_fast_layout_is_convolved_with_channels_last(channels: int):
    """With one channel both layouts are the same bytes, and torch would take the slower one and copy."""
    x = fast_layout(torch.randn(2, channels, 8, 12))
    weight = torch.randn(5, channels, 4, 4).contiguous(memory_format=torch.channels_last)
    assert F.conv2d(x, weight, None, 2, 1).is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(fast_layout(x), x.contiguous())
