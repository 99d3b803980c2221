"""Memory layout of activations: same numbers, other order in memory."""

import torch
from torch import Tensor

SMALLEST = 16
"""Height from which convolutions on a CPU are faster with channels last (below, the plain layout is)."""


def fast_layout(x: Tensor) -> Tensor:
    """x (N, C, H, W) in the layout that convolves fastest at its size and device; its values stay."""
    if x.device.type != "cpu":
        return x
    return x.contiguous(memory_format=torch.channels_last if x.shape[2] >= SMALLEST else torch.contiguous_format)
