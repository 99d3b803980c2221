"""Ways to tell a network the class of its sample."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mulligan.core.errors import UserError

Shape = tuple[int, ...]


def required(y: Tensor | None, classes: int) -> Tensor:
    """y itself; UserError where a network with classes was called without labels."""
    if y is None:
        raise UserError(f"this network knows {classes} classes: it needs labels y (N,) from 0 to {classes - 1}")
    return y


def one_hot(y: Tensor, classes: int, like: Tensor) -> Tensor:
    """(N,) integer labels -> (N, classes) of zeros and ones in the dtype of `like`."""
    return F.one_hot(y.long(), classes).to(like.dtype)


def concat_shape(shape: Shape, classes: int) -> Shape:
    """The shape of a sample after concat_labels: (C, H, W) -> (C + classes, H, W), (d,) -> (d + classes,)."""
    return (shape[0] + classes, *shape[1:])


def concat_labels(x: Tensor, y: Tensor, classes: int) -> Tensor:
    """Appends one-hot labels along axis 1, as constant planes for images (Mirza & Osindero 2014)."""
    planes = one_hot(y, classes, x).view(len(x), classes, *(1,) * (x.dim() - 2))
    return torch.cat([x, planes.expand(len(x), classes, *x.shape[2:])], 1)


class ConditionalBatchNorm2d(nn.Module):
    """Batch norm whose gain and bias are looked up by class (Dumoulin et al. 2017; Miyato & Koyama 2018).

    forward(x (N, C, H, W), y (N,)) -> like x. The embedding holds gains, then biases: (classes, 2C), starting at 1, 0.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels, affine=False)
        self.embed = nn.Embedding(classes, 2 * channels)
        with torch.no_grad():
            self.embed.weight[:, :channels].fill_(1)
            self.embed.weight[:, channels:].zero_()

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        gain, bias = self.embed(y)[:, :, None, None].chunk(2, 1)
        return torch.addcmul(bias, gain, self.bn(x))
