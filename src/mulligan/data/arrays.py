"""Arrays from .npy and .npz files: pictures of any layout and range, or rows of numbers. Pickles are refused."""

import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

import numpy as np
import torch

from mulligan.core.errors import UserError
from mulligan.data.conditions import Conditions, scaled
from mulligan.data.convert import BLOCK, write_blocks
from mulligan.data.pack import Contents, PackWriter, packed
from mulligan.data.request import Request
from mulligan.data.source import Source, fingerprint_tensors
from mulligan.data.table import MOST_COLUMNS

KEYS = {
    "train": (("x", "images", "train_images", "x_train", "arr_0"), ("y", "labels", "train_labels", "y_train", "arr_1")),
    "test": (("test_images", "x_test"), ("test_labels", "y_test")),
}
MAX_RATIO, RATIO_FREE = 200, 1 << 30  # below 1 GiB an array may be as plain as it likes

T = TypeVar("T")


@dataclass(frozen=True)
class Layout:
    """What the file says before its data are read: names of the arrays (None in a .npy), and shape and type of "x"."""

    images: str | None
    labels: str | None
    shape: tuple[int, ...]
    dtype: np.dtype


def array_source(path: Path, request: Request) -> Source:
    """Pictures -> packed uint8 (N,C,H,W); floats (N,d) -> float32 rows. Raises UserError."""
    layout = _checked(path, lambda: _layout(path, request.split))
    if layout.dtype.hasobject or layout.dtype.kind not in "buif":
        raise UserError(f"{path} holds values of type {layout.dtype}; pictures are numbers: save uint8 or float32. "
                        "Python objects (pickles) are never loaded.")  # fmt: skip
    if 0 in layout.shape or not layout.shape:
        raise UserError(f"{path} holds an empty array of shape {layout.shape}.")
    if len(layout.shape) == 2 and layout.dtype.kind == "f":
        return _rows(path, layout, request)
    axes, how = _axes(path, layout.shape)

    def build(writer: PackWriter) -> Contents:
        images, labels = _checked(path, lambda: _load(path, layout))
        told = _labels(path, labels, len(images))
        images = images[:, None] if images.ndim == 3 else images.transpose(axes)
        scale, offset, remark = _scale(path, images)
        blocks = (_to_uint8(block, scale, offset) for block in _blocks(images))
        write_blocks(writer, blocks, request.size, request.channels)
        notes = (f"{path.name}: read as {how}{remark}.", *([told.note] if told.note else ()))
        y = told.values if told.classes or told.columns else None
        return Contents(y, told.classes, notes, columns=told.columns, scaling=told.scaling)

    return packed(path.stem, {"kind": "array", **request.stamp(path)}, request.cache, build)[0]


def _checked(path: Path, read: Callable[[], T]) -> T:
    """Run `read`; numpy's many complaints about a file become UserError."""
    try:
        return read()
    except (ValueError, TypeError, SyntaxError, OSError, EOFError, KeyError, NotImplementedError, zipfile.BadZipFile,
            zlib.error, MemoryError, OverflowError) as error:  # fmt: skip
        raise UserError(
            f"{path} cannot be read as an array: {error or type(error).__name__}. Save it again with numpy.save or "
            "numpy.savez, as plain numbers: Python objects (pickles) are never loaded."
        ) from error


def _layout(path: Path, split: str) -> Layout:
    if path.suffix.lower() == ".npy":
        if split != "train":
            raise UserError(f"{path} has no {split} split; give the file with the other pictures.")
        with path.open("rb") as file:
            return Layout(None, None, *_header(file))
    with zipfile.ZipFile(path) as archive:
        sizes = {info.filename: (info.file_size, info.compress_size) for info in archive.infolist()}
        names = [name.removesuffix(".npy") for name in sizes]
        image, label = (next((key for key in keys if key in names), None) for keys in KEYS[split])
        if image is None:
            raise UserError(f"{path} has the arrays {', '.join(names) or '(none)'}, none of which is named "
                            f"{' or '.join(KEYS[split][0])}, the names for the {split} pictures.")  # fmt: skip
        for key in (image, label):
            _check_ratio(path, key, *sizes.get(f"{key}.npy", (0, 0)))
        with archive.open(f"{image}.npy") as file:
            return Layout(image, label, *_header(file))


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def _load(path: Path, layout: Layout) -> tuple[np.ndarray, np.ndarray | None]:
    if layout.images is None:
        return np.load(path, mmap_mode="r", allow_pickle=False), None
    with np.load(path, allow_pickle=False) as arrays:
        return arrays[layout.images], None if layout.labels is None else arrays[layout.labels]


def _check_ratio(path: Path, key: str | None, unpacked: int, stored: int) -> None:
    if unpacked > max(RATIO_FREE, MAX_RATIO * stored):
        raise UserError(f"{path}: the array {key} claims {unpacked:,} bytes from {stored:,}: a bomb. Do not use it.")


def _rows(path: Path, layout: Layout, request: Request) -> Source:
    if request.size is not None or request.channels is not None:
        raise UserError(f"{path} holds rows of {layout.shape[1]} numbers; --size and --channels are for pictures.")
    values, labels = _checked(path, lambda: _load(path, layout))
    told = _labels(path, labels, len(values))
    if not np.isfinite(values).all():
        raise UserError(f"{path} holds values that are not finite; remove those rows.")
    tensors = {"x": torch.from_numpy(np.array(values, dtype=np.float32))}
    if told.classes or told.columns:
        tensors["y"] = torch.from_numpy(told.values)
    notes = (told.note,) if told.note else ()
    return Source(path.stem, tensors, told.classes, fingerprint_tensors(tensors), notes, told.columns, told.scaling)


