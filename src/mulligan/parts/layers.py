"""Layers and reshapes that several GANs share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from mulligan.core.errors import UserError

from .product import LEAK, Then, linear

_LEVELS = 1 << 16


class Linear(nn.Linear):
    """nn.Linear, its products by the library that is quicker on this processor; `then` names an activation after it."""

    def forward(self, input: Tensor, then: Then = "none") -> Tensor:
        return linear(input, self.weight, self.bias, then)


class Chain(nn.Sequential):
    """nn.Sequential that hands each Linear the activation behind it, so that both are one call; same state_dict."""

    _layers: tuple[nn.Module, ...] = ()
    _calls: tuple[tuple[nn.Module, tuple[Then, ...]], ...] = ()

    def forward(self, input: Tensor) -> Tensor:
        layers = tuple(self._modules.values())
        if layers != self._layers:
            self._layers, self._calls = layers, tuple(paired(layers))
        for layer, then in self._calls:
            input = layer(input, *then)
        return input


def paired(layers: tuple[nn.Module, ...]) -> Iterator[tuple[nn.Module, tuple[Then, ...]]]:
    """Each layer with what is handed to it; activations that were handed on are left out."""
    handed = False
    for layer, behind in zip_longest(layers, layers[1:], fillvalue=nn.Identity()):
        then = _activation(behind) if isinstance(layer, Linear) else None
        if not handed:
            yield layer, (then,) if then else ()
        handed = then is not None


def _activation(layer: nn.Module) -> Then | None:
    match layer:
        case nn.ReLU():
            return "relu"
        case nn.LeakyReLU(negative_slope=slope) if slope == LEAK:
            return "leaky_relu"
        case nn.Tanh():
            return "tanh"
    return None


class BatchNorm2d(nn.BatchNorm2d):
    """nn.BatchNorm2d that can take several batches in one pass, each with its own statistics, in their order."""

    batches = 1

    def forward(self, input: Tensor) -> Tensor:
        if self.batches == 1 or not self.training:
            return super().forward(input)
        return torch.cat([super(BatchNorm2d, self).forward(x) for x in input.chunk(self.batches)])


def batch_norms(module: nn.Module) -> list[Batched]:
    """All that `side_by_side` has to tell about the batches."""
    return [layer for layer in module.modules() if isinstance(layer, BatchNorm2d | MinibatchStdDev)]


@contextmanager
def side_by_side(norms: list[Batched], batches: int) -> Iterator[None]:
    """While it lasts, inputs are so many equal batches joined, and no batch sees the statistics of another."""
    for layer in norms:
        layer.batches = batches
    try:
        yield
    finally:
        for layer in norms:
            layer.batches = 1


class Dropout(nn.Module):
    """Dropout whose CPU mask comes from 64-bit draws split into four 16-bit ones, several times faster than F.dropout.

    p in [0, 1] is the probability of a zero, rounded to 1/65536; kept entries are scaled so that the mean stays
    exactly. Draws from the default torch generator. Away from the CPU it is F.dropout. UserError for another p.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise UserError(f"dropout needs a probability between 0 and 1, not {p}")
        self.p = p

    def extra_repr(self) -> str:
        return f"p={self.p}"

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.kept == _LEVELS:
            return x
        if x.device.type != "cpu" or not self.masks:
            return F.dropout(x, self.p)
        return x * self.mask(x)

    @property
    def kept(self) -> int:
        """Of so many numbers, those that stand for a kept entry."""
        return round((1 - self.p) * _LEVELS)

    @property
    def masks(self) -> bool:
        """Whether `mask` can tell: some entries are kept, and some are not."""
        return 0 < self.kept < _LEVELS

    def mask(self, x: Tensor) -> Tensor:
        """What x, on the CPU, is multiplied by: 0 with probability p, elsewhere what keeps the mean."""
        # random_() alone draws 63 bits: every fourth 16-bit number would never be negative.
        if x.numel() and x.shape[-1] % 4 == 0:  # the usual case, in fewer calls
            halves = torch.empty(x.shape, dtype=torch.int16)
            halves.view(torch.int64).random_(-(2**63), None)
        else:
            draws = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
            halves = draws.view(torch.int16)[: x.numel()].view(x.shape)
        # Compared straight into 0.0 and 1.0: a mask of bools costs three times as much.
        kept = self.kept
        mask = torch.lt(halves, kept - _LEVELS // 2, out=torch.empty(x.shape, dtype=x.dtype))
        return mask.mul_(_LEVELS / kept)


class MinibatchDiscrimination(nn.Module):
    """Appends to each sample how close the rest of the batch is, in `kernels` learned projections.

    (N, F) -> (N, F + kernels); each new entry is sum_j exp(-||M_i - M_j||_1) over the whole batch, itself included,
    so it lies in [1, N] (Salimans et al. 2016, section 3.2).
    """

    def __init__(self, features: int, kernels: int = 16, dims: int = 8) -> None:
        super().__init__()
        self.kernels, self.dims = kernels, dims
        # Small enough that distances start near 1, where exp(-d) still has a slope.
        self.weight = nn.Parameter(torch.randn(features, kernels * dims) / (dims * features**0.5))

    def forward(self, x: Tensor) -> Tensor:
        m = (x @ self.weight).view(len(x), self.kernels, self.dims)
        distances = (m[:, None] - m[None]).abs().sum(3)
        return torch.cat([x, torch.exp(-distances).sum(1)], 1)


class MinibatchStdDev(nn.Module):
    """Appends the mean standard deviation inside groups of samples as features (Karras et al. 2018, section 3).

    (N, F) -> (N, F + features), (N, C, H, W) -> (N, C + features, H, W): each is the mean over its part of the
    channels. Where N is no multiple of `group`, the largest divisor of N below takes its place; None is the whole
    batch. Sample i shares its group with i + N/group, i + 2N/group, ... Several batches `side_by_side` share none.
    """

    batches = 1

    def __init__(self, group: int | None = 4, features: int = 1) -> None:
        super().__init__()
        self.group, self.features = group, features

    def forward(self, x: Tensor) -> Tensor:
        if self.batches == 1:
            return self.appended(x)
        return torch.cat([self.appended(batch) for batch in x.chunk(self.batches)])

    def appended(self, x: Tensor) -> Tensor:
        n = len(x)
        group = next(g for g in range(min(self.group or n, n), 0, -1) if n % g == 0)
        y = x.reshape(group, n // group, self.features, -1)
        # 1e-8 inside the root: the derivative stays finite for identical samples.
        deviation = ((y - y.mean(0)).square().mean(0) + 1e-8).sqrt().mean(2)
        plane = deviation.repeat(group, 1).view(n, -1, *(1,) * (x.dim() - 2)).expand(n, -1, *x.shape[2:])
        return torch.cat([x, plane], 1)


Batched = BatchNorm2d | MinibatchStdDev
"""Layers that compare the samples of a batch."""


class SpectralNorm(nn.Module):
    """Parametrisation W -> W / sigma(W), sigma estimated by power iteration (Miyato et al. 2018, algorithm 1).

    dim: the axis of output channels. Buffers u (outputs,) and v (the rest,). `iterate` advances them; reading the
    weight does not, so looking at a network never changes it.
    """

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor, dim: int = 0, iterations: int = 1) -> None:
        super().__init__()
        self.dim, self.iterations = dim, iterations
        rows = weight.shape[dim]
        self.register_buffer("u", F.normalize(torch.randn(rows).to(weight), dim=0))
        self.register_buffer("v", torch.zeros(weight.numel() // rows).to(weight))
        self.iterate(weight, 15)

    def _matrix(self, weight: Tensor) -> Tensor:
        return weight.movedim(self.dim, 0).flatten(1)

    @torch.no_grad()
    def iterate(self, weight: Tensor, times: int | None = None) -> None:
        """Power iterations in place, v first and then u, as torch.nn.utils.spectral_norm orders them."""
        matrix = self._matrix(weight)
        with torch.autocast(weight.device.type, enabled=False):
            for _ in range(self.iterations if times is None else times):
                self.v.copy_(F.normalize(matrix.t() @ self.u, dim=0, eps=1e-12))
                self.u.copy_(F.normalize(matrix @ self.v, dim=0, eps=1e-12))

    def sigma(self, weight: Tensor) -> Tensor:
        """The current estimate of the largest singular value, differentiable with respect to the weight."""
        # Cloned: autograd keeps u and v, and the next forward changes the buffers in place.
        u, v = self.u.clone(), self.v.clone()
        with torch.autocast(weight.device.type, enabled=False):
            return u @ (self._matrix(weight) @ v)

    def forward(self, weight: Tensor) -> Tensor:
        return weight / self.sigma(weight)

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight


_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_NORMALISED = (nn.Linear, nn.Embedding, nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED)


def _iterate_before_forward(layer: nn.Module, _args: object) -> None:
    if layer.training:
        weights = cast(parametrize.ParametrizationList, cast(nn.ModuleDict, layer.parametrizations)["weight"])
        cast(SpectralNorm, weights[0]).iterate(cast(Tensor, weights.original))


def spectral_norm(module: nn.Module, iterations: int = 1) -> nn.Module:
    """Puts a spectral norm on every Linear, convolution and Embedding inside, in place, and returns the module.

    One power iteration (`iterations`) before each forward in training mode, none in eval mode. The vectors start from
    the torch generator and 15 iterations, and travel in the state_dict. Layers that have one already are left alone.
    """
    for layer in list(module.modules()):
        if isinstance(layer, _NORMALISED) and not parametrize.is_parametrized(layer, "weight"):
            dim = 1 if isinstance(layer, _TRANSPOSED) else 0
            parametrize.register_parametrization(layer, "weight", SpectralNorm(layer.weight, dim, iterations))
            layer.register_forward_pre_hook(_iterate_before_forward)
    return module


def pack(x: Tensor, n: int) -> Tensor:
    """Joins each n consecutive samples into one along axis 1 (PacGAN, Lin et al. 2018): D sees n samples at once.

    (N, d) -> (N/n, n*d), (N, C, H, W) -> (N/n, n*C, H, W). UserError where N is no multiple of n.
    """
    if n < 1 or len(x) % n:
        raise UserError(f"packing by {n} needs a batch that is a multiple of it, not {len(x)}")
    return x.reshape(len(x) // n, n * x.shape[1], *x.shape[2:])
