"""Tensors to sheets, PNG and GIF files."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mulligan.media import Images, Points, for_shape
from mulligan.media.image import grid, save_gif, save_png, to_pil, to_uint8


def test_to_uint8_is_the_inverse_of_the_usual_scaling():
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(every.float() / 127.5 - 1), every)
    assert to_uint8(every) is every


def test_to_uint8_rounds_and_clamps():
    x = torch.tensor([-9.0, -1.0, -1 + 1.1 / 255, 0.999, 1.0, 9.0, float("nan"), float("inf")])
    assert to_uint8(x).tolist() == [0, 0, 1, 255, 255, 255, 128, 255]
    assert to_uint8(torch.tensor([1.0], dtype=torch.bfloat16, requires_grad=True)).tolist() == [255]


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGB")])
def test_grid_places_pictures_row_by_row(channels, mode):
    x = torch.linspace(-1, 1, 6).view(6, 1, 1, 1).expand(6, channels, 4, 5).clone()
    if channels == 4:
        x[:, 3] = 1.0
    sheet = grid(x, columns=3, pad=1, scale=2)
    assert (sheet.mode, sheet.size) == (mode, (3 * 11 + 1, 2 * 9 + 1))
    pixels = np.asarray(sheet if mode == "L" else sheet.convert("L"))
    for i, expected in enumerate([0, 51, 102, 153, 204, 255]):
        left, top = 1 + i % 3 * 11, 1 + i // 3 * 9
        assert (pixels[top : top + 8, left : left + 10] == expected).all()
    assert (pixels[0] == 255).all(), "the ground is white"


def test_grid_shows_transparency_as_white():
    x = torch.full((1, 4, 3, 3), -1.0)
    assert np.asarray(grid(x, pad=0, scale=1)).min() == 255


@pytest.mark.parametrize(("side", "shown"), [(8, 48), (28, 56), (32, 64), (64, 64), (300, 300)])
def test_small_pictures_are_enlarged_to_a_readable_size(side, shown):
    assert grid(torch.zeros(1, 1, side, side), pad=0).size == (shown, shown)


def test_grid_is_about_square_and_refuses_nothing_and_nonsense():
    assert grid(torch.zeros(64, 1, 48, 48), pad=0).size == (8 * 48, 8 * 48)
    with pytest.raises(ValueError, match="N > 0"):
        grid(torch.zeros(0, 1, 8, 8))
    with pytest.raises(ValueError, match=r"\(C,H,W\)"):
        to_pil(torch.zeros(8, 8))


@pytest.mark.parametrize("channels", [2, 5])
def test_channels_that_are_no_colours_stand_side_by_side(channels: int, tmp_path: Path):
    x = torch.linspace(-1, 1, channels).view(1, channels, 1, 1).expand(3, channels, 4, 6).contiguous()
    picture = to_pil(x[0])
    assert (picture.mode, picture.size) == ("L", (channels * 6, 4))
    assert [picture.getpixel((6 * i, 0)) for i in range(channels)] == to_uint8(x[0, :, 0, 0]).tolist()
    assert grid(x, columns=3, pad=1, scale=2).size == (3 * (channels * 12 + 1) + 1, 10)
    paths = Images().files(x, tmp_path, start=7)
    assert [path.name for path in paths] == ["000007.png", "000008.png", "000009.png"]
    assert np.array_equal(np.load(tmp_path / "000009.npy"), to_uint8(x[2]).numpy())


def test_png_keeps_every_pixel_and_the_transparency(tmp_path: Path):
    x = torch.randint(0, 256, (4, 7, 9), dtype=torch.uint8)
    path = save_png(to_pil(x), tmp_path / "new" / "a.png")
    assert torch.equal(torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1), x)


def test_a_failed_save_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch):
    path = save_png(Image.new("L", (3, 3), 7), tmp_path / "a.png")

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="disk full"):
        save_png(Image.new("L", (3, 3), 9), path)
    assert Image.open(path).getpixel((0, 0)) == 7
    assert os.listdir(tmp_path) == ["a.png"]


def test_gif_has_all_frames_in_order(tmp_path: Path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    with Image.open(save_gif(frames, tmp_path / "a.gif", fps=10)) as gif:
        assert (gif.n_frames, gif.info["loop"], gif.info["duration"]) == (3, 0, 100)
        seen = []
        for i in range(3):
            gif.seek(i)
            seen.append(gif.convert("RGB").getpixel((4, 4)))
    assert seen == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    with pytest.raises(ValueError, match="all of one size"):
        save_gif([*frames, Image.new("RGB", (9, 9))], tmp_path / "b.gif")


def test_images_writes_sheets_files_and_frames(tmp_path: Path):
    x = torch.rand(5, 3, 8, 8) * 2 - 1
    media = for_shape((3, 8, 8))
    assert isinstance(media, Images)
    assert media.name == "images"
    assert Image.open(media.sheet(x, tmp_path / "sheet.png")).size == (3 * 50 + 2, 2 * 50 + 2)
    paths = media.files(x, tmp_path / "out", start=10)
    assert [path.name for path in paths] == [f"0000{i}.png" for i in range(10, 15)]
    assert np.array_equal(np.asarray(Image.open(paths[2])), to_uint8(x[2]).permute(1, 2, 0).numpy())
    assert Image.open(media.frames(x, tmp_path / "a.gif")).size == (48, 48)
    steps = torch.stack([x[:4], -x[:4]])
    with Image.open(media.frames(steps, tmp_path / "b.gif")) as gif:
        assert (gif.size, gif.n_frames) == ((102, 102), 2)


def test_points_are_drawn_over_their_reference(tmp_path: Path):
    reference = torch.tensor([[0.0, 0.0], [4.0, 4.0]])
    media = for_shape((2,), reference)
    assert isinstance(media, Points)
    at_second = np.asarray(Image.open(media.sheet(torch.full((50, 2), 4.0), tmp_path / "a.png")), dtype=int)
    red = (at_second[..., 0] > 180) & (at_second[..., 1] < 90)
    grey = (abs(at_second[..., 0] - 209) < 6) & (abs(at_second[..., 2] - 209) < 6)
    height, width = red.shape
    assert red[:, width // 2 :].any()
    assert not red[:, : width // 2].any(), "nothing was generated at the first point"
    assert grey[height // 2 :, : width // 2].sum() > 20, "the missed mode stays visible"


def test_points_write_csv_and_frames(tmp_path: Path):
    x = torch.randn(6, 3)
    (path,) = Points().files(x, tmp_path / "out", start=3)
    assert path.name == "000003.csv"
    assert np.allclose(np.loadtxt(path, delimiter=","), x.numpy())
    with Image.open(Points(x).frames(torch.randn(2, 10, 2), tmp_path / "a.gif")) as gif:
        assert gif.n_frames == 2
    for odd in (torch.randn(4, 1), torch.full((4, 2), float("nan"))):
        assert Points().sheet(odd, tmp_path / "odd.png").is_file()


def test_other_shapes_have_no_medium():
    with pytest.raises(ValueError, match="no medium"):
        for_shape((3, 8))
