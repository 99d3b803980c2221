"""Batches of 64 from 60,000 pictures: the stream over packed MNIST against torchvision's way through a DataLoader."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from mulligan.core.stream import Stream

from .common import SHARED, compared, finish, interleaved, mnist, parser, stop, timed
from .tutorial import PROGRAM

BAR, AIM = 30, 60


def loader(data: Path) -> Iterator[Any]:
    """Endless batches as the tutorial's program makes them."""
    try:
        from torchvision import transforms
    except ImportError:
        stop("the opponent needs torchvision: pip install torchvision")
    if not PROGRAM.is_file():
        stop(f"the tutorial's program {PROGRAM} isn't there")
    spec = importlib.util.spec_from_file_location("tutorial_gan_torch", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize([0.5], [0.5])])
    batches = torch.utils.data.DataLoader(module.Digits(data, transform), batch_size=64, shuffle=True)
    while True:
        yield from batches


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--data", type=Path, default=SHARED / "data" / "mnist", help="folder of the MNIST files")
    options.add_argument("--slices", type=int, default=15)
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    stream, batches = Stream(mnist(given.data), 64), loader(given.data)
    works = {
        "mulligan": timed(lambda: next(stream), 1000),
        "DataLoader": timed(lambda: next(batches), 25),
    }
    ratios = compared("a batch of 64", interleaved(works, given.slices), "mulligan", "DataLoader")
    finish("feed", ratios["ratio_of_bests"] >= BAR, **ratios, bar=BAR, aim=AIM)


if __name__ == "__main__":
    main()
