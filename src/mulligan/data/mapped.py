"""Pictures in a file, mapped into memory, where only a small part of it stays."""

import mmap
from dataclasses import dataclass

import torch
from torch import Tensor

from mulligan.data.source import Source

HELD, SHARE = 4 << 20, 32  # so many bytes of the file are in memory at a time, or this part of it where that is more
AROUND = 2 << 20  # what the system may bring in with a byte that is asked for: a huge page


@dataclass
class Mapped(Source):
    """A source whose `x` lies in a file. Its pages belong to the system's cache of files, but while they are mapped
    they count as this process's memory: gather goes through the file part by part and lets go of each."""

    pages: mmap.mmap | None = None

    def gather(self, indices: Tensor) -> dict[str, Tensor]:
        """As in Source. Much quicker for many rows at once than for as many in small batches."""
        rows = {key: tensor.index_select(0, indices) for key, tensor in self.tensors.items() if key != "x"}
        return {"x": self._pictures(indices), **rows}

    def _pictures(self, indices: Tensor) -> Tensor:
        x = self.tensors["x"]
        in_order = torch.from_numpy(indices.numpy().argsort())
        touched, held = min(x.numel(), len(indices) * (x[0].numel() + AROUND)), max(HELD, x.numel() // SHARE)
        found = torch.empty(len(indices), *x.shape[1:], dtype=x.dtype)
        rows, into = x.flatten(1), found.flatten(1)
        if rows.shape[1] % 8 == 0:  # eight bytes at a time: index_copy_ takes a third of the time
            rows, into = rows.view(torch.int64), into.view(torch.int64)
        for part in in_order.chunk(max(-(-touched // held), 1)):
            into.index_copy_(0, part, rows.index_select(0, indices[part]))
            self._let_go()
        return found

    def _let_go(self) -> None:
        if self.pages is not None and hasattr(mmap, "MADV_DONTNEED"):  # Windows has no such advice
            self.pages.madvise(mmap.MADV_DONTNEED)
