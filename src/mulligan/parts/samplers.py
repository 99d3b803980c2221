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


class Styles(Sampler):
    """x = synthesis(mapping(z, y)), for generators of that make: with style mixing and fresh noise while it trains.

    `mixing`: how often a second latent gives the styles from a random layer on (Karras et al. 2019, section 3.1).
    Afterwards the noise is always the same one, so a latent makes one picture; `psi` pulls styles to their average.
    """

    def __init__(self, G: nn.Module, latent: int, classes: int = 0, mixing: float = 0.9) -> None:
        super().__init__(G, latent, classes)
        self.mixing, self.psi = mixing, 1.0

    def forward(self, n: int, y: Tensor | None = None) -> Tensor:
        if not self.training:
            return super().forward(n, y)
        return self.G.made(self.styles(n, y))  # type: ignore[operator]

    def styles(self, n: int, y: Tensor | None = None) -> Tensor:
        """w (n, layers, style) to train with; moves the average of w."""
        y = self.labels(n) if self.classes and y is None else y
        w = self.G.mapping(self.latents(n), y, track=True)  # type: ignore[operator]
        if torch.rand(()) < self.mixing:
            cut = int(torch.randint(1, w.shape[1], ()))
            w = torch.cat([w[:, :cut], self.G.mapping(self.latents(n), y)[:, cut:]], 1)  # type: ignore[operator]
        return w

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.G(z, y if self.classes else None, self.psi)
