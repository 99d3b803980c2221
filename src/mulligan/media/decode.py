"""One picture file -> one 8-bit PIL image, or a stated reason why not.

Pictures come from strangers: the reader looks at content, never at the extension, accepts an allow-list of formats,
checks the number of pixels in the header before decoding, and never fills in what a cut file lacks.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

Image.init()  # loads the format plugins now: Pillow's own loading on first use is not safe under threads
# MPO, the JPEG of many phones, comes with JPEG; a Pillow built without WebP or TIFF lacks them here too.
FORMATS = tuple(kind for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM") if kind in Image.OPEN)
EXTENSIONS = frozenset((
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff",
    ".ppm", ".pgm", ".pbm", ".pnm",
))  # fmt: skip
MAX_PIXELS = 50_000_000
MODES = {1: "L", 3: "RGB", 4: "RGBA"}

_ORIENTATION = 0x0112
_BIG = 25_000_000
_one_big_picture = threading.Lock()


class BadImage(Exception):
    """The file is not a picture we can use. The text is the reason, fit for a report."""


@dataclass(frozen=True)
class Header:
    """What a picture says about itself before it is decoded; size is (height, width) as a viewer shows it."""

    size: tuple[int, int]
    grey: bool
    alpha: bool
    animated: bool


def probe(file: str | Path | BinaryIO) -> Header:
    """Read the header only. Raises BadImage."""
    with _opened(file) as image:
        width, height = image.size
        # Pillow already swaps the sides of a rotated TIFF; asking a PNG would decode it, hence `info` first.
        asks_cheaply = image.format in ("JPEG", "MPO", "WEBP") or "exif" in image.info
        if image.format != "TIFF" and asks_cheaply and image.getexif().get(_ORIENTATION) in (5, 6, 7, 8):
            width, height = height, width
        return Header((height, width), _is_grey(image), image.has_transparency_data, _is_animated(image))


def decode(
    file: str | Path | BinaryIO, *, channels: int | None = None, at_least: tuple[int, int] | None = None
) -> Image.Image:
    """Decode fully to 8 bits a channel with the EXIF rotation applied; an animation gives its first frame.

    channels: 1 -> mode L, 3 -> RGB (transparency laid on white), 4 -> RGBA, None -> what the picture has.
    at_least: (height, width) that the caller will shrink to; lets a large JPEG be decoded at a reduced scale.
    16-bit grey is divided by 257 and rounded; floats must lie in [0, 1] and are multiplied by 255.
    Raises BadImage with the reason.
    """
    if channels not in (None, 1, 3, 4):
        raise ValueError(f"channels is 1, 3, 4 or None, not {channels}")
    with _opened(file) as image:
        if at_least is not None and image.format in ("JPEG", "MPO"):
            side = 2 * max(at_least)  # twice the target leaves the antialiased resize enough to work with
            image.draft(None, (side, side))
        pixels = image.width * image.height
        with _one_big_picture if pixels > _BIG else nullcontext():  # bounds memory under many threads
            image.load()
            source = image.format
            turned = ImageOps.exif_transpose(image)
            return as_channels(_eight_bits(turned, source), channels)


def as_channels(image: Image.Image, channels: int | None) -> Image.Image:
    """Convert an L, RGB or RGBA image to 1, 3 or 4 channels; transparency is laid on white unless 4 are asked for."""
    if channels is None or image.mode == MODES[channels]:
        return image
    if image.mode == "RGBA":
        image = over_white(image)
    return image.convert(MODES[channels])


def over_white(image: Image.Image) -> Image.Image:
    """RGBA -> RGB on a white ground; hidden colours of transparent pixels never show."""
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def fit(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Centre-crop to the aspect ratio of `size` = (height, width), then resize: Lanczos down, bicubic up."""
    height, width = size
    if image.size == (width, height):
        return image
    scale = min(image.width / width, image.height / height)
    crop_w, crop_h = width * scale, height * scale
    left, top = (image.width - crop_w) / 2, (image.height - crop_h) / 2
    box = (left, top, min(left + crop_w, image.width), min(top + crop_h, image.height))
    method = Image.Resampling.LANCZOS if scale > 1 else Image.Resampling.BICUBIC
    return image.resize((width, height), method, box=box)


@contextmanager
def _opened(file: str | Path | BinaryIO) -> Iterator[Image.Image]:
    """The identified picture, within the pixel limit; every failure inside the block becomes BadImage."""
    with _reasons(), open(file, "rb") if isinstance(file, str | Path) else nullcontext(file) as stream:
        if not stream.read(1):
            raise BadImage("empty file")
        stream.seek(0)
        with Image.open(stream, formats=FORMATS) as image:
            _check_pixels(image)
            yield image


@contextmanager
def _reasons() -> Iterator[None]:
    try:
        yield
    except BadImage:
        raise
    except UnidentifiedImageError:
        raise BadImage("not a picture, or not one of JPEG, PNG, WebP, GIF, BMP, TIFF, PPM") from None
    except Image.DecompressionBombError:
        raise BadImage(f"more pixels than the limit of {MAX_PIXELS:,}") from None
    except OSError as error:
        raise BadImage(f"cannot be read: {error.strerror or error}") from None
    except Exception as error:  # decoders raise SyntaxError, struct.error, EOFError, MemoryError, ... on hostile bytes
        raise BadImage(f"cannot be decoded: {type(error).__name__}: {error}") from None


def _check_pixels(image: Image.Image) -> None:
    if image.width < 1 or image.height < 1:
        raise BadImage("has no pixels")
    if image.width * image.height > MAX_PIXELS:
        raise BadImage(f"{image.width}x{image.height} pixels, more than the limit of {MAX_PIXELS:,}")


def _is_grey(image: Image.Image) -> bool:
    return image.mode in ("1", "L", "LA", "La", "I", "F") or image.mode.startswith("I;16")


def _is_animated(image: Image.Image) -> bool:
    # MPO holds a second view of the same photo, TIFF pages are not frames. n_frames would walk a whole GIF.
    return image.format in ("GIF", "PNG", "WEBP") and bool(getattr(image, "is_animated", False))


def _eight_bits(image: Image.Image, source: str | None) -> Image.Image:
    if image.mode.startswith("I;16"):
        return _from_16_bits(np.asarray(image))
    if image.mode == "I":
        return _from_integers(np.asarray(image), source)
    if image.mode == "F":
        return _from_floats(np.asarray(image))
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _from_16_bits(values: np.ndarray) -> Image.Image:
    # convert("RGB") would clip everything above 255 to white
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))


def _from_integers(values: np.ndarray, source: str | None) -> Image.Image:
    low, high = int(values.min()), int(values.max())
    if source not in ("PNG", "PPM") or low < 0 or high > 65535:  # only these two mean "16 bits" by 32-bit integers
        raise BadImage(f"32-bit integers ({low} to {high}) have no agreed range; save it with 8 or 16 bits")
    return _from_16_bits(values)


def _from_floats(values: np.ndarray) -> Image.Image:
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):  # also true for NaN
        raise BadImage(f"floating-point values from {low:g} to {high:g}; only 0 to 1 has a clear meaning")
    return Image.fromarray(np.rint(values * 255).astype(np.uint8))
