"""What an extractor has seen of one set of samples."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from .bank import Rows, few, some
from .gaussian import Gaussian

KEPT = 2_000
"""Pictures that are kept beside the features, for metrics that look at pixels."""
NEIGHBOURS = 10_000
"""Samples that metrics by nearest neighbours take at most, drawn at random: their cost grows with the square."""


@dataclass
class Seen:
    """Features (N, F); where there are any, logits (N, K), labels (N,), and the first uint8 pictures (n, C, H, W).

    Samples are in random order, so the first ones are a fair choice.
    """

    features: Rows
    logits: Rows | None = None
    labels: Tensor | None = None
    pictures: Rows | None = None
    _gaussian: Gaussian | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.features)

    @property
    def width(self) -> int:
        return int(self.features.shape[1])

    def gaussian(self) -> Gaussian:
        """Mean and covariance of the features, worked out once."""
        if self._gaussian is None:
            self._gaussian = Gaussian.of(self.features)
        return self._gaussian

    def remember(self, gaussian: Gaussian) -> None:
        """Take a mean and covariance that were worked out before."""
        self._gaussian = gaussian

    def near(self) -> Tensor:
        """Features of at most NEIGHBOURS samples, in memory."""
        return few(self.features, NEIGHBOURS)

    def of(self, index: Tensor) -> Seen:
        """The part of these numbers (n,), ascending."""
        kept = index[index < (0 if self.pictures is None else len(self.pictures))]
        return Seen(
            some(self.features, index),
            None if self.logits is None else some(self.logits, index),
            None if self.labels is None else self.labels[index],
            None if self.pictures is None or not len(kept) else some(self.pictures, kept),
        )

    def shown(self) -> Tensor:
        """The kept pictures as float32 in [-1, 1]. Raises ValueError where there are none."""
        if self.pictures is None:
            raise ValueError("these samples are no pictures")
        return few(self.pictures, KEPT).float() / 127.5 - 1
