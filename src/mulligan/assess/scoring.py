"""What `train` is asked to score; nothing that measures is loaded where nothing is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from ..core.clock import Clock
from ..core.engine import Engine
from ..core.errors import UserError
from ..core.recipe import Plan
from ..core.run import Run


@dataclass(frozen=True)
class Scoring:
    """What is scored while training, and how."""

    metrics: tuple[str, ...]
    count: int
    extractor: str
    data: str | Path
    root: str | Path | None
    cache: str | Path | None
    score: Callable[[nn.Module], float] | None

    def __post_init__(self) -> None:
        if self.metrics and self.score:
            raise UserError("metrics and score at once: give one of them, since it says which checkpoint is the best")
        if self.count < 2:
            raise UserError(f"--score-count {self.count}: at least 2")
        if self.metrics:
            from ..metrics.shelf import chosen

            chosen(self.metrics)  # a word that is wrong is told before the data are read

    def hook(self, run: Run, plan: Plan, source: Any, engine: Engine) -> Callable[[nn.Module, Clock], float] | None:
        """What the trainer calls; None where nothing is scored. Raises UserError where a metric can't be taken."""
        if (score := self.score) is not None:
            return lambda sampler, _: score(sampler)
        metrics = self.metrics or plan.metrics
        if not metrics:
            return None
        from .training import scorer

        classes = int(getattr(plan.game.sampler, "classes", 0))
        return scorer(run, source, str(self.data), metrics, engine.device, classes, self.count, self.extractor,
                      self.root, self.cache)  # fmt: skip


def words(text: str | Sequence[str]) -> tuple[str, ...]:
    """A list, or words with commas between them."""
    return tuple(text.replace(",", " ").split()) if isinstance(text, str) else tuple(text)
