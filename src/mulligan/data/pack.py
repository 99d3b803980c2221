"""The cache: decoded pictures in one flat file, written once, then memory-mapped.

Layout of data.pack: pixels | labels, int64 or float32 | JSON facts | 8 bytes length of the JSON | 8 bytes magic. The
tail is written last and the file gets its name last, so a crash leaves no file or a recognisably short one, never a
wrong one.
"""

import hashlib
import json
import mmap
import os
import re
import secrets
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from mulligan.core.errors import UserError
from mulligan.data.mapped import Mapped
from mulligan.data.source import Source, fingerprint

VERSION = 1
MAGIC = b"MULLPK01"
VERIFIED_BYTES = 64 << 20  # up to here the contents are hashed at every start (0.1 s); beyond, the length is checked
STALE_SECONDS = 24 * 3600
CHUNK = 1 << 20
STORED = {"int64": "<i8", "float32": "<f4"}


class Damaged(Exception):
    """The cache file is not what was written; it is built again."""


@dataclass(frozen=True)
class Contents:
    """What the builder of a pack knows besides the pixels. bad of total files were left out."""

    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    bad: int = 0
    total: int = 0
    columns: tuple[str, ...] = ()
    scaling: tuple[tuple[float, float], ...] = ()


Builder = Callable[["PackWriter"], Contents]


