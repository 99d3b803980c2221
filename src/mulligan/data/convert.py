"""Blocks of uint8 pictures to another size or number of channels."""

from collections.abc import Iterable

import numpy as np
from PIL import Image

from mulligan.core.errors import UserError
from mulligan.data.pack import PackWriter
from mulligan.media.image import as_channels, fit

BLOCK = 1024  # rows handled at once


def to_image(row: np.ndarray) -> Image.Image:
    """uint8 (C,H,W) with C = 1, 3 or 4 -> PIL image."""
    return Image.fromarray(row[0] if len(row) == 1 else np.ascontiguousarray(row.transpose(1, 2, 0)))


def to_row(image: Image.Image) -> np.ndarray:
    """PIL image L, RGB or RGBA -> uint8 (C,H,W)."""
    pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def convert(rows: np.ndarray, size: tuple[int, int] | None, channels: int | None) -> np.ndarray:
    """uint8 (n,C,H,W) -> the same pictures in `size` = (H, W) and `channels`; None keeps what they have."""
    same_size = size is None or size == rows.shape[2:]
    if same_size and channels in (None, rows.shape[1]):
        return rows
    return np.stack([_converted(row, None if same_size else size, channels) for row in rows])


def _converted(row: np.ndarray, size: tuple[int, int] | None, channels: int | None) -> np.ndarray:
    if len(row) not in (1, 3, 4):  # no picture that Pillow knows: each channel by itself
        if channels not in (None, len(row)):
            raise UserError(
                f"The pictures have {len(row)} channels, which are no colours: leave --channels {channels} out."
            )
        return row if size is None else np.concatenate([to_row(fit(to_image(one[None]), size)) for one in row])
    if channels not in (None, 1, 3, 4):
        raise UserError(f"The pictures have {len(row)} channels, of which --channels {channels} can't be made.")
    image = as_channels(to_image(row), channels)
    return to_row(image if size is None else fit(image, size))


def write_blocks(
    writer: PackWriter, blocks: Iterable[np.ndarray], size: tuple[int, int] | None, channels: int | None
) -> None:
    """Convert and append block after block."""
    for block in blocks:
        writer.add(convert(block, size, channels))
