"""Memory layout of activations: same numbers, other order in memory."""

import torch
from torch import Tensor, nn

SMALLEST = 4
"""Height from which convolutions on a CPU are faster with channels last, given weights in that layout too."""


def fast_layout(x: Tensor) -> Tensor:
    """x (N, C, H, W) in the layout that convolves fastest at its size and device; its values stay."""
    if x.device.type != "cpu":
        return x
    return x.contiguous(memory_format=torch.channels_last if x.shape[2] >= SMALLEST else torch.contiguous_format)


def fast_weights(module: nn.Module) -> None:
    """Kernels of convolutions in the layout of their inputs, so that no call has to reorder them; values stay."""
    for kernel in module.parameters():
        if kernel.dim() == 4:
            kernel.data = kernel.data.contiguous(memory_format=torch.channels_last)
