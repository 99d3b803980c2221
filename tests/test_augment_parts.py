"""augment: the statistics, the words of the verdict, and the data that a study may be trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mulligan import UserError, open_source
from mulligan.augment import arms, report, task
from mulligan.augment.arms import ARMS
from mulligan.augment.intervals import Interval, mean_interval, paired, verdict

KEEP = 12


# ---- statistics


def test_an_interval_is_students():
    found = mean_interval([1, 2, 3, 4, 5])
    assert found.mean == 3
    half = 2.7764451 * 2.5**0.5 / 5**0.5  # t(0.975, 4) from a table
    assert (found.high - 3, 3 - found.low) == (pytest.approx(half, rel=1e-6), pytest.approx(half, rel=1e-6))
    assert mean_interval([1, 2, 3, 4, 5], 0.9).high == pytest.approx(3 + 2.1318468 * 2.5**0.5 / 5**0.5, rel=1e-6)
    assert mean_interval([0.5, 0.5]) == Interval(0.5, 0.5, 0.5)
    with pytest.raises(ValueError, match="at least 2 values, not 1"):
        mean_interval([1])


def test_a_paired_interval_is_that_of_the_differences():
    ours, theirs = [0.9, 0.5, 0.7], [0.8, 0.4, 0.6]  # far apart, but always 0.1 better
    found = paired(ours, theirs)
    assert (found.low, found.high) == (pytest.approx(0.1), pytest.approx(0.1))
    with pytest.raises(ValueError, match="zip"):
        paired(ours, theirs[:2])


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.001, 0.05, "helps"),
        (-0.05, -0.001, "harms"),
        (-0.05, 0.009, "does not help"),
        (0.0, 0.0, "does not help"),
        (-0.05, 0.011, "can't be told"),
        (0.0, 0.011, "can't be told"),
    ],
)
def test_a_verdict_follows_from_the_interval(low: float, high: float, said: str):
    assert verdict(Interval((low + high) / 2, low, high)) == said


def constructed(**recalls: list[float]) -> report.Results:
    """Results in which balanced accuracy and recall of an arm are these; 0.5 for the others."""
    values = {arm: recalls.get(arm.replace("+", "_"), [0.5, 0.5, 0.5]) for arm in ARMS}
    rows = [
        {
            "seed": seed,
            "arm": arm,
            "balanced_accuracy": values[arm][seed],
            "recall": values[arm][seed],
            "precision": 1.0,
        }
        for seed in range(3)
        for arm in ARMS
    ]
    return report.Results(rows, range(3))


@pytest.mark.parametrize(
    ("gan", "plain", "rival"),
    [
        ([0.80, 0.81, 0.82], "it helps (+31.0", "it helps (+11.0"),
        ([0.60, 0.61, 0.62], "it helps (+11.0", "it does not help but harms (-9.0"),
        ([0.70, 0.701, 0.699], "it helps (+20.0", "it does not help (+0.0"),
        ([0.50, 0.70, 0.90], "it can't be told from these seeds whether it helps (+20.0", "it can't be told from"),
        ([0.40, 0.41, 0.42], "it does not help but harms (-9.0", "it does not help but harms (-29.0"),
    ],
)
def test_the_verdict_is_said_for_both_measures_and_both_rivals(gan: list[float], plain: str, rival: str):
    results = constructed(gan=gan, oversampling=[0.7, 0.7, 0.7])
    assert results.best() == "oversampling"
    for line, measure in zip(report.verdicts(results, "class 3"), ("balanced accuracy", "recall of class 3")):
        assert line.startswith(f"GAN, {measure}: against plain training {plain}")
        assert f"against oversampling, the best arm without a GAN, {rival}" in line


def test_the_best_rival_is_never_a_gan():
    results = constructed(gan=[0.99] * 3, gan_ordinary=[0.98] * 3, plain=[0.6] * 3)
    assert results.best() == "plain"
    said = report.verdicts(results, "class 3")[0]
    assert said.startswith("GAN, balanced accuracy: against plain, the best arm without a GAN, it helps (+39.0")
    assert said.count("against") == 1, "it would say the same twice"


def test_a_class_that_is_never_named_has_no_precision():
    results = constructed()
    for row in results.rows:
        row["precision"] = None if row["arm"] == "plain" or row["seed"] == 0 else 0.5
    table = report.arms_table(results, "class 3").splitlines()
    assert "| none (0 of 3)" in table[2]
    assert "| 50.0 [50.0, 50.0] (2 of 3)" in table[3]


def test_precision_and_weights():
    y = torch.tensor([0, 0, 0, 1, 1, 2])
    logits = torch.eye(3)[torch.tensor([1, 0, 0, 1, 1, 0])]
    assert arms.precision(logits, y, 1) == pytest.approx(2 / 3)
    assert arms.precision(logits, y, 2) is None
    assert arms.inverse_frequency(y, 3).tolist() == pytest.approx([2 / 3, 1, 2])


# ---- the data


def opened(data: Any = "digits", rare: int | str = 3, keep: int = KEEP, test: Any = None, **options: Any) -> task.Task:
    return task.open_task(data, rare, keep, test, 0, options)


def test_a_fifth_of_each_class_is_held_out_where_there_is_no_test_set():
    found, source = opened(), open_source("digits")
    assert "held out before anything else (it has no test set)" in found.origin
    whole = torch.bincount(source.tensors["y"])
    assert torch.bincount(found.test.y).tolist() == [n // 5 for n in whole.tolist()]
    assert len(found.pool) + len(found.test.y) == len(source)
    assert not pixels(found.test.x) & pixels(source.tensors["x"][found.pool])


def pixels(x: torch.Tensor) -> set[bytes]:
    return {picture.numpy().tobytes() for picture in x}


def test_each_seed_keeps_other_pictures_of_the_rare_class_and_all_of_the_others():
    found = opened()
    kept = [found.kept(seed)[1] for seed in (0, 1, 0)]
    assert torch.equal(kept[0], kept[2])
    assert not torch.equal(kept[0], kept[1])
    for seed in (0, 1):
        training = found.training(seed)
        assert int((training.y == 3).sum()) == KEEP
        assert int((training.y != 3).sum()) == int((open_source("digits").tensors["y"][found.pool] != 3).sum())
        assert not pixels(training.x) & pixels(found.test.x)


def test_the_gan_sees_only_what_is_kept_the_rare_class_as_often_as_the_median():
    found = opened()
    source, training = found.for_gan(1), found.training(1)
    x, y = source.tensors["x"], source.tensors["y"]
    assert pixels(x[y == 3]) == pixels(training.x[training.y == 3])
    assert pixels(x[y != 3]) == pixels(training.x[training.y != 3])
    assert int((y == 3).sum()) == KEEP * round(found.usual() / KEEP)
    assert found.for_gan(0).fingerprint != source.fingerprint == found.for_gan(1).fingerprint


def arrays(path: Path, **given: Any) -> Path:
    draw = np.random.default_rng(0)
    for name in ("x", "test_images"):
        count = len(given.get(name.replace("x", "y").replace("images", "labels"), ()))
        if count:
            given[name] = draw.integers(0, 256, (count, 8, 8), dtype=np.uint8)
    np.savez(path, **given)
    return path


def test_the_test_set_of_an_npz_is_taken_and_its_classes_go_by_name(tmp_path: Path):
    path = arrays(tmp_path / "a.npz", y=np.arange(60) % 3, test_labels=np.array([1, 2, 2, 1]))
    found = opened(path, rare="2", keep=5)
    assert found.test.y.tolist() == [1, 2, 2, 1], "numbered anew without class 0 they would be 0, 1, 1, 0"
    assert (len(found.pool), found.origin) == (60, "the test set of a")


def test_another_test_set_may_be_named(tmp_path: Path):
    path = arrays(tmp_path / "a.npz", y=np.arange(60) % 3)
    other = arrays(tmp_path / "b.npz", y=np.arange(9) % 3)
    found = opened(path, rare=0, keep=5, test=other)
    assert (len(found.pool), len(found.test.y), found.origin) == (60, 9, str(other))
    with pytest.raises(UserError, match="the very pictures that are trained on"):
        opened(path, rare=0, keep=5, test=path)
    larger = tmp_path / "larger.npz"
    np.savez(larger, x=np.full((9, 16, 16), 9, dtype=np.uint8), y=np.arange(9) % 3)
    with pytest.raises(UserError, match=r"1×8×8 and those of .*larger\.npz are 1×16×16"):
        opened(path, rare=0, keep=5, test=larger)
    strange = arrays(tmp_path / "c.npz", y=np.array(["0", "1", "cow"] * 3))
    with pytest.raises(UserError, match="classes that the training data lack: cow"):
        opened(path, rare=0, keep=5, test=strange)
    lacking = arrays(tmp_path / "d.npz", y=np.array([1, 2, 1]))
    with pytest.raises(UserError, match="has no picture of class 0"):
        opened(path, rare=0, keep=5, test=lacking)
