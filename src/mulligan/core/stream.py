"""Endless, seeded, resumable batches: the position is one integer."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from .game import Batch

BLOCK = 8192  # positions whose order is worked out at a time
AHEAD = 8 << 20  # bytes of rows fetched at a time: a source in a file reads many rows much quicker than few
ASIDE, ASIDE_SHARE, ASIDE_MOST = 500, 0.02, 0.1  # rows kept out of training: at least, as a share, at most as a share


class Rows(Protocol):
    """What a stream needs of a data source."""

    def __len__(self) -> int: ...

    def gather(self, indices: Tensor) -> Batch: ...


def _mix(x: np.ndarray | np.uint64) -> np.ndarray:
    """The finalizer of SplitMix64 (Steele et al. 2014): a bijection of 64-bit words that scatters every bit."""
    x = np.asarray(x, np.uint64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def shuffled(offsets: np.ndarray, n: int, seed: int, epoch: int, rounds: int = 6) -> np.ndarray:
    """Where a pseudo-random permutation of 0…n-1 sends `offsets`, without a table.

    A Feistel network over the next even power of two, walked until it lands inside (Black & Rogaway 2002). The same
    order on every machine and for any number of processes.
    """
    with np.errstate(over="ignore"):
        half = np.uint64(max(1, (max(n - 1, 1).bit_length() + 1) // 2))
        mask = (np.uint64(1) << half) - np.uint64(1)
        key = _mix(_mix(np.uint64(seed % 2**64)) ^ np.uint64((epoch * 0x9E3779B97F4A7C15 + 1) % 2**64))
        keys = [_mix(key + np.uint64(i + 1)) for i in range(rounds)]
        out = offsets.astype(np.uint64)
        todo = np.arange(len(out))
        while len(todo):
            left, right = out[todo] >> half, out[todo] & mask
            for k in keys:
                left, right = right, left ^ (_mix(right + k) & mask)
            out[todo] = (left << half) | right
            todo = todo[out[todo] >= n]
    return out.astype(np.int64)


def kept_aside(count: int) -> int:
    """How many of `count` rows are kept out of training: 2 %, at least 500, none where these would be over a tenth."""
    aside = max(ASIDE, round(ASIDE_SHARE * count))
    return aside if aside <= ASIDE_MOST * count else 0


class Part:
    """Rows start…stop-1 of a source in an order that is drawn once for all: what trains, or what is kept aside."""

    def __init__(self, source: Rows, start: int, stop: int) -> None:
        self.source, self.start, self.stop = source, start, stop

    def __len__(self) -> int:
        return self.stop - self.start

    def gather(self, indices: Tensor) -> Batch:
        return self.source.gather(
            torch.from_numpy(shuffled(indices.numpy() + self.start, len(self.source), seed=0, epoch=-1))
        )


class Stream:
    """Batches of a source without end, one shuffled pass after another.

    Position p of the endless order belongs to pass p // n. A draw takes the next `batch` × `shards` positions and this
    stream serves the part of its `shard`, so any number of processes together see the order of one. uint8 values come
    as float32 in [-1, 1]; float data as it is.
    """

    def __init__(
        self,
        source: Rows,
        batch: int,
        *,
        seed: int = 0,
        shard: int = 0,
        shards: int = 1,
        device: str | torch.device = "cpu",
    ) -> None:
        if len(source) == 0:
            raise ValueError("a stream needs at least one item")
        self.source, self.batch, self.seed = source, batch, seed
        self.shard, self.shards, self.device = shard, shards, torch.device(device)
        self.position = 0
        self._block_start, self._block = -1, torch.empty(0, dtype=torch.int64)
        self._rows: Batch = {}
        self._first, self._draws = 0, 0  # the rows are those of so many draws from this position on
        self._many = 1

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Batch:
        number, rest = divmod(self.position - self._first, self.shards * self.batch)
        if rest or not 0 <= number < self._draws:
            self._fetch()
            number = 0
        self.position += self.shards * self.batch
        start = number * self.batch
        return {name: prepare(values[start : start + self.batch], self.device) for name, values in self._rows.items()}

    def _fetch(self) -> None:
        """The rows of this draw and the next ones; of a single one at first, which tells how many will fit."""
        self._rows, self._first, self._draws = {}, self.position, self._many
        each = range(self.position + self.shard * self.batch, 2**63, self.shards * self.batch)[: self._draws]
        self._rows = self.source.gather(torch.cat([self.order(start, start + self.batch) for start in each]))
        size = sum(values.nbytes for values in self._rows.values()) // self._draws
        self._many = max(min(AHEAD // (self.shards * max(size, 1)), BLOCK // self.batch), 1)

    def order(self, start: int, stop: int) -> Tensor:
        """Row numbers of the positions start…stop-1, int64."""
        parts = []
        while start < stop:
            if not 0 <= start - self._block_start < len(self._block):
                self._fill(start - start % BLOCK)
            offset = start - self._block_start
            part = self._block[offset : offset + stop - start]
            parts.append(part)
            start += len(part)
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _fill(self, start: int) -> None:
        n = len(self.source)
        positions = np.arange(start, start + BLOCK, dtype=np.int64)
        epochs, offsets = positions // n, positions % n
        block = np.empty(BLOCK, np.int64)
        for epoch in range(int(epochs[0]), int(epochs[-1]) + 1):
            here = slice(*np.searchsorted(epochs, [epoch, epoch + 1]))
            block[here] = shuffled(offsets[here], n, self.seed, epoch)
        self._block_start, self._block = start, torch.from_numpy(block)


def prepare(values: Tensor, device: torch.device) -> Tensor:
    """A copy on the device; uint8 0…255 as float32 -1…1."""
    if device.type != "cpu":
        values = values.to(device, non_blocking=True)
    return values.to(torch.float32).mul_(1 / 127.5).sub_(1) if values.dtype == torch.uint8 else values.clone()
