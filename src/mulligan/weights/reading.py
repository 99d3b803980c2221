"""A file of weights as named tensors: safetensors, or what torch saves. Nothing in a file is ever executed."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mulligan.core.checkpoints import file_digest, read_state
from mulligan.core.errors import UserError

from .guarded import read_pickle
from .pickled_values import Stub

NUMBERS = {
    torch.float32, torch.float16, torch.bfloat16, torch.float64,
    torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool,
}  # fmt: skip
ARCHIVE, PICKLE = b"PK", b"\x80"
SHARED = 4  # tensors may share their numbers, but so often at most


@dataclass(frozen=True)
class Weights:
    """What a file holds. `header` is the text that Mulligan writes into its own, else empty.

    `tree` is all of it, where it is a pickle of more than tensors: modules are stubs that `guarded.collect` reads.
    """

    path: Path
    size: int
    sha256: str
    tensors: dict[str, Tensor]
    header: str = ""
    tree: Any = None


def read(path: Path) -> Weights:
    """Every tensor of a file by its dotted name, finite and on the CPU.

    Raises UserError for what isn't there, is damaged, would run code, holds no tensors, claims more than it holds, or
    holds numbers that are not finite.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder: name the file of the weights in it")
    if not path.is_file():
        raise UserError(f"{path} isn't there: name a file of weights")
    try:
        size, sha256 = path.stat().st_size, file_digest(path)
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise UserError(f"{path} can't be read ({error.strerror or error})") from error
    content, header = _safetensors(path) if _is_safetensors(head) else (_torch(path, size, head), "")
    tensors = dict(named(content))
    if not tensors and not has_modules(content):
        raise UserError(f"{path} holds no tensors: name a file of a network's weights")
    check(path, size, tensors)
    return Weights(path, size, sha256, tensors, header, content)


def has_modules(content: Any) -> bool:
    """Whether there are pickled modules at the top of a file."""
    values = content.values() if isinstance(content, dict) else content if isinstance(content, list) else [content]
    return any(isinstance(value, Stub) for value in values)


def named(content: Any) -> Iterator[tuple[str, Tensor]]:
    """Tensors of nested dictionaries with dotted names; whatever else lies there is passed over."""
    todo, seen = [("", content)], set[int]()
    while todo:
        prefix, value = todo.pop()
        if isinstance(value, Tensor):
            yield prefix[:-1], value
        elif isinstance(value, dict) and id(value) not in seen:  # a pickle may hold itself
            seen.add(id(value))
            todo += [(f"{prefix}{name}.", inside) for name, inside in reversed(value.items())]


def _is_safetensors(head: bytes) -> bool:
    """By its first bytes: the length of the header in eight, then JSON."""
    return head[8:] == b"{" and not head.startswith(ARCHIVE)


def _safetensors(path: Path) -> tuple[dict[str, Tensor], str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            names, facts = list(file.keys()), file.metadata() or {}
            return {name: file.get_tensor(name) for name in names}, facts.get("mulligan", "")
    except (SafetensorError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from error


def _torch(path: Path, size: int, head: bytes) -> Any:
    if head.startswith(PICKLE):
        return read_pickle(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's hints for those who write the loader
            if not head.startswith(ARCHIVE):
                return torch.load(path, map_location="cpu", weights_only=True)
            with zipfile.ZipFile(path) as archive:
                if sum(part.file_size for part in archive.infolist()) > size:
                    raise ValueError("its table of contents claims more than the file holds")
            return read_state(path, ())
    except Exception as error:  # every reader fails with a class of its own
        wanted = re.search(r"GLOBAL ([\w.]+)", str(error))
        if wanted:
            return read_pickle(path)  # which knows more names, and runs none of them
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> UserError:
    # of torch's text only what is wrong: it goes on to advise weights_only=False
    told = type(error).__name__ not in ("KeyError", "UnpicklingError")
    why = str(error).split("\n")[0].split(". ")[0][:120] if told else ""
    return UserError(
        f"{path} is damaged, or no file of weights{f' ({why})' if why else ''}: it must be what torch.save or "
        "safetensors wrote, tensors alone (no code in a file is ever executed). Fetch it again, and compare its SHA-256"
    )


def check(path: Path, size: int, tensors: dict[str, Tensor]) -> None:
    """Raises UserError for tensors that are no plain and finite numbers, or claim more than the file holds."""
    for name, tensor in tensors.items():
        if not _plain(tensor):
            raise UserError(f"{path}: {shown(name)} is no plain tensor of numbers ({tensor.dtype}): save it as float32")
    claimed = sum(t.numel() * t.element_size() for t in tensors.values())
    if claimed > SHARED * size:
        raise UserError(f"{path} claims {claimed:,} bytes of tensors in a file of {size:,}: it is not to be trusted")
    for name, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise UserError(f"{path}: {shown(name)} has numbers that are not finite: the weights are of no use")


def _plain(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and tensor.device.type == "cpu" and tensor.dtype in NUMBERS


def shown(name: str) -> str:
    """A name from a file, fit for a terminal."""
    return (name if name.isprintable() else ascii(name))[:60]


def shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "one number"
