"""Moving pictures: frames one after the other -> GIF, animated WebP, MP4 or WebM; never half-written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, features

from mulligan.core.errors import UserError
from mulligan.media.image import over_white, save_gif

CODECS = {".mp4": ("libx264", "libopenh264", "h264_videotoolbox", "mpeg4"), ".webm": ("libvpx-vp9", "libvpx")}
"""Of each container, the best one first: H.264 plays everywhere, and FFmpeg builds differ in who makes it."""
QUALITY = {"libx264": {"crf": "18", "preset": "medium"}, "libvpx-vp9": {"crf": "24", "b": "0"}}
SUFFIXES = (".gif", ".webp", *CODECS)


def check_video(path: str | Path, fps: int) -> Path:
    """The path, where frames can be written to it. Raises UserError for another suffix, a library that isn't there, or
    fewer than 1 or more than 120 frames per second."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"--out {path}: a walk is written as {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
    if not 1 <= fps <= 120:
        raise UserError(f"--fps {fps}: at least 1" if fps < 1 else f"--fps {fps}: at most 120")
    if suffix == ".webp" and not features.check("webp"):
        raise UserError(f"--out {path}: this Pillow writes no WebP; install pillow from PyPI, or name a .gif")
    if suffix in CODECS:
        _codec(path)
    return path


def save_video(frames: Iterable[Image.Image], path: str | Path, fps: int = 12) -> Path:
    """Write equally large frames as the suffix says; GIF and WebP repeat for ever. Gives the path.

    Of MP4 and WebM one frame is held at a time. Their sides are even: an odd one repeats its last row or column. Raises
    UserError as `check_video` does, ValueError for no frames or frames of several sizes, OSError.
    """
    path = check_video(path, fps)
    frames = _alike(frames)
    suffix = path.suffix.lower()
    if suffix == ".gif":
        return save_gif(list(frames), path, fps)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if suffix == ".webp":
            _webp(frames, temporary, fps)
        else:
            _encode(frames, temporary, suffix[1:], _codec(path), fps)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _alike(frames: Iterable[Image.Image]) -> Iterator[Image.Image]:
    """Frames in RGB or grey, all of one size."""
    size = None
    for frame in frames:
        if size not in (None, frame.size):
            raise ValueError(f"frames are of one size, not {size} and {frame.size}")
        size = frame.size
        yield over_white(frame) if frame.mode == "RGBA" else frame
    if size is None:
        raise ValueError("a video needs at least one frame")


def _webp(frames: Iterator[Image.Image], path: Path, fps: int) -> None:
    first, rest = next(frames), (frame.convert("RGB") for frame in frames)
    first.convert("RGB").save(
        path, format="WEBP", save_all=True, append_images=rest, duration=round(1000 / fps), loop=0, quality=90
    )


def _encode(frames: Iterator[Image.Image], path: Path, container: str, codec: str, fps: int) -> None:
    import av

    first = next(frames)
    with av.open(str(path), "w", format=container) as file:
        stream: Any = file.add_stream(codec, rate=Fraction(fps), options=QUALITY.get(codec, {}))
        stream.width, stream.height = (side + side % 2 for side in first.size)
        stream.pix_fmt = "yuv420p"
        for frame in chain([first], frames):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(_even(frame), format="rgb24")))
        file.mux(stream.encode())


def _even(frame: Image.Image) -> np.ndarray:
    pixels = np.asarray(frame.convert("RGB"))
    height, width = pixels.shape[:2]
    return np.ascontiguousarray(np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge"))


def _codec(path: Path) -> str:
    try:
        import av
    except ImportError as error:
        raise UserError(
            f"--out {path}: videos need PyAV, which isn't installed: pip install 'mulligan[video]', or name a .gif or "
            ".webp"
        ) from error
    for name in CODECS[path.suffix.lower()]:
        try:
            av.Codec(name, "w")
        except ValueError:  # the class of unknown codecs is one of these
            continue
        return name
    raise UserError(
        f"--out {path}: this PyAV has none of {', '.join(CODECS[path.suffix.lower()])}: install av from PyPI, or "
        "name a .gif or .webp"
    )
