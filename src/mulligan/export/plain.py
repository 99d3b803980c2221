"""A generator in operations that every exporter knows: the same pictures, without what is only there for speed."""

from __future__ import annotations

import builtins
import math
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from mulligan.parts import convolve, fold, layers, spectral
from mulligan.parts.samplers import WIDEST, Sampler

PLAIN: dict[type, type] = {
    convolve.Conv2d: nn.Conv2d, convolve.ConvTranspose2d: nn.ConvTranspose2d, layers.Linear: nn.Linear,
    layers.Chain: nn.Sequential,
}  # fmt: skip
"""Layers that choose the quicker way by the size of their input, and what they are."""
WEIGHTED = (nn.Conv2d, nn.Linear, nn.Embedding)
"""What layers with a spectral norm are, once it is worked out."""


class Shipped(nn.Module):
    """x = G(z, y) as one function, `psi` being a part of it."""

    def __init__(self, sampler: Any, psi: float) -> None:
        super().__init__()
        self.sampler, self.psi = plain_twin(sampler), psi
        self.shortens = psi != 1 and isinstance(sampler, Sampler) and not sampler.styled

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        z = shortened(z, self.psi, self.sampler.prior) if self.shortens else z
        return self.sampler.decode(z, y).float()


def plain_twin(sampler: Any) -> Any:
    """A copy of a sampler, its norms folded away where G knows how, every layer a plain one."""
    twin = deepcopy(sampler).eval().requires_grad_(False)
    if hasattr(getattr(twin, "G", None), "folded"):
        twin.G = twin.G.folded()
    for module in list(twin.modules()):
        for name, child in module._modules.items():
            if isinstance(child, fold.Up):
                module._modules[name] = child.layer
    for module in twin.modules():
        if isinstance(module, spectral.Normalized):
            module.weight = nn.Parameter(module.normalized().detach(), requires_grad=False)
            module._buffers.clear()
            plain: Any = next(kind for kind in type(module).__mro__ if kind in WEIGHTED)
            module.__class__ = plain
        module.__class__ = PLAIN.get(type(module), type(module))
        _fix_numbers(module)
    return twin


def _fix_numbers(module: nn.Module) -> None:
    """Whole numbers among the buffers become Python's: which layers run may depend on them, and a graph has no ifs."""
    for name, value in list(module._buffers.items()):
        if value is not None and value.dim() == 0 and not value.is_floating_point():
            delattr(module, name)
            setattr(module, name, int(value))


GILES = (2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503,
         -0.00417768164, 0.246640727, 1.50140941)  # fmt: skip
"""Coefficients for w < 5 of "Approximating the erfinv function" (Giles 2012), single precision."""


def shortened(z: Tensor, psi: float, prior: str) -> Tensor:
    """Sampler.shortened in operations that ONNX has, which knows no inverse of erf.

    Its argument never exceeds erf(WIDEST / √2), so that one of Giles' two branches is enough.
    """
    if prior == "normal":
        x = torch.erf(z / math.sqrt(2)) * math.erf(WIDEST / math.sqrt(2))
        w = -torch.log((1 - x) * (1 + x)) - 2.5
        p = torch.full_like(w, GILES[0])
        for coefficient in GILES[1:]:
            p = p * w + coefficient
        z = p * x * math.sqrt(2)
    return psi * z


@contextmanager
def symbolic_len() -> Iterator[None]:
    """While it lasts, len(tensor) may be a symbol: Python's own insists on a number, which would fix the batch."""
    usual = builtins.len

    def length(x: Any, /) -> Any:
        return x.shape[0] if isinstance(x, Tensor) and x.dim() else usual(x)

    builtins.len = length
    try:
        yield
    finally:
        builtins.len = usual
