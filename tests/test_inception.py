"""The official Inception: its numbers are torch-fidelity's, its file is the right one, and nothing in it is run."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mulligan.core.errors import UserError
from mulligan.metrics import inception as inception_file
from mulligan.metrics.extractors import Extractor, suffix
from mulligan.metrics.inception import NAMES, Inception, architecture, coloured, full_precision, inception

CPU = torch.device("cpu")
needs_fidelity = pytest.mark.skipif(
    importlib.util.find_spec("torch_fidelity") is None, reason="torch-fidelity isn't installed: mulligan[metrics]"
)


def expect(patch: pytest.MonkeyPatch, data: bytes) -> None:
    """Take this for the official file."""
    patch.setattr(inception_file, "SHA256", hashlib.sha256(data).hexdigest())
    patch.setattr(inception_file, "SIZE", len(data))


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """torch.hub's folder of downloads, empty; and no network."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(inception_file, "URLS", ("http://127.0.0.1:9/nothing",))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random weights of the right names and shapes."""
    network_class = architecture()
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        torch.manual_seed(0)
        patch.setattr(network_class, "load_state_dict", lambda self, state: None)
        empty = io.BytesIO()
        torch.save({}, empty)
        empty.seek(0)
        network = network_class("x", ["2048"], feature_extractor_weights_path=empty)
        for name, value in network.state_dict().items():
            if name.endswith("conv.weight"):  # values neither die nor explode on their way
                value.normal_(0, (2 / value[0].numel()) ** 0.5)
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture
def official(weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    expect(monkeypatch, weights.read_bytes())
    return weights


def pictures(n: int, channels: int = 3, size: tuple[int, int] = (40, 33)) -> Tensor:
    return torch.randint(0, 256, (n, channels, *size), generator=torch.Generator().manual_seed(1)).to(torch.uint8)


@needs_fidelity
def test_features_are_those_of_torch_fidelity(official: Path, tmp_path: Path):
    drawn = torch.random.get_rng_state()
    found: Extractor = inception(official, tmp_path, CPU)
    assert torch.equal(torch.random.get_rng_state(), drawn), "a run's draws must not know of it"
    theirs = architecture()("x", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(official))
    x = pictures(3)
    features, logits = found(x)
    assert logits is not None
    assert (features.shape, logits.shape) == ((3, 2048), (3, 1008))
    assert all(torch.equal(a, b) for a, b in zip((features, logits), theirs(x), strict=True))
    torch.testing.assert_close(logits, features @ theirs.fc.weight.T)  # without the bias
    assert float(features.std(0).mean()) > 1e-3  # a network that tells pictures apart
    assert (found.name, found.sha256, found.official) == ("inception", inception_file.SHA256, True)
    assert suffix(found) == ""
    assert not any(name.split(".")[0] == "torch_fidelity" for name in sys.modules)


@needs_fidelity
def test_a_picture_does_not_know_its_batch(official: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found = inception(official, tmp_path, CPU)
    x = pictures(5, size=(20, 20))
    together = found(x)
    monkeypatch.setattr(inception_file, "MOST", 2)  # three parts
    for whole, parts in zip(together, found(x), strict=True):
        torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-5 * float(whole.abs().max()))
    for whole, alone in zip(together, zip(*(found(x[i : i + 1]) for i in range(5)), strict=True), strict=True):
        torch.testing.assert_close(torch.cat(alone), whole, rtol=1e-5, atol=1e-5 * float(whole.abs().max()))


class Seen(torch.nn.Module):
    """In the network's place: notes what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[Tensor] = []

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self.parts.append(x)
        return x[:, :, 0, 0].float(), x[:, :1, 0, 0].float()


def test_large_pictures_come_in_small_parts():
    seen = Seen()
    found = Inception(seen, "0" * 64, CPU)
    found(pictures(70, 1, (28, 28)))
    found(torch.zeros(5, 3, 1000, 1000, dtype=torch.uint8))
    assert [len(part) for part in seen.parts] == [32, 32, 6, 2, 2, 1]
    assert not found.official
    assert suffix(found) == "_inception@00000000"


def test_grey_is_repeated_and_transparency_laid_on_white():
    grey, rgb, clear = pictures(2, 1), pictures(2, 3), torch.zeros(2, 1, 40, 33, dtype=torch.uint8)
    assert torch.equal(coloured(grey), grey.repeat(1, 3, 1, 1))
    assert torch.equal(coloured(rgb), rgb)
    assert torch.equal(coloured(torch.cat([rgb, clear + 255], 1)), rgb)
    assert (coloured(torch.cat([rgb, clear], 1)) == 255).all()
    half = coloured(torch.cat([rgb, clear + 51], 1))  # a fifth
    assert torch.equal(half, (rgb.double() / 5 + 204).round().to(torch.uint8))
    assert torch.equal(coloured(torch.cat([grey, clear + 51], 1))[:, 2:], (grey.double() / 5 + 204).round().byte())


@pytest.mark.parametrize("x", [torch.zeros(4, 2), torch.zeros(1, 3, 9, 9), torch.zeros(1, 5, 9, 9, dtype=torch.uint8)])
def test_anything_but_pictures_is_refused(x: Tensor):
    with pytest.raises(UserError, match=r"8-bit pictures .* of shape \(.*\): take another extractor"):
        Inception(Seen(), "", CPU)(x)


def test_full_precision_is_handed_back():
    before = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic
    with torch.autocast("cpu", torch.bfloat16), full_precision(CPU):
        assert not torch.backends.cudnn.allow_tf32
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic) == before


# where the file comes from


@needs_fidelity
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", ["cache/extractors", "hub/checkpoints"])
def test_known_folders_are_searched(place: str, name: str, official: Path, tmp_path: Path):
    path = tmp_path / place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(official)
    assert inception(None, tmp_path / "cache", CPU, download=False).official


@needs_fidelity
def test_a_given_file_of_another_checksum_is_refused(official: Path, hub: Path, tmp_path: Path):
    """Even where the right one lies nearby; the message has both checksums."""
    (hub / NAMES[0]).symlink_to(official)
    other = tmp_path / "other.pth"
    other.write_bytes(b"not it")
    digest = hashlib.sha256(b"not it").hexdigest()
    with pytest.raises(UserError, match=rf"6 bytes with SHA-256 {digest}, expected .* {inception_file.SHA256}"):
        inception(other, tmp_path, CPU)
    longer = tmp_path / "longer.pth"
    longer.write_bytes(official.read_bytes() + b"x" * 3_000_000)
    digest = hashlib.sha256(longer.read_bytes()).hexdigest()
    with pytest.raises(UserError, match=digest):
        inception(longer, tmp_path, CPU)
    for gone in (tmp_path / "gone.pth", tmp_path):
        with pytest.raises(UserError, match="aren't a file that is there"):
            inception(gone, tmp_path, CPU)


@needs_fidelity
def test_without_weights_the_message_says_where_to_put_them(hub: Path, tmp_path: Path):
    (hub / NAMES[1]).write_bytes(b"torn")
    with pytest.raises(UserError) as refused:
        inception(None, tmp_path / "cache", CPU, download=False)
    for word in (*NAMES, str(tmp_path / "cache" / "extractors"), str(hub), "--weights FILE", "passed over: 4 bytes"):
        assert word in str(refused.value)
    assert not (tmp_path / "cache").exists()


@needs_fidelity
def test_a_failed_download_says_so(tmp_path: Path):
    with pytest.raises(UserError, match="could not be downloaded"):
        inception(None, tmp_path / "cache", CPU, progress=False)


def test_without_torch_fidelity_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'mulligan\[metrics\]'"):
        inception(None, tmp_path, CPU)


@needs_fidelity
def test_a_torch_fidelity_without_inception_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "torch_fidelity").mkdir()
    (tmp_path / "torch_fidelity" / "__init__.py").write_text("raise SystemExit('the package was run')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError, match="has no usable Inception"):
        inception(None, tmp_path, CPU)
    assert not any(name.split(".")[0] == "torch_fidelity" for name in sys.modules)


@needs_fidelity
def test_a_torch_fidelity_that_is_in_use_is_left_alone(monkeypatch: pytest.MonkeyPatch):
    spec = importlib.util.find_spec("torch_fidelity")
    assert spec is not None
    package = importlib.util.module_from_spec(spec)  # not run
    monkeypatch.setitem(sys.modules, "torch_fidelity", package)
    try:
        found = architecture()
        assert sys.modules["torch_fidelity"] is package
        assert found is architecture()
    finally:
        for name in [name for name in sys.modules if name.startswith("torch_fidelity.")]:
            del sys.modules[name]


class Bomb:
    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self) -> Any:
        return (Path.touch, (self.flag,))


@needs_fidelity
@pytest.mark.parametrize("checksum", ["wrong", "right"])
@pytest.mark.parametrize("new_format", [False, True])
def test_a_hostile_file_is_never_run(new_format: bool, checksum: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path, flag = tmp_path / "hostile.pth", tmp_path / "it-ran"
    torch.save({"fc.bias": Bomb(flag)}, path, _use_new_zipfile_serialization=new_format)
    if checksum == "right":
        expect(monkeypatch, path.read_bytes())
    with pytest.raises(UserError, match="can't be read as plain" if checksum == "right" else "is not the Inception"):
        inception(path, tmp_path, CPU)
    assert not flag.exists()
    torch.load(path, weights_only=False)
    assert flag.exists(), "the bomb is live"


@needs_fidelity
def test_a_file_that_changes_after_the_check_is_not_read_again(
    official: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path, read = tmp_path / "swapped.pth", inception_file._read
    path.write_bytes(official.read_bytes())

    def swapping(where: Path) -> tuple[bytes, int, str]:
        found = read(where)
        torch.save({"fc.bias": Bomb(tmp_path / "it-ran")}, where)
        return found

    monkeypatch.setattr(inception_file, "_read", swapping)
    assert inception(path, tmp_path, CPU).official
    assert not (tmp_path / "it-ran").exists()


@needs_fidelity
def test_downloaded_weights_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, official: Path):
    """A damaged file in the cache is replaced, and the second time nothing is downloaded."""
    asked: list[Path] = []

    def downloaded(urls: object, path: Path, sha256: str, size: int, progress: bool) -> Path:
        assert (sha256, size) == (inception_file.SHA256, official.stat().st_size)
        asked.append(path)
        path.unlink()
        path.symlink_to(official)
        return path

    monkeypatch.setattr(inception_file, "fetch", downloaded)
    kept = tmp_path / "cache" / "extractors" / NAMES[0]
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"damaged")
    for _ in range(2):
        assert inception(None, tmp_path / "cache", CPU).official
    assert asked == [kept]


@needs_fidelity
def test_with_the_right_checksum_and_no_other_a_number_is_called_fid(official, weights, tmp_path, monkeypatch, capsys):
    import numpy as np

    from mulligan.cli import main

    draw = np.random.default_rng(0)
    for name in ("fake", "real"):
        np.save(tmp_path / f"{name}.npy", draw.integers(0, 256, (10, 16, 16, 3), dtype=np.uint8))
    words = ["evaluate", "--fake", str(tmp_path / "fake.npy"), "--real", str(tmp_path / "real.npy"), "--device", "cpu",
             "--metrics", "fid,kid,is", "--repeats", "1"]  # fmt: skip
    main([*words, "--weights", str(weights)])
    said = capsys.readouterr()
    assert [line.split()[0] for line in said.out.splitlines()[1:4]] == ["fid", "kid", "is"]
    assert inception_file.SHA256 in said.out
    assert "not comparable with FID" not in said.out
    assert "10 samples for 2,048 feature dimensions" in said.err
    monkeypatch.setattr(inception_file, "SHA256", "0" * 64)
    with pytest.raises(SystemExit):
        main([*words, "--weights", str(weights)])
    assert "is not the Inception of the FID paper" in capsys.readouterr().err
