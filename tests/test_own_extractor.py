"""The extractor trained on the data themselves: kept, found again, never half there; distances by it are sensible."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mulligan import UserError, open_source
from mulligan.data.source import Source
from mulligan.metrics import classifier, own
from mulligan.metrics.distances import frechet
from mulligan.metrics.extractors import Extractor, suffix
from mulligan.metrics.own import Own, Points, Turned, own_extractor, turned

SHARED = Path(__file__).resolve().parents[2] / "shared"


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few steps, where it doesn't matter how good it is."""
    for module in (classifier, own):
        monkeypatch.setattr(module, "default_steps", lambda count: 5)


def some(n: int = 60, size: tuple[int, int] = (8, 8), labels: bool = True, name: str = "toys") -> Source:
    x = torch.randint(0, 256, (n, 1, *size), dtype=torch.uint8, generator=draw())
    return Source(name, {"x": x, "y": torch.arange(n) % 3} if labels else {"x": x}, ("a", "b", "c") if labels else ())


def made(source: Source, cache: Path, **changes) -> Own:
    facts = {"name": source.name, "shape": source.shape, "classes": len(source.classes), "fingerprint": "f"}
    return own_extractor(source, cache=cache, progress=False, **{**facts, **changes})


def untrainable(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("it is trained again")

    monkeypatch.setattr(own, "fit", refuse)


@pytest.mark.usefixtures("quick")
def test_it_is_an_extractor_with_a_name_of_its_own(tmp_path):
    eyes: Extractor = made(some(name="my photos/2 (a)"), tmp_path)
    assert eyes.name == "my_photos_2_a_"
    assert len(eyes.sha256) == 64
    assert suffix(eyes) == f"_my_photos_2_a_@{eyes.sha256[:8]}"
    assert not eyes.official
    assert "8x8 with 1 channel" in eyes.preprocessing
    features, logits = eyes(some().tensors["x"])
    assert features.shape == (60, 64)
    assert features.dtype == torch.float32
    assert logits is not None
    assert logits.shape == (60, 3)


@pytest.mark.usefixtures("quick")
def test_it_is_trained_once_and_found_again(tmp_path, monkeypatch):
    source = some()
    first = made(source, tmp_path)
    (file,) = (tmp_path / "extractors").iterdir()
    assert file.name.startswith("toys-")
    assert len(file.stem) == len("toys-") + 16
    untrainable(monkeypatch)
    again = made(source, tmp_path)
    assert again.sha256 == first.sha256
    assert torch.equal(again(source.tensors["x"])[0], first(source.tensors["x"])[0])


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("change", [{"fingerprint": "g"}, {"classes": 0}, {"classes": 5}, {"name": "other"}])
def test_other_data_have_another_file(tmp_path, change):
    made(some(), tmp_path)
    made(some(), tmp_path, **change)
    assert len(list((tmp_path / "extractors").iterdir())) == 2


@pytest.mark.usefixtures("quick")
def test_another_layout_has_another_file(tmp_path, monkeypatch):
    made(some(), tmp_path)
    monkeypatch.setattr(own, "LAYOUT", own.LAYOUT + 1)
    made(some(), tmp_path)
    assert len(list((tmp_path / "extractors").iterdir())) == 2


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("labels", [True, False])
def test_two_trainings_give_the_same_weights_and_leave_the_random_state(tmp_path, labels):
    before = torch.get_rng_state()
    found = {made(some(labels=labels), tmp_path / str(i)).sha256 for i in range(2)}
    assert len(found) == 1
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.usefixtures("quick")
def test_the_digest_tells_which_weights_they_are(tmp_path):
    eyes = made(some(), tmp_path)
    other = made(Source("toys", {**some().tensors, "y": torch.arange(60) % 2}, ("a", "b", "c")), tmp_path / "2")
    assert other.sha256 != eyes.sha256
    with torch.no_grad():
        eyes.net.head.bias[0] += 1e-6
    assert own.digest(eyes.net) != eyes.sha256


def broken(content: bytes, how: str) -> bytes:
    if how == "flipped":  # a bit of the weights, which the format itself doesn't check
        return content[:-1000] + bytes([content[-1000] ^ 1]) + content[-999:]
    return {"torn": content[: len(content) // 2], "empty": b"", "foreign": b"not what it says"}[how]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("how", ["flipped", "torn", "empty", "foreign", "other network"])
def test_a_damaged_file_is_built_again_with_a_warning(tmp_path, capsys, how):
    first = made(some(), tmp_path)
    (file,) = (tmp_path / "extractors").iterdir()
    whole = file.read_bytes()
    if how == "other network":
        other = made(some(size=(16, 20)), tmp_path / "other")
        assert other.shape == (1, 16, 20)
        (lent,) = (tmp_path / "other" / "extractors").iterdir()
        file.write_bytes(lent.read_bytes())
    else:
        file.write_bytes(broken(whole, how))
    capsys.readouterr()
    again = made(some(), tmp_path)
    said = capsys.readouterr().err
    assert said.startswith("warning: ")
    assert f"{file} is damaged" in said
    assert "trained again" in said
    assert again.sha256 == first.sha256
    assert file.read_bytes() == whole


@pytest.mark.usefixtures("quick")
def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path, capsys):
    (tmp_path / "extractors").write_text("a file where the folder should be")
    eyes = made(some(), tmp_path)
    said = capsys.readouterr().err
    assert "can't be kept" in said
    assert str(tmp_path) in said
    assert eyes(some().tensors["x"])[0].shape == (60, 64)


@pytest.mark.usefixtures("quick")
def test_a_kill_while_writing_leaves_no_file_of_that_name(tmp_path, monkeypatch):
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        made(some(), tmp_path)
    assert list((tmp_path / "extractors").iterdir()) == []


@pytest.mark.usefixtures("quick")
def test_other_sizes_are_refused_in_words(tmp_path):
    eyes = made(some(), tmp_path)
    with pytest.raises(UserError, match=r"toys was trained on pictures 8x8 with 1 channel .* 16x8 with 3 channels"):
        eyes(torch.zeros(2, 3, 8, 16, dtype=torch.uint8))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("labels", "classes"), [(False, 0), (True, 1), (True, 0), (False, 3)])
def test_without_two_classes_and_labels_there_are_no_logits(tmp_path, labels, classes):
    eyes = made(some(labels=labels), tmp_path, classes=classes)
    features, logits = eyes(some().tensors["x"])
    assert features.shape == (60, 64)
    assert logits is None
    assert "four turns" in eyes.preprocessing


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize("count", [1, 2, 30])
def test_a_few_pictures_are_enough(tmp_path, count, labels):
    features = made(some(count, labels=labels), tmp_path)(some(50).tensors["x"])[0]
    assert bool(features.isfinite().all())


def test_four_turns_of_each_picture_and_which_it_is():
    quarters = [lambda x, k=k: x.rot90(k, (2, 3)) for k in range(4)]
    mirrors = [lambda x: x, lambda x: x.flip(3), lambda x: x.flip(2), lambda x: x.flip(2, 3)]
    for source, ways in ((some(3, (8, 8)), quarters), (some(3, (6, 10)), mirrors)):
        before = source.tensors["x"].clone()
        rows = Turned(source)
        assert len(rows) == 12
        order = torch.randperm(12, generator=draw())
        found = rows.gather(order)
        assert torch.equal(found["y"], order % 4)
        for row, index in zip(found["x"], order.tolist()):
            expected = ways[index % 4](before[index // 4 : index // 4 + 1])[0]
            assert torch.equal(row, expected)
        assert torch.equal(source.tensors["x"], before)
        assert torch.equal(turned(before, 0), before)


def test_points_are_their_own_features():
    eyes: Extractor = Points()
    x = torch.randn(5, 2, generator=draw())
    features, logits = eyes(x)
    assert torch.equal(features, x)
    assert logits is None
    assert eyes.name == "points"
    assert eyes.sha256 == Points().sha256
    assert len(eyes.sha256) == 64


def noisy(x: Tensor, amount: float) -> Tensor:
    noise = 127.5 * amount * torch.randn(x.shape, generator=draw())
    return (x + noise).clamp(0, 255).round().to(torch.uint8)


def blurred(x: Tensor, radius: float) -> Tensor:
    r = int(radius)
    return F.avg_pool2d(x.float(), 2 * r + 1, 1, r, count_include_pad=False).round().to(torch.uint8)


def digits(name: str) -> tuple[Source, Source]:
    """What the extractor is trained on, and others that are compared."""
    root = SHARED / "data"
    if name == "mnist" and not (root / "mnist").is_dir():
        pytest.skip("MNIST is not beside this checkout")
    source = open_source(name, root=root, progress=False)
    train, rest = (800, 900) if name == "digits" else (2500, 2000)
    rows = source.gather(torch.randperm(len(source), generator=draw())[: train + rest])
    cut = [{key: values[part] for key, values in rows.items()} for part in (slice(train), slice(train, None))]
    return Source(name, cut[0], source.classes), Source(name, cut[1], source.classes)


@pytest.mark.parametrize("name", ["digits", "mnist"])
@pytest.mark.parametrize("labels", [True, False], ids=["labelled", "unlabelled"])
def test_distances_rise_with_every_step_away_from_the_real(tmp_path, monkeypatch, name, labels):
    for module in (classifier, own):
        monkeypatch.setattr(module, "default_steps", lambda count: 150)
    train, rest = digits(name)
    eyes = made(train, tmp_path, classes=10 if labels else 0)
    x, y = rest.tensors["x"], rest.tensors["y"]
    half = len(x) // 2
    real, other, classes = eyes(x[:half])[0], x[half:], y[half:]

    def away(pictures: Tensor) -> float:
        return frechet(eyes(pictures)[0], real)

    floor = away(other)
    series = {
        "noise": [away(noisy(other, amount)) for amount in (0.2, 0.4, 0.8)],
        "blur": [away(blurred(other, radius)) for radius in (1, 2, 3)],
        "classes": [away(other[classes < count]) for count in (8, 5, 2)],
        "modes": [away(other[torch.arange(half) % count]) for count in (50, 10)],
    }
    for found in series.values():
        assert [floor, *found] == sorted([floor, *found])
        assert found[-1] > 10 * floor
    assert away(torch.randint(0, 256, other.shape, dtype=torch.uint8, generator=draw())) > 30 * floor
