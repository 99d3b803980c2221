"""Array files: layouts, ranges, labels, and the refusal of pickles."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from mulligan.core.errors import UserError
from mulligan.data import open_source


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path / "cache"))


def saved(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


PIXELS = np.random.default_rng(0).integers(0, 256, (7, 3, 9, 10), dtype=np.uint8)


@pytest.mark.parametrize(
    ("array", "shape"),
    [
        (PIXELS, (3, 9, 10)),
        (PIXELS.transpose(0, 2, 3, 1), (3, 9, 10)),
        (np.asfortranarray(PIXELS), (3, 9, 10)),
        (PIXELS[:, 0], (1, 9, 10)),
        (PIXELS[:, :1], (1, 9, 10)),
    ],
)
def test_layouts_are_recognised(tmp_path, array, shape):
    source = open_source(saved(tmp_path / "a.npy", array))
    assert source.shape == shape
    assert np.array_equal(source.tensors["x"].numpy(), PIXELS[:, : shape[0]])
    assert "read as (N," in source.notes[0]


@pytest.mark.parametrize(
    ("values", "expected", "words"),
    [
        (np.array([0.0, 0.5, 1.0]), [0, 128, 255], "0 to 1"),
        (np.array([-1.0, 0.0, 1.0]), [0, 128, 255], "-1 to 1"),
        (np.array([0.0, 127.6, 255.0], dtype=np.float16), [0, 128, 255], "0 to 255"),
        (np.array([0, 7, 255], dtype=np.int64), [0, 7, 255], "0 to 255"),
        (np.array([0, 32_768, 65_535], dtype=np.uint16), [0, 128, 255], "16 bits"),
        (np.array([0, 7, 255], dtype=np.uint16), [0, 7, 255], "0 to 255"),
        (np.array([False, True, True]), [0, 255, 255], "white"),
        (np.array([0, 1, 0], dtype=np.uint8), [0, 255, 0], "1 = white"),
    ],
)
def test_ranges_are_recognised_and_said(tmp_path, values, expected, words):
    source = open_source(saved(tmp_path / "a.npy", np.tile(values, (4, 2, 1))))
    assert source.tensors["x"][0, 0, 0].tolist() == expected
    assert words in source.notes[0]


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((2, 4, 4), 300.0), "from 300 to 300"),
        (np.full((2, 4, 4), np.nan), "picture 0 has values that are not finite"),
        (np.array([[[-5, 90]]]), "from -5 to 90"),
        (np.zeros((2, 2, 4, 4, 3)), r"\(2, 2, 4, 4, 3\)"),
        (np.zeros((2, 5, 5, 5)), r"\(2, 5, 5, 5\)"),
        (np.zeros((4, 784), dtype=np.uint8), r"\(4, 784\)"),
        (np.zeros(3), r"\(3,\)"),
        (np.zeros((0, 4, 4)), "empty"),
        (np.array(["a"]), "type <U1"),
        (np.zeros((2, 4, 4), dtype=complex), "type complex128"),
        (np.array([{"a": 1}, None], dtype=object), "never loaded"),
        (np.full((3, 2), np.inf), "not finite"),
    ],
)
def test_what_is_no_picture_array_is_refused(tmp_path, array, words):
    with pytest.raises(UserError, match=words):
        open_source(saved(tmp_path / "a.npy", array))


def test_rows_of_floats_stay_floats(tmp_path):
    rows = np.random.default_rng(0).normal(size=(50, 5))
    np.savez(tmp_path / "a.npz", x=rows, y=np.arange(50) % 2)
    source = open_source(tmp_path / "a.npz")
    assert (source.shape, source.tensors["x"].dtype) == ((5,), torch.float32)
    assert np.allclose(source.tensors["x"], rows)
    assert source.tensors["y"][:3].tolist() == [0, 1, 0]
    with pytest.raises(UserError, match="--size"):
        open_source(tmp_path / "a.npz", size=(4, 4))


@pytest.mark.parametrize(
    ("images", "labels"), [("x", "y"), ("images", "labels"), ("train_images", "train_labels"), ("x_train", "y_train")]
)
def test_npz_keys(tmp_path, images, labels):
    np.savez_compressed(tmp_path / "a.npz", **{images: PIXELS, labels: np.arange(7)[:, None]})
    source = open_source(tmp_path / "a.npz")
    assert source.tensors["y"].tolist() == list(range(7))
    assert np.array_equal(source.tensors["x"], PIXELS)
    with pytest.raises(UserError, match="test_images"):
        open_source(tmp_path / "a.npz", split="test")


def test_npz_without_a_known_key_lists_what_it_has(tmp_path):
    np.savez(tmp_path / "a.npz", pictures=PIXELS)
    with pytest.raises(UserError, match=r"arrays pictures, none.*train_images"):
        open_source(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", PIXELS)
    assert len(open_source(tmp_path / "b.npz")) == 7


def test_npz_splits(tmp_path):
    np.savez(tmp_path / "a.npz", train_images=PIXELS, test_images=PIXELS[:2], test_labels=[1, 0])
    assert len(open_source(tmp_path / "a.npz")) == 7
    test = open_source(tmp_path / "a.npz", split="test")
    assert test.tensors["y"].tolist() == [1, 0]


def test_labels_are_numbered_without_gaps(tmp_path):
    np.savez(tmp_path / "a.npz", x=PIXELS[:4], y=[30, 10, 30, 20])
    source = open_source(tmp_path / "a.npz")
    assert source.tensors["y"].tolist() == [2, 0, 2, 1]
    assert source.classes == ("10", "20", "30")
    np.savez(tmp_path / "b.npz", x=PIXELS[:3], y=["dog", "cat", "dog"])
    source = open_source(tmp_path / "b.npz")
    assert (source.classes, source.tensors["y"].tolist()) == (("cat", "dog"), [1, 0, 1])


def test_labels_that_do_not_fit(tmp_path):
    np.savez(tmp_path / "a.npz", x=PIXELS, y=np.arange(6))
    with pytest.raises(UserError, match="7 pictures and 6 labels"):
        open_source(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", x=PIXELS, y=np.zeros((7, 4)))
    source = open_source(tmp_path / "b.npz")
    assert "y" not in source.tensors
    assert any("ignored" in note for note in source.notes)


def test_pickles_are_never_loaded(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "loaded",))

    np.save(tmp_path / "a.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "b.npz", x=PIXELS, y=np.array([Evil()] * 7, dtype=object))
    (tmp_path / "c.npy").write_bytes(b"\x80\x04c__builtin__\neval\n.")
    for name in ("a.npy", "b.npz", "c.npy"):
        with pytest.raises(UserError, match="never loaded"):
            open_source(tmp_path / name)
    assert not (tmp_path / "loaded").exists()


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_damaged_files_are_refused(tmp_path, name):
    path = tmp_path / name
    (np.save if name.endswith("npy") else np.savez)(path, PIXELS)
    whole = path.read_bytes()
    for length in (0, 5, 60, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="cannot be read as an array"):
            open_source(path)


def test_a_header_that_claims_a_terabyte_is_refused(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (10**9, 32, 32)})
    (tmp_path / "a.npy").write_bytes(header.getvalue() + bytes(100))
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("x.npy", header.getvalue() + bytes(100))
    for name in ("a.npy", "b.npz"):
        with pytest.raises(UserError, match="cannot be read as an array"):
            open_source(tmp_path / name)


def test_arrays_are_resized_and_recoloured(tmp_path):
    source = open_source(saved(tmp_path / "a.npy", PIXELS), size=(4, 4), channels=1)
    assert source.shape == (1, 4, 4)
