"""Where an export goes: it appears whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from mulligan.core.errors import UserError
from mulligan.core.run import Run


def check(target: Path, force: bool, folder: bool = False) -> None:
    """Raises UserError where something is there already; `force` replaces a file, never a folder."""
    try:
        if target.is_dir():
            if not folder:
                raise UserError(f"--out {target} is a folder: name a file")
            if any(target.iterdir()) or target.samefile("."):
                raise UserError(f"--out {target} is no new or empty folder: name another one")
        elif target.exists() and (folder or not force):
            raise UserError(f"{target} exists: name another --out" + ("" if folder else ", or add --force"))
    except OSError as error:  # a name that is too long, a folder that can't be read
        raise UserError(Run(target).refused(error)) from error


@contextlib.contextmanager
def whole(target: Path) -> Iterator[Path]:
    """A path beside `target`, free to be made a file or a folder, which takes its place at the end.

    Where anything fails, nothing is left. Raises UserError where the disk refuses.
    """
    made = [folder for folder in target.parents if not folder.exists()]
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        os.replace(beside, target)
    except BaseException as error:
        shutil.rmtree(beside) if beside.is_dir() else beside.unlink(missing_ok=True)
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError):
            raise UserError(Run(target).refused(error)) from error
        raise
