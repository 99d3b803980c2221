"""Every kind of picture file: decoded as a viewer shows it, or refused with its reason."""

import io
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mulligan.media.decode import BadImage, decode, fit, probe


def saved(image: Image.Image, kind: str, **options) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, kind, **options)
    file.seek(0)
    return file


def gradient(height: int = 20, width: int = 30) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // (width - 1), y * 255 // (height - 1), (x + y) % 256], -1).astype(np.uint8)


def header_only_png(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return start + struct.pack(">I", 1000) + b"IDAT" + zlib.compress(bytes(10))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_lossless_formats_keep_every_pixel(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    assert np.array_equal(decode(saved(Image.fromarray(gradient()), kind, **options)), gradient())


@pytest.mark.parametrize(
    ("mode", "natural"),
    [("1", "L"), ("L", "L"), ("LA", "RGBA"), ("P", "RGB"), ("RGB", "RGB"), ("RGBA", "RGBA"), ("I;16", "L")],
)
def test_every_mode_gives_what_it_has_and_what_is_asked(mode, natural):
    image = Image.new("I;16", (5, 4), 30_000) if mode == "I;16" else Image.fromarray(gradient(4, 5)).convert(mode)
    file = saved(image, "PNG")
    assert decode(file).mode == natural
    for channels, wanted in ((1, "L"), (3, "RGB"), (4, "RGBA")):
        file.seek(0)
        result = decode(file, channels=channels)
        assert (result.mode, result.size) == (wanted, (5, 4))


def test_sixteen_bit_grey_is_scaled_exactly():
    values = np.array([[0, 128, 129, 257, 32_768, 65_406, 65_407, 65_535]], dtype=np.uint16)
    for kind in ("PNG", "TIFF"):
        pixels = np.asarray(decode(saved(Image.fromarray(values), kind)))
        assert pixels.tolist() == [[0, 0, 1, 1, 128, 254, 255, 255]], kind


def test_sixteen_bit_pgm_is_scaled_exactly():
    file = io.BytesIO(b"P5\n3 1\n65535\n" + np.array([0, 32_768, 65_535], dtype=">u2").tobytes())
    assert np.asarray(decode(file)).tolist() == [[0, 128, 255]]


def test_float_tiff_between_0_and_1_is_scaled_and_others_are_refused():
    good = Image.fromarray(np.array([[0.0, 0.5, 1.0]], dtype=np.float32))
    assert np.asarray(decode(saved(good, "TIFF"))).tolist() == [[0, 128, 255]]
    for bad in ([0.0, 1.5], [-0.1, 1.0], [0.0, np.nan]):
        with pytest.raises(BadImage, match="floating-point values"):
            decode(saved(Image.fromarray(np.array([bad], dtype=np.float32)), "TIFF"))


def test_32_bit_integer_tiff_is_refused():
    with pytest.raises(BadImage, match="32-bit integers"):
        decode(saved(Image.fromarray(np.array([[0, 200]], dtype=np.int32)), "TIFF"))


def test_transparent_pixels_turn_white_and_hidden_colours_never_show():
    pixels = np.array([[[255, 0, 0, 0], [255, 0, 0, 255], [0, 0, 0, 128]]], dtype=np.uint8)
    file = saved(Image.fromarray(pixels), "PNG")
    assert np.asarray(decode(file, channels=3)).tolist() == [[[255, 255, 255], [255, 0, 0], [127, 127, 127]]]
    file.seek(0)
    assert np.asarray(decode(file, channels=4)).tolist() == pixels.tolist()
    file.seek(0)
    assert np.asarray(decode(file, channels=1)).tolist() == [[255, 76, 127]]


def test_palette_with_transparency_is_laid_on_white():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    assert np.asarray(decode(saved(image, "PNG", transparency=0), channels=3)).tolist() == [[[255] * 3, [40, 50, 60]]]


def test_cmyk_jpeg_shows_its_colours():
    red = Image.new("RGB", (16, 16), (230, 20, 30)).convert("CMYK")
    pixels = np.asarray(decode(saved(red, "JPEG", quality=95)), dtype=int)
    assert np.abs(pixels - [230, 20, 30]).max() <= 6


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "PNG"])
def test_exif_orientation_is_applied(kind, orientation):
    shown = np.zeros((16, 24), dtype=np.uint8)
    shown[:8, :8] = 255  # the upper left corner is bright, as seen by a viewer
    stored = np.asarray(Image.fromarray(shown).transpose(UNDO[orientation])) if orientation > 1 else shown
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = saved(Image.fromarray(stored), kind, exif=exif)
    result = np.asarray(decode(file), dtype=int)
    assert result.shape == shown.shape
    assert np.abs(result - shown).max() < 10
    file.seek(0)
    assert probe(file).size == shown.shape


UNDO = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_an_animation_gives_its_first_frame_and_says_so(kind):
    frames = [Image.new("RGB", (6, 6), colour) for colour in ("red", "blue", "lime")]
    options = {"lossless": True} if kind == "WEBP" else {}
    file = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert probe(file).animated
    file.seek(0)
    assert np.asarray(decode(file, channels=3))[3, 3].tolist() == [255, 0, 0]
    assert not probe(saved(frames[0], kind)).animated


