"""Distances between pictures as they are: PSNR, SSIM and its multi-scale form."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

WINDOW, SIGMA = 11, 1.5
LUMINANCE, CONTRAST = 0.01, 0.03
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents from the finest scale to the coarsest (Wang, Simoncelli & Bovik 2003)."""


def psnr(x: Tensor, y: Tensor, span: float = 2.0) -> Tensor:
    """Peak signal-to-noise ratio (N,) in dB of pictures x, y (N, C, H, W) whose values span `span`; inf where equal."""
    x, y = _alike(x, y)
    return 10 * (span**2 / (x - y).square().flatten(1).mean(1)).log10()


def ssim(x: Tensor, y: Tensor, span: float = 2.0, black: float = -1.0) -> Tensor:
    """Structural similarity (N,) in [-1, 1] of pictures x, y (N, C, H, W), the mean over channels and windows.

    Values lie between black and black + span; the luminance of the formula counts from black.

    Wang, Bovik, Sheikh & Simoncelli (2004): Gaussian windows of 11 pixels, sigma 1.5, only where they fit. Raises
    ValueError for sides below 11 pixels.
    """
    x, y = _alike(x, y)
    whole, _ = _compared(x - black, y - black, span)
    return whole


def ms_ssim(x: Tensor, y: Tensor, span: float = 2.0, scales: int | None = None, black: float = -1.0) -> Tensor:
    """Multi-scale SSIM (N,) in [0, 1] of pictures x, y (N, C, H, W) (Wang, Simoncelli & Bovik 2003, eq. 7).

    scales: 5 in the paper, which take 161 pixels; None takes as many as fit, their exponents scaled to sum 1. Raises
    ValueError where not one fits, or not as many as asked for.
    """
    x, y = _alike(x, y)
    most = scales_for(min(x.shape[2:]))
    if scales is not None and not 1 <= scales <= most:
        raise ValueError(f"{scales} scales do not fit into {x.shape[2]}x{x.shape[3]} pixels: take 1 to {most}")
    exponents = SCALES[: scales or most]
    x, y = x - black, y - black
    product = x.new_ones(len(x))
    for scale, exponent in enumerate(exponents):
        whole, structure = _compared(x, y, span)
        term = whole if scale == len(exponents) - 1 else structure
        product = product * term.clamp(min=0) ** (exponent / sum(exponents))
        x, y = (F.avg_pool2d(v, 2, ceil_mode=True) for v in (x, y))
    return product


def scales_for(side: int) -> int:
    """How many scales of SSIM fit into pictures of this side, at most 5; ValueError for none."""
    if side < WINDOW:
        raise ValueError(f"SSIM looks through windows of {WINDOW} pixels, and the pictures have {side}")
    return sum(-(-side // 2**scale) >= WINDOW for scale in range(len(SCALES)))


def similarity(x: Tensor, pairs: int = 1000, seed: int = 0, span: float = 2.0) -> float:
    """Mean MS-SSIM of random pairs among pictures x (N, C, H, W): high where they are alike (Odena et al. 2017).

    Raises ValueError for fewer than two pictures.
    """
    if len(x) < 2:
        raise ValueError(f"pairs need at least 2 pictures, not {len(x)}")
    draw = torch.Generator().manual_seed(seed)
    first = torch.randint(len(x), (pairs,), generator=draw)
    second = (first + torch.randint(1, len(x), (pairs,), generator=draw)) % len(x)
    found = [ms_ssim(x[a], x[b], span) for a, b in zip(first.split(64), second.split(64), strict=True)]
    return float(torch.cat(found).mean())


def _alike(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    if x.shape != y.shape or x.dim() != 4:
        raise ValueError(
            f"pictures to compare must have one shape (N, C, H, W), not {tuple(x.shape)}, {tuple(y.shape)}"
        )
    return x.double(), y.double()


def _compared(x: Tensor, y: Tensor, span: float) -> tuple[Tensor, Tensor]:
    """SSIM (N,), and without its first factor, the luminance."""
    if min(x.shape[2:]) < WINDOW:
        raise ValueError(
            f"SSIM looks through windows of {WINDOW} pixels, and the pictures have {x.shape[2]}x{x.shape[3]}"
        )
    first, second = (LUMINANCE * span) ** 2, (CONTRAST * span) ** 2
    mean_x, mean_y = _blurred(x), _blurred(y)
    spread = _blurred(x * x) - mean_x**2 + _blurred(y * y) - mean_y**2
    structure = (2 * (_blurred(x * y) - mean_x * mean_y) + second) / (spread + second)
    luminance = (2 * mean_x * mean_y + first) / (mean_x**2 + mean_y**2 + first)
    return (luminance * structure).flatten(1).mean(1), structure.flatten(1).mean(1)


def _blurred(x: Tensor) -> Tensor:
    """Each channel under the Gaussian window, by rows and by columns."""
    at = torch.arange(WINDOW, dtype=x.dtype, device=x.device) - WINDOW // 2
    weights = torch.exp(-(at**2) / (2 * SIGMA**2))
    weights = (weights / weights.sum()).expand(x.shape[1], 1, 1, WINDOW)
    across = F.conv2d(x, weights, groups=x.shape[1])
    return F.conv2d(across, weights.transpose(2, 3), groups=x.shape[1])
