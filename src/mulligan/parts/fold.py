"""Batch norm in eval mode is an affine map per channel: it can be multiplied into the layer before it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .convolve import NARROW
from .layout import fast_layout

FEW = 64
"""Input pixels, over the batch, up to which a transposed convolution is quicker as a matrix product."""
FEW_VALUES = 8192
"""The same, times the output channels, where these are narrow."""


class Up(nn.Module):
    """A ConvTranspose2d for sampling on a CPU: as one product with the kernel and F.fold where that is quicker.

    That is with few pixels, where the kernel's own reordering takes longest, and with few output channels.
    """

    def __init__(self, layer: nn.ConvTranspose2d) -> None:
        super().__init__()
        self.layer = layer
        self.register_buffer("columns", layer.weight.detach().flatten(1).t().contiguous())

    def forward(self, x: Tensor) -> Tensor:
        layer, (n, channels, height, width) = self.layer, x.shape
        pixels = n * height * width
        narrow = layer.out_channels <= NARROW and pixels * layer.out_channels <= FEW_VALUES
        if pixels > FEW and not narrow:
            return layer(fast_layout(x))
        columns = torch.matmul(self.get_buffer("columns"), x.reshape(n, channels, height * width))
        k, s, p = layer.kernel_size[0], layer.stride[0], int(layer.padding[0])
        size = ((height - 1) * s - 2 * p + k, (width - 1) * s - 2 * p + k)
        y = F.fold(columns, size, k, padding=p, stride=s)
        return y if layer.bias is None else y.add_(layer.bias[:, None, None])


@torch.no_grad()
def fold_norm(layer: nn.Linear | nn.ConvTranspose2d, norm: nn.BatchNorm2d) -> None:
    """Change `layer` into norm(layer(x)), `norm` with its running statistics.

    A Linear's outputs are channels × positions, as before a view (N, C, H, W). Worked out in float64.
    """
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("only a batch norm with running statistics can be folded")
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.affine:
        scale = scale * norm.weight.double()
    shift = -norm.running_mean.double() * scale
    if norm.affine:
        shift = shift + norm.bias.double()
    if isinstance(layer, nn.Linear):
        scale, shift = (v.repeat_interleave(layer.out_features // norm.num_features) for v in (scale, shift))
        along = scale[:, None]
    else:
        along = scale[None, :, None, None]
    weight = layer.weight
    weight.copy_(weight.double() * along)
    bias = shift if layer.bias is None else shift + scale * layer.bias.double()
    layer.bias = nn.Parameter(bias.to(weight), requires_grad=False)
