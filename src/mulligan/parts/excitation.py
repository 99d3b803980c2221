"""Small maps that say which channels of a large one matter, and noise that gives pixels their detail."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .spectral import ONE, Linear

POOLED = 4
"""Side to which the small map is averaged."""
LEAK = 0.1


class Excitation(nn.Module):
    """y = F(x_low) · x_high, a factor in (0, 1) for each channel (Liu et al. 2021, section 3.1, equation 1).

    low (N, inputs, h, w) of any size and high (N, outputs, H, W) give (N, outputs, H, W). F averages low to 4×4, takes
    a convolution over the whole of that, leaky ReLU, one of 1×1, and a sigmoid: convolutions that see everything are
    fully connected layers.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.squeeze = Linear(inputs * POOLED**2, outputs, ONE)
        self.excite = Linear(outputs, outputs, ONE)

    def gate(self, low: Tensor) -> Tensor:
        """F(low), (N, outputs)."""
        pooled = F.adaptive_avg_pool2d(low, POOLED).flatten(1)
        return torch.sigmoid(self.excite(F.leaky_relu(self.squeeze(pooled), LEAK)))

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        return self.gate(low)[:, :, None, None] * high


class Noise(nn.Module):
    """x (N, C, H, W) + weight · noise, which all channels share; the weight is learned and starts at 0.

    In training the noise is fresh for each picture. In eval mode it is always the same, so a latent makes one picture.
    """

    fixed: Tensor

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.register_buffer("fixed", torch.randn(1, 1, height, width))

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.randn_like(x[:, :1]) if self.training else self.fixed
        return x + self.weight * noise
