"""Folders of pictures: labels, sizes, channels, bad files, strange things in the tree, the small print for the user."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mulligan.core.errors import UserError
from mulligan.data import folder as folder_module
from mulligan.data import open_source
from mulligan.data.scan import FolderListing


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def picture(path: Path, shade: int = 100, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = size
    Image.new("RGB", (width, height), (shade, shade // 2, 255 - shade)).convert(mode).save(path)
    return path


def shades(source) -> list[int]:
    return source.tensors["x"][:, 0, 0, 0].tolist()


def note(source, words: str) -> str:
    found = [line for line in source.notes if words in line]
    assert found, f"no note says {words!r}: {source.notes}"
    return found[0]


def test_pictures_come_in_the_order_of_their_names(tmp_path):
    folder = tmp_path / "photos"
    for name, shade in (("b.png", 20), ("a.png", 10), ("sub/c.png", 30)):
        picture(folder / name, shade)
    source = open_source(folder)
    assert (source.name, source.shape, source.classes) == ("photos", (3, 8, 8), ())
    assert shades(source) == [10, 20, 30]
    assert source[1]["x"][:, 4, 4].tolist() == [20, 10, 235]
    assert "y" not in source.tensors
    note(source, "Only 3 pictures")


def test_class_folders_become_labels(tmp_path):
    folder = tmp_path / "pets"
    for name, shade in (("dog/a.png", 1), ("cat/b.png", 2), ("cat/deep/c.png", 3), ("ape/d.png", 4)):
        picture(folder / name, shade)
    source = open_source(folder)
    assert source.classes == ("ape", "cat", "dog")
    assert source.tensors["y"].tolist() == [0, 1, 1, 2]
    assert source.tensors["y"].dtype == torch.int64
    assert shades(source) == [4, 2, 3, 1]
    picture(folder / "loose.png")
    assert open_source(folder).classes == ()


def test_one_subfolder_is_no_class(tmp_path):
    picture(tmp_path / "d/only/a.png")
    assert open_source(tmp_path / "d").classes == ()


def test_labels_stay_with_their_pictures_when_bad_files_go(tmp_path):
    folder = tmp_path / "pets"
    for i in range(5):
        picture(folder / f"cat/{i}.png", i)
        picture(folder / f"dog/{i}.png", 100 + i)
    (folder / "cat/2.png").write_bytes(b"")
    (folder / "dog/0.png").write_bytes(b"no")
    source = open_source(folder, max_bad=0.2)
    assert source.tensors["y"].tolist() == [0] * 4 + [1] * 4
    assert shades(source) == [0, 1, 3, 4, 101, 102, 103, 104]


def test_a_common_small_size_is_kept_and_others_become_64(tmp_path):
    for i in range(3):
        picture(tmp_path / f"same/{i}.png", size=(20, 12))
        picture(tmp_path / f"large/{i}.png", size=(300, 300))
        picture(tmp_path / f"mixed/{i}.png", size=(20, 12 + i))
    assert open_source(tmp_path / "same").shape == (3, 20, 12)
    large, mixed = open_source(tmp_path / "large"), open_source(tmp_path / "mixed")
    assert large.shape == mixed.shape == (3, 64, 64)
    assert "--size" in note(large, "300x300")
    assert "12x20" in note(mixed, "different sizes")


def test_a_requested_rectangle_is_cropped_to(tmp_path):
    folder = tmp_path / "d"
    folder.mkdir()
    wide = np.zeros((30, 90, 3), dtype=np.uint8)
    wide[:, 30:60] = 200
    Image.fromarray(wide).save(folder / "a.png")
    source = open_source(folder, size=(20, 10))
    assert source.shape == (3, 20, 10)
    assert source.tensors["x"].unique().tolist() == [200]


def test_channels_follow_the_data_or_the_request(tmp_path):
    picture(tmp_path / "grey/a.png", mode="L")
    picture(tmp_path / "grey/b.png", mode="1")
    picture(tmp_path / "mixed/a.png", mode="L")
    picture(tmp_path / "mixed/b.png")
    picture(tmp_path / "clear/a.png", mode="RGBA")
    assert open_source(tmp_path / "grey").shape == (1, 8, 8)
    assert open_source(tmp_path / "mixed").shape == (3, 8, 8)
    assert open_source(tmp_path / "mixed", channels=1).shape == (1, 8, 8)
    laid = open_source(tmp_path / "clear")
    assert laid.shape == (3, 8, 8)
    note(laid, "--channels 4")
    kept = open_source(tmp_path / "clear", channels=4)
    assert kept.shape == (4, 8, 8)
    assert not any("--channels 4" in line for line in kept.notes)


def test_sixteen_bit_and_rotated_pictures_arrive_right(tmp_path):
    folder = tmp_path / "d"
    folder.mkdir()
    Image.fromarray(np.full((6, 4), 32_768, dtype=np.uint16)).save(folder / "a.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (6, 4), 40).save(folder / "b.jpg", exif=exif)
    source = open_source(folder)
    assert source.shape == (1, 6, 4), "the rotated 6x4 is a 4x6 for its viewer"
    assert shades(source) == [128, 40]


def test_animations_and_other_files_are_mentioned(tmp_path):
    folder = tmp_path / "d"
    picture(folder / "a.png")
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(folder / "b.gif", save_all=True, append_images=frames[1:])
    for name in ("readme.txt", "c.heic", "d.txt", ".hidden.png", ".git/e.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")
    source = open_source(folder)
    assert source.tensors["x"][1, :, 0, 0].tolist() == [255, 0, 0]
    assert "b.gif" in note(source, "animated")
    assert "2 .txt" in note(source, "3 other files ignored")


def spoilt(folder: Path, good: int, bad: int) -> None:
    folder.mkdir()
    for i in range(good):
        picture(folder / f"{i:04d}.png", i % 250)
    for i in range(bad):
        (folder / f"bad{i:04d}.png").write_bytes(b"nonsense")


def test_one_in_a_hundred_may_be_bad(tmp_path):
    spoilt(tmp_path / "d", 99, 1)
    source = open_source(tmp_path / "d")
    assert shades(source) == list(range(99))
    line = note(source, "1 of 100 pictures left out (1 %)")
    report = Path(line.split("reasons are in ")[1]).read_text()
    assert "bad0000.png: not a picture" in report
    assert source.notes == open_source(tmp_path / "d").notes, "said again when it comes from the cache"


def test_more_than_max_bad_is_refused_before_training(tmp_path):
    spoilt(tmp_path / "d", 91, 9)
    with pytest.raises(UserError) as error:
        open_source(tmp_path / "d")
    text = str(error.value)
    for words in ("9 of 100", "(9 %)", "bad0004.png: not a picture", "and 4 more", "At most 1 %", "report.txt"):
        assert words in text, text
    assert "bad0005" not in text
    enough = float(text.split("--max-bad ")[1].rstrip("."))
    source = open_source(tmp_path / "d", max_bad=enough)
    assert len(source) == 91
    with pytest.raises(UserError, match="9 of 100"):
        open_source(tmp_path / "d", max_bad=enough - 0.011)


@pytest.mark.parametrize(("good", "bad"), [(2, 1), (995, 11), (5, 6)])
def test_the_share_named_in_the_refusal_is_enough(tmp_path, good, bad):
    spoilt(tmp_path / "d", good, bad)
    with pytest.raises(UserError) as error:
        open_source(tmp_path / "d")
    assert len(open_source(tmp_path / "d", max_bad=float(str(error.value).split("--max-bad ")[1].rstrip(".")))) == good


def test_nothing_but_bad_files_is_refused_whatever_is_allowed(tmp_path):
    spoilt(tmp_path / "d", 0, 3)
    with pytest.raises(UserError, match=r"3 of 3 .*100 %"):
        open_source(tmp_path / "d", max_bad=1.0)


def test_looking_stops_where_the_answer_is_clear(tmp_path, monkeypatch):
    spoilt(tmp_path / "d", 10, 300)
    opened = []
    monkeypatch.setattr(folder_module, "PATIENCE", 20)
    real = folder_module.decode
    monkeypatch.setattr(folder_module, "decode", lambda *a, **kw: opened.append(1) or real(*a, **kw))
    with pytest.raises(UserError, match=r"(?s)At least 24 of 310 .*may be left out") as error:
        open_source(tmp_path / "d")
    assert "--max-bad" not in str(error.value), "how many there are is not known"
    assert len(opened) < 150


def test_every_kind_of_bad_file_is_reported_and_no_garbage_gets_in(tmp_path):
    folder = tmp_path / "d"
    spoilt(folder, 20, 0)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    for kind in ("png", "jpg", "webp", "gif", "tif", "bmp"):
        path = folder / f"cut.{kind}"
        noise.save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("text")
    Image.new("1", (9400, 9400)).save(folder / "bomb.png")
    Image.fromarray(np.full((4, 4), 7.0, dtype=np.float32)).save(folder / "float.tif")
    (folder / "dangling.png").symlink_to(folder / "nothing.png")
    bad = {"cut.png", "cut.jpg", "cut.webp", "cut.gif", "cut.tif", "cut.bmp", "empty.jpg", "text.jpg", "bomb.png"}
    bad |= {"float.tif", "dangling.png"}
    source = open_source(folder, max_bad=0.5)
    assert shades(source) == list(range(20))
    report = Path(note(source, "left out").split("reasons are in ")[1]).read_text().splitlines()[1:]
    assert {line.split(": ")[0] for line in report} == bad
    assert all(len(line.split(": ", 1)[1]) > 5 for line in report), "each with a reason"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_pipes_loops_and_deep_trees_do_no_harm(tmp_path):
    folder = tmp_path / "d"
    picture(folder / "a.png", 9)
    os.mkfifo(folder / "pipe.png")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "null.png").symlink_to("/dev/null")
    deep = folder
    for _ in range(200):
        deep = deep / "n"
    picture(deep / "b.png", 8)
    found = FolderListing(folder).names
    assert found == ["a.png", "n/" * 200 + "b.png"], "and opening the pipe would wait for ever"
    source = open_source(folder)
    assert shades(source) == [9, 8]
    assert "2 pipe or device" in note(source, "ignored")


def test_hostile_file_names_cannot_write_to_the_terminal(tmp_path):
    folder = tmp_path / "d"
    picture(folder / "a.png")
    (folder / "\x1b[2Jx.png").write_bytes(b"")
    (Path(os.fsdecode(os.fsencode(folder) + b"/\xff.png"))).write_bytes(b"")
    with pytest.raises(UserError) as error:
        open_source(folder)
    assert "\\x1b[2Jx.png: empty file" in str(error.value)
    str(error.value).encode("utf-8")


def test_unreadable_files_are_bad(tmp_path, monkeypatch):
    spoilt(tmp_path / "d", 3, 0)
    real = Path.open

    def refusing(self, *args, **kwargs):  # a permission would not stop the superuser
        if self.name == "0001.png":
            raise PermissionError(13, "Permission denied")
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refusing)
    source = open_source(tmp_path / "d", max_bad=0.5)
    assert shades(source) == [0, 2]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda d: None, "no data set and no path"),
        (lambda d: d.mkdir(), "is empty"),
        (lambda d: (d.mkdir(), (d / "a.txt").touch()), "There is no picture.*1 .txt"),
        (lambda d: d.write_text("x"), "neither a folder"),
    ],
)
def test_wrong_places_have_their_own_message(tmp_path, monkeypatch, make, words):
    make(tmp_path / "photo")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=words):
        open_source("photo")


def test_a_folder_has_no_test_split(tmp_path):
    picture(tmp_path / "d/a.png")
    with pytest.raises(UserError, match="no test split"):
        open_source(tmp_path / "d", split="test")


def test_the_fingerprint_is_of_contents_not_of_places(tmp_path):
    for name in ("one", "two"):
        picture(tmp_path / name / "a.png", 10)
    first, second = open_source(tmp_path / "one"), open_source(tmp_path / "two")
    assert first.fingerprint == second.fingerprint
    assert len(first.fingerprint) == 64
    picture(tmp_path / "two/a.png", 11)
    assert open_source(tmp_path / "two").fingerprint != first.fingerprint


def test_many_pictures_keep_their_order_under_threads(tmp_path):
    for i in range(150):  # sizes differ, so that decoding times do
        picture(tmp_path / f"d/{i:03d}.png", i, size=(8 + 40 * (i % 3), 8 + 40 * (i % 3)))
    assert shades(open_source(tmp_path / "d", size=(8, 8))) == list(range(150))