def test_content_decides_not_the_extension(tmp_path: Path):
    (tmp_path / "a.jpg").write_bytes(saved(Image.fromarray(gradient()), "PNG").read())
    assert np.array_equal(decode(tmp_path / "a.jpg"), gradient())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_a_file_cut_in_half_is_bad(kind):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    data = saved(Image.fromarray(noise), kind).getvalue()
    with pytest.raises(BadImage):
        decode(io.BytesIO(data[: len(data) // 2]))


def test_a_jpeg_that_lacks_only_its_last_bytes_is_bad():
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    data = saved(Image.fromarray(noise), "JPEG").getvalue()
    for missing in (20, 200):
        with pytest.raises(BadImage, match="truncated"):
            decode(io.BytesIO(data[:-missing]))
    with suppress(BadImage):  # without the end marker every pixel is there; the verdict depends on Pillow's buffer
        assert np.array_equal(decode(io.BytesIO(data[:-2])), decode(io.BytesIO(data)))


def test_a_flipped_bit_in_a_png_is_bad():
    data = bytearray(saved(Image.fromarray(gradient(64, 64)), "PNG").getvalue())
    data[len(data) // 2] ^= 1
    with pytest.raises(BadImage):
        decode(io.BytesIO(bytes(data)))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"this is text, whatever its name says", "not a picture"),
        (b"\x89PNG\r\n\x1a\n" + bytes(12), "not a picture|cannot be"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
        (b"SIMPLE  =                    T" + b" " * 2850, "not a picture"),
    ],
)
def test_what_is_no_picture_is_bad(data, reason):
    for function in (decode, probe):
        with pytest.raises(BadImage, match=reason):
            function(io.BytesIO(data))


def test_a_missing_file_is_bad(tmp_path: Path):
    with pytest.raises(BadImage, match="No such file"):
        decode(tmp_path / "none.png")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_the_pixel_limit_is_checked_in_the_header():
    bomb = saved(Image.new("1", (9400, 9400)), "PNG")
    assert len(bomb.getvalue()) < 20_000
    with pytest.raises(BadImage, match="9400x9400 pixels"):
        decode(bomb)
    for width, height in ((7072, 7072), (14_000, 14_000), (50_001, 1000)):
        with pytest.raises(BadImage, match="limit of 50,000,000"):
            decode(io.BytesIO(header_only_png(width, height)))
    with pytest.raises(BadImage) as within:  # below the limit this file fails only for having no pixels
        decode(io.BytesIO(header_only_png(5000, 10_000)))
    assert "limit" not in str(within.value)


def test_a_gif_of_many_frames_costs_no_more_than_one():
    frame = b"\x21\xf9\x04\x00\x01\x00\x00\x00\x2c" + bytes(4) + b"\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00"
    screen = b"GIF89a\x01\x00\x01\x00\x80\x00\x00" + b"\xff\x00\x00\x00\xff\x00"
    file = io.BytesIO(screen + 100_000 * frame + b"\x3b")
    assert probe(file).animated
    assert file.tell() < 100_000, "walked through the frames"
    file.seek(0)
    assert decode(file, channels=3).getpixel((0, 0)) == (255, 0, 0)


def test_a_large_jpeg_is_decoded_at_a_reduced_scale_but_never_below_twice_the_target():
    file = saved(Image.fromarray(gradient(800, 1200)), "JPEG", quality=95)
    reduced = decode(file, at_least=(64, 64))
    assert 128 <= min(reduced.size) < 800
    file.seek(0)
    difference = np.asarray(fit(reduced, (64, 64)), dtype=int) - np.asarray(fit(decode(file), (64, 64)), dtype=int)
    assert np.abs(difference).mean() < 2


def test_fit_crops_the_centre_and_keeps_proportions():
    wide = np.zeros((10, 30, 3), dtype=np.uint8)
    wide[:, 10:20] = 255
    assert np.asarray(fit(Image.fromarray(wide), (10, 10))).min() == 255
    assert fit(Image.fromarray(wide), (20, 12)).size == (12, 20)


def test_fit_averages_when_it_shrinks():
    stripes = np.zeros((64, 64), dtype=np.uint8)
    stripes[:, ::2] = 255
    inner = np.asarray(fit(Image.fromarray(stripes), (8, 8)), dtype=int)[1:-1, 1:-1]
    assert np.abs(inner - 127.5).max() < 4


def test_fit_does_not_let_hidden_colours_bleed():
    pixels = np.zeros((8, 8, 4), dtype=np.uint8)
    pixels[..., 0] = 255  # transparent pixels hide red
    pixels[:, 4:] = (0, 0, 255, 255)
    small = np.asarray(fit(Image.fromarray(pixels), (4, 4)))
    assert small[small[..., 3] > 30][:, 0].max() == 0


def test_channels_are_checked():
    with pytest.raises(ValueError, match="not 2"):
        decode(io.BytesIO(b""), channels=2)
