"""The real data through the doctor's eyes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mulligan.core.game import Batch
from mulligan.core.stream import Rows, prepare

from . import signals
from .eyes import Features, Modes

KNOWN = 2_048
"""Real samples, training and held-out ones each, that the doctor knows."""


@dataclass
class Side:
    """Real samples: as the game sees them, their features, labels, and shares of the modes."""

    x: Tensor
    features: Tensor
    labels: Tensor | None
    named: Tensor
    shares: Tensor

    def __len__(self) -> int:
        return len(self.x)


class Known:
    """A sample of the training data and, where there is one, of what was held out; with the eyes made for them.

    `classes`: whether the game uses the labels, which may be numbers (N, k). Raises ValueError for fewer than two
    samples.
    """

    def __init__(self, train: Rows, held: Rows | None, device: torch.device, classes: int = 0) -> None:
        x, labels = _some(train, device)
        if len(x) < 2:
            raise ValueError(f"the doctor needs at least 2 training samples, not {len(x)}")
        self.features, self.classes = Features(x), classes
        features = self.features(x).cpu()
        self.modes = Modes.of(features, labels if labels is not None and labels.dim() == 1 else None)
        self.train = self._side(x, features, labels)
        self.held = self._seen(held, device) if held is not None and len(held) > 1 else None
        self.spread = float((features - features.mean(0)).square().sum(1).mean().sqrt())

    def _seen(self, rows: Rows, device: torch.device) -> Side:
        x, labels = _some(rows, device)
        return self._side(x, self.features(x).cpu(), labels)

    def _side(self, x: Tensor, features: Tensor, labels: Tensor | None) -> Side:
        named = self.modes(features)
        return Side(x, features, labels, named, signals.shares(named, len(self.modes)))

    @property
    def fresh(self) -> Side:
        """What samples are compared with: held-out data, else the training data."""
        return self.held or self.train


class Tensors:
    """Rows of a tensor."""

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def __len__(self) -> int:
        return len(self.x)

    def gather(self, indices: Tensor) -> Batch:
        return {"x": self.x[indices]}


def _some(rows: Rows, device: torch.device) -> tuple[Tensor, Tensor | None]:
    """At most KNOWN rows, always the same, in random order."""
    n = len(rows)
    index = torch.randperm(n, generator=torch.Generator().manual_seed(0))[:KNOWN].sort().values
    batch = rows.gather(index)
    order = torch.randperm(len(index), generator=torch.Generator().manual_seed(1))
    return prepare(batch["x"], device)[order.to(device)], batch["y"][order] if "y" in batch else None
