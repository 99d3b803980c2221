"""What lies in a folder: picture files, in a fixed order, without opening one."""

import hashlib
import os
import posixpath
import stat
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from mulligan.core.errors import UserError
from mulligan.media.decode import EXTENSIONS

LABELS = "labels.csv"
"""A table that lies beside the pictures."""


class Listing(Protocol):
    """Picture files of one place. names: relative, with "/", sorted. bad: (name, reason) of what can be ruled out
    unopened. ignored: how many other files, by extension. stamp: changes when a file is added, changed or removed."""

    title: str
    names: list[str]
    bad: list[tuple[str, str]]
    ignored: Counter[str]
    stamp: str

    def open(self, name: str) -> BinaryIO:
        """The bytes of one file. Raises OSError or BadImage."""
        ...

    def labels(self) -> bytes | None:
        """What the file LABELS beside the pictures holds. Raises OSError or BadImage."""
        ...


def shown(name: str) -> str:
    """A file name fit for a terminal: control characters and undecodable bytes are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in name)


def is_picture_name(name: str) -> bool:
    """Whether the extension is one of a picture."""
    return _suffix(name) in EXTENSIONS


def extension(name: str) -> str:
    """The extension as listed among the ignored files."""
    return _suffix(name) or "no extension"


def _suffix(name: str) -> str:
    return posixpath.splitext(name)[1].lower()  # a tenth of the time of Path.suffix, which counts for a million names


@dataclass
class FolderListing:
    """A folder and its subfolders. Links are followed, each folder is entered once; hidden names, pipes and devices
    are passed over."""

    root: Path
    title: str = ""
    names: list[str] = field(default_factory=list)
    bad: list[tuple[str, str]] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    stamp: str = ""
    _states: dict[str, tuple[int, int]] = field(default_factory=dict)
    _entered: set[tuple[int, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.title = str(self.root)
        waiting = [""]
        while waiting:  # no recursion: folders can be nested deeper than Python's stack
            waiting.extend(reversed(self._scan(waiting.pop())))
        self.names.sort()
        digest = hashlib.sha256(str(self.root.resolve()).encode("utf-8", "surrogateescape"))
        for name in self.names:
            size, time = self._states[name]
            digest.update(f"\n{name}\0{size}\0{time}".encode("utf-8", "surrogateescape"))
        for name, reason in sorted(self.bad):
            digest.update(f"\n{name}\0{reason}".encode("utf-8", "surrogateescape"))
        self.stamp = digest.hexdigest()
        self._states.clear()

    def open(self, name: str) -> BinaryIO:
        return (self.root / name).open("rb")

    def labels(self) -> bytes | None:
        path = self.root / LABELS
        return path.read_bytes() if path.is_file() else None

    def _scan(self, folder: str) -> list[str]:
        """Note the files of one folder; returns its subfolders."""
        try:
            state = os.stat(self.root / folder)
            if (state.st_dev, state.st_ino) in self._entered:
                return []
            self._entered.add((state.st_dev, state.st_ino))
            with os.scandir(self.root / folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            if not folder:
                raise UserError(f"The folder {self.root} cannot be read: {error.strerror or error}.") from error
            self.bad.append((f"{folder}/", f"folder cannot be read: {error.strerror or error}"))
            return []
        return [name for entry in entries if (name := self._note(folder, entry))]

    def _note(self, folder: str, entry: "os.DirEntry[str]") -> str | None:
        if entry.name.startswith("."):
            return None
        name = f"{folder}/{entry.name}" if folder else entry.name
        try:
            state = entry.stat()
        except OSError as error:
            if is_picture_name(name):
                self.bad.append((name, f"cannot be read: {error.strerror or error}"))
            return None
        if stat.S_ISDIR(state.st_mode):
            return name
        if not stat.S_ISREG(state.st_mode):
            self.ignored["pipe or device"] += 1
        elif is_picture_name(name):
            self.names.append(name)
            self._states[name] = (state.st_size, state.st_mtime_ns)
        elif name != LABELS:
            self.ignored[extension(name)] += 1
        return None
