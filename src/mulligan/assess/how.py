"""What is asked of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..core.errors import UserError
from ..metrics.lpips import Net


@dataclass(frozen=True)
class How:
    """What is asked of an evaluation besides its two sides."""

    count: int | None = None
    real_count: int | None = None
    extractor: str = "auto"
    weights: Path | None = None
    trunk: Path | None = None
    heads: Path | None = None
    net: Net = "alex"
    repeats: int = 3
    seed: int = 0
    batch: int = 64

    def __post_init__(self) -> None:
        for name, value, least in (("count", self.count, 2), ("real-count", self.real_count, 2),
                                   ("repeats", self.repeats, 1), ("batch", self.batch, 1)):  # fmt: skip
            if value is not None and value < least:
                raise UserError(f"--{name} {value}: at least {least}")
