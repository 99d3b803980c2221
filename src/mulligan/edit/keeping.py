"""Where many samples are kept: a folder of files, or a zip, and what tells whose they are."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from ..core.blocks import BLOCK, blocks_of
from ..core.checkpoints import write_whole
from ..core.errors import UserError
from ..media.image import COLOURS, to_pil, to_uint8
from .wish import FORMAT, Wish, size_of

NOTE, LABELS = "samples.json", "labels.csv"
Files = list[tuple[str, bytes]]
Keep = Callable[[int, Files], None]


def encoded(x: Tensor) -> Files:
    """The files of one sample (C, H, W) in [-1, 1], by suffix: a PNG; with channels that are no colours a .npy, too."""
    buffer = io.BytesIO()
    to_pil(x).save(buffer, format="PNG")
    files = [(".png", buffer.getvalue())]
    if x.shape[0] not in COLOURS:
        array = io.BytesIO()
        np.save(array, to_uint8(x).numpy())
        files.append((".npy", array.getvalue()))
    return files


@dataclass(frozen=True)
class Keeping:
    """A folder of one file per sample; or a zip, whose blocks lie as zips in a folder beside it until it is whole."""

    out: Path
    wish: Wish
    count: int

    @property
    def zipped(self) -> bool:
        return self.out.suffix.lower() == ".zip"

    @property
    def folder(self) -> Path:
        return self.out.with_name(f".{self.out.name}.parts") if self.zipped else self.out

    def prepare(self) -> None:
        """Make the folder and note whose it is. Raises UserError where it is of something else, OSError."""
        if self.out.suffix and not self.zipped and not self.out.is_dir():
            raise UserError(f"--out {self.out}: name a folder, or a .zip")
        if self.zipped and self.out.exists():
            raise UserError(f"--out {self.out} is there already: name another one, or delete it")
        if self.folder.exists() and not self.folder.is_dir():
            raise UserError(f"--out {self.folder} is a file: name a folder, or a .zip")
        self._check(list(self.folder.iterdir()) if self.folder.is_dir() else [])
        self.folder.mkdir(parents=True, exist_ok=True)
        for left in self.folder.glob(".*.tmp"):
            left.unlink(missing_ok=True)  # by a process that was killed
        write_whole(self.folder / NOTE, json.dumps({"format": FORMAT, **asdict(self.wish)}, indent=2) + "\n")

    def _check(self, there: list[Path]) -> None:
        if not there or {path.name for path in there} <= {f"{NOTE}.tmp"}:
            return
        try:
            noted = json.loads((self.folder / NOTE).read_text(encoding="utf-8"))
            had = int(noted["count"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{self.folder} is a folder of other things (it has no {NOTE} of samples): name a new one with --out"
            ) from error
        if differences := self.wish.differences(noted):
            raise UserError(
                f"{self.folder} holds other samples ({'; '.join(differences)}): take the same settings to go on, or "
                "another --out"
            )
        if had > self.count:
            raise UserError(
                f"{self.folder} is a folder of {had:,} samples, and --count is {self.count:,}: ask for as many or "
                "more, or name another --out"
            )

    def has(self, number: int, n: int) -> bool:
        """Whether all samples of a block are there."""
        if self.zipped:
            return self._part(number, n).is_file()
        return all((self.folder / f"{number * BLOCK + i:06d}.png").is_file() for i in range(n))

    @contextlib.contextmanager
    def block(self, number: int, n: int) -> Iterator[Keep]:
        """How to keep the n samples of a block, each of which is there whole or not at all."""
        if not self.zipped:
            yield self._file
            return
        temporary = self.folder / f".{number}.{os.getpid()}.tmp"
        try:
            with zipfile.ZipFile(temporary, "w") as part:

                def keep(place: int, files: Files) -> None:
                    for suffix, content in files:
                        part.writestr(_entry(f"{place:06d}{suffix}"), content)

                yield keep
            os.replace(temporary, self._part(number, n))
        finally:
            temporary.unlink(missing_ok=True)

    def _file(self, place: int, files: Files) -> None:
        for suffix, content in reversed(files):  # the PNG, which tells that the sample is there, comes last
            path = self.folder / f"{place:06d}{suffix}"
            temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            try:
                temporary.write_bytes(content)
                os.replace(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)

    def _part(self, number: int, n: int) -> Path:
        """The zip of a block; the last block is another one where more samples are asked for."""
        return self.folder / f"{number:06d}-{n}.zip"

    def finish(self, labels: Iterator[list[str]]) -> None:
        """Write labels.csv, where there are any, and join the zip. Raises OSError."""
        table = self._table(labels)
        if not self.zipped:
            if table:
                write_whole(self.folder / LABELS, table)
            return
        temporary = self.out.with_name(f".{self.out.name}.{os.getpid()}.tmp")
        try:
            with zipfile.ZipFile(temporary, "w") as whole:
                for number in range(blocks_of(self.count)):
                    with zipfile.ZipFile(self._part(number, size_of(number, self.count))) as part:
                        for name in part.namelist():
                            whole.writestr(_entry(name), part.read(name))
                if table:
                    whole.writestr(_entry(LABELS), table)
            os.replace(temporary, self.out)
        finally:
            temporary.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _table(self, labels: Iterator[list[str]]) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for i, row in enumerate(labels):
            writer.writerow(["file" if i == 0 else f"{i - 1:06d}.png", *row])
        return text.getvalue()


def _entry(name: str) -> zipfile.ZipInfo:
    """Stored as it is, a PNG is compressed already; with one date for all, so that equal samples are equal files."""
    return zipfile.ZipInfo(name)
