"""CIFAR-10 from its binary version: plain .bin, .bin.xz, or the official archive read without unpacking."""

import lzma
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mulligan.core.errors import UserError
from mulligan.data.convert import BLOCK, write_blocks
from mulligan.data.locate import download, find, roots
from mulligan.data.pack import Contents, PackWriter, packed
from mulligan.data.request import Request
from mulligan.data.source import Source

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FOLDERS = (".", "cifar10", "cifar-10-batches-bin", "CIFAR10")
ARCHIVE = "cifar-10-binary.tar.gz"
ADDRESS = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}"
ADDRESS_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
RECORD = 1 + 3 * 32 * 32  # one label byte, then the red, green and blue planes
BATCH = 10_000
PICKLES = ("cifar-10-batches-py", "cifar-10-python.tar.gz")


def cifar10(request: Request) -> Source:
    """CIFAR-10, packed: uint8 (N,3,32,32) or as requested, labels, ten classes; a part of the batches is accepted
    with a note. Raises UserError. Krizhevsky 2009."""
    files = _files(request)
    key = {"kind": "cifar10", "files": [request.stamp(path) for path in files]}

    def build(writer: PackWriter) -> Contents:
        labels = []
        for name, data in _batches(files, request.split):
            records = _records(name, data)
            labels.append(records[:, 0].astype(np.int64))
            pictures = records[:, 1:].reshape(-1, 3, 32, 32)
            blocks = (pictures[i : i + BLOCK] for i in range(0, len(pictures), BLOCK))
            write_blocks(writer, blocks, request.size, request.channels)
        if not labels:
            raise UserError(f"{files[0]} holds no {request.split} batch of CIFAR-10; fetch {ARCHIVE} again.")
        return Contents(np.concatenate(labels), CLASSES, _part(writer.rows, len(labels), request.split))

    return packed("cifar10", key, request.cache, build)[0]


def _part(rows: int, batches: int, split: str) -> tuple[str, ...]:
    whole, of = (BATCH, 1) if split == "test" else (5 * BATCH, 5)
    if rows == whole:
        return ()
    return (f"cifar10: {batches} of {of} {split} batches found, {rows:,} of {whole:,} pictures.",)


def _files(request: Request) -> list[Path]:
    bases = roots(request.root, request.cache)
    places = [base / folder for base in bases for folder in FOLDERS]
    if files := _present(places, request.split):
        return files
    pickles = find(places, PICKLES) or next((p / PICKLES[0] for p in places if (p / PICKLES[0]).is_dir()), None)
    advice = (
        f"{pickles} is the Python version: pickles, which can run code when they are loaded, so they never are. "
        f"Take the binary version instead, {ADDRESS}\n"
        if pickles
        else ""
    )
    download("cifar10", places, bases[-1], _fetch, advice)
    if files := _present(places, request.split):
        return files
    raise UserError(f"The download of cifar10 to {bases[-1]} did not bring {ARCHIVE}; put it there by hand.")


def _fetch(target: Path) -> None:
    # Not torchvision.datasets.CIFAR10, which fetches the pickled version.
    from torchvision.datasets.utils import download_url  # pyright: ignore[reportMissingImports]

    download_url(ADDRESS, str(target), ARCHIVE, ADDRESS_MD5)


def _present(places: list[Path], split: str) -> list[Path]:
    """The batch files of the first folder that has any, or the archive."""
    for place in places:
        if split == "train":
            candidates = (find([place], [f"data_batch_{i}.bin", f"data_batch_{i}.bin.xz"]) for i in range(1, 6))
            found = [path for path in candidates if path]
        else:
            # the whole batch sorts first; a part of it carries a longer name
            found = sorted(p for p in place.glob("test_batch*.bin*") if p.suffix in (".bin", ".xz"))[:1]
        if found:
            return found
        if (place / ARCHIVE).is_file():
            return [place / ARCHIVE]
    return []


def _batches(files: list[Path], split: str) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of each batch of the split; never more than one batch in memory."""
    for path in files:
        try:
            if path.name == ARCHIVE:
                yield from _members(path, split)
            else:
                with lzma.open(path) if path.suffix == ".xz" else path.open("rb") as file:
                    yield str(path), file.read(BATCH * RECORD + 1)
        except (OSError, EOFError, lzma.LZMAError, tarfile.TarError) as error:
            raise UserError(f"{path} cannot be read ({error}); fetch the file again.") from error


def _members(path: Path, split: str) -> Iterator[tuple[str, bytes]]:
    """Batches inside the archive, read in memory: nothing of it is ever unpacked to disk."""
    wanted = ["test_batch.bin"] if split == "test" else [f"data_batch_{i}.bin" for i in range(1, 6)]
    with tarfile.open(path, "r:gz") as archive:
        members = {name: member for member in archive if (name := Path(member.name).name) in wanted and member.isfile()}
        for name in wanted:
            if name in members and (file := archive.extractfile(members[name])):
                yield f"{name} in {path}", file.read(BATCH * RECORD + 1)


def _records(name: str, data: bytes) -> np.ndarray:
    if not data or len(data) % RECORD or len(data) > BATCH * RECORD:
        raise UserError(f"{name} has {len(data)} bytes, not a whole number of {RECORD}-byte CIFAR-10 records up to "
                        f"{BATCH:,}; fetch the file again.")  # fmt: skip
    records = np.frombuffer(data, dtype=np.uint8).reshape(-1, RECORD)
    if records[:, 0].max() > 9:
        raise UserError(f"{name} has a label {records[:, 0].max()}, CIFAR-10 has 0 to 9; is this another data set?")
    return records
