"""Long filters of one axis as products with banded matrices, zeros between pixels, padding and stride included.

A CPU convolves channel by channel without much of its speed, and a product of matrices is differentiated by two more.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from .product import linear
from .recording import recording

MOST = 512
"""Pixels of a side up to which the product, whose cost grows with the square, is the quicker way."""
FEW = 16
"""Channels below which they are no row of a product."""


def suits(x: Tensor) -> bool:
    """Whether it is the quicker way, for x (N, C, H, W)."""
    return (
        x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.float64)
        and max(x.shape[2:]) <= MOST
        and not torch.is_autocast_enabled("cpu")
        and not recording()
    )


def banded(taps: Tensor, size: int, up: int, down: int, low: int, high: int) -> Tensor:
    """What `size` pixels in a row are multiplied by: (results, size).

    Pixels lie `up` apart between zeros, with `low` more of these before the first and `high` after the last; taps (n,)
    are correlated with them at every `down`-th place. A negative padding crops.
    """
    return F.pad(taps, (0, 1))[_places(len(taps), size, up, down, low, high)]


@lru_cache(maxsize=256)
def _places(taps: int, size: int, up: int, down: int, low: int, high: int) -> Tensor:
    """Which tap each result has on each pixel; none is number `taps`."""
    results = torch.arange((size * up + low + high - taps) // down + 1)
    place = torch.arange(size) * up + low - results[:, None] * down
    return place.where((place >= 0) & (place < taps), taps)


def along(x: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """x (N, C, H, W) with its columns multiplied by `down` (h, H) and its rows by `across` (w, W): (N, C, h, w)."""
    n, channels, height, width = x.shape
    if channels < FEW or x.is_contiguous():
        rows = linear(x.reshape(-1, width), across)
        return down @ rows.view(n, channels, height, len(across))
    y = down @ x.permute(0, 2, 3, 1).reshape(n, height, width * channels)
    y = across @ y.view(n * len(down), width, channels)
    return y.view(n, len(down), len(across), channels).permute(0, 3, 1, 2)
