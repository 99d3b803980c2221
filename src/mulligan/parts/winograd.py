"""3×3 convolutions of many channels on a CPU by Winograd's algorithm: 16 multiplications in place of 36.

F(2×2, 3×3) of Lavin & Gray 2016 (arXiv:1509.09308, section 4.1): y = Aᵀ[(G w Gᵀ) ⊙ (Bᵀ x B)]A. It is only used where
no slopes are asked for; below `CHANNELS` the transforms cost what the products save.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .recording import recording

CHANNELS = 256
"""On either side."""
TILES = 512
"""Of 2×2 pixels at a time, so that what lies between the transforms stays in the cache."""
KERNEL = ((1.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.0, 0.0, 1.0))


def suits(x: Tensor, weight: Tensor) -> bool:
    """Whether it is the quicker way, for x (N, C, H, W) padded by one pixel."""
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and tuple(weight.shape[2:]) == (3, 3)
        and min(weight.shape[:2]) >= CHANNELS
        and x.shape[2] % 2 == x.shape[3] % 2 == 0
        and not (torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad))
        and not recording()
    )


def winograd(x: Tensor, weight: Tensor) -> Tensor:
    """F.conv2d(x, weight, padding=1): (N, C, H, W) -> (N, outputs, H, W), channels last; H and W even."""
    n, channels, height, width = x.shape
    rows, columns, outputs = height // 2, width // 2, len(weight)
    kernels = _kernels(weight)
    padded = x.new_zeros(n, height + 2, width + 2, channels)
    padded[:, 1:-1, 1:-1] = x.permute(0, 2, 3, 1)
    y = x.new_empty(n, rows, 2, columns, 2, outputs)
    deep = max(min(rows, TILES // columns), 1)
    many = max(min(n, TILES // (columns * rows)), 1) if deep == rows else 1
    for first in range(0, n, many):
        for top in range(0, rows, deep):
            last = min(top + deep, rows)
            tiles = _of_pictures(padded[first : first + many, 2 * top : 2 * last + 2])
            products = torch.bmm(tiles.flatten(1, 3), kernels).view(4, 4, *tiles.shape[1:4], outputs)
            _to_pictures(products, y[first : first + many, top:last])
    return y.view(n, height, width, outputs).permute(0, 3, 1, 2)


def _kernels(weight: Tensor) -> Tensor:
    """G w Gᵀ of every kernel: (16, C, outputs)."""
    G = torch.tensor(KERNEL)
    both, (outputs, inputs) = torch.kron(G, G), weight.shape[:2]
    if weight.is_contiguous():
        return (both @ weight.view(-1, 9).t()).view(16, outputs, inputs).transpose(1, 2)
    return (both @ weight.permute(0, 2, 3, 1).reshape(outputs, 9, inputs)).permute(1, 2, 0)


def _of_pictures(x: Tensor) -> Tensor:
    """Bᵀ x B of the 4×4 pixels around each tile: (N, 2 h + 2, 2 w + 2, C) -> (16, N, h, w, C)."""
    n, height, width, channels = x.shape
    h, w = height // 2 - 1, width // 2 - 1
    tiles = x.new_empty(4, 4, n, h, w, channels)
    a, b, c, d = (x[:, i : i + 2 * h : 2] for i in range(4))
    for made, row in zip(tiles, (a - c, b + c, c - b, b - d), strict=True):
        p, q, r, s = (row[:, :, i : i + 2 * w : 2] for i in range(4))
        torch.sub(p, r, out=made[0])
        torch.add(q, r, out=made[1])
        torch.sub(r, q, out=made[2])
        torch.sub(q, s, out=made[3])
    return tiles.flatten(0, 1)


def _to_pictures(products: Tensor, y: Tensor) -> None:
    """Aᵀ m A of (4, 4, N, h, w, outputs) into y (N, h, 2, w, 2, outputs)."""
    a, b, c, d = products
    for i, (p, q, r, s) in enumerate(((a + b).add_(c), (b - c).sub_(d))):
        torch.add(p + q, r, out=y[:, :, i, :, 0])
        torch.sub(q - r, s, out=y[:, :, i, :, 1])
