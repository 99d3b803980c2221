"""The comparison and its rules: err = max|a - b| / max|b| per array, 5 * rtol for gradients."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from torch import Tensor

from tests.parity.fixture import Fixture

Value = tuple[str, "Tensor | float"]
ZERO = 1e-6
"""Arrays below this are zero and compared absolutely; for gradients, times the largest one of the same loss.

A bias before an instance norm has gradient 0, and in float32 the rounding of its neighbours: noise, not a result.
"""


class Line(NamedTuple):
    key: str
    error: float
    tolerance: float
    note: str = ""

    @property
    def passed(self) -> bool:
        # Not (error > tolerance): NaN must fail.
        return self.error <= self.tolerance

    def __str__(self) -> str:
        verdict = "ok  " if self.passed else "FAIL"
        return f"  {verdict} {self.key:<48} {self.error:.2e} (at most {self.tolerance:.0e}) {self.note}".rstrip()


def compare(key: str, ours: "Tensor | float", theirs: np.ndarray, rtol: float, scale: float = 1.0) -> Line:
    """One array against the fixture's; another shape or a NaN fails. Below ZERO * scale an array counts as zero."""
    a = np.asarray(ours.detach().cpu().numpy() if isinstance(ours, Tensor) else ours)
    tolerance = 5 * rtol if key.startswith("grad/") else rtol
    if a.shape != theirs.shape:
        return Line(key, float("inf"), tolerance, f"shape {a.shape} instead of {theirs.shape}")
    if theirs.size == 0:
        return Line(key, 0.0, tolerance, "empty")
    if theirs.dtype.kind in "iub":
        return Line(key, float(np.abs(a.astype(np.int64) - theirs.astype(np.int64)).max()), 0.0, "integers")
    a, b = a.astype(np.float64), theirs.astype(np.float64)
    difference, size = float(np.abs(a - b).max()), float(np.abs(b).max())
    if size <= ZERO * scale:
        return Line(key, difference, ZERO * scale, "zero, absolute")
    return Line(key, difference / size, tolerance)


def check(fixture: Fixture, values: Iterable[Value]) -> list[Line]:
    """Every value against the fixture; an expected array that no value answers fails."""
    lines: dict[str, Line] = {}
    scales = _gradient_scales(fixture)
    for key, value in values:
        if key not in fixture.arrays:
            raise KeyError(f"the adapter gives {key!r}, which the fixture does not have")
        lines[key] = compare(key, value, fixture.arrays[key], fixture.rtol, scales.get(_loss(key), 1.0))
    for key in fixture.expected:
        if key not in lines:
            lines[key] = Line(key, float("inf"), fixture.rtol, "not computed")
    return list(lines.values())


def _loss(key: str) -> str:
    return "/".join(key.split("/")[:2]) if key.startswith("grad/") else ""


def _gradient_scales(fixture: Fixture) -> dict[str, float]:
    """The largest entry of all gradients of one loss, at least 1, by grad/<loss>."""
    scales: dict[str, float] = {}
    for key, value in fixture.arrays.items():
        if key.startswith("grad/") and value.size:
            scales[_loss(key)] = max(scales.get(_loss(key), 1.0), float(np.abs(value).max()))
    return scales
