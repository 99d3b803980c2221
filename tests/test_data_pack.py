"""The cache: used when it holds, rebuilt when it does not, never half-written."""

import io
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mulligan.core.errors import UserError
from mulligan.data import folder as folder_module
from mulligan.data import open_source, pack


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def photos(tmp_path) -> Path:
    for i in range(12):
        path = tmp_path / "photos" / f"{'ab'[i % 2]}/{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (i, 0, 0)).save(path)
    return tmp_path / "photos"


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """A record of every picture that is decoded."""
    calls: list[str] = []
    real = folder_module.decode
    monkeypatch.setattr(folder_module, "decode", lambda f, **kw: calls.append(f.name) or real(f, **kw))
    return calls


def the_pack(cache: Path) -> Path:
    (found,) = cache.glob("*/data.pack")
    return found


def test_pictures_are_decoded_once(photos, decoded):
    first = open_source(photos)
    assert len(decoded) == 12
    second = open_source(photos)
    assert len(decoded) == 12
    assert torch.equal(first.tensors["x"], second.tensors["x"])
    assert torch.equal(first.tensors["y"], second.tensors["y"])
    assert (first.fingerprint, first.classes, first.notes) == (second.fingerprint, second.classes, second.notes)


@pytest.mark.parametrize("change", ["content", "touch", "add", "remove", "rename"])
def test_a_changed_folder_is_packed_again(photos, decoded, change):
    open_source(photos)
    path = photos / "a/0.png"
    if change == "content":
        Image.new("RGB", (8, 8), (99, 0, 0)).save(path)
        os.utime(path, ns=(5, 5))
    elif change == "touch":
        os.utime(path, ns=(5, 5))
    elif change == "add":
        Image.new("RGB", (8, 8)).save(photos / "a/new.png")
    elif change == "remove":
        path.unlink()
    else:
        path.rename(photos / "b/0.png")
    decoded.clear()
    source = open_source(photos)
    assert len(decoded) == {"add": 13, "remove": 11}.get(change, 12)
    if change == "content":
        assert int(source.tensors["x"][0, 0, 0, 0]) == 99


def test_other_sizes_and_channels_have_their_own_pack(photos, decoded):
    for options in ({}, {"size": (4, 4)}, {"channels": 1}, {"size": (4, 4)}):
        open_source(photos, **options)
    assert len(decoded) == 36


def test_two_folders_with_equal_names_sizes_and_times_do_not_share(tmp_path):
    for name, shade in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        Image.new("L", (8, 8), shade).save(tmp_path / name / "a.bmp")
        os.utime(tmp_path / name / "a.bmp", ns=(7, 7))
    assert [int(open_source(tmp_path / name).tensors["x"][0, 0, 0, 0]) for name in ("one", "two")] == [1, 2]


@pytest.mark.parametrize("damage", ["short", "empty", "tail", "pixel", "label", "header", "longer", "folder"])
def test_a_damaged_pack_is_rebuilt_and_it_is_said(photos, cache, damage):
    good = open_source(photos)
    path = the_pack(cache)
    data = bytearray(path.read_bytes())
    pixels = 12 * 3 * 64
    if damage == "short":
        data = data[:-100]
    elif damage == "empty":
        data = bytearray()
    elif damage == "tail":
        data[-1] ^= 1
    elif damage == "pixel":
        data[500] ^= 1
    elif damage == "label":
        data[pixels + 8] ^= 1
    elif damage == "header":
        data[pixels + 12 * 8] ^= 1
    elif damage == "longer":
        data[:0] = b"x"
    path.unlink()
    if damage == "folder":
        path.mkdir()
        with pytest.raises(UserError, match="Cannot write"):
            open_source(photos)
        return
    path.write_bytes(bytes(data))
    again = open_source(photos)
    assert "built again" in again.notes[0]
    assert again.fingerprint == good.fingerprint
    assert torch.equal(again.tensors["x"], good.tensors["x"])
    assert not any("built again" in note for note in open_source(photos).notes)


def test_nothing_but_the_pack_is_left(photos, cache):
    open_source(photos)
    assert os.listdir(the_pack(cache).parent) == ["data.pack"]


def test_a_failed_build_leaves_no_pack_and_says_what_to_do(photos, cache, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pack.os, "fsync", full)
    with pytest.raises(UserError, match=r"No space left on device.*--cache"):
        open_source(photos)
    assert [p for p in cache.rglob("*") if p.is_file()] == []


