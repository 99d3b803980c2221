"""MNIST, CIFAR-10, stacked MNIST: official files in every form, and what happens where they are damaged or missing."""

import gzip
import io
import lzma
import shutil
import sys
import tarfile
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from mulligan.core.errors import UserError
from mulligan.data import open_source

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def _no_surroundings(tmp_path, monkeypatch):
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MULLIGAN_DATA", raising=False)
    monkeypatch.setitem(sys.modules, "torchvision", None)  # "not installed", wherever the test runs


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("named")


def needs(name: str) -> Path:
    if not (SHARED / name).is_dir():
        pytest.skip(f"the real files of {name} are not beside this checkout")
    return SHARED


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">u4").tobytes()
    return header + array.astype(np.uint8).tobytes()


def small_mnist(folder: Path, count: int = 30, zipped: bool = False, seed: int = 0) -> np.ndarray:
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 28, 28), dtype=np.uint8)
    for name, array in (("images-idx3", pixels), ("labels-idx1", np.arange(count) % 10)):
        data = idx(array)
        path = folder / f"train-{name}-ubyte"
        (path.with_name(path.name + ".gz") if zipped else path).write_bytes(gzip.compress(data) if zipped else data)
    return pixels


def batch(count: int, seed: int = 0) -> tuple[np.ndarray, bytes]:
    random = np.random.default_rng(seed)
    records = random.integers(0, 256, (count, 3073), dtype=np.uint8)
    records[:, 0] %= 10
    return records, records.tobytes()


def test_real_mnist(shared_cache):
    source = open_source("mnist", root=needs("mnist"), cache=shared_cache)
    x, y = source.tensors["x"], source.tensors["y"]
    assert (x.shape, x.dtype, y.dtype) == ((60_000, 1, 28, 28), torch.uint8, torch.int64)
    assert y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert torch.bincount(y).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert x[0, 0, 5, 12:20].tolist() == [3, 18, 18, 18, 126, 136, 175, 26]
    assert abs(x.float().mean() / 255 - 0.1307) < 1e-4
    test = open_source("mnist", root=SHARED, cache=shared_cache, split="test")
    assert test.tensors["y"][:5].tolist() == [7, 2, 1, 0, 4]
    assert len(test) == 10_000


def test_real_mnist_is_mapped_not_loaded(shared_cache):
    open_source("mnist", root=needs("mnist"), cache=shared_cache)
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("resident memory is read from /proc")

    def anonymous() -> int:
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("RssAnon"))

    before = anonymous()
    source = open_source("mnist", root=SHARED, cache=shared_cache)
    assert int(source.tensors["x"][::97].sum()) > 0
    assert anonymous() - before < 20_000, "60,000 pictures are 47,000 kB"


def test_real_stacked_mnist(shared_cache):
    root = needs("mnist")
    source = open_source("stacked_mnist", root=root, cache=shared_cache)
    base = open_source("mnist", root=root, cache=shared_cache)
    assert (len(source), source.shape, len(source.classes)) == (128_000, (3, 28, 28), 1000)
    rows = torch.tensor([0, 127_999, 77])
    got, picks = source.gather(rows), source.picks[rows]
    for i in range(3):
        digits = base.tensors["y"][picks[i]]
        assert got["y"][i] == digits[0] * 100 + digits[1] * 10 + digits[2]
        assert torch.equal(got["x"][i], base.tensors["x"][picks[i], 0])
    counts = torch.bincount(source.tensors["y"], minlength=1000)
    assert counts.min() > 60, "every mode is there"
    assert counts.max() < 220, "about 128 times"
    assert torch.equal(source[5]["x"], source.gather(torch.tensor([5]))["x"][0])
    again = open_source("stacked_mnist", root=root, cache=shared_cache, seed=9)
    assert again.fingerprint == source.fingerprint != base.fingerprint
    assert torch.equal(again.picks, source.picks), "the draw is part of the data set, not of the seed"
    assert len(open_source("stacked_mnist", root=root, cache=shared_cache, split="test")) == 26_000


def test_real_cifar10(shared_cache):
    root = needs("cifar10")
    source = open_source("cifar10", root=root, cache=shared_cache)
    y = source.tensors["y"]
    assert source.tensors["x"].shape == (10_000, 3, 32, 32)
    assert torch.bincount(y).tolist() == [1005, 974, 1032, 1016, 999, 937, 1030, 1001, 1025, 981]
    assert [source.classes[i] for i in y[:3]] == ["frog", "truck", "truck"]
    assert source.tensors["x"][0, :, 0, 0].tolist() == [59, 62, 63]
    assert any("1 of 5 train batches" in note and "10,000 of 50,000" in note for note in source.notes)
    test = open_source("cifar10", root=root, cache=shared_cache, split="test", size=(16, 16), channels=1)
    assert test.shape == (1, 16, 16)
    assert test.tensors["y"][:4].tolist() == [3, 8, 8, 0]


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("folder", ["", "mnist", "MNIST/raw"])
def test_mnist_is_found_in_every_official_place(tmp_path, folder, zipped):
    pixels = small_mnist(tmp_path / "d" / folder, zipped=zipped)
    source = open_source("mnist", root=tmp_path / "d")
    assert np.array_equal(source.tensors["x"][:, 0], pixels)
    assert source.tensors["y"].tolist() == [i % 10 for i in range(30)]


