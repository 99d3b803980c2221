"""Layers with the spectral norm of BigGAN's own code, which estimates it anew in eval mode too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Spectral:
    """How singular values are found: how many, in how many power iterations per pass, and the least norm of a vector.

    The weight is divided by the largest one; the others are only watched (Brock et al. 2019, section 4).
    """

    values: int = 1
    steps: int = 1
    eps: float = 1e-12


ONE = Spectral()
"""One singular value by one power iteration, which is what papers mean by spectral norm."""


def orthogonal(x: Tensor, others: Sequence[Tensor]) -> Tensor:
    """x (1, F) without its components along the others, one after the other (Gram-Schmidt)."""
    for other in others:
        x = x - (x @ other.t()) / other.square().sum() * other
    return x


def iterated(matrix: Tensor, vectors: Sequence[Tensor], eps: float) -> tuple[list[Tensor], list[Tensor]]:
    """One power iteration for each left vector u (1, rows), orthogonal to those before it.

    Returns all u and all v (1, columns).
    """
    us: list[Tensor] = []
    vs: list[Tensor] = []
    for u in vectors:
        vs.append(F.normalize(orthogonal(u @ matrix, vs), eps=eps))
        us.append(F.normalize(orthogonal(vs[-1] @ matrix.t(), us), eps=eps))
    return us, vs


class Normalized(nn.Module):
    """A layer whose weight is divided by its spectral norm, the largest singular value (Miyato et al. 2018, eq. 8).

    Buffers u0, u1, ... (1, outputs) are the left singular vectors, sv0, sv1, ... (1,) the values they gave last. A pass
    in training mode moves them by power iterations. One in eval mode takes a step from the vectors too, but doesn't
    keep it: the result isn't quite that of torch.nn.utils.spectral_norm, which keeps both vectors.
    """

    weight: Tensor
    norm: Spectral

    def watch(self, norm: Spectral) -> None:
        """Adds the buffers; the vectors are random."""
        self.norm = norm
        for i in range(norm.values):
            self.register_buffer(f"u{i}", torch.randn(1, len(self.weight)).to(self.weight))
            self.register_buffer(f"sv{i}", torch.ones(1).to(self.weight))

    def normalized(self) -> Tensor:
        """The weight over its largest singular value, differentiable through both."""
        vectors = [self.get_buffer(f"u{i}") for i in range(self.norm.values)]
        with torch.autocast(self.weight.device.type, enabled=False):
            matrix = self.weight.flatten(1)
            us, vs = self._advanced(matrix.detach(), vectors)
            values = [(v @ matrix.t() @ u.t()).squeeze() for u, v in zip(us, vs, strict=True)]
            if self.training:
                for i, value in enumerate(values):
                    self.get_buffer(f"sv{i}").copy_(value.detach())
            return self.weight / values[0]

    @torch.no_grad()
    def _advanced(self, matrix: Tensor, vectors: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        us, vs = iterated(matrix, vectors, self.norm.eps)
        if not self.training:
            return us, vs
        for _ in range(self.norm.steps - 1):
            us, vs = iterated(matrix, us, self.norm.eps)
        for vector, u in zip(vectors, us, strict=True):
            vector.copy_(u)
        return us, vs


class Conv2d(Normalized, nn.Conv2d):
    """A convolution that keeps the size, but for its stride: (N, inputs, H, W) -> (N, outputs, H, W)."""

    def __init__(
        self, inputs: int, outputs: int, size: int, norm: Spectral, *, bias: bool = True, stride: int = 1
    ) -> None:
        super().__init__(inputs, outputs, size, stride, size // 2, bias=bias)
        self.watch(norm)

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.normalized(), self.bias)


class Linear(Normalized, nn.Linear):
    """(N, inputs) -> (N, outputs)."""

    def __init__(self, inputs: int, outputs: int, norm: Spectral, *, bias: bool = True) -> None:
        super().__init__(inputs, outputs, bias)
        self.watch(norm)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.normalized(), self.bias)


class Embedding(Normalized, nn.Embedding):
    """Labels (N,) -> rows (N, width); the vectors u have an entry for each class."""

    def __init__(self, classes: int, width: int, norm: Spectral) -> None:
        super().__init__(classes, width)
        self.watch(norm)

    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(input, self.normalized())


def conv(inputs: int, outputs: int, size: int, norm: Spectral | None, *, bias: bool = True) -> nn.Conv2d:
    """A convolution that keeps the size, plain where there is no norm."""
    if norm is None:
        return nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=bias)
    return Conv2d(inputs, outputs, size, norm, bias=bias)


def linear(inputs: int, outputs: int, norm: Spectral | None, *, bias: bool = True) -> nn.Linear:
    """A linear layer, plain where there is no norm."""
    return nn.Linear(inputs, outputs, bias) if norm is None else Linear(inputs, outputs, norm, bias=bias)


def embedding(classes: int, width: int, norm: Spectral | None) -> nn.Embedding:
    """A row for each class, plain where there is no norm."""
    return nn.Embedding(classes, width) if norm is None else Embedding(classes, width, norm)
