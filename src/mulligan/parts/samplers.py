"""Samplers: a generator with the law of its latents. This is what is averaged, scored, exported and shipped."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Prior = Literal["normal", "uniform"]


class Sampler(nn.Module):
    """x = G(z, y) with z ~ N(0, I) or uniform on [-1, 1].

    `latent` is the number of entries of z; `classes` is the number of labels that G takes, 0 for none.
    """

    def __init__(self, G: nn.Module, latent: int, classes: int = 0, prior: Prior = "normal") -> None:
        super().__init__()
        self.G, self.latent, self.classes, self.prior = G, latent, classes, prior
        self._like = (next(G.parameters()),)  # in a tuple it is no parameter of this module, too

    def forward(self, n: int, y: Tensor | None = None) -> Tensor:
        """n samples (n, *shape) in [-1, 1]; labels are drawn evenly where G needs them and none are given."""
        if self.classes and y is None:
            y = self.labels(n)
        return self.decode(self.latents(n), y)

    def latents(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """z (n, latent). A generator, which lives on the CPU, makes the draw the same on every device."""
        (like,) = self._like
        device = torch.device("cpu") if generator is not None else like.device
        if self.prior == "uniform":
            z = torch.rand(n, self.latent, generator=generator, device=device, dtype=like.dtype) * 2 - 1
        else:
            z = torch.randn(n, self.latent, generator=generator, device=device, dtype=like.dtype)
        return z.to(like.device)

    def labels(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Labels (n,), drawn evenly."""
        device = self._like[0].device
        where = torch.device("cpu") if generator is not None else device
        return torch.randint(self.classes, (n,), generator=generator, device=where).to(device)

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.G(z, y) if self.classes else self.G(z)