def test_the_three_sets_are_not_confused(tmp_path):
    wanted = {
        name: small_mnist(tmp_path / folder, seed=i)
        for i, (name, folder) in enumerate(
            {"mnist": "MNIST/raw", "fashion_mnist": "FashionMNIST/raw", "kmnist": "kmnist"}.items()
        )
    }
    for name, pixels in wanted.items():
        assert np.array_equal(open_source(name, root=tmp_path).tensors["x"][:, 0], pixels), name
    small_mnist(tmp_path / "flat")
    with pytest.raises(UserError, match="fashion_mnist"):
        open_source("fashion_mnist", root=tmp_path / "flat")


def test_the_data_folder_comes_from_the_environment(tmp_path, monkeypatch):
    small_mnist(tmp_path / "d")
    monkeypatch.setenv("MULLIGAN_DATA", str(tmp_path / "d"))
    assert len(open_source("mnist")) == 30


def test_resized_named_sets_keep_their_pictures(tmp_path):
    pixels = small_mnist(tmp_path)
    source = open_source("mnist", root=tmp_path, size=(14, 14), channels=3)
    assert source.shape == (3, 14, 14)
    blocks = torch.from_numpy(pixels).float().view(30, 14, 2, 14, 2).mean((2, 4))
    correlation = torch.corrcoef(torch.stack([blocks.flatten(), source.tensors["x"][:, 1].float().flatten()]))[0, 1]
    assert correlation > 0.9


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: data[:-5], "ends before its 30 pictures"),
        (lambda data: b"\x00\x00\x0d\x03" + data[4:], "not an idx file"),
        (lambda data: idx(np.zeros((29, 28, 28))), "29 pictures"),
        (lambda data: b"", "not an idx file"),
    ],
)
def test_damaged_idx_files_are_named(tmp_path, damage, words):
    small_mnist(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=words) as error:
        open_source("mnist", root=tmp_path)
    assert str(path) in str(error.value)


def test_a_cut_gzip_is_named(tmp_path):
    small_mnist(tmp_path, zipped=True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte\.gz cannot be read"):
        open_source("mnist", root=tmp_path)


def test_cifar10_batches_plain_and_compressed(tmp_path):
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    first, data = batch(20)
    (folder / "data_batch_1.bin").write_bytes(data)
    second, data = batch(10, 1)
    (folder / "data_batch_3.bin.xz").write_bytes(lzma.compress(data))
    source = open_source("cifar10", root=tmp_path)
    records = np.concatenate([first, second])
    assert np.array_equal(source.tensors["x"].reshape(30, -1), records[:, 1:])
    assert np.array_equal(source.tensors["y"], records[:, 0])
    assert "2 of 5" in source.notes[0]


def test_cifar10_archive_is_read_without_unpacking(tmp_path):
    wanted = []
    with tarfile.open(tmp_path / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for i in (2, 1):
            records, data = batch(5, i)
            member = tarfile.TarInfo(f"../cifar-10-batches-bin/data_batch_{i}.bin")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
            wanted.insert(0, records)
        link = tarfile.TarInfo("cifar-10-batches-bin/data_batch_3.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    source = open_source("cifar10", root=tmp_path)
    assert np.array_equal(source.tensors["y"], np.concatenate(wanted)[:, 0])
    assert {p.name for p in tmp_path.iterdir()} == {"cifar-10-binary.tar.gz", "cache"}
    with pytest.raises(UserError, match="no test batch"):
        open_source("cifar10", root=tmp_path, split="test")


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"x" * 3074, "3074 bytes"), (b"\x0a" + bytes(3072), "label 10"), (b"", "0 bytes")],
)
def test_damaged_cifar_batches_are_named(tmp_path, data, words):
    (tmp_path / "data_batch_1.bin").write_bytes(data)
    with pytest.raises(UserError, match=words):
        open_source("cifar10", root=tmp_path)


def test_pickled_cifar_is_never_loaded(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(b"cos\nsystem\n(S'touch loaded'\ntR.")
    with pytest.raises(UserError, match=r"pickles.*binary version") as error:
        open_source("cifar10", root=tmp_path)
    assert str(folder) in str(error.value)
    assert not Path("loaded").exists()


def test_missing_files_name_the_folders_and_the_extra(tmp_path):
    with pytest.raises(UserError) as error:
        open_source("kmnist", root=tmp_path)
    for words in (str(tmp_path / "kmnist"), "mulligan[vision]", "--data-root"):
        assert words in str(error.value)


def test_missing_files_are_downloaded_through_torchvision(tmp_path, monkeypatch):
    def mnist(root: str, train: bool, download: bool):
        assert train
        assert download
        small_mnist(Path(root) / "MNIST/raw")

    fake = types.ModuleType("torchvision")
    fake.datasets = types.SimpleNamespace(MNIST=mnist)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", fake)
    assert len(open_source("mnist", root=tmp_path / "new")) == 30
    shutil.rmtree(tmp_path / "new")
    fake.datasets.MNIST = lambda *_, **__: (_ for _ in ()).throw(RuntimeError("mirror is down"))
    with pytest.raises(UserError, match="mirror is down"):
        open_source("mnist", root=tmp_path / "new")
