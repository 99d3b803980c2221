"""The process that reads a pickle: it has little memory and time, and hands over plain values and numbers.

It never imports torch, so that it starts at once.
"""

from __future__ import annotations

import gc
import json
import mmap
import os
import sys
from pathlib import Path

from .pickled_files import content
from .pickled_tree import SHARED, Flat, flatten, write
from .pickled_values import Forbidden, Refused

MEMORY = 2 * 2**30  # bytes beyond those of the file
SECONDS = 8  # of the processor, and one more for each so many bytes
PACE = 2**25
TENSORS, VALUES, ANSWER = "tensors.safetensors", "values.json", "answer.json"


def read(data: memoryview) -> Flat:
    """The values of a file. Raises Refused."""
    return flatten(content(data), len(data))


def main(path: str, out: str) -> None:
    """Write what a file holds into a folder; `answer.json` says what came of it."""
    gc.disable()  # among a million lists it takes longer than all the rest
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            limit(size)
            if not size:
                raise Refused("it is empty")
            flat = read(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
        with (Path(out) / TENSORS).open("wb") as tensors:
            write(flat.tensors, tensors)
        with (Path(out) / VALUES).open("w", encoding="ascii") as values:
            json.dump(flat.nodes, values)
        answer = {}
    except Forbidden as error:
        answer = {"forbidden": str(error)}
    except Refused as error:
        answer = {"refused": str(error)}
    except OSError as error:
        answer = {"failed": error.strerror or str(error)}
    except MemoryError:
        answer = {"refused": "it takes too much memory to read"}
    (Path(out) / ANSWER).write_text(json.dumps(answer), encoding="ascii")


def limit(size: int) -> None:
    """Bound this process, where the platform can."""
    try:
        import resource
    except ImportError:
        return
    bounds = {
        "RLIMIT_AS": size + MEMORY, "RLIMIT_CPU": SECONDS + size // PACE, "RLIMIT_CORE": 0,
        "RLIMIT_FSIZE": 2 * SHARED * size + MEMORY,
    }  # fmt: skip
    for name, most in bounds.items():
        kind = getattr(resource, name, None)
        if kind is None:
            continue
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        try:
            resource.setrlimit(kind, (most, hard))
        except (OSError, ValueError):  # macOS has no limit of memory
            print(f"{name} can't be set", file=sys.stderr)
