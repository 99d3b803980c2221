"""Rows of numbers in a file: features of any number of samples, of which only what is asked for is in memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

from ..core.errors import UserError

PART = 8192
"""Rows read at a time."""
SMALL = 16 << 20
"""Bytes of a bank that is read as a whole where some of its rows are asked for: one read is quicker than many."""


class Bank:
    """Rows (N, *shape) of one dtype, added in batches, read by number.

    Read with seek and read, not mapped: pages of a mapped file would count as the process's memory. Without a path the
    file is a temporary one without a name. Raises UserError where the disk refuses.
    """

    def __init__(self, shape: Sequence[int], dtype: torch.dtype = torch.float32, path: Path | None = None) -> None:
        self.shape_of_row, self.dtype = tuple(shape), dtype
        self._kind = torch.empty(0, dtype=dtype).numpy().dtype
        self._bytes = int(np.prod(self.shape_of_row, dtype=np.int64)) * self._kind.itemsize
        self._file = _opened(path)
        self._count = os.fstat(self._file.fileno()).st_size // max(self._bytes, 1)

    def __len__(self) -> int:
        return self._count

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self.shape_of_row)

    def add(self, rows: Tensor) -> None:
        """Append rows (n, *shape). Raises ValueError for another shape."""
        if tuple(rows.shape[1:]) != self.shape_of_row:
            raise ValueError(f"rows of shape {tuple(rows.shape[1:])} in a bank of {self.shape_of_row}")
        data = rows.detach().to("cpu", self.dtype).contiguous().numpy()
        try:
            self._file.seek(self._count * self._bytes)
            self._file.write(data.tobytes())
        except OSError as error:
            raise UserError(
                f"the features of {self._count:,} samples can't be kept on disk ({error.strerror or error}): free some "
                f"space in {tempfile.gettempdir()}, name another folder with TMPDIR, or take a smaller --count"
            ) from error
        self._count += len(rows)

    def flush(self) -> None:
        self._file.flush()

    def __getitem__(self, index: Tensor) -> Tensor:
        """The rows of these numbers (n,), in their order."""
        if len(self) * self._bytes <= SMALL:
            return torch.from_numpy(self._read(0, len(self)))[index]
        order = index.argsort()
        out = np.empty((len(index), *self.shape_of_row), self._kind)
        start = 0
        numbers = index[order].tolist()
        while start < len(numbers):  # neighbours in the file in one read
            stop = start + 1
            while stop < len(numbers) and numbers[stop] == numbers[stop - 1] + 1:
                stop += 1
            out[order[start:stop].numpy()] = self._read(numbers[start], stop - start)
            start = stop
        return torch.from_numpy(out)

    def split(self, size: int = PART) -> Iterator[Tensor]:
        """All rows in order, at most `size` at a time."""
        for start in range(0, len(self), size):
            yield torch.from_numpy(self._read(start, min(size, len(self) - start)))

    def _read(self, start: int, count: int) -> np.ndarray:
        self._file.seek(start * self._bytes)
        data = self._file.read(count * self._bytes)
        if len(data) != count * self._bytes:
            raise ValueError(f"rows {start} to {start + count - 1} of a bank of {self._count} can't be read")
        return np.frombuffer(bytearray(data), self._kind).reshape(count, *self.shape_of_row)


def _opened(path: Path | None) -> IO[bytes]:
    if path is None:
        return tempfile.TemporaryFile()
    return path.open("rb" if path.exists() else "w+b")


class View:
    """Some rows of a bank, by number, under the same way of asking."""

    def __init__(self, bank: Bank, index: Tensor) -> None:
        self.bank, self.index, self.dtype = bank, index, bank.dtype

    def __len__(self) -> int:
        return len(self.index)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self.bank.shape_of_row)

    def __getitem__(self, index: Tensor) -> Tensor:
        return self.bank[self.index[index]]

    def split(self, size: int = PART) -> Iterator[Tensor]:
        for part in self.index.split(size):
            yield self.bank[part]


Rows = Tensor | Bank | View
"""A matrix (N, F) in memory or in a file."""


def some(rows: Rows, index: Tensor) -> Rows:
    """Rows of these numbers; those of a file stay there."""
    if isinstance(rows, Bank):
        return View(rows, index)
    return View(rows.bank, rows.index[index]) if isinstance(rows, View) else rows[index]


def few(rows: Rows, most: int, seed: int = 0) -> Tensor:
    """At most so many rows, in memory; a random choice where there are more."""
    if len(rows) <= most:
        return rows if isinstance(rows, Tensor) else rows[torch.arange(len(rows))]
    chosen = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:most]
    return rows[chosen.sort().values]
