"""Metrics that use labels: cases whose answer is known, and real digits spoiled in ways that each should see."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mulligan import open_source
from mulligan.metrics.bank import Bank
from mulligan.metrics.channelwise import Channelwise
from mulligan.metrics.classifier import fit
from mulligan.metrics.labels import class_shares, gan_test, gan_train, stacked_modes
from mulligan.metrics.own import own_extractor

SHARED = Path(__file__).resolve().parents[2] / "shared"
STEPS = 100


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_shares_and_their_distance_by_hand():
    fake, real = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 1, 2, 2])
    found = class_shares(fake, 3, real)
    assert found.shares == (0.75, 0.25, 0.0)
    assert found.kl == pytest.approx(0.75 * math.log(3) + 0.25 * math.log(1))
    assert class_shares(fake, 3).kl == pytest.approx(0.75 * math.log(0.75 * 3) + 0.25 * math.log(0.25 * 3))
    assert class_shares(real, 3, real).kl == 0
    assert class_shares(fake[:3], 3).kl == pytest.approx(math.log(3)), "a single class of three"


def test_a_class_that_the_real_data_do_not_have_is_infinitely_far():
    assert class_shares(torch.tensor([0, 1]), 3, torch.tensor([0, 2])).kl == math.inf
    assert class_shares(torch.tensor([0, 0]), 3, torch.tensor([0, 2])).kl == pytest.approx(math.log(2))


def test_shares_of_logits_are_those_of_the_classes_that_they_name():
    labels = torch.randint(0, 5, (300,), generator=draw())
    logits = F.one_hot(labels, 5) + 0.4 * torch.rand(300, 5, generator=draw(1))
    bank = Bank([5])
    bank.add(logits)
    assert class_shares(logits, 5) == class_shares(labels, 5) == class_shares(bank, 5)


@pytest.mark.parametrize("labels", [[], [0, 3], [-1, 0]])
def test_labels_outside_the_classes_are_refused(labels: list[int]):
    with pytest.raises(ValueError, match="don't fit 3 classes"):
        class_shares(torch.tensor(labels, dtype=torch.int64), 3)


def logits_of(modes: Tensor) -> Tensor:
    """Channels side by side, as the extractor gives them: (n, 30)."""
    digits = torch.stack([modes // 100, modes // 10 % 10, modes % 10], 1)
    return F.one_hot(digits, 10).float().flatten(1)


def test_stacked_modes_by_hand():
    every = torch.arange(1000)
    assert stacked_modes(logits_of(every)) == (1000, pytest.approx(0))
    assert stacked_modes(logits_of(every[:250].repeat(3))) == (250, pytest.approx(math.log(4)))
    assert stacked_modes(logits_of(torch.tensor([7, 7, 700]))).found == 2, "colours are not exchanged"
    uneven = torch.tensor([123, 123, 123, 456])
    expected = 0.75 * math.log(750) + 0.25 * math.log(250)
    assert stacked_modes(logits_of(uneven)) == (2, pytest.approx(expected))
    bank = Bank([30])
    bank.add(logits_of(uneven))
    assert stacked_modes(bank) == stacked_modes(logits_of(uneven))


def test_a_perfect_generator_finds_what_so_many_draws_find():
    modes = torch.randint(0, 1000, (2000,), generator=draw())
    assert stacked_modes(logits_of(modes)).found == pytest.approx(1000 * (1 - 0.999**2000), abs=30)


@pytest.mark.parametrize("shape", [(0, 30), (4, 10), (4, 3)])
def test_other_logits_are_refused(shape: tuple[int, int]):
    with pytest.raises(ValueError, match="3 × 10 logits"):
        stacked_modes(torch.zeros(shape))


@pytest.mark.skipif(not (SHARED / "data" / "mnist").is_dir(), reason="MNIST is not beside this checkout")
def test_real_stacked_digits_are_named_by_a_classifier_of_single_ones(tmp_path, monkeypatch):
    """Against the labels that they were stacked by: hardly a mode is missed."""
    from mulligan.metrics import own

    monkeypatch.setattr(own, "default_steps", lambda count: 200)
    source = open_source("stacked_mnist", root=SHARED / "data", progress=False)
    rows = source.gather(torch.arange(1500))
    digits = source.digits  # type: ignore[attr-defined]
    eyes = Channelwise(own_extractor(digits, "mnist", digits.shape, 10, "", tmp_path, progress=False), 3)
    logits = eyes(rows["x"])[1]
    assert logits is not None
    found, truth = stacked_modes(logits), stacked_modes(logits_of(rows["y"]))
    assert found.found == pytest.approx(truth.found, abs=15)
    assert found.kl == pytest.approx(truth.kl, abs=0.03)
    few = stacked_modes(logits[rows["y"] % 10 == 3])
    assert few.found < 130
    assert few.kl > math.log(10) - 0.1


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """1,200 to train on and 500 to test with."""
    source = open_source("digits")
    rows = source.gather(torch.randperm(len(source), generator=draw()))
    x, y = rows["x"], rows["y"]
    return x[:1200], y[:1200], x[-500:], y[-500:]


def test_a_generator_that_copies_teaches_as_much_as_the_real_pictures(digits):
    x, y, test_x, test_y = digits
    found = gan_train(x, y, x, y, test_x, test_y, 10, steps=STEPS)
    assert found.fake == found.real > 0.95


def test_gan_train_sees_wrong_labels_missing_classes_and_missing_variety(digits):
    x, y, test_x, test_y = digits

    def taught(fake_x: Tensor, fake_y: Tensor) -> float:
        found = gan_train(fake_x, fake_y, x, y, test_x, test_y, 10, steps=STEPS)
        assert found.real > 0.93, "the real pictures are as good as ever"
        return found.fake

    assert taught(x, (y + 1) % 10) < 0.05
    assert taught(x[y < 5], y[y < 5]) == pytest.approx(0.5, abs=0.07)
    one_each = torch.stack([(y == c).nonzero()[0, 0] for c in range(10)]).repeat(120)
    assert taught(x[one_each], y[one_each]) < 0.85
    assert taught(torch.randint(0, 256, x.shape, dtype=torch.uint8, generator=draw()), y) < 0.3


def test_gan_test_sees_wrong_labels_and_noise_but_not_what_is_missing(digits):
    x, y, test_x, test_y = digits
    net = fit(x, y, 10, seed=0, steps=STEPS)

    def named(fake_x: Tensor, fake_y: Tensor) -> float:
        return gan_test(x, y, fake_x, fake_y, 10, net=net)

    assert named(test_x, test_y) > 0.95
    assert named(test_x, (test_y + 1) % 10) < 0.05
    assert named(torch.randint(0, 256, test_x.shape, dtype=torch.uint8, generator=draw()), test_y) < 0.25
    one = (y == 3).nonzero()[0, 0]
    assert named(x[one].expand(100, 1, 8, 8), torch.full((100,), 3)) == 1, "one good picture again and again"
    assert gan_test(x, y, test_x, test_y, 10, steps=STEPS) == named(test_x, test_y), "its own classifier is the same"


def test_both_classifiers_learn_from_equally_many(digits, monkeypatch):
    from mulligan.metrics import labels

    x, y, test_x, test_y = digits
    seen = []
    learn = labels.fit

    def noted(x, y, *args, **kwargs):
        seen.append((len(x), len(y)))
        return learn(x, y, *args, **kwargs)

    monkeypatch.setattr(labels, "fit", noted)
    gan_train(x[:70], y[:70], x, y, test_x, test_y, 10, steps=2)
    gan_train(x, y, open_source("digits"), open_source("digits").tensors["y"], test_x, test_y, 10, steps=2)
    assert seen == [(70, 70), (70, 70), (1200, 1200), (1200, 1200)]


def test_thinned_pictures_keep_their_labels():
    from mulligan.metrics.labels import _thinned

    y = torch.arange(100)
    x = y.to(torch.uint8)[:, None, None, None].expand(100, 1, 4, 4)
    some, labels = _thinned(x, y, 30, 0)
    assert isinstance(some, Tensor)
    assert torch.equal(some[:, 0, 0, 0].long(), labels)
    assert len(labels.unique()) == 30
    assert int(labels.max()) > 60, "from all over, since data often come class by class"