def test_a_full_disk_is_not_blamed_on_the_file_that_is_read(tmp_path, monkeypatch):
    header = bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2])
    (tmp_path / "train-images-idx3-ubyte").write_bytes(header + bytes(4))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 1, 7]))
    real = pack.PackWriter.__init__

    class Full(io.BytesIO):
        def write(self, _):
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pack.PackWriter, "__init__", lambda self, _, folder: real(self, Full(), folder))
        with pytest.raises(UserError, match=r"Cannot write the packed pictures.*No space left"):
            open_source("mnist", root=tmp_path)
    assert open_source("mnist", root=tmp_path).tensors["y"].tolist() == [7]


def test_an_empty_set_is_refused(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(bytes([0, 0, 8, 3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 2]))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 0]))
    with pytest.raises(UserError, match="no picture at all"):
        open_source("mnist", root=tmp_path)


def test_too_little_space_is_noticed_before_decoding(photos, monkeypatch, decoded):
    monkeypatch.setattr(pack.shutil, "disk_usage", lambda _: type("U", (), {"free": 100}))
    with pytest.raises(UserError, match="GB free"):
        open_source(photos)
    assert decoded == []


def test_an_unwritable_cache_is_replaced_by_a_temporary_one(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(pack.tempfile, "tempdir", str(tmp_path))
    (tmp_path / "file").write_text("not a folder")
    source = open_source(photos, cache=tmp_path / "file" / "cache")
    assert len(source) == 12
    assert "--cache" in next(note for note in source.notes if "cannot be written" in note)
    assert len(list(tmp_path.glob("mulligan-*/data.pack"))) == 1


def test_many_builders_at_once_agree(photos, cache):
    with ThreadPoolExecutor(6) as pool:
        sources = list(pool.map(lambda _: open_source(photos, progress=False), range(6)))
    assert len({source.fingerprint for source in sources}) == 1
    assert all(torch.equal(source.tensors["x"], sources[0].tensors["x"]) for source in sources)
    assert os.listdir(the_pack(cache).parent) == ["data.pack"]


def test_a_builder_killed_halfway_leaves_nothing_that_counts(photos, cache):
    program = (
        "import sys, time\n"
        "from mulligan.data import open_source, pack\n"
        "real = pack.PackWriter.add\n"
        "def slow(self, rows):\n"
        "    real(self, rows); self._file.flush(); print(self.rows, flush=True)\n"
        "    time.sleep(60 if self.rows == 6 else 0)\n"
        "pack.PackWriter.add = slow\n"
        "open_source(sys.argv[1], progress=False)\n"
    )
    paths = os.pathsep.join([str(Path(__file__).resolve().parents[1] / "src"), *sys.path])
    with subprocess.Popen(
        [sys.executable, "-c", program, str(photos)], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": paths}
    ) as child:
        assert child.stdout
        assert [int(child.stdout.readline()) for _ in range(6)] == list(range(1, 7))
        child.send_signal(signal.SIGKILL)
    (left,) = cache.glob("*/*")
    assert left.suffix == ".tmp", "half a pack never gets the name of a whole one"
    assert len(open_source(photos)) == 12
    assert left.exists(), "it could belong to a living builder"
    old = time.time() - 2 * pack.STALE_SECONDS
    os.utime(left, (old, old))
    the_pack(cache).unlink()
    open_source(photos)
    assert not left.exists()


def test_the_folder_may_change_or_vanish_once_it_is_packed(photos):
    source = open_source(photos)
    before = source.tensors["x"].clone()
    for path in photos.rglob("*.png"):
        path.write_bytes(b"")
    assert torch.equal(source.tensors["x"], before)


def test_the_map_is_not_written_through(photos, cache):
    source = open_source(photos)
    digest = the_pack(cache).read_bytes()
    batch = source.gather(torch.arange(12))
    batch["x"].fill_(9)
    source[0]["x"].fill_(9)
    assert the_pack(cache).read_bytes() == digest
    assert int(source.tensors["x"].max()) < 12


def test_the_writer_refuses_rows_that_do_not_fit(tmp_path):
    with (tmp_path / "x").open("wb") as file:
        writer = pack.PackWriter(file, tmp_path)
        writer.add(np.zeros((2, 3, 4, 4), np.uint8))
        for rows in (np.zeros((1, 3, 4, 5), np.uint8), np.zeros((1, 3, 4, 4), np.float32)):
            with pytest.raises(ValueError, match="do not continue"):
                writer.add(rows)
        with pytest.raises(ValueError, match="labels for 2 rows"):
            writer.finish(pack.Contents(labels=np.zeros(3, np.int64)))
