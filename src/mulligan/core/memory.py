"""Freed memory stays with the process: a training step asks for the same blocks again a moment later."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

M_MXFAST, M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = 1, -1, -3  # malloc.h of glibc
LARGE = 1 << 20
LARGEST = 32 << 20
KEPT = 256 << 20


def map_large() -> None:
    """Ask glibc to take blocks from 1 MiB up from the system one by one, for the first round.

    What that round leaves for good, thousands of small blocks, would come to lie between the large ones, and the
    holes would cost a tenth of the memory of the whole training.
    """
    if (glibc := _glibc()) is not None:
        glibc.mallopt(M_MMAP_THRESHOLD, LARGE)


def keep_freed() -> None:
    """Ask glibc to reuse blocks below 32 MiB and to keep up to 256 MiB of them, in place of handing them back.

    By default it unmaps a freed block of a few hundred kilobytes at once, and the system clears every page of the next
    one: up to half of a step on a CPU.
    """
    if (glibc := _glibc()) is not None:
        glibc.malloc_trim(0)
        glibc.mallopt(M_MMAP_THRESHOLD, LARGEST)
        glibc.mallopt(M_TRIM_THRESHOLD, KEPT)
        glibc.mallopt(M_MXFAST, 0)  # small freed blocks join their neighbours at once, not all at each large one


def _glibc() -> Any:
    """The C library, None where it isn't glibc."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        library = ctypes.CDLL(None)
        return library if library.mallopt and library.malloc_trim else None
    except (OSError, AttributeError):
        return None
