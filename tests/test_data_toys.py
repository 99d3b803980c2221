"""Toy laws and digits: what the papers state, deterministic, well formed."""

import math

import pytest
import torch

from mulligan.core.errors import UserError
from mulligan.data import NAMES, Source, open_source


@pytest.mark.parametrize(("name", "modes", "sigma"), [("ring", 8, 0.01), ("grid", 25, 0.05)])
def test_mixtures_follow_their_law(name, modes, sigma):
    source = open_source(name)
    x, y = source.tensors["x"], source.tensors["y"]
    assert (x.shape, x.dtype, y.dtype, len(source.classes)) == ((100_000, 2), torch.float32, torch.int64, modes)
    centres = torch.stack([x[y == k].mean(0) for k in range(modes)])
    spread = torch.stack([x[y == k].std(0) for k in range(modes)])
    counts = torch.bincount(y, minlength=modes).double()
    assert ((counts / 100_000 - 1 / modes).abs() < 5 * math.sqrt(1 / modes / 100_000)).all()
    assert (spread / sigma - 1).abs().max() < 0.06
    if name == "ring":
        assert (centres.norm(dim=1) - 1).abs().max() < 1e-3
        angles = torch.atan2(centres[:, 1], centres[:, 0]) % (2 * math.pi)
        assert ((angles * 4 / math.pi - torch.arange(8)) % 8).sub(4).abs().sub(4).abs().max() < 0.01
    else:
        lattice = [[a, b] for a in range(-4, 5, 2) for b in range(-4, 5, 2)]
        assert sorted(centres.round().int().tolist()) == lattice
    assert source.classes[2] == {"ring": "(0, 1)", "grid": "(-4, 0)"}[name]


def test_swissroll_is_a_spiral_of_about_unit_range():
    source = open_source("swissroll")
    x = source.tensors["x"]
    assert source.classes == ()
    assert "y" not in source.tensors
    assert 0.9 < x.norm(dim=1).max() < 1.2
    turn = x.norm(dim=1) * 4.5 * math.pi  # the radius tells the angle
    angle = torch.atan2(x[:, 1], x[:, 0])
    miss = (turn - angle + math.pi) % (2 * math.pi) - math.pi
    assert miss.abs().median() < 0.3


def test_moons_are_two_half_circles():
    source = open_source("moons")
    x, y = source.tensors["x"] * 1.5, source.tensors["y"]
    centre = torch.tensor([[-0.5, -0.25], [0.5, 0.25]])
    assert ((x - centre[y]).norm(dim=1) - 1).abs().max() < 0.3
    assert source.tensors["x"].abs().max() < 1.2
    assert source.classes == ("upper", "lower")
    assert x[y == 0][:, 1].mean() > 0.2
    assert x[y == 1][:, 1].mean() < -0.2


@pytest.mark.parametrize("name", ["ring", "grid", "swissroll", "moons"])
def test_toys_repeat_by_seed_and_differ_between_seeds_and_splits(name):
    first, again = open_source(name, seed=3), open_source(name, seed=3)
    assert torch.equal(first.tensors["x"], again.tensors["x"])
    assert first.fingerprint == again.fingerprint
    others = [open_source(name, seed=4), open_source(name, seed=3, split="test")]
    assert len({s.fingerprint for s in (first, *others)}) == 3
    assert all(not torch.equal(first.tensors["x"], other.tensors["x"]) for other in others)


def test_digits_are_scaled_and_labelled():
    from sklearn.datasets import load_digits

    source = open_source("digits")
    x, y = source.tensors["x"], source.tensors["y"]
    assert (x.shape, x.dtype, source.shape, len(source)) == ((1797, 1, 8, 8), torch.uint8, (1, 8, 8), 1797)
    assert torch.equal(x[:, 0], torch.tensor(load_digits().images * 255 / 16).round().to(torch.uint8))
    assert y[:10].tolist() == list(range(10))
    assert source.classes == tuple("0123456789")
    assert source.notes == ()


def test_digits_resize_and_take_channels():
    plain, larger = open_source("digits"), open_source("digits", size=(16, 12), channels=3)
    assert larger.shape == (3, 16, 12)
    assert larger.fingerprint != plain.fingerprint
    x = larger.tensors["x"]
    assert torch.equal(x[:, 0], x[:, 2])
    assert (x.float().mean() - plain.tensors["x"][..., 1:7].float().mean()).abs() < 4  # 8x8 -> 8x6 crop -> 16x12


def test_gather_and_index_give_rows():
    source = open_source("digits")
    batch = source.gather(torch.tensor([5, 2, 5]))
    assert batch["y"].tolist() == [5, 2, 5]
    assert torch.equal(batch["x"][0], source.tensors["x"][5])
    batch["x"].zero_()
    assert source[5]["x"].sum() > 0, "a batch is a copy"
    assert source[-1]["y"] == source.tensors["y"][-1]
    assert source[3]["x"].shape == (1, 8, 8)
    for i in (1797, -1798):
        with pytest.raises(IndexError):
            source[i]
    assert sum(1 for _ in Source("two", {"x": torch.zeros(2, 3)})) == 2, "iteration ends"


@pytest.mark.parametrize(
    ("spec", "options", "words"),
    [
        ("digts", {}, ['"digts"', 'Did you mean "digits"?', "cifar10"]),
        ("zebra", {}, ['"zebra"', *NAMES]),
        ("nowhere/photos", {}, ["nowhere/photos", "--data"]),
        ("ring", {"size": (8, 8)}, ["ring", "--size"]),
        ("digits", {"split": "test"}, ["digits", "test split"]),
        ("digits", {"split": "val"}, ['"val"', "train and test"]),
        ("digits", {"channels": 2}, ["2 channels", "4 (RGB and alpha)"]),
        ("digits", {"size": (0, 8)}, ["(0, 8)", "8192"]),
        ("digits", {"max_bad": 5}, ["--max-bad", "5"]),
        ("stacked_mnist", {"channels": 1}, ["stacked_mnist", "--channels 1"]),
    ],
)
def test_mistakes_are_named(spec, options, words):
    with pytest.raises(UserError) as error:
        open_source(spec, **options)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_names_are_forgiving_about_case_and_hyphens():
    assert open_source("Ring").name == "ring"
    with pytest.raises(UserError, match="fashion_mnist"):
        open_source("Fashion-MNIST", root="/nowhere")


def test_a_name_wins_over_a_folder_and_says_so(tmp_path, monkeypatch):
    (tmp_path / "ring").mkdir()
    monkeypatch.chdir(tmp_path)
    assert any("./ring" in note for note in open_source("ring").notes)
    with pytest.raises(UserError, match="is empty"):
        open_source("./ring")