def _axes(path: Path, shape: tuple[int, ...]) -> tuple[tuple[int, ...], str]:
    """The order of axes that makes it (N,C,H,W), and how the shape was understood."""
    if len(shape) == 3:
        return (0, 1, 2), "(N,H,W)"
    if len(shape) == 4:
        first, last = shape[1] in (1, 3, 4), shape[3] in (1, 3, 4)
        if last and not (first and min(shape[2:]) >= min(shape[1:3])):
            return (0, 3, 1, 2), "(N,H,W,C)"
        if first:
            return (0, 1, 2, 3), "(N,C,H,W)"
        if shape[1] < min(shape[2:]):  # more channels than a picture file has, and fewer than pixels of a side
            return (0, 1, 2, 3), f"(N,C,H,W) of {shape[1]} channels"
        if shape[3] < min(shape[1:3]):
            return (0, 3, 1, 2), f"(N,H,W,C) of {shape[3]} channels"
    raise UserError(
        f"{path} has the shape {shape}. Pictures are (N,H,W), (N,H,W,C) or (N,C,H,W) with fewer channels than pixels "
        "of a side; rows of numbers are floating-point (N,d)."
    )


def _blocks(images: np.ndarray) -> Iterator[np.ndarray]:
    return (images[i : i + BLOCK] for i in range(0, len(images), BLOCK))


def _scale(path: Path, images: np.ndarray) -> tuple[float, float, str]:
    """uint8 = round((value + offset) * scale), by the range found; raises UserError where the range is unclear."""
    kind = images.dtype.kind
    if kind == "b":
        return 255.0, 0.0, ", true = white"
    for start, block in zip(range(0, len(images), BLOCK), _blocks(images), strict=True):
        if kind == "f" and not np.isfinite(block).all():
            number = start + int((~np.isfinite(block)).reshape(len(block), -1).any(1).argmax())
            raise UserError(f"{path}: picture {number:,} has values that are not finite (NaN or infinite): remove it.")
    low = min(float(block.min()) for block in _blocks(images))
    high = max(float(block.max()) for block in _blocks(images))
    if kind == "f":
        # ranges seen in practice; -1..1 by convention of networks, 0..1 of plotting libraries
        if low >= 0 and high <= 1:
            return 255.0, 0.0, ", values from 0 to 1"
        if low >= -1 and high <= 1:
            return 127.5, 1.0, ", values from -1 to 1"
    elif low >= 0 and high <= 1:
        return 255.0, 0.0, ", 1 = white"
    elif images.dtype == np.uint16 and high > 255:
        return 1 / 257, 0.0, ", 16 bits"
    if low >= 0 and high <= 255:
        return 1.0, 0.0, ", values from 0 to 255"
    raise UserError(
        f"{path} has values from {low:g} to {high:g}. Pictures have 0 to 255, 0 to 1 or -1 to 1: "
        "rescale and save again."
    )


def _to_uint8(block: np.ndarray, scale: float, offset: float) -> np.ndarray:
    if block.dtype == np.uint8 and scale == 1:
        return block
    return np.rint((block.astype(np.float64) + offset) * scale).astype(np.uint8)


def _labels(path: Path, labels: np.ndarray | None, count: int) -> Conditions:
    """Classes 0..K-1, where values that skip numbers, or text, are numbered in sorted order; or columns c0, c1, … of
    (N,k), or of numbers with a fraction. Without values where there are none that tell anything."""
    if labels is None:
        return Conditions(np.empty(0))
    if len(labels) != count:
        raise UserError(f"{path} holds {count:,} pictures and {len(labels):,} labels; they must be equally many.")
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.ndim == 2 or (labels.ndim == 1 and labels.dtype.kind == "f"):
        if labels.dtype.kind in "buif" and labels.size > 0 and (labels != labels[:1]).any():
            return _columns(path, labels.reshape(count, -1))
    elif labels.ndim == 1 and labels.dtype.kind in "buiUS":
        values, y = np.unique(labels, return_inverse=True)
        if labels.dtype.kind == "S":
            values = np.char.decode(values, "utf-8", "backslashreplace")
        return Conditions(y.astype(np.int64), tuple(str(value) for value in values))
    note = f"Labels of shape {labels.shape} and type {labels.dtype} ignored; integers or varied numbers are needed."
    return Conditions(np.empty(0), note=note)


def _columns(path: Path, labels: np.ndarray) -> Conditions:
    if not np.isfinite(labels).all():
        row, column = (int(i[0]) for i in (~np.isfinite(labels)).nonzero())
        raise UserError(f"{path}: label {column} of picture {row:,} is {labels[row, column]}; numbers are finite.")
    if labels.shape[1] > MOST_COLUMNS:
        raise UserError(f"{path} has {labels.shape[1]:,} labels for each picture, more than {MOST_COLUMNS:,}.")
    return scaled(labels, tuple(f"c{i}" for i in range(labels.shape[1])), path.name)