def cache_root(cache: str | Path | None = None) -> Path:
    """`cache`, else the environment's MULLIGAN_CACHE, else the user's cache folder. Creates nothing."""
    chosen = cache or os.environ.get("MULLIGAN_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "mulligan"


def packed(name: str, key: Mapping[str, Any], cache: str | Path | None, build: Builder) -> tuple[Source, Contents]:
    """Open the pack for `key`, building it where it is missing or damaged. Raises UserError where no disk holds it."""
    root, notes = cache_root(cache), []
    folder = root / _folder_name(name, key)
    try:
        return _opened(name, folder, notes)
    except FileNotFoundError:
        pass
    except (Damaged, OSError) as error:
        notes.append(f"The cache file {folder / 'data.pack'} was unusable ({error}) and has been built again.")
    folder = _writable(folder, notes)
    _build(folder, build)
    return _opened(name, folder, notes)


def _folder_name(name: str, key: Mapping[str, Any]) -> str:
    text = json.dumps({"version": VERSION, **key}, sort_keys=True)
    return f"{re.sub(r'[^A-Za-z0-9._-]+', '_', name)[:40]}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _writable(folder: Path, notes: list[str]) -> Path:
    """The folder where it can be written, otherwise a fresh temporary one and a note."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f"{secrets.token_hex(8)}.tmp"
        probe.touch()
        probe.unlink()
    except OSError as error:
        temporary = Path(tempfile.mkdtemp(prefix="mulligan-"))
        reason = error.strerror or error
        notes.append(f"The cache folder {folder.parent} cannot be written ({reason}); this run packs into {temporary}"
                     " instead. Choose a lasting place with --cache or MULLIGAN_CACHE.")  # fmt: skip
        return temporary
    return folder


def _build(folder: Path, build: Builder) -> None:
    _drop_stale(folder)
    path = folder / "data.pack"
    temporary = folder / f"{os.getpid()}-{secrets.token_hex(8)}.tmp"  # two builders never share a file
    try:
        with temporary.open("xb") as file:
            writer = PackWriter(file, folder)
            writer.finish(build(writer))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(folder)
    except OSError as error:
        raise _unwritable(folder, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _unwritable(folder: Path, error: OSError) -> UserError:
    return UserError(
        f"Cannot write the packed pictures to {folder}: {error.strerror or error}. "
        "Free some space, or choose another place with --cache or MULLIGAN_CACHE."
    )


def _drop_stale(folder: Path) -> None:
    for path in folder.glob("*.tmp"):
        try:
            if time.time() - path.stat().st_mtime > STALE_SECONDS:
                path.unlink()
        except OSError:
            continue  # another process was quicker


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class PackWriter:
    """Takes rows one after the other; never holds more than what it is given."""

    def __init__(self, file: BinaryIO, folder: Path):
        self.folder = folder
        self.rows = 0
        self._file = file
        self._shape: tuple[int, ...] = ()
        self._hash = hashlib.sha256()

    def reserve(self, size: int) -> None:
        """Refuse early where `size` bytes do not fit on the disk. Raises UserError."""
        free = shutil.disk_usage(self.folder).free
        if size > free:
            raise UserError(
                f"The packed pictures need {size / 1e9:.1f} GB and {self.folder} has {free / 1e9:.1f} GB free. "
                "Free some space, choose another place with --cache, or a smaller --size."
            )

    def add(self, rows: np.ndarray) -> None:
        """Append uint8 rows (n,C,H,W). Raises UserError where the disk is full, ValueError on other rows."""
        if rows.dtype != np.uint8 or rows.ndim != 4 or (self._shape and rows.shape[1:] != self._shape):
            raise ValueError(f"rows of {rows.dtype} {rows.shape} do not continue a pack of uint8 {self._shape}")
        self._shape = rows.shape[1:]
        data = np.ascontiguousarray(rows).data
        self._hash.update(data)
        try:
            self._file.write(data)
        except OSError as error:  # said here: the caller's own handler would blame the file it reads
            raise _unwritable(self.folder, error) from error
        self.rows += len(rows)

    def finish(self, contents: Contents) -> None:
        """Write labels, facts and the tail that makes the file valid."""
        if self.rows == 0:
            raise UserError("The data set holds no picture at all; check that --data names the right file.")
        shape = (self.rows, *self._shape)
        digests = {"x": ("uint8", shape, self._hash.hexdigest())}
        if contents.labels is not None:
            width = (len(contents.columns),) if contents.columns else ()
            kind = "float32" if contents.columns else "int64"
            labels = np.ascontiguousarray(contents.labels, dtype=STORED[kind])
            if labels.shape != (self.rows, *width):
                raise ValueError(f"{labels.shape} labels for {self.rows} rows")
            self._file.write(labels.data)
            digests["y"] = (kind, labels.shape, hashlib.sha256(labels.data).hexdigest())
        facts = {
            "shape": shape, "digests": digests, "classes": contents.classes, "notes": contents.notes,
            "bad": contents.bad, "total": contents.total, "columns": contents.columns, "scaling": contents.scaling,
        }  # fmt: skip
        text = json.dumps(facts).encode()
        self._file.write(text + len(text).to_bytes(8, "little") + MAGIC)


def _opened(name: str, folder: Path, notes: list[str]) -> tuple[Source, Contents]:
    path = folder / "data.pack"
    facts, labels = _facts(path)
    with path.open("rb") as file:
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    count = int(np.prod(facts["shape"], dtype=np.int64))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable.*")  # read-only is what we want: the file is shared
        pixels = torch.from_numpy(np.frombuffer(pages, np.uint8, count).reshape(facts["shape"]))
    tensors: dict[str, Tensor] = {"x": pixels}
    if labels is not None:
        tensors["y"] = torch.from_numpy(labels)
    columns = tuple(facts.get("columns", ()))  # packs from before they were there have none
    scaling = tuple((float(mean), float(deviation)) for mean, deviation in facts.get("scaling", ()))
    contents = Contents(
        labels, tuple(facts["classes"]), tuple(facts["notes"]), facts["bad"], facts["total"], columns, scaling
    )
    digests = {key: (kind, tuple(shape), digest) for key, (kind, shape, digest) in facts["digests"].items()}
    notes = [*notes, *contents.notes]
    return Mapped(
        name, tensors, contents.classes, fingerprint(digests), tuple(notes), columns, scaling, pages=pages
    ), contents


def _facts(path: Path) -> tuple[dict[str, Any], np.ndarray | None]:
    """The JSON facts and the labels, after checking length and, for small files, contents. Raises Damaged, OSError."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - 16))
        tail = file.read(16)
        length = int.from_bytes(tail[:8], "little")
        if size < 16 or tail[8:] != MAGIC or length > size - 16:
            raise Damaged("its end is missing")
        file.seek(size - 16 - length)
        try:
            facts = json.loads(file.read(length))
            digests, pixels = facts["digests"], int(np.prod(facts["shape"], dtype=np.int64))
            kind, labels, _ = digests.get("y", ("int64", (0,), ""))
            stored = np.dtype(STORED[kind])
            labelled = int(np.prod(labels, dtype=np.int64)) * stored.itemsize
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise Damaged("its header is unreadable") from error
        if pixels + labelled + length + 16 != size:
            raise Damaged(f"{size} bytes are not the length it should have")
        if pixels <= VERIFIED_BYTES and _hash(file, 0, pixels) != digests["x"][2]:
            raise Damaged("its pixels changed")
        if "y" not in digests:
            return facts, None
        if _hash(file, pixels, labelled) != digests["y"][2]:
            raise Damaged("its labels changed")
        file.seek(pixels)
        return facts, np.frombuffer(file.read(labelled), dtype=stored).astype(kind).reshape(labels)


def _hash(file: BinaryIO, start: int, length: int) -> str:
    # by read, not through the map: mapped pages would count as this process's memory
    file.seek(start)
    digest = hashlib.sha256()
    while length > 0 and (block := file.read(min(CHUNK, length))):
        digest.update(block)
        length -= len(block)
    return digest.hexdigest()
