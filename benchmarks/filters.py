"""The filtered activation of StyleGAN3, forward and backward: banded products beside convolutions by channel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from mulligan.parts import banded
from mulligan.parts.alias_free import filtered_lrelu, lowpass

from .common import compared, finish, interleaved, parser, timed

LAYERS = ((32, 36, 2, 2), (128, 36, 2, 2), (512, 36, 2, 2), (64, 84, 4, 2), (32, 148, 2, 2))
"""Channels, pixels of a side, and how much the filters grow and shrink them."""
BATCH, TAPS, BAR = 8, 6, 1.0


@contextmanager
def convolutions() -> Iterator[None]:
    """The other way, for all that is done meanwhile."""
    suits = banded.suits
    banded.suits = lambda x: False
    try:
        yield
    finally:
        banded.suits = suits


def work(channels: int, side: int, up: int, down: int, plain: bool) -> Callable[[], None]:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(BATCH, channels, side, side, generator=draw).to(memory_format=torch.channels_last).requires_grad_()
    before = lowpass(TAPS * up, side / 4, side / 4, side * up)
    after = lowpass(TAPS * down, side / 4, side / 4, side * up)
    padding = (up * TAPS + down * TAPS) // 2 - 1

    def step() -> None:
        y = filtered_lrelu(x, before, after, None, up, down, padding)
        torch.autograd.grad(y.square().sum(), x)

    def other() -> None:
        with convolutions():
            step()

    return other if plain else step


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--slices", type=int, default=3)
    options.add_argument("--rounds", type=int, default=2)
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    rows, passed = {}, True
    for layer in LAYERS:
        channels, side, up, down = layer
        name = f"{channels} channels, {side} pixels, {up} times up, {down} down"
        steps = {"banded products": work(*layer, plain=False), "convolutions": work(*layer, plain=True)}
        found = interleaved({key: timed(step, given.rounds) for key, step in steps.items()}, given.slices)
        rows[name] = ratio = compared(name, found, "banded products", "convolutions")
        passed = passed and ratio["ratio_of_bests"] >= BAR
    finish("filters", passed, layers=rows)


if __name__ == "__main__":
    main()
