"""Where a run stands: rounds played, images drawn, share of the budget."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Clock:
    """Time of a run in rounds and in images.

    `images` counts real images drawn by all processes, so a game with five critic turns counts five batches a round.
    It is fixed while a round lasts.
    """

    round: int = 0
    images: int = 0
    budget: int = 0

    @property
    def progress(self) -> float:
        """Share of the budget that is used, in [0, 1]; 0 without a budget."""
        return min(self.images / self.budget, 1.0) if self.budget else 0.0

    def every(self, rounds: int) -> bool:
        """True in round 0, `rounds`, 2 `rounds`, …: the phase of a lazy penalty."""
        return self.round % rounds == 0

    def ramp(self, start: float, end: float, until: float = 1.0) -> float:
        """From `start` to `end`, linearly over the share `until` of the budget, then constant."""
        share = min(self.progress / until, 1.0) if until > 0 else 1.0
        return start + (end - start) * share
