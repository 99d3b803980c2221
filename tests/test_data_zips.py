"""Zip archives are read in memory; hostile ones are refused or their members reported."""

import io
import os
import stat
import struct
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from mulligan.core.errors import UserError
from mulligan.data import open_source

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path / "cache"))


def png(shade: int = 100) -> bytes:
    file = io.BytesIO()
    Image.new("L", (6, 6), shade).save(file, "PNG")
    return file.getvalue()


def archive(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def report(source) -> dict[str, str]:
    line = next(line for line in source.notes if "left out" in line)
    lines = Path(line.split("reasons are in ")[1]).read_text().splitlines()[1:]
    return dict(line.split(": ", 1) for line in lines)


def test_pictures_and_classes_are_read_and_nothing_is_unpacked(tmp_path):
    members = {"cat/a.png": png(1), "dog/b.png": png(2), "__MACOSX/cat/a.png": b"", "cat/.x.png": b"", "cat/n.txt": b""}
    source = open_source(archive(tmp_path / "pets.zip", members))
    assert (source.name, source.classes, source.shape) == ("pets", ("cat", "dog"), (1, 6, 6))
    assert source.tensors["x"][:, 0, 0, 0].tolist() == [1, 2]
    assert source.tensors["y"].tolist() == [0, 1]
    assert {p.name for p in tmp_path.iterdir()} == {"pets.zip", "cache"}


def test_a_single_top_folder_is_not_a_class(tmp_path):
    members = {"pets/cat/a.png": png(1), "pets/dog/b.png": png(2)}
    assert open_source(archive(tmp_path / "p.zip", members)).classes == ("cat", "dog")
    assert open_source(archive(tmp_path / "q.zip", {"pets/a.png": png(1), "pets/b.png": png(2)})).classes == ()


def test_hostile_names_and_links_are_reported_and_left_out(tmp_path):
    path = archive(tmp_path / "a.zip", {"ok.png": png(7), "../up.png": png(), "/abs.png": png(), "C:\\win.png": png()})
    with zipfile.ZipFile(path, "a") as file:
        link = zipfile.ZipInfo("link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(link, "/etc/passwd")
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("ok.png", png(8))
    source = open_source(path, max_bad=0.9)
    assert source.tensors["x"][:, 0, 0, 0].tolist() == [7]
    reasons = report(source)
    hostile = {"../up.png", "/abs.png", "C:/win.png", "link.png", "ok.png"}
    assert {name.replace("\\", "/") for name in reasons} == hostile
    assert reasons["ok.png"] == "second member of that name"
    assert "link" in reasons["link.png"]
    assert "out of the archive" in reasons["../up.png"]


def test_encrypted_and_exotically_compressed_members_are_reported(tmp_path):
    path = archive(tmp_path / "a.zip", {"ok.png": png(7), "secret.png": png()})
    data = bytearray(path.read_bytes())
    for marker, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # set the flag in both headers of the last member
        data[data.rfind(marker) + offset] |= 1
    path.write_bytes(bytes(data))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_LZMA) as file:
        file.writestr("lzma.png", png())
    reasons = report(open_source(path, max_bad=0.9))
    assert reasons["secret.png"] == "encrypted"
    assert "compression method 14" in reasons["lzma.png"]


def test_a_member_that_unpacks_to_a_thousandfold_is_never_unpacked(tmp_path, monkeypatch):
    path = archive(tmp_path / "a.zip", {"ok.png": png(7), "bomb.bmp": bytes(30 << 20)})
    opened = []
    real = zipfile.ZipFile.open
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda z, info, *a: opened.append(info.filename) or real(z, info, *a))
    assert "200 times" in report(open_source(path, max_bad=0.5))["bomb.bmp"]
    assert set(opened) == {"ok.png"}


def test_members_that_together_claim_too_much_are_refused(tmp_path):
    with pytest.raises(UserError, match="a bomb"):
        open_source(archive(tmp_path / "a.zip", {f"{i}.bmp": bytes(1 << 20) for i in range(80)}))


@pytest.mark.parametrize("lie", ["size", "bytes"])
def test_members_that_lie_are_bad(tmp_path, lie):
    path = archive(tmp_path / "a.zip", {"ok.png": png(7), "z.png": png()}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    if lie == "size":
        struct.pack_into("<I", data, data.rfind(b"PK\x01\x02") + 24, 5000)  # unpacked size in the directory
    else:
        data[data.rfind(b"PK\x03\x04") + 60] ^= 1
    path.write_bytes(bytes(data))
    assert "damaged in the zip" in report(open_source(path, max_bad=0.5))["z.png"]


def test_a_giant_table_of_contents_is_refused_before_it_is_loaded(tmp_path, monkeypatch):
    path = archive(tmp_path / "a.zip", {"ok.png": png()})
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.rfind(b"PK\x05\x06") + 12, 200 << 20)
    path.write_bytes(bytes(data))
    monkeypatch.setattr(zipfile, "ZipFile", lambda *_: pytest.fail("loaded"))
    with pytest.raises(UserError, match="too many files"):
        open_source(path)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 and then nothing", b"PK\x05\x06" + b"\x01" * 18])
def test_what_is_no_zip_is_refused(tmp_path, data):
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(UserError, match="cannot be read as a zip"):
        open_source(tmp_path / "a.zip")


def test_zips_without_pictures_say_so(tmp_path):
    with pytest.raises(UserError, match="is empty"):
        open_source(archive(tmp_path / "a.zip", {}))
    with pytest.raises(UserError, match="no picture"):
        open_source(archive(tmp_path / "b.zip", {"a.txt": b"", "inner.zip": b""}))


def test_a_changed_zip_is_read_again(tmp_path):
    path = archive(tmp_path / "a.zip", {"a.png": png(1)})
    first = open_source(path).fingerprint
    archive(path, {"a.png": png(2)})
    os.utime(path, ns=(1, 1))
    assert open_source(path).fingerprint != first


def test_real_emoji():
    path = SHARED / "noto_emoji72" / "noto_emoji72.zip"
    if not path.is_file():
        pytest.skip("the real emoji are not beside this checkout")
    source = open_source(path)
    assert (len(source), source.shape) == (1688, (3, 72, 72))
    assert any("--channels 4" in note for note in source.notes)
    corners = source.tensors["x"][:, :, 0, 0]
    assert ((corners == 255).all(1).float().mean()) > 0.9, "the ground is white, not the black below transparency"
