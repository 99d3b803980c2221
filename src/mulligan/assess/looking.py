"""An extractor looks at a supply of samples, in any number of processes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ..core.errors import UserError
from ..metrics.bank import Bank
from ..metrics.extractors import Extractor
from ..metrics.seen import KEPT, Seen
from .supply import Block, Supply, blocks_of

Look = tuple[Tensor, Tensor | None, Block]


def look(
    supply: Supply,
    extractor: Extractor,
    *,
    batch: int = 64,
    world: int = 1,
    rank: int = 0,
    keep: int = KEPT,
    title: str = "",
) -> Seen | None:
    """What the extractor sees of all samples, in their order; on ranks above 0, which do their share, None.

    Blocks go round the processes and are joined in order, so that any number of them gives what one gives. Memory
    doesn't grow with the number of samples: features go to a file. Raises UserError for features that aren't finite.
    """  # fmt: skip
    found: _Filling | None = None
    for features, logits, block in _gathered(supply, extractor, batch, world, rank, title):
        if rank == 0:
            found = found or _Filling(features, logits, block, keep)
            found.add(features, logits, block)
    return found.seen() if found else None


class _Filling:
    """Banks that fill up."""

    def __init__(self, features: Tensor, logits: Tensor | None, block: Block, keep: int) -> None:
        self.features = Bank(features.shape[1:])
        self.logits = None if logits is None else Bank(logits.shape[1:])
        self.labels: list[Tensor] = []
        self.pictures = Bank(block.x.shape[1:], torch.uint8) if block.x.dtype == torch.uint8 else None
        self.keep = keep

    def add(self, features: Tensor, logits: Tensor | None, block: Block) -> None:
        if not bool(features.isfinite().all()):
            number = len(self.features) + int((~features.isfinite().all(1)).nonzero()[0, 0])
            raise UserError(f"the extractor's features of sample {number:,} aren't finite: try another --extractor")
        self.features.add(features)
        if self.logits is not None and logits is not None:
            self.logits.add(logits)
        if block.y is not None:
            self.labels.append(block.y)
        if self.pictures is not None and len(self.pictures) < self.keep:
            self.pictures.add(block.x[: self.keep - len(self.pictures)])

    def seen(self) -> Seen:
        return Seen(self.features, self.logits, torch.cat(self.labels) if self.labels else None, self.pictures)


def _gathered(supply: Supply, extractor: Extractor, batch: int, world: int, rank: int, title: str) -> Iterator[Look]:
    from tqdm import tqdm

    total = blocks_of(supply.count)
    with tqdm(total=supply.count, desc=title, unit="img", unit_scale=True, file=sys.stderr, leave=False,
              disable=None if title and rank == 0 else True) as bar:  # fmt: skip
        for start in range(0, total, world):
            number = start + rank
            mine = _looked(supply.block(number), extractor, batch) if number < total else None
            for each in _joined(mine, world, rank):
                bar.update(len(each[0]))
                yield each


def _looked(block: Block, extractor: Extractor, batch: int) -> Look:
    parts = [extractor(block.x[i : i + batch]) for i in range(0, len(block.x), batch)]
    logits = [each[1] for each in parts if each[1] is not None]
    return torch.cat([each[0] for each in parts]), torch.cat(logits) if logits else None, block


def _joined(mine: Look | None, world: int, rank: int) -> list[Look]:
    """What all processes have, in their order, on rank 0."""
    if world == 1:
        return [mine] if mine is not None else []
    everyone: list[Any] | None = [None] * world if rank == 0 else None
    dist.gather_object(mine, everyone)
    return [each for each in everyone or [] if each is not None]
