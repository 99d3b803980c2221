"""Pictures: tensors in [-1, 1] -> 8 bits, sample sheets, PNG and GIF files; reading is in decode.py."""

import math
import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mulligan.media.decode import BadImage, as_channels, decode, fit, over_white, probe

__all__ = [
    "BadImage", "Images", "as_channels", "decode", "fit", "grid", "over_white", "probe", "save_gif", "save_png",
    "to_pil", "to_uint8",
]  # fmt: skip

COLOURS = (1, 3, 4)  # channels: grey, RGB, RGBA
READABLE = 48  # pixels a side that a picture on a sheet is enlarged to


def to_uint8(x: Tensor) -> Tensor:
    """Floats in [-1, 1] -> uint8 in 0..255, rounded and clamped; NaN becomes mid-grey. uint8 passes through."""
    if x.dtype == torch.uint8:
        return x
    # a byte can't be NaN and the cast is undefined; training itself stops on NaN long before a picture is drawn
    return x.detach().float().nan_to_num(0.0).clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)


def to_pil(x: Tensor) -> Image.Image:
    """One picture (C,H,W) in [-1, 1] or uint8, C = 1, 3 or 4 -> PIL image L, RGB or RGBA; of any other number of
    channels, all of them side by side in grey. Raises ValueError."""
    if x.dim() != 3 or 0 in x.shape:
        raise ValueError(f"a picture has the shape (C,H,W), not {tuple(x.shape)}")
    x = x if x.shape[0] in COLOURS else torch.cat(list(x), 1)[None]
    pixels = to_uint8(x).cpu().permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(pixels[..., 0] if x.shape[0] == 1 else pixels)


def grid(x: Tensor, columns: int | None = None, pad: int = 2, scale: int | None = None) -> Image.Image:
    """Lay pictures (N,C,H,W) in [-1, 1] out on one white sheet, row by row; RGBA is shown over white.

    columns: default is about as many as rows. pad: pixels around each picture. scale: whole-number enlargement by
    nearest neighbour; by default small pictures are brought to about 48 pixels. Channels that are no colours stand
    side by side. Raises ValueError on other shapes.
    """
    if x.dim() != 4 or len(x) == 0:
        raise ValueError(f"a sheet needs pictures of shape (N,C,H,W) with N > 0, not {tuple(x.shape)}")
    height, width = x.shape[-2:]
    scale, shown = scale or readable_scale(height, width), x.shape[1] in COLOURS
    width = width if shown else width * x.shape[1]
    columns = min(columns or math.ceil(math.sqrt(len(x))), len(x))
    rows = math.ceil(len(x) / columns)
    step_x, step_y = width * scale + pad, height * scale + pad
    mode = "L" if x.shape[1] == 1 or not shown else "RGB"
    sheet = Image.new(mode, (columns * step_x + pad, rows * step_y + pad), "white")
    for i, item in enumerate(to_uint8(x).cpu()):
        picture = enlarged(to_pil(item), scale)
        if picture.mode == "RGBA":
            picture = over_white(picture)
        sheet.paste(picture, (pad + i % columns * step_x, pad + i // columns * step_y))
    return sheet


def readable_scale(height: int, width: int) -> int:
    """The whole-number enlargement that brings the longer side nearest to 48 pixels, at least 1."""
    return max(1, round(READABLE / max(height, width)))


def enlarged(image: Image.Image, scale: int) -> Image.Image:
    """Every pixel as a block of scale x scale pixels."""
    if scale == 1:
        return image
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)


def save_png(image: Image.Image, path: Path) -> Path:
    """Write a PNG so that the path never holds a half-written file; makes the folder. Raises OSError."""
    temporary = _beside(path)
    try:
        image.save(temporary, format="PNG")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def save_npy(x: Tensor, path: Path) -> Path:
    """Write an array, likewise never half-written. Raises OSError."""
    temporary = _beside(path)
    try:
        with temporary.open("wb") as file:
            np.save(file, x.numpy())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def save_gif(frames: list[Image.Image], path: Path, fps: int = 12) -> Path:
    """Write an endless GIF of equally large frames, likewise never half-written. Raises ValueError, OSError."""
    if not frames or len({frame.size for frame in frames}) != 1:
        raise ValueError("a GIF needs at least one frame, and all of one size")
    pictures = [_gif_frame(frame) for frame in frames]
    temporary = _beside(path)
    try:
        pictures[0].save(
            temporary, format="GIF", save_all=True, append_images=pictures[1:], duration=round(1000 / fps), loop=0
        )
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _gif_frame(frame: Image.Image) -> Image.Image:
    if frame.mode == "L":
        return frame
    plain = over_white(frame) if frame.mode == "RGBA" else frame.convert("RGB")
    return plain.quantize(256)


def _beside(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


class Images:
    """Pictures (N,C,H,W) in [-1, 1] -> files that a person can look at; beyond 1, 3 or 4, channels side by side."""

    name = "images"

    def sheet(self, x: Tensor, path: Path) -> Path:
        """All samples on one PNG."""
        return save_png(grid(x), Path(path))

    def files(self, x: Tensor, folder: Path, start: int = 0) -> list[Path]:
        """One PNG per sample in its own size: 000000.png, 000001.png, ... counted from `start`.

        With 2 channels or more than 4, 8 bits (C,H,W) as 000000.npy, ... as well.
        """
        if x.shape[1] not in COLOURS:
            for i, item in enumerate(x):
                save_npy(to_uint8(item).cpu(), Path(folder) / f"{start + i:06d}.npy")
        return [save_png(to_pil(item), Path(folder) / f"{start + i:06d}.png") for i, item in enumerate(x)]

    def frames(self, x: Tensor, path: Path, fps: int = 12) -> Path:
        """A GIF: one frame per picture of (T,C,H,W), or one sheet per time step of (T,N,C,H,W)."""
        steps = x if x.dim() == 5 else x.unsqueeze(1)
        return save_gif([grid(step, pad=2 if x.dim() == 5 else 0) for step in steps], Path(path), fps)
