"""What lies in a .zip: read member by member in memory, never unpacked to disk."""

import io
import os
import re
import stat
import struct
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from mulligan.core.errors import UserError
from mulligan.data.scan import LABELS, extension, is_picture_name, shown
from mulligan.media.decode import BadImage

MAX_RATIO = 200
MAX_MEMBER = 512 << 20
RATIO_FREE = 1 << 20  # up to 1 MiB a high ratio is harmless, and plain pictures reach it honestly
MAX_DIRECTORY = 96 << 20  # bytes of the table of contents, about a million entries
HIDDEN = re.compile(r"(?:^|/)\.(?!\.?(?:/|$))")
UNPACK = "Unpack it with a tool you trust and give the folder."


@dataclass
class ZipListing:
    """The picture members of an archive; a single top folder around everything is taken off the names."""

    path: Path
    title: str = ""
    names: list[str] = field(default_factory=list)
    bad: list[tuple[str, str]] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    stamp: str = ""
    _members: dict[str, zipfile.ZipInfo] = field(default_factory=dict)
    _tables: dict[str, zipfile.ZipInfo] = field(default_factory=dict)
    _top: str = ""

    def __post_init__(self) -> None:
        self.title = str(self.path)
        state = self.path.stat()
        self.stamp = f"{self.path.resolve()} {state.st_size} {state.st_mtime_ns}"
        _check_directory(self.path)
        try:
            self._zip = zipfile.ZipFile(self.path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, MemoryError) as error:
            raise UserError(f"{self.path} cannot be read as a zip: {error}. Fetch or pack it again.") from error
        for info in self._zip.infolist():
            self._note(info)
        _check_total(self.path, sum(info.file_size for info in self._members.values()), state.st_size)
        self._drop_top_folder()
        self.names = sorted(self._members)

    def open(self, name: str) -> BinaryIO:
        return io.BytesIO(self._read(self._members[name]))

    def labels(self) -> bytes | None:
        info = self._tables.get(self._top + LABELS)
        if info is not None and (reason := _objection(info)):
            raise BadImage(reason)
        return None if info is None else self._read(info)

    def _read(self, info: zipfile.ZipInfo) -> bytes:
        try:
            with self._zip.open(info) as file:
                data = file.read(info.file_size + 1)
        except Exception as error:  # zlib.error, BadZipFile, NotImplementedError, EOFError, ...
            raise BadImage(f"damaged in the zip: {error}") from None
        if len(data) != info.file_size:
            raise BadImage(f"damaged in the zip: {len(data)} bytes instead of {info.file_size}")
        return data

    def close(self) -> None:
        """Close the archive."""
        self._zip.close()

    def _note(self, info: zipfile.ZipInfo) -> None:
        name = info.filename
        if name.endswith("/") or name.startswith("__MACOSX/") or HIDDEN.search(name):
            return
        if name.rpartition("/")[2] == LABELS and name.count("/") <= 1:
            self._tables[name] = info
        elif not is_picture_name(name):
            self.ignored[extension(name)] += 1
        elif name in self._members:
            self.bad.append((name, "second member of that name"))
        elif reason := _objection(info):
            self.bad.append((name, reason))
        else:
            self._members[name] = info

    def _drop_top_folder(self) -> None:
        tops = {name.split("/", 1)[0] if "/" in name else "" for name in self._members}
        if LABELS in self._tables:
            return  # which names pictures as they lie beside it
        if len(tops) == 1 and (top := tops.pop()):
            self._top = f"{top}/"
            self._members = {name[len(top) + 1 :]: info for name, info in self._members.items()}


def _objection(info: zipfile.ZipInfo) -> str | None:
    """Why a member is not even read."""
    name, mode = info.filename, info.external_attr >> 16
    if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or name[1:2] == ":":
        return "path leads out of the archive"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "link or special file"
    if info.flag_bits & 0x1:
        return "encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"compression method {info.compress_type}; stored and deflate are read"
    if info.file_size > MAX_MEMBER:
        return f"{info.file_size >> 20} MiB unpacked, more than the limit of {MAX_MEMBER >> 20}"
    if info.file_size > max(RATIO_FREE, MAX_RATIO * info.compress_size):
        return f"unpacks to more than {MAX_RATIO} times its size"
    return None


def _check_total(path: Path, total: int, size: int) -> None:
    if total > max(64 * RATIO_FREE, MAX_RATIO * size):  # members that overlap each pass the test for one
        raise UserError(f"{shown(str(path))} has {size:,} bytes and claims to hold {total:,}: a bomb. {UNPACK}")


def _check_directory(path: Path) -> None:
    """Refuse a giant table of contents before zipfile loads it whole. Sizes are at the very end of the file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - 65_557 - 20))
        tail = file.read()
        end = tail.rfind(b"PK\x05\x06")
        if end < 0 or len(tail) < end + 22:
            return  # zipfile says what is wrong
        (directory,) = struct.unpack_from("<I", tail, end + 12)
        if directory == 0xFFFFFFFF and tail[end - 20 : end - 16] == b"PK\x06\x07":
            (offset,) = struct.unpack_from("<Q", tail, end - 12)
            file.seek(min(offset, size), os.SEEK_SET)
            record = file.read(56)
            directory = struct.unpack_from("<Q", record, 40)[0] if len(record) == 56 else 0
    if directory > MAX_DIRECTORY:
        raise UserError(f"{shown(str(path))} lists too many files (a table of {directory >> 20} MiB). {UNPACK}")
