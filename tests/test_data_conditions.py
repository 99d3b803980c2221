"""Labels and numbers from a CSV beside pictures: what is read, what is refused, and in which words."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mulligan import UserError
from mulligan.data import Source, open_source
from mulligan.data.conditions import conditions, wished
from mulligan.data.table import read_table


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path_factory.mktemp("cache")))


def photos(folder: Path, count: int = 4, table: str = "", inside: str = "") -> Path:
    """Pictures 0.png, 1.png, …, the grey of each its number, and labels.csv."""
    (folder / inside).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new("L", (4, 4), i).save(folder / inside / f"{i}.png")
    if table:
        (folder / "labels.csv").write_text(table, encoding="utf-8")
    return folder


def packed_zip(path: Path, folder: Path, top: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, top + file.relative_to(folder).as_posix())
    return path


def rows(*values: str, header: str = "file,a,b") -> str:
    return "\n".join([header, *(f"{i}.png,{value}" for i, value in enumerate(values))]) + "\n"


def greys(source: Source) -> list[int]:
    return source.tensors["x"][:, 0, 0, 0].tolist()


def y(source: Source) -> list[list[float]]:
    return source.tensors["y"].tolist()


def raw(source: Source) -> torch.Tensor:
    """y in the numbers of the table."""
    mean, deviation = torch.tensor(source.scaling).T
    return source.tensors["y"] * deviation + mean


# ---- what columns become ----


def test_one_column_of_words_names_classes_whatever_the_order_of_rows(tmp_path: Path):
    source = open_source(photos(tmp_path / "p", 4, "file,kind\n3.png,dog\n0.png,dog\n2.png,cat\n1.png,ant\n"))
    assert (source.classes, source.columns) == (("ant", "cat", "dog"), ())
    assert source.tensors["y"].dtype == torch.int64
    assert y(source) == [2, 0, 1, 2]
    assert "labels.csv: 3 classes of kind." in source.notes


def test_one_column_of_whole_numbers_names_classes_in_their_order(tmp_path: Path):
    source = open_source(
        photos(tmp_path / "p", 4, rows("10", "9", "10", "-1", header="Filename;stage").replace(",", ";"))
    )
    assert source.classes == ("-1", "9", "10")
    assert y(source) == [2, 1, 2, 0]


def test_one_column_with_a_point_is_a_number(tmp_path: Path):
    source = open_source(photos(tmp_path / "p", 3, rows("10.0", "20", "30", header="file,age")))
    assert (source.classes, source.columns) == ((), ("age",))
    assert raw(source)[:, 0].tolist() == pytest.approx([10, 20, 30])


def test_zeros_and_ones_stay_and_numbers_are_scaled(tmp_path: Path):
    source = open_source(photos(tmp_path / "p", 4, rows("0,20", "1,30", "1,40", "0,50")))
    assert source.columns == ("a", "b")
    assert source.tensors["y"].dtype == torch.float32
    assert source.tensors["y"][:, 0].tolist() == [0, 1, 1, 0]
    assert source.scaling == ((0.0, 1.0), (35.0, pytest.approx(125**0.5)))
    scaled = source.tensors["y"][:, 1]
    assert float(scaled.mean()) == pytest.approx(0, abs=1e-6)
    assert float(scaled.std(correction=0)) == pytest.approx(1)
    assert raw(source)[:, 1].tolist() == pytest.approx([20, 30, 40, 50])
    assert any("b (mean 35, deviation 11.18)" in note for note in source.notes)


def test_words_beside_others_become_columns(tmp_path: Path):
    source = open_source(photos(tmp_path / "p", 3, rows("1,red", "0,blue", "1,red", header="file,big,colour")))
    assert source.columns == ("big", "colour=blue", "colour=red")
    assert y(source) == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]


def test_a_column_that_never_differs_is_no_division_by_zero(tmp_path: Path):
    source = open_source(photos(tmp_path / "p", 3, rows("0.1,1", "0.1,0", "0.1,1")))
    assert source.tensors["y"][:, 0].tolist() == pytest.approx([0, 0, 0])


def test_examples_are_spaced_evenly_and_few():
    values = torch.arange(1000.0)[:, None]
    source = Source("s", {"x": torch.zeros(1000, 1, 2, 2), "y": values}, columns=("a",), scaling=((0.0, 1.0),))
    assert len(source.examples) == 256
    assert source.examples[:3] == ((0.0,), (3.0,), (7.0,))
    assert source.examples[-1][0] > 990


# ---- where the table lies ----


def test_paths_are_those_within_the_folder(tmp_path: Path):
    table = "image,a,b\n./sub/1.png,1,0\nsub\\0.png,0,1\n"
    source = open_source(photos(tmp_path / "p", 2, table, inside="sub"))
    assert y(source) == [[0, 1], [1, 0]]


def test_the_table_wins_over_subfolders_and_none_leaves_it_aside(tmp_path: Path):
    folder = photos(photos(tmp_path / "p", 1, inside="x"), 1, "file,kind\nx/0.png,p\ny/0.png,q\n", inside="y")
    source = open_source(folder)
    assert source.classes == ("p", "q")
    assert any("subfolders" in note for note in source.notes)
    assert open_source(folder, labels="none").classes == ("x", "y")


def test_a_file_of_its_own(tmp_path: Path):
    folder = photos(tmp_path / "p", 2, rows("1,0", "0,1"))
    other = tmp_path / "other.csv"
    other.write_text("\ufefffile\tkind\n0.png\ta,b\n1.png\tc=d\n", encoding="utf-8")
    assert open_source(folder, labels=other).classes == ("a,b", "c=d")
    with pytest.raises(UserError, match=r"--labels .*gone\.csv cannot be read"):
        open_source(folder, labels=tmp_path / "gone.csv")


@pytest.mark.parametrize("top", ["", "photos/"])
def test_a_zip_has_its_table_inside(tmp_path: Path, top: str):
    folder = photos(tmp_path / "p", 3, rows("1,5", "0,6", "1,7"))
    source, plain = open_source(packed_zip(tmp_path / "a.zip", folder, top)), open_source(folder)
    assert torch.equal(source.tensors["y"], plain.tensors["y"])
    assert source.fingerprint == plain.fingerprint
    assert not any("ignored" in note for note in source.notes)


def test_a_table_above_the_only_folder_of_a_zip_names_paths_with_it(tmp_path: Path):
    folder = photos(tmp_path / "p", 2, "file,kind\nin/0.png,a\nin/1.png,b\n", inside="in")
    assert open_source(packed_zip(tmp_path / "a.zip", folder)).classes == ("a", "b")


def test_another_table_makes_another_pack(tmp_path: Path):
    folder = photos(tmp_path / "p", 2, rows("1,0", "0,1"))
    first = open_source(folder)
    (folder / "labels.csv").write_text(rows("1,1", "0,1"), encoding="utf-8")
    second = open_source(folder)
    assert (y(first), y(second)) == ([[1, 0], [0, 1]], [[1, 1], [0, 1]])
    assert first.fingerprint != second.fingerprint
    (folder / "labels.csv").unlink()
    assert "y" not in open_source(folder).tensors


def test_a_pack_is_opened_as_it_was_made(tmp_path: Path):
    folder = photos(tmp_path / "p", 3, rows("1,5", "0,6", "1,7.5"))
    first, again = open_source(folder), open_source(folder)
    assert torch.equal(first.tensors["y"], again.tensors["y"])
    assert (first.columns, first.scaling, first.fingerprint) == (again.columns, again.scaling, again.fingerprint)
    assert torch.equal(again.gather(torch.tensor([2, 0]))["y"], again.tensors["y"][[2, 0]])


def test_labels_of_a_pack_that_changed_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path / "cache"))
    folder = photos(tmp_path / "p", 3, rows("1,5", "0,6", "1,7"))
    first = open_source(folder)
    (pack,) = (tmp_path / "cache").rglob("data.pack")
    data = bytearray(pack.read_bytes())
    data[3 * 16] ^= 1  # the first byte after the pixels
    pack.write_bytes(data)
    again = open_source(folder)
    assert any("its labels changed" in note for note in again.notes)
    assert torch.equal(first.tensors["y"], again.tensors["y"])


# ---- what is wrong ----


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("0.png,1,0\n1.png,0,1\n", ["first line", "'0.png'", "--labels none"]),
        ("file\n0.png\n1.png\n", ["0 columns"]),
        ("file,a,b\n", ["no rows"]),
        ("", ["nothing"]),
        ("file,a,a\n0.png,1,0\n1.png,0,1\n", ["two columns a"]),
        ("file,a,\n0.png,1,0\n1.png,0,1\n", ["column 3"]),
        ("file,a,b\n0.png,1,0\n1.png,0\n", ["line 3", "2 cells", "names 3"]),
        ("file,a,b\n0.png,1,0\n\n1.png,,1\n", ["line 4", "1.png", "a is empty"]),
        ("file,a,b\n0.png,1,0\n0.png,1,0\n1.png,0,1\n", ["two rows for 0.png", "lines 2 and 3"]),
        ("file,a,b\n0.png,1,3o\n1.png,0,30\n", ["line 2", "0.png", "b is '3o'"]),
        ("file,a,b\n0.png,1,1\n1.png,0,nan\n", ["line 3", "1.png", "b is 'nan'"]),
        ("file,a,b\n0.png,1,1\n1.png,0,1e999\n", ["line 3", "1e999"]),
        ("file,a\n0.png,cat\n1.png,cat\n", ["a is 'cat' in every row"]),
        ("file,a,b\n0.png,1,x=y\n1.png,0,z\n", ["b has the value 'x=y'"]),
        ("file,a,b\nq/0.png,1,1\nq/1.png,0,1\n", ["No row", "line 2", "q/0.png", "0.png"]),
        ('file,a,b\n0.png,"1,1\n', ["line", "CSV"]),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path: Path, table: str, words: list[str]):
    folder = photos(tmp_path / "p", 2, "-")
    (folder / "labels.csv").write_text(table, encoding="utf-8")
    with pytest.raises(UserError) as error:
        open_source(folder, cache=tmp_path / "cache")
    assert all(word in str(error.value) for word in words), str(error.value)
    assert "labels.csv" in str(error.value)
    assert not list((tmp_path / "cache").rglob("data.pack"))


def test_other_encodings_are_named(tmp_path: Path):
    folder = photos(tmp_path / "p", 2, "-")
    (folder / "labels.csv").write_bytes("file,a\n0.png,ä\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"labels\.csv, line 2, is no UTF-8"):
        open_source(folder)


def test_too_many_classes_are_none():
    words = [f"0{i}.png,caption {i}" for i in range(100)]
    table = read_table("\n".join(["file,text", *words]).encode(), "labels.csv")
    with pytest.raises(UserError, match="100 different words; for 100 pictures these are no classes"):
        conditions(table, list(table.rows))


def test_pictures_without_a_row_and_rows_without_a_picture_count_as_bad(tmp_path: Path):
    folder = photos(tmp_path / "p", 4, rows("1,0", "0,1", "1,1") + "9.png,0,0\n")
    with pytest.raises(UserError) as error:
        open_source(folder)
    assert "3.png: no row in labels.csv" in str(error.value)
    assert "9.png: not there, and named by labels.csv, line 5" in str(error.value)
    assert "--max-bad" in str(error.value)
    source = open_source(folder, max_bad=0.4)
    assert greys(source) == [0, 1, 2]
    assert y(source) == [[1, 0], [0, 1], [1, 1]]
    assert any("2 of 5 pictures left out" in note for note in source.notes)
    with pytest.raises(UserError, match="2 of 5"):
        open_source(folder, max_bad=0.1)


def test_labels_follow_pictures_where_one_is_broken(tmp_path: Path):
    folder = photos(tmp_path / "p", 4, rows("0,1", "1,2", "0,3", "1,4"))
    (folder / "1.png").write_bytes(b"no picture")
    source = open_source(folder, max_bad=0.5)
    assert greys(source) == [0, 2, 3]
    assert raw(source)[:, 1].tolist() == pytest.approx([1, 3, 4])


def test_a_table_is_for_folders_and_zips(tmp_path: Path):
    np.save(tmp_path / "a.npy", np.zeros((3, 4, 4), dtype=np.uint8))
    for spec in ("digits", tmp_path / "a.npy"):
        with pytest.raises(UserError, match="is for a folder or zip"):
            open_source(spec, labels="x.csv")


# ---- arrays ----


def test_numbers_of_an_npz_are_columns(tmp_path: Path):
    numbers = np.array([[0, 2.5], [1, 3.5], [1, 7.0]])
    np.savez(tmp_path / "a.npz", x=np.zeros((3, 4, 4), dtype=np.uint8), y=numbers)
    source = open_source(tmp_path / "a.npz")
    assert source.columns == ("c0", "c1")
    assert np.allclose(raw(source), numbers)
    np.savez(tmp_path / "b.npz", x=np.zeros((3, 2), dtype=np.float32), y=numbers[:, 1])
    assert open_source(tmp_path / "b.npz").columns == ("c0",)
    np.savez(tmp_path / "c.npz", x=np.zeros((3, 4, 4), dtype=np.uint8), y=numbers * np.array([np.nan, 1]))
    with pytest.raises(UserError, match="label 0 of picture 0 is nan"):
        open_source(tmp_path / "c.npz")


@pytest.mark.parametrize("channels", [2, 5])
def test_arrays_have_any_number_of_channels(tmp_path: Path, channels: int):
    x = np.random.default_rng(0).integers(0, 256, (3, channels, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "first.npy", x)
    np.save(tmp_path / "last.npy", x.transpose(0, 2, 3, 1))
    for name in ("first", "last"):
        source = open_source(tmp_path / f"{name}.npy")
        assert np.array_equal(source.tensors["x"], x)
        assert f"of {channels} channels" in source.notes[0]
        assert open_source(tmp_path / f"{name}.npy", channels=channels).shape == (channels, 8, 8)
    smaller = open_source(tmp_path / "first.npy", size=(4, 4)).tensors["x"]
    assert smaller.shape == (3, channels, 4, 4)
    assert float(smaller.float().mean()) == pytest.approx(float(x.mean()), abs=3)
    with pytest.raises(UserError, match="--channels 3"):
        open_source(tmp_path / "first.npy", channels=3)


# ---- what a user asks for ----

COLUMNS = ("smiling", "age", "colour=blue", "colour=red")
SCALING = ((0.0, 1.0), (30.0, 10.0), (0.0, 1.0), (0.0, 1.0))


def test_wishes_are_in_the_numbers_of_the_table():
    assert wished("smiling=1, age=45", COLUMNS, SCALING) == {0: 1.0, 1: 1.5}
    assert wished("colour=red", COLUMNS, SCALING) == {2: 0.0, 3: 1.0}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hat=1", ["no column hat", "smiling, age"]),
        ("age=old", ["age=old", "no number"]),
        ("age=nan", ["no number"]),
        ("colour=green", ["no such colour", "colour=blue, colour=red"]),
        ("smiling", ["smiling=1"]),
        ("", ["names no value", "smiling=1"]),
        ("3", ["3=1"]),
    ],
)
def test_wishes_that_are_none(text: str, words: list[str]):
    with pytest.raises(UserError) as error:
        wished(text, COLUMNS, SCALING)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_packs_without_columns_are_read_as_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path / "cache"))
    folder = photos(tmp_path / "p", 2)
    open_source(folder)
    (pack,) = (tmp_path / "cache").rglob("data.pack")
    data = pack.read_bytes()
    length = int.from_bytes(data[-16:-8], "little")
    facts = json.loads(data[-16 - length : -16])
    text = json.dumps({key: value for key, value in facts.items() if key not in ("columns", "scaling")}).encode()
    pack.write_bytes(data[: -16 - length] + text + len(text).to_bytes(8, "little") + data[-8:])
    source = open_source(folder)
    assert source.columns == ()
    assert not any("built again" in note for note in source.notes)
