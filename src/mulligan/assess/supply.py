"""Where samples come from, in blocks that any process can make by itself: a run's generator, or a data source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..core.blocks import BLOCK, own_draws, seed_of
from ..core.blocks import blocks_of as blocks_of
from ..core.errors import UserError
from ..core.stream import Rows, shuffled
from ..media.image import to_uint8

ORDER = 2020
"""Seed of the order of stored samples. Another number than a run's, whose batches it must not follow."""


@dataclass(frozen=True)
class Block:
    """uint8 pictures (n, C, H, W) or float32 points (n, d), and their labels (n,) where there are any."""

    x: Tensor
    y: Tensor | None


class Supply(Protocol):
    """`count` samples in blocks of BLOCK, numbered from 0."""

    count: int

    def block(self, number: int) -> Block: ...


class Decoder(Protocol):
    """The part of a sampler that is used here."""

    latent: int
    classes: int

    def latents(self, n: int, generator: torch.Generator | None = None) -> Tensor: ...

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor: ...


@dataclass
class Generated:
    """Samples of a generator. Block b draws from a stream of (seed, b).

    `shares` (classes,) is how often each label is asked for; without it, evenly. `conditions` (m, k) are what a
    generator of numbers is told; without them, the sampler's own examples. `truncation` scales the latents, which
    is the truncation trick of BigGAN by scale (1 is off).
    """

    sampler: Decoder
    count: int
    seed: int = 0
    batch: int = 64
    shares: Tensor | None = None
    truncation: float = 1.0
    conditions: Tensor | None = None

    def block(self, number: int) -> Block:
        n = min(BLOCK, self.count - number * BLOCK)
        draw = torch.Generator().manual_seed(seed_of(self.seed, number))
        z = self.sampler.latents(BLOCK, draw)[:n] * self.truncation
        y = self._told(draw)
        y = None if y is None else y[:n].to(z.device)
        with torch.no_grad(), own_draws(seed_of(self.seed, number), z.device):
            parts = [
                self.sampler.decode(z[i : i + self.batch], None if y is None else y[i : i + self.batch]).float().cpu()
                for i in range(0, n, self.batch)
            ]
        x = torch.cat(parts)
        return Block(as_files(x, number * BLOCK), y.cpu() if y is not None and self.sampler.classes else None)

    def _told(self, draw: torch.Generator) -> Tensor | None:
        """Labels (BLOCK,), or numbers (BLOCK, k)."""
        examples = getattr(self.sampler, "conditions", None)
        if examples is not None:
            rows = examples if self.conditions is None else self.conditions
            return rows[torch.randint(len(rows), (BLOCK,), generator=draw).to(rows.device)]
        if not self.sampler.classes:
            return None
        shares = torch.ones(self.sampler.classes) if self.shares is None else self.shares
        return torch.multinomial(shares, BLOCK, replacement=True, generator=draw)


@dataclass
class Stored:
    """Samples of a data source in a random order that is always the same; all of them, or the first `count`.

    One order for everything: features that were kept, the pictures and labels that go with them, and pairs.
    """

    source: Rows
    count: int

    def block(self, number: int) -> Block:
        places = np.arange(number * BLOCK, min((number + 1) * BLOCK, self.count))
        rows = self.source.gather(order(places, len(self.source)))
        y = rows.get("y")
        return Block(rows["x"], None if y is None or y.is_floating_point() else y)


def order(places: np.ndarray, count: int) -> Tensor:
    """The rows at these places of the order of a source of `count` rows."""
    return torch.from_numpy(shuffled(places, count, ORDER, 0))


def as_files(x: Tensor, first: int = 0) -> Tensor:
    """Pictures as they would be read from files, 8 bits a channel; points as they are.

    Raises UserError for values that aren't finite, which rounding would hide.
    """
    whole = x.flatten(1).isfinite().all(1)
    if not bool(whole.all()):
        number = first + int((~whole).nonzero()[0, 0])
        raise UserError(
            f"sample {number:,} has values that are NaN or infinite: the generator is broken. Look at the log of its "
            "training, and score an earlier checkpoint with --checkpoint"
        )
    return to_uint8(x) if x.dim() == 4 else x.float()
