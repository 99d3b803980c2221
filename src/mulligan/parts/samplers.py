"""Samplers: a generator with the law of its latents. This is what is averaged, scored, exported and shipped."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

Prior = Literal["normal", "uniform"]
WIDEST = 2.0
"""Standard deviations that latents keep to where `psi` is below 1."""


def conditional(sampler: object) -> bool:
    """Whether a sampler, perhaps one of somebody else's, takes labels or numbers."""
    return bool(getattr(sampler, "classes", 0)) or getattr(sampler, "conditions", None) is not None


class Sampler(nn.Module):
    """x = G(z, y) with z ~ N(0, I) or uniform on [-1, 1].

    `latent` is the number of entries of z; `classes` is the number of labels that G takes, 0 for none. Where G takes
    numbers instead, `conditions` (m, k) are examples of them, which come from the data, not with the weights. `psi`
    below 1 trades variety for typical pictures: normal latents are drawn within two standard deviations and made so
    much smaller (the truncation trick, Brock et al. 2019, section 3.1).
    """

    styled = False
    """Whether G maps z to styles w, one for each layer, which can be edited."""

    conditions: Tensor | None

    def __init__(
        self, G: nn.Module, latent: int, classes: int = 0, prior: Prior = "normal", conditions: Tensor | None = None
    ) -> None:
        super().__init__()
        self.register_buffer("conditions", conditions, persistent=False)
        self.G, self.latent, self.classes, self.prior, self.psi = G, latent, classes, prior, 1.0
        self._like = (next(G.parameters()),)  # in a tuple it is no parameter of this module, too

    def forward(self, n: int, y: Tensor | None = None) -> Tensor:
        """n samples (n, *shape) in [-1, 1]; labels are drawn evenly where G needs them and none are given."""
        if y is None and conditional(self):
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
        return self.shortened(z).to(like.device)

    def shortened(self, z: Tensor) -> Tensor:
        """Latents at `psi`: the normal ones' quantiles within two deviations, so the order of entries stays."""
        if self.psi == 1:
            return z
        if self.prior == "normal":
            inside = math.erf(WIDEST / math.sqrt(2))  # the share of a normal variable that lies there
            z = torch.erfinv(torch.erf(z.double() / math.sqrt(2)) * inside).mul(math.sqrt(2)).to(z.dtype)
        return self.psi * z

    def labels(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Labels (n,), drawn evenly; of a G that takes numbers, examples (n, k)."""
        if self.conditions is not None:
            rows = torch.randint(len(self.conditions), (n,), generator=generator)
            return self.conditions[rows.to(self.conditions.device)]
        device = self._like[0].device
        where = torch.device("cpu") if generator is not None else device
        return torch.randint(self.classes, (n,), generator=generator, device=where).to(device)

    def in_turn(self, n: int) -> Tensor | None:
        """Labels (n,), or examples (n, k), one after the other; None where G takes neither."""
        if self.conditions is not None:
            return self.conditions[torch.arange(n, device=self.conditions.device) % len(self.conditions)]
        return torch.arange(n, device=self._like[0].device) % self.classes if self.classes else None

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.G(z, y) if conditional(self) else self.G(z)

    def w(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """What can be edited: styles (n, layers, style) of a styled generator, else the latents themselves."""
        return z

    def picture(self, w: Tensor, y: Tensor | None = None) -> Tensor:
        """Samples (n, *shape) of what `w` gives; the same ones as `decode`."""
        return self.decode(w, y)


class Styles(Sampler):
    """x = synthesis(mapping(z, y)), for generators of that make: with style mixing and fresh noise while it trains.

    `mixing`: how often a second latent gives the styles from a random layer on (Karras et al. 2019, section 3.1).
    Afterwards the noise is always the same one, so a latent makes one picture; `psi` pulls styles to their average.
    """

    styled = True

    def __init__(
        self, G: nn.Module, latent: int, classes: int = 0, mixing: float = 0.9, conditions: Tensor | None = None
    ) -> None:
        super().__init__(G, latent, classes, conditions=conditions)
        self.mixing = mixing

    def forward(self, n: int, y: Tensor | None = None) -> Tensor:
        if not self.training:
            return super().forward(n, y)
        return self.G.made(self.styles(n, y))  # type: ignore[operator]

    def styles(self, n: int, y: Tensor | None = None) -> Tensor:
        """w (n, layers, style) to train with; moves the average of w."""
        y = self.labels(n) if y is None and conditional(self) else y
        w = self.G.mapping(self.latents(n), y, track=True)  # type: ignore[operator]
        if torch.rand(()) < self.mixing:
            cut = int(torch.randint(1, w.shape[1], ()))
            w = torch.cat([w[:, :cut], self.G.mapping(self.latents(n), y)[:, cut:]], 1)  # type: ignore[operator]
        return w

    def shortened(self, z: Tensor) -> Tensor:
        """z as it is: styles are pulled to their average instead."""
        return z

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.picture(self.w(z, y))

    def w(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.G.mapping(z, y if conditional(self) else None, self.psi)  # type: ignore[operator]

    def picture(self, w: Tensor, y: Tensor | None = None) -> Tensor:
        return self.G.shown(w)  # type: ignore[operator]
