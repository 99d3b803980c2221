"""MNIST, Fashion-MNIST and KMNIST from their idx files; stacked MNIST composed from MNIST."""

import gzip
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import torch
from torch import Tensor

from mulligan.core.errors import UserError
from mulligan.data.convert import BLOCK, write_blocks
from mulligan.data.locate import download, find, roots
from mulligan.data.pack import Contents, PackWriter, packed
from mulligan.data.request import Request
from mulligan.data.source import Source

DIGITS = tuple("0123456789")
FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
KANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")


@dataclass(frozen=True)
class Idx:
    """One set in idx form: torchvision's class, its class names, folders below a root. The file names are the same
    for all three sets, so only MNIST is looked for directly in the root."""

    torchvision: str
    classes: tuple[str, ...]
    folders: tuple[str, ...]


SETS = {
    "mnist": Idx("MNIST", DIGITS, (".", "mnist", "MNIST/raw", "MNIST")),
    "fashion_mnist": Idx("FashionMNIST", FASHION, ("fashion_mnist", "FashionMNIST/raw", "FashionMNIST")),
    "kmnist": Idx("KMNIST", KANA, ("kmnist", "KMNIST/raw", "KMNIST")),
}


def idx_source(name: str, request: Request) -> Source:
    """One of SETS, packed: uint8 (N,1,28,28) or as requested, labels, ten classes. Raises UserError."""
    images, labels = _files(name, request)
    key = {"kind": "idx", **request.stamp(images), **request.stamp(labels, "labels")}

    def build(writer: PackWriter) -> Contents:
        y = _read_labels(labels)
        with _reading(images) as file:
            count, height, width = _dimensions(file, images, 3)
            if count != len(y):
                raise UserError(f"{images} holds {count} pictures, {labels} {len(y)} labels; fetch both files again.")
            write_blocks(writer, _rows(file, images, count, height, width), request.size, request.channels)
        return Contents(y, SETS[name].classes)

    return packed(name, key, request.cache, build)[0]


def _files(name: str, request: Request) -> tuple[Path, Path]:
    prefix = "t10k" if request.split == "test" else "train"
    wanted = [[f"{prefix}-{part}.gz", f"{prefix}-{part}"] for part in ("images-idx3-ubyte", "labels-idx1-ubyte")]
    bases = roots(request.root, request.cache)
    places = [base / folder for base in bases for folder in SETS[name].folders]
    for attempt in range(2):
        for place in places:
            images, labels = (find([place], names) for names in wanted)
            if images and labels:
                return images, labels
        if attempt == 0:
            download(name, places, bases[-1], lambda target: _fetch(name, target))
    raise UserError(f"The download of {name} to {bases[-1]} did not bring the expected files; put them there by hand.")


def _fetch(name: str, target: Path) -> None:
    import torchvision  # pyright: ignore[reportMissingImports]

    getattr(torchvision.datasets, SETS[name].torchvision)(str(target), train=True, download=True)


@contextmanager
def _reading(path: Path) -> Iterator[BinaryIO]:
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            yield cast(BinaryIO, file)
    except (gzip.BadGzipFile, EOFError, OSError) as error:
        raise UserError(f"{path} cannot be read ({error}); fetch the file again.") from error


def _dimensions(file: BinaryIO, path: Path, count: int) -> list[int]:
    """The header of an idx file of bytes with `count` dimensions."""
    head = file.read(4 + 4 * count)
    if len(head) < 4 + 4 * count or head[:4] != bytes([0, 0, 8, count]):
        raise UserError(f"{path} is not an idx file of bytes in {count} dimensions; fetch the official file again.")
    return [int(n) for n in np.frombuffer(head, dtype=">u4", offset=4)]


def _rows(file: BinaryIO, path: Path, count: int, height: int, width: int) -> Iterator[np.ndarray]:
    for start in range(0, count, BLOCK):
        n = min(BLOCK, count - start)
        data = file.read(n * height * width)
        if len(data) != n * height * width:
            raise UserError(f"{path} ends before its {count} pictures do; fetch the file again.")
        yield np.frombuffer(data, dtype=np.uint8).reshape(n, 1, height, width)


def _read_labels(path: Path) -> np.ndarray:
    with _reading(path) as file:
        (count,) = _dimensions(file, path, 1)
        data = file.read(count)
    labels = np.frombuffer(data, dtype=np.uint8).astype(np.int64)
    if len(labels) != count or (count and labels.max() > 9):
        raise UserError(f"{path} does not hold {count} labels from 0 to 9; fetch the file again.")
    return labels


@dataclass
class Stacked(Source):
    """Three pictures of `digits` (1,H,W) as the colours of one: row i takes picks[i], int64 (n,3), for R, G, B.
    Composed batch by batch, so there is no tensor "x"."""

    digits: Source = field(default_factory=lambda: Source("none"))
    picks: Tensor = field(default_factory=lambda: torch.empty(0, 3, dtype=torch.int64))

    def __len__(self) -> int:
        return len(self.picks)

    @property
    def shape(self) -> tuple[int, ...]:
        return (3, *self.digits.shape[1:])

    def gather(self, indices: Tensor) -> dict[str, Tensor]:
        """As in Source; three digits side by side as channels."""
        picks = self.picks.index_select(0, indices)
        x = self.digits.gather(picks.flatten())["x"].view(len(indices), *self.shape)
        return {"x": x, **{key: tensor.index_select(0, indices) for key, tensor in self.tensors.items()}}


def stacked_mnist(request: Request) -> Source:
    """1,000 modes: three random MNIST digits as R, G, B; 128,000 to train on, 26,000 to test; y = 100 r + 10 g + b.
    Srivastava et al. 2017 (VEEGAN); sizes of Lin et al. 2018 (PacGAN). The draw is fixed."""
    if request.channels not in (None, 3):
        raise UserError(f"stacked_mnist has 3 channels by its definition; --channels {request.channels} does not fit.")
    source = idx_source("mnist", request.with_channels(None))
    count = 26_000 if request.split == "test" else 128_000
    random = torch.Generator().manual_seed(1000)
    picks = torch.randint(len(source), (count, 3), generator=random)
    y = source.tensors["y"][picks] @ torch.tensor([100, 10, 1])
    law = hashlib.sha256(f"stacked 1: {count} of {source.fingerprint}".encode()).hexdigest()
    return Stacked(
        "stacked_mnist", {"y": y}, tuple(f"{i:03d}" for i in range(1000)), law, source.notes,
        digits=source, picks=picks,
    )  # fmt: skip
