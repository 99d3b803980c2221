"""The modulated convolution of StyleGAN2, forward and backward, beside the grouped convolution of the paper."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mulligan.parts.layout import fast_layout
from mulligan.parts.modulated import grouped, modulated

from .common import compared, finish, interleaved, parser, timed

LAYERS = ((512, 4), (512, 8), (256, 16), (128, 32), (64, 64))
"""Channels, and pixels of a side."""
BATCH, WIDE, SMALL, BAR, NEVER = 8, 512, 8, 4.0, 0.95
"""The bar holds for so many channels on so few pixels; nowhere may ours be slower than the last figure."""


def work(
    convolve: Callable[..., Tensor], channels: int, side: int, layout: Callable[[Tensor], Tensor]
) -> Callable[[], None]:
    draw = torch.Generator().manual_seed(0)
    x = layout(torch.randn(BATCH, channels, side, side, generator=draw)).requires_grad_()
    weight = torch.randn(channels, channels, 3, 3, generator=draw).requires_grad_()
    style = torch.rand(BATCH, channels, generator=draw).add(0.5).requires_grad_()

    def step() -> None:
        y = convolve(x, weight, style, padding=1)
        torch.autograd.grad(y.sum(), (x, weight, style))

    return step


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--slices", type=int, default=5)
    options.add_argument("--rounds", type=int, default=4)
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    rows, passed = {}, True
    for channels, side in LAYERS:
        name = f"{channels} channels, {side} pixels"
        steps = {
            "ours": work(modulated, channels, side, fast_layout),
            "grouped convolution": work(grouped, channels, side, lambda x: x),
        }
        found = interleaved({key: timed(step, given.rounds) for key, step in steps.items()}, given.slices)
        rows[name] = ratio = compared(name, found, "ours", "grouped convolution")
        bar = BAR if channels == WIDE and side <= SMALL else NEVER
        passed = passed and ratio["ratio_of_bests"] >= bar
    finish("modulation", passed, layers=rows)


if __name__ == "__main__":
    main()
