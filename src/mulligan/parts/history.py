"""Historical averaging of a player's weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class HistoricalAverage(nn.Module):
    """‖θ − (1/t) Σ θ[i]‖² over the t rounds so far (Salimans et al. 2016, section 3.3).

    The mean is a buffer, so it is saved and resumed with the game. Calling it adds the present weights to the mean.
    """

    mean: Tensor
    count: Tensor

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.register_buffer("mean", flat(module).detach().clone())
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def forward(self, module: nn.Module) -> Tensor:
        weights = flat(module)
        with torch.no_grad():
            self.count += 1
            self.mean.lerp_(weights, 1.0 / float(self.count))
        return (weights - self.mean).square().sum()


def flat(module: nn.Module) -> Tensor:
    """All parameters as one vector."""
    return torch.cat([p.reshape(-1) for p in module.parameters()])
