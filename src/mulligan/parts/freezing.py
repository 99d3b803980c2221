"""Freeze-D: a trained discriminator keeps its first layers while the others learn new data (Mo et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from mulligan.core.errors import UserError


def freeze(D: nn.Module, count: int, shape: Sequence[int], packing: int = 1) -> list[str]:
    """Keep the `count` layers of D that see a picture of `shape` first as they are; their names.

    Mo, Cho & Shin 2020 (arXiv:2002.10964) freeze the layers of the highest resolutions. A layer is a module with a
    weight of two or more axes; norms and biases before the last frozen one stay as well. Raises UserError where D has
    no layer left to learn.
    """
    if not count:
        return []
    order = _order(D, shape, packing)
    layers = [name for name in order if _has_weight(D.get_submodule(name))]
    if not 0 < count < len(layers):
        raise UserError(f"--freeze-d {count}: D has {len(layers)} layers, so 1 to {len(layers) - 1} can be frozen")
    kept = order[: order.index(layers[count])]
    for name in kept:
        D.get_submodule(name).requires_grad_(False)
    return [name for name in layers if name in kept]


def _has_weight(module: nn.Module) -> bool:
    return any(p.dim() > 1 for p in module.parameters())


def _order(D: nn.Module, shape: Sequence[int], packing: int) -> list[str]:
    """Modules with parameters of their own, as a picture passes them; parametrized ones as a whole."""
    seen: list[str] = []
    handles = [
        module.register_forward_pre_hook(lambda *_, name=name: seen.append(name))
        for name, module in D.named_modules()
        if name and ".parametrizations" not in f".{name}" and _own(module)
    ]
    mode, (like,) = D.training, (next(D.parameters()),)
    try:
        with torch.no_grad():
            D.eval()(torch.zeros(4 * packing, *shape, device=like.device), *_labels(D, 4 * packing, like))
    finally:
        D.train(mode)
        for handle in handles:
            handle.remove()
    return list(dict.fromkeys(seen))


def _own(module: nn.Module) -> bool:
    parametrized = hasattr(module, "parametrizations")
    return parametrized or any(True for _ in module.parameters(recurse=False))


def _labels(D: nn.Module, n: int, like: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Labels for a look at the order of layers: class 0, or zeros where D takes numbers."""
    count = int(getattr(D, "labels", 0) or getattr(D, "classes", 0) or 0)
    if not count:
        return ()
    return (torch.zeros(n, dtype=torch.int64, device=like.device),)
