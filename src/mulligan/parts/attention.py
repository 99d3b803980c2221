"""Self-attention over the places of a picture (Zhang et al. 2019, SAGAN, arXiv:1805.08318)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .spectral import Spectral, conv


class SelfAttention(nn.Module):
    """x (N, C, H, W) plus gamma times what each place gathers from the others; gamma starts at 0.

    Queries theta and keys phi have C/8 channels, values g have C/2, and o leads back to C (Zhang et al. 2019, section
    3), and one at least. Keys and values are the largest of 2x2 places, as in BigGAN's code. Without a norm the
    convolutions are plain.
    """

    def __init__(self, channels: int, norm: Spectral | None = None) -> None:
        super().__init__()
        few, half = max(channels // 8, 1), max(channels // 2, 1)
        self.theta = conv(channels, few, 1, norm, bias=False)
        self.phi = conv(channels, few, 1, norm, bias=False)
        self.g = conv(channels, half, 1, norm, bias=False)
        self.o = conv(half, channels, 1, norm, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        queries = self.theta(x).flatten(2)
        keys = F.max_pool2d(self.phi(x), 2).flatten(2)
        values = F.max_pool2d(self.g(x), 2).flatten(2)
        # Not F.scaled_dot_product_attention: its fast kernels have no second derivative, which R1 needs.
        shares = torch.softmax(queries.transpose(1, 2) @ keys, 2)
        gathered = (values @ shares.transpose(1, 2)).unflatten(2, x.shape[2:])
        return torch.addcmul(x, self.gamma, self.o(gathered))
