"""What the user asked for, checked once and handed on whole."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mulligan.core.errors import UserError

LARGEST_SIDE = 8192


@dataclass(frozen=True)
class Request:
    """The keywords of open_source; size is (height, width). Raises UserError on values that make no sense."""

    size: tuple[int, int] | None = None
    channels: int | None = None
    root: str | Path | None = None
    cache: str | Path | None = None
    max_bad: float = 0.01
    split: str = "train"
    seed: int = 0
    progress: bool = True
    as_is: bool = False
    labels: str | Path | None = None

    def __post_init__(self) -> None:
        if self.size is not None and not all(1 <= side <= LARGEST_SIDE for side in self.size):
            raise UserError(f"The size {self.size} is impossible; each side lies between 1 and {LARGEST_SIDE} pixels.")
        if self.channels is not None and self.channels < 1:
            raise UserError(f"{self.channels} channels are impossible; take 1 (grey), 3 (RGB) or 4 (RGB and alpha).")
        if not 0 <= self.max_bad <= 1:
            raise UserError(f"--max-bad is a share between 0 and 1, not {self.max_bad}; 0.01 allows one file in 100.")
        if self.split not in ("train", "test"):
            raise UserError(f'There is no split "{self.split}"; the splits are train and test.')

    def with_channels(self, channels: int | None) -> "Request":
        """The same request for another number of channels."""
        return replace(self, channels=channels)

    def stamp(self, path: Path, prefix: str = "file") -> dict[str, Any]:
        """What decides whether a cached pack of this file still holds."""
        state = path.stat()
        return {
            prefix: [str(path.resolve()), state.st_size, state.st_mtime_ns],
            "size": self.size, "channels": self.channels, "split": self.split,
        }  # fmt: skip
