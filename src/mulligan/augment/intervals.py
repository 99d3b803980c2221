"""Means over seeds with Student's intervals, paired differences, and what may be concluded from one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

WORTH = 0.01  # a gain below one percentage point is no help that anyone would train a GAN for

Verdict = Literal["helps", "harms", "does not help", "can't be told"]


@dataclass(frozen=True)
class Interval:
    """A mean and the interval around it, from `low` to `high`."""

    mean: float
    low: float
    high: float


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Mean of independent values with its confidence interval, mean ± t(n − 1) s / √n (Student 1908).

    Raises ValueError for fewer than two values, which have no interval.
    """
    count = len(values)
    if count < 2:
        raise ValueError(f"an interval needs at least 2 values, not {count}")
    from scipy.stats import t

    mean = math.fsum(values) / count
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    half = float(t.ppf((1 + level) / 2, count - 1)) * deviation / math.sqrt(count)
    return Interval(mean, mean - half, mean + half)


def paired(ours: Sequence[float], theirs: Sequence[float], level: float = 0.95) -> Interval:
    """Mean of ours − theirs, seed by seed, with its interval. Raises ValueError where they don't pair up."""
    return mean_interval([a - b for a, b in zip(ours, theirs, strict=True)], level)


def verdict(difference: Interval, worth: float = WORTH) -> Verdict:
    """What a difference of two shares in [0, 1] says.

    It helps where the interval lies above 0 and harms where it lies below; it does not help where the interval rules
    out a gain of `worth`; else these seeds don't tell.
    """
    if difference.low > 0:
        return "helps"
    if difference.high < 0:
        return "harms"
    return "does not help" if difference.high < worth else "can't be told"
