"""Samples in blocks that any process can make by itself: the same ones whatever the batch and the processes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

BLOCK = 256
"""Samples in a block. Each block has its own random stream."""


def blocks_of(count: int) -> int:
    return -(-count // BLOCK)


def seed_of(seed: int, number: int) -> int:
    """A seed for each pair: neighbours have nothing in common after torch's own scrambling."""
    return (seed * 0x9E3779B97F4A7C15 + number + 1) % 2**63


@contextlib.contextmanager
def own_draws(seed: int, device: torch.device) -> Iterator[None]:
    """Noise that a generator draws inside follows from the block, and the caller's streams stay as they were."""
    cuda = device.type == "cuda"
    with torch.random.fork_rng([device] if cuda else []):
        torch.default_generator.manual_seed(seed)
        if cuda:
            torch.cuda.manual_seed(seed)
        yield
