"""Ways for a save to go wrong, put into a child process before its run starts."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from mulligan.core import checkpoints

Failure = Literal["kill", "full"]

# name: (what is called, its how-manieth call in the save, whether it has happened or is about to)
STAGES: dict[str, tuple[str, int, Literal["before", "after"]]] = {
    "nothing written": ("open", 1, "before"),
    "file opened": ("open", 1, "after"),
    "half a part written": ("write", 1, "before"),
    "some parts written": ("write", 6, "after"),
    "all written, not synced": ("fsync", 1, "before"),
    "synced": ("fsync", 1, "after"),
    "not read back": ("digest", 1, "before"),
    "read back": ("digest", 1, "after"),
    "index half written": ("append", 1, "before"),
    "index not synced": ("fsync", 2, "before"),
    "index synced": ("append", 1, "after"),
    "not renamed": ("replace", 1, "before"),
    "renamed": ("replace", 1, "after"),
    "folder not synced": ("fsync", 3, "before"),
    "folder synced": ("fsync", 3, "after"),
    "old ones not removed": ("unlink", 1, "before"),
    "one old one removed": ("unlink", 1, "after"),
    "weights not renamed": ("replace", 2, "before"),
    "weights renamed": ("replace", 2, "after"),
}


def fail() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def break_save(stage: str, number: int, failure: Failure) -> None:
    """In the save of round `number`, and only there, be killed or find the disk full at this stage."""
    name, count, when = STAGES[stage]
    act = die if failure == "kill" else fail
    save = checkpoints.Checkpoints.save

    def patched(self: checkpoints.Checkpoints, state: dict[str, Any], at: int, **facts: Any) -> Path:
        if at == number:
            checkpoints.Checkpoints.save = save  # type: ignore[method-assign]
            INSTALL[name](Nth(act, count, when))
        return save(self, state, at, **facts)

    checkpoints.Checkpoints.save = patched  # type: ignore[method-assign]


class Nth:
    """Wraps a function so that `act` happens once, around the n-th call."""

    def __init__(self, act: Callable[[], None], count: int, when: str) -> None:
        self.act, self.left, self.when = act, count, when

    def due(self, when: str) -> bool:
        self.left -= when == "before"
        return self.left == 0 and self.when == when

    def around(self, function: Callable[..., Any], prepare: Callable[..., None] | None = None) -> Callable[..., Any]:
        def patched(*args: Any, **options: Any) -> Any:
            if self.due("before"):
                if prepare is not None:
                    prepare(*args)
                self.act()
            result = function(*args, **options)
            if self.due("after"):
                self.left -= 1
                self.act()
            return result

        return patched


def _open(nth: Nth) -> None:
    Path.open = nth.around(Path.open)  # type: ignore[method-assign]


def _write(nth: Nth) -> None:
    def half(self: Any, data: Any) -> None:
        self.file.write(bytes(data)[: len(data) // 2])
        self.file.flush()

    checkpoints._Hashing.write = nth.around(checkpoints._Hashing.write, half)  # type: ignore[method-assign]


def _append(nth: Nth) -> None:
    def half(path: Path, row: dict[str, Any], **_: Any) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(str(row)[:20])

    checkpoints.append_line = nth.around(checkpoints.append_line, half)


def _digest(nth: Nth) -> None:
    checkpoints.file_digest = nth.around(checkpoints.file_digest)


def _of_os(name: str) -> Callable[[Nth], None]:
    return lambda nth: setattr(os, name, nth.around(getattr(os, name)))


def _unlink(nth: Nth) -> None:
    Path.unlink = nth.around(Path.unlink)  # type: ignore[method-assign]


INSTALL: dict[str, Callable[[Nth], None]] = {
    "open": _open, "write": _write, "append": _append, "digest": _digest,
    "fsync": _of_os("fsync"), "replace": _of_os("replace"), "unlink": _unlink,
}  # fmt: skip
