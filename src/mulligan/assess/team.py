"""The processes that measure together."""

from __future__ import annotations

from typing import Protocol

import torch


class Team(Protocol):
    """What an evaluation needs of core.engine.Engine."""

    @property
    def world(self) -> int: ...

    @property
    def rank(self) -> int: ...

    @property
    def device(self) -> torch.device: ...

    def agree(self, flag: bool) -> bool: ...


class Alone:
    """One process by itself, whatever the others do: rank 0 while a run trains."""

    world, rank = 1, 0

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def agree(self, flag: bool) -> bool:
        return flag
