"""A panel: real data as an extractor sees them, ready to judge any number of generators by the same metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..core.errors import UserError
from ..data.mnist import Stacked
from ..data.source import Source
from ..metrics import modes as mixtures
from ..metrics.case import NEEDS, Case, Metric
from ..metrics.extractors import Extractor, Named
from ..metrics.lpips import Lpips
from ..metrics.seen import KEPT, Seen
from . import known
from .looking import look
from .supply import Stored, Supply, order
from .team import Team

TRAINED_ON = 10_000
"""Pictures that the classifiers of CAS are trained on at most."""
MIXTURES = {"ring": mixtures.ring, "grid": mixtures.grid}
Values = dict[str, float]


@dataclass
class Panel:
    """Metrics, an extractor, the real data and what was held out of training; `ready` looks at the real data once.

    Every method but `prepared` and `see` is for rank 0.
    """

    metrics: Sequence[Metric]
    extractor: Extractor
    source: Source
    held_source: Source | None
    engine: Team
    count: int | None = None
    batch: int = 64
    seed: int = 0
    cache: Path | None = None
    perceptual: Lpips | None = None
    progress: bool = True
    real: Seen | None = field(default=None, repr=False)
    held: Seen | None = field(default=None, repr=False)

    def prepared(self) -> Panel:
        """Look at the real data, or remember what was seen before."""
        self.real = self._known(self.source, self.count or len(self.source))
        if self.held_source is not None:
            self.held = self._known(self.held_source, min(self.count or len(self.held_source), len(self.held_source)))
        return self

    def _known(self, source: Source, count: int) -> Seen | None:
        supply = Stored(source, min(count, len(source)))
        key = known.key_of(source.fingerprint, supply.count, self.extractor)
        folder = known.folder_of(source.name, key, self.cache)
        seen = known.recalled(folder, key) if self.engine.rank == 0 else None
        if not self.engine.agree(seen is not None):
            seen = self.see(supply, f"looking at {source.name}")
            if seen is not None and source.fingerprint and len(seen) > 1:
                known.keep(folder, key, seen)
        elif seen is not None and len(source.shape) == 3:
            self._add_pictures(seen, supply)
        return seen

    def _add_pictures(self, seen: Seen, supply: Stored) -> None:
        """Pictures aren't kept in the cache: the data are there."""
        blocks = (supply.block(i).x for i in range(-(-min(self.keep, supply.count) // 256)))
        seen.pictures = torch.cat(list(blocks))[: self.keep]

    @property
    def keep(self) -> int:
        if any("pairs" in metric.needs for metric in self.metrics):
            return len(self.source)
        return TRAINED_ON if any(metric.key == "cas" for metric in self.metrics) else KEPT

    def see(self, supply: Supply, title: str) -> Seen | None:
        """What the extractor sees of a supply; None on ranks above 0."""
        return look(
            supply, self.extractor, batch=self.batch, world=self.engine.world, rank=self.engine.rank, keep=self.keep,
            title=title if self.progress else "",
        )  # fmt: skip

    def case(self, fake: Seen, **more: Any) -> Case:
        """A comparison with the real data."""
        assert self.real is not None
        name = self.source.name
        mixture = MIXTURES[name]() if name in MIXTURES else None
        return Case(
            fake, self.real, self.held, self.extractor, len(self.source.classes), self.seed, self.engine.device,
            mixture, perceptual=self.perceptual, **more,
        )  # fmt: skip

    def eyes(self, metric: Metric) -> Named | None:
        """Whose eyes a metric takes."""
        if metric.by == "none":
            return None
        return self.perceptual or self.extractor if metric.by != "extractor" else self.extractor

    def values(self, case: Case) -> Values:
        """The numbers of all metrics by their names. Raises UserError where a metric can't be taken."""
        found: Values = {}
        for metric in self.metrics:
            if "classes" in metric.needs and case.fake.logits is None:  # a module of the user's own may name none
                raise UserError(f"metric {metric.key} needs {NEEDS['classes']}")
            try:
                numbers = metric.measure(case)
            except ValueError as error:
                raise UserError(f"{metric.key} can't be taken: {error}") from error
            found |= zip(metric.names(self.eyes(metric)), numbers, strict=True)
        return found

    def floor(self) -> tuple[Values, str]:
        """The same numbers for real samples in the place of generated ones, and in words which."""
        assert self.real is not None
        if self.held is not None:
            first, second = self.held, self.real
            words = f"{len(first):,} held-out real samples against {len(second):,}"
        else:
            first, second = self._unseen_and_seen()
            words = f"{len(first):,} real samples against {len(second):,} others"
        found: Values = {}
        for metric in self.metrics:
            lacks = ("labels" in metric.needs and first.labels is None) or (
                "classes" in metric.needs and first.logits is None
            )
            if metric.floor and not lacks and min(len(first), len(second)) >= 2:
                case = replace(self.case(first), real=second)
                try:
                    found |= zip(metric.names(self.eyes(metric)), metric.measure(case), strict=True)
                except ValueError:
                    continue  # too few samples for this one: no floor is known
        return found, words

    def _unseen_and_seen(self) -> tuple[Seen, Seen]:
        """Two halves. An extractor of the data set's own has been trained on the even rows: they are the second one."""
        assert self.real is not None
        rows = order(np.arange(len(self.real)), len(self.source))
        odd, even = (rows % 2 == 1).nonzero()[:, 0], (rows % 2 == 0).nonzero()[:, 0]
        count = min(len(odd), len(even))
        return self.real.of(odd[:count]), self.real.of(even[:count])


@dataclass(frozen=True)
class Given:
    """What there is to measure with, to say beforehand which metric can't be taken."""

    shape: tuple[int, ...]
    logits: bool
    fake_labels: bool
    real_labels: bool
    held: bool
    held_labels: bool
    source: Source
    sampler: bool
    trunk: bool
    pairs: bool

    def has(self, need: str) -> bool:
        return {
            "pictures": len(self.shape) == 3,
            "classes": self.logits and not isinstance(self.source, Stacked),
            "labels": self.fake_labels and self.real_labels,
            "held-out": self.held,
            "held-labels": self.held_labels,
            "mixture": self.source.name in MIXTURES,
            "stacked": isinstance(self.source, Stacked) and self.logits,
            "sampler": self.sampler,
            "trunk": self.trunk,
            "pairs": self.pairs,
        }[need]

    def check(self, metrics: Sequence[Metric]) -> None:
        """Raises UserError naming the first metric that can't be taken, and what it needs."""
        for metric in metrics:
            for need in metric.needs:
                if not self.has(need):
                    raise UserError(f"metric {metric.key} needs {NEEDS[need]}")
