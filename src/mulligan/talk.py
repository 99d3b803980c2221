"""Lines to the user."""

from __future__ import annotations

import sys

from .core.engine import Engine


def say(engine: Engine, *lines: str) -> None:
    """Once for all ranks, on stderr."""
    if engine.rank == 0:
        for line in lines:
            print(line, file=sys.stderr, flush=True)
