"""Pickled checkpoints, read in a process of their own that executes nothing and can't take more than its share.

    tree = read_pickle("network-snapshot.pkl")
    G = collect(tree["G_ema"])
    G.kind, G.kwargs, G.tensors

NVIDIA's .pkl files, modules that were pickled as they are, and what torch.save writes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from torch import Tensor

from mulligan.core.errors import UserError

from .pickled_child import ANSWER, PACE, SECONDS, TENSORS, VALUES
from .pickled_values import Stub, shown

Tree: TypeAlias = "dict[Any, Tree] | list[Tree] | Stub | Tensor | str | int | float | bool | None"
"""Tuples and sets come as lists, ordered and easy dictionaries as plain ones, bytes as tensors, objects as stubs."""

ROOT = Path(__file__).resolve().parents[2]
START = (
    "import sys; sys.path.insert(0, sys.argv[1]); from mulligan.weights.pickled_child import main; main(*sys.argv[2:])"
)
PATIENCE = 60  # seconds by the clock where the processor has other work, and one more for each so many bytes
SLOWEST = 2**20
NEVER = "no code in a file is ever executed"


@dataclass(frozen=True)
class Module:
    """A pickled module: its class, what its state_dict holds, and what its constructor was given, if that is known."""

    kind: str
    tensors: dict[str, Tensor]
    args: list[Any]
    kwargs: dict[str, Any]


def read_pickle(path: str | Path) -> Tree:
    """What a pickle holds, tensors on the CPU.

    Raises UserError for what can't be read, is damaged, wants code to be run, or takes more memory or time than a file
    of its size should.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise UserError(f"{path} isn't there: name a file of weights")
        with tempfile.TemporaryDirectory(prefix="mulligan-") as folder:
            _run(path, Path(folder))
            return _decoded(Path(folder))
    except OSError as error:
        raise UserError(f"{path} can't be read ({error.strerror or error})") from error


def _run(path: Path, folder: Path) -> None:
    size = path.stat().st_size
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", START, str(ROOT), str(path), str(folder)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            timeout=PATIENCE + size / SLOWEST, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise UserError(f"{path} takes longer than {error.timeout:.0f} s to read: {_advice()}") from error
    answer = folder / ANSWER
    if done.returncode or not answer.is_file():
        raise UserError(f"{path} can't be read: {_end(done, size)}. {_advice()}")
    said = json.loads(answer.read_text(encoding="ascii"))
    if "forbidden" in said:
        raise UserError(
            f"{path} wants {said['forbidden']} to be run: refused, for {NEVER}. Ask its maker for the tensors alone: "
            "a state_dict, or safetensors"
        )
    if "refused" in said:
        raise UserError(f"{path} is damaged, or no file of weights ({said['refused']}): {_advice()}")
    if "failed" in said:
        raise UserError(f"{path} can't be read ({said['failed']}): see that it may be read, and that the disk has room")


def _advice() -> str:
    return (
        f"it must be what torch.save, safetensors or NVIDIA's programs wrote ({NEVER}). Fetch it again, and compare "
        "its SHA-256"
    )


def _end(done: subprocess.CompletedProcess[bytes], size: int) -> str:
    """Why the reader's process gave no answer."""
    if os.name == "posix" and done.returncode == -24:  # SIGXCPU
        return f"it takes more than {SECONDS + size // PACE} s of work, as no file of {size:,} bytes does"
    if done.returncode < 0:
        return f"its reader was ended by signal {-done.returncode}, perhaps because memory ran out"
    words = done.stderr.decode("utf-8", "replace").strip().split("\n")[-1]
    return f"its reader failed ({shown(words) or done.returncode})"


def _decoded(folder: Path) -> Tree:
    from safetensors import safe_open

    with safe_open(folder / TENSORS, framework="pt") as file:
        # copies: what is read from a file that vanishes would keep it open
        tensors = {int(name): file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    made: list[Any] = []

    def told(value: Any) -> Any:
        return made[value[0]] if isinstance(value, list) else value

    for kind, *parts in json.loads((folder / VALUES).read_text(encoding="ascii")):
        if kind == "list":
            made.append([told(part) for part in parts])
        elif kind == "dict":
            made.append({name: told(part) for name, part in parts})
        elif kind == "tensor":
            made.append(tensors[parts[0]])
        else:
            made.append(Stub(parts[0], parts[1], told(parts[2]) if len(parts) > 2 else {}))
    return made[-1][0]


def collect(value: Tree) -> Module:
    """The tensors of a pickled module under the names of its state_dict. Raises UserError for anything else."""
    if not isinstance(value, Stub) or not value.state or "_parameters" not in value.state:
        raise UserError(f"{_what(value)} is no pickled network")
    state = value.state
    given, named = state.get("_init_args", []), state.get("_init_kwargs", {})
    if not isinstance(given, list) or not isinstance(named, dict):
        raise UserError(f"{_what(value)} has arguments of another form than NVIDIA's")
    return Module(value.name, dict(_tensors(value, "")), given, named)


def _tensors(module: Stub, prefix: str) -> Iterator[tuple[str, Tensor]]:
    state = module.state or {}
    passing = state.get("_non_persistent_buffers_set")
    passing = [name for name in passing if isinstance(name, str)] if isinstance(passing, list) else []
    for group in ("_parameters", "_buffers"):
        for name, tensor in _entries(state, group, prefix):
            if isinstance(tensor, Tensor) and not (group == "_buffers" and name in passing):
                yield prefix + name, tensor
            elif tensor is not None and not isinstance(tensor, Tensor):
                raise UserError(f"{shown(prefix + name)} is no tensor, as a pickled network needs it")
    for name, inner in _entries(state, "_modules", prefix):
        if isinstance(inner, Stub):
            yield from _tensors(inner, f"{prefix}{name}.")
        elif inner is not None:
            raise UserError(f"{shown(prefix + name)} is no module, as a pickled network needs it")


def _entries(state: dict[str, Any], group: str, prefix: str) -> list[tuple[str, Any]]:
    found = state.get(group, {})
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise UserError(f"{shown(prefix + group)} is no dictionary, as a pickled network needs it")
    return list(found.items())


def _what(value: Any) -> str:
    return f"an object of {shown(value.module)}.{shown(value.name)}" if isinstance(value, Stub) else "a plain value"
