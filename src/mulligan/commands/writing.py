"""A refusing disk, told to the user."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns a refusing disk into a message that names the path. Raises UserError."""
    try:
        yield
    except OSError as error:
        from ..core.errors import UserError

        raise UserError(f"can't write {path} ({error.strerror or error}): name another place with --out") from error


def named_png(path: Path) -> Path:
    """The path, where it is one of a PNG. Raises UserError."""
    if path.suffix.lower() != ".png":
        from ..core.errors import UserError

        raise UserError(f"--out {path}: name a .png")
    return path
