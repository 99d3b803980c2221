"""Filtering while the resolution changes: zeros in between, a small kernel over them, every so many-th pixel kept."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from . import banded
from .fir import fir
from .recording import recording
from .winograd import suits, winograd

Pair = int | Sequence[int]
TAPS = (1, 3, 3, 1)
"""The binomial kernel of StyleGAN and its successors (Karras et al. 2019, section 2)."""
LONG = 8
"""Taps from which a kernel of one axis is applied axis by axis."""


def kernel(taps: Sequence[float] | Sequence[Sequence[float]] | Tensor | None, gain: float = 1.0) -> Tensor:
    """A kernel of sum `gain` from taps of one axis or both: (h, w), or (n,) where one axis is long."""
    f = torch.as_tensor(1.0 if taps is None else taps, dtype=torch.float32)
    f = f[None] if f.dim() == 0 else f
    if f.dim() == 1 and len(f) < LONG:
        f = f[:, None] * f[None]
    return f / f.sum() * gain ** (f.dim() / 2)


def spread(f: Tensor | None) -> tuple[int, int]:
    """Height and width of a kernel; 1, 1 for none."""
    return (1, 1) if f is None else (f.shape[0], f.shape[-1])


def pair(value: Pair) -> tuple[int, int]:
    """(x, y) of one number, or of two."""
    x, y = (value, value) if isinstance(value, int) else value
    return x, y


def four(value: Pair) -> tuple[int, int, int, int]:
    """Padding (left, right, top, bottom) of one number, of (x, y), or of all four."""
    if isinstance(value, int):
        return value, value, value, value
    left, right, top, bottom = (value[0], value[0], value[1], value[1]) if len(value) == 2 else value
    return left, right, top, bottom


def filtered(
    x: Tensor, f: Tensor | None, up: Pair = 1, down: Pair = 1, padding: Pair = 0, flip: bool = False, gain: float = 1.0,
    bias: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """x (N, C, H, W) with up - 1 zeros after each pixel, padded or cropped, convolved with f, every down-th kept.

    `padding` counts pixels of the larger picture, negative ones crop. Convolution, or correlation with `flip`. A bias
    for each channel is added.
    """
    (up_x, up_y), (down_x, down_y), (left, right, top, bottom) = pair(up), pair(down), four(padding)
    n, channels, height, width = x.shape
    bias = None if bias is None else bias.to(x.dtype)
    taps = None if f is None else (f * gain ** (f.dim() / 2)).to(x)
    taps = taps if taps is None or flip else taps.flip(list(range(taps.dim())))
    if taps is not None and taps.dim() == 1 and banded.suits(x):
        rows = banded.banded(taps, height, up_y, down_y, top, bottom)
        x = banded.along(x, rows, banded.banded(taps, width, up_x, down_x, left, right))
        return x if bias is None else x + bias[:, None, None]
    if up_x > 1 or up_y > 1:
        x = F.pad(x.reshape(n, channels, height, 1, width, 1), (0, up_x - 1, 0, 0, 0, up_y - 1))
        x = x.reshape(n, channels, height * up_y, width * up_x)
    x = F.pad(x, (left, right, top, bottom)) if any((left, right, top, bottom)) else x
    if taps is None:
        x = (x * gain if gain != 1 else x)[:, :, ::down_y, ::down_x]
        return x if bias is None else x + bias[:, None, None]
    if taps.dim() == 2:
        return fir(x, taps, bias, (down_y, down_x))
    return fir(fir(x, taps[:, None], None, (down_y, 1)), taps[None], bias, (1, down_x))


def around_up(f: Tensor | None, up: Pair, padding: Pair = 0) -> tuple[int, int, int, int]:
    """Padding that keeps pictures in place when they grow."""
    (x, y), (height, width), (left, right, top, bottom) = pair(up), spread(f), four(padding)
    return (
        left + (width + x - 1) // 2, right + (width - x) // 2,
        top + (height + y - 1) // 2, bottom + (height - y) // 2,
    )  # fmt: skip


def around_down(f: Tensor | None, down: Pair, padding: Pair = 0) -> tuple[int, int, int, int]:
    """Padding that keeps pictures in place when they shrink."""
    (x, y), (height, width), (left, right, top, bottom) = pair(down), spread(f), four(padding)
    return (
        left + (width - x + 1) // 2, right + (width - x) // 2,
        top + (height - y + 1) // 2, bottom + (height - y) // 2,
    )  # fmt: skip


def upsample(x: Tensor, f: Tensor | None, up: Pair = 2, padding: Pair = 0) -> Tensor:
    """x (N, C, H, W) at `up` times the height and width, of the same brightness."""
    wide, high = pair(up)
    return filtered(x, f, up, padding=around_up(f, up, padding), gain=wide * high)


def downsample(x: Tensor, f: Tensor | None, down: Pair = 2, padding: Pair = 0) -> Tensor:
    """x (N, C, H, W) at one `down`-th of the height and width."""
    return filtered(x, f, down=down, padding=around_down(f, down, padding))


def smooth(x: Tensor, f: Tensor, padding: Pair = 0) -> Tensor:
    """x (N, C, H, W) filtered at its own resolution."""
    (height, width), (left, right, top, bottom) = spread(f), four(padding)
    around = left + width // 2, right + (width - 1) // 2, top + height // 2, bottom + (height - 1) // 2
    return filtered(x, f, padding=around)


def resampled(
    x: Tensor, weight: Tensor, f: Tensor | None = None, up: int = 1, down: int = 1, padding: Pair = 0, groups: int = 1,
    flip: bool = True, bias: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """x (N, C, H, W) grown by `up`, convolved with weight (O, C / groups, k, k), shrunk by `down`, filtered on the way.

    `padding` counts pixels between growing and shrinking. Correlation, as torch has it, or convolution without `flip`.
    Kernels commute, so the convolution runs at the lower resolution of the two. A bias for each channel comes last.
    """
    height, width = weight.shape[2:]
    single, around = height == width == 1, four(padding)
    if up > 1:
        around = around_up(f, up, around)
    if down > 1:
        around = around_down(f, down, around)
    if single and up == 1:
        return convolved(filtered(x, f, down=down, padding=around), weight, groups=groups, flip=flip, bias=bias)
    if single and down == 1:
        x = convolved(x, weight, groups=groups, flip=flip)
        return filtered(x, f, up, padding=around, gain=up * up, bias=bias)
    if up > 1:
        left, right, top, bottom = around
        left, right, top, bottom = left - (width - 1), right - (width - up), top - (height - 1), bottom - (height - up)
        inside = max(min(-top, -bottom), 0), max(min(-left, -right), 0)
        x = grown(x, weight, up, inside, groups, flip)
        (y, z), rest = inside, (left, right, top, bottom)
        around = rest[0] + z, rest[1] + z, rest[2] + y, rest[3] + y
        x = filtered(x, f, padding=around, gain=up * up, bias=bias if down == 1 else None)
        return filtered(x, f, down=down, bias=bias) if down > 1 else x
    if down > 1:
        return convolved(filtered(x, f, padding=around), weight, down, groups=groups, flip=flip, bias=bias)
    left, right, top, bottom = around
    if left == right >= 0 and top == bottom >= 0:
        return convolved(x, weight, 1, (top, left), groups, flip, bias)
    return convolved(F.pad(x, around), weight, groups=groups, flip=flip, bias=bias)


def convolved(
    x: Tensor, weight: Tensor, stride: int = 1, padding: tuple[int, int] = (0, 0), groups: int = 1, flip: bool = True,
    bias: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """F.conv2d; without `flip` with the kernel turned round."""
    bias = None if bias is None else bias.to(x.dtype)
    if weight.shape[2] == weight.shape[3] == stride == groups == 1 and padding == (0, 0) and _product(x):
        # a product of matrices, which is quicker the first time and the second time it is differentiated
        return F.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)
    weight = weight if flip else weight.flip((2, 3))
    if (stride, padding, groups) == (1, (1, 1), 1) and suits(x, weight):
        y = winograd(x, weight)
        return y if bias is None else y + bias[:, None, None]
    return F.conv2d(x, weight, bias, stride, padding, groups=groups)


def _product(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64) and not recording()


def grown(x: Tensor, weight: Tensor, up: int, padding: tuple[int, int], groups: int, flip: bool) -> Tensor:
    """The convolution with zeros between the pixels of x, as a transposed one."""
    outputs, inputs = weight.shape[:2]
    turned = weight.flip((2, 3)) if flip else weight
    turned = turned.view(groups, outputs // groups, inputs, *weight.shape[2:]).transpose(1, 2).flatten(0, 1)
    return F.conv_transpose2d(x, turned, None, up, padding, groups=groups)
