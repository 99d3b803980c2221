"""Supplies, looking and the cache of statistics: the same samples and numbers whatever the batch; nothing mixed up."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
from torch import Tensor

from mulligan import Sampler, UserError
from mulligan.assess import known
from mulligan.assess.looking import look
from mulligan.assess.panel import Panel
from mulligan.assess.score import brief, jackknife, mean_error
from mulligan.assess.supply import BLOCK, Generated, Stored, as_files
from mulligan.assess.team import Alone
from mulligan.data import Source, open_source
from mulligan.metrics.shelf import SHELF, chosen

CPU = torch.device("cpu")


class Projection:
    """An extractor for tests: 16 random projections; logits are the first ten."""

    official, preprocessing = False, "x / 255, random projections"

    def __init__(self, seed: int = 0, size: int = 64) -> None:
        self.name, self.size = f"projection{seed}", size
        self.weights = torch.randn(size, 16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        self.sha256 = hashlib.sha256(self.weights.numpy().tobytes()).hexdigest()

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        seen = (x.flatten(1).double() / 255 @ self.weights).float()
        return seen, seen[:, :10]


def generator(classes: int = 0) -> Sampler:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(8, 64), torch.nn.Tanh(), torch.nn.Unflatten(1, (1, 8, 8)))
    if not classes:
        return Sampler(net, 8)

    class Labelled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.shift = net, torch.nn.Embedding(classes, 8)

        def forward(self, z: Tensor, y: Tensor) -> Tensor:
            return self.net(z + self.shift(y))

    return Sampler(Labelled(), 8, classes)


@pytest.mark.parametrize("classes", [0, 5])
def test_samples_are_the_same_for_any_batch_and_count(classes):
    one = [Generated(generator(classes), 600, 3, batch).block(1) for batch in (1, 64, 1000)]
    for other in one[1:]:
        assert torch.equal(one[0].x, other.x)
        assert classes == 0 or torch.equal(one[0].y, other.y)  # type: ignore[arg-type]
    longer = Generated(generator(classes), 100_000, 3).block(1)
    assert torch.equal(longer.x, one[0].x)
    assert not torch.equal(Generated(generator(classes), 600, 4).block(1).x, one[0].x)
    assert not torch.equal(Generated(generator(classes), 600, 3).block(0).x, one[0].x)
    assert len(Generated(generator(classes), 600).block(2).x) == 600 - 2 * BLOCK


def test_labels_come_as_often_as_they_are_asked_for():
    supply = Generated(generator(3), 10 * BLOCK, shares=torch.tensor([3.0, 1.0, 0.0]))
    y = torch.cat([supply.block(i).y for i in range(10)])  # type: ignore[misc]
    counts = torch.bincount(y, minlength=3)
    assert counts[2] == 0
    assert 0.72 < counts[0] / len(y) < 0.78


def test_truncation_scales_the_latents():
    wide, narrow = (Generated(generator(), 200, truncation=t).block(0).x.float() for t in (1.0, 0.2))
    assert narrow.std(0).mean() < 0.5 * wide.std(0).mean()


def test_noise_inside_a_generator_follows_from_the_seed_and_leaves_the_callers_draws():
    class Noisy(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(1))

        def forward(self, z: Tensor) -> Tensor:
            return (z[:, :1] + torch.randn(len(z), 1)).clamp(-1, 1)[:, :, None, None].expand(-1, 1, 8, 8)

    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = Generated(Sampler(Noisy(), 8), 100).block(0).x
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert torch.equal(Generated(Sampler(Noisy(), 8), 100).block(0).x, first)


def test_a_sample_that_is_not_finite_is_named():
    x = torch.zeros(4, 1, 2, 2)
    x[2, 0, 1, 1] = torch.nan
    with pytest.raises(UserError, match=r"sample 258 has values that are NaN"):
        as_files(x, 256)


def test_stored_samples_are_all_of_the_set_once_in_one_random_order():
    source = open_source("digits")
    blocks = [Stored(source, len(source)).block(i).x for i in range(-(-len(source) // BLOCK))]
    rows = torch.cat(blocks).flatten(1)
    whole = source.tensors["x"].flatten(1)
    assert torch.equal(rows.sort(0).values, whole.sort(0).values)
    assert not torch.equal(rows, whole)
    assert torch.equal(Stored(source, 300).block(0).x, blocks[0])


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_what_is_seen_does_not_depend_on_the_batch(batch):
    seen = look(Stored(open_source("digits"), 700), Projection(), batch=batch)
    other = look(Stored(open_source("digits"), 700), Projection(), batch=256)
    assert seen is not None
    assert other is not None
    index = torch.arange(700)
    assert torch.allclose(seen.features[index], other.features[index], rtol=1e-6)
    assert torch.equal(seen.labels, other.labels)  # type: ignore[arg-type]
    assert len(seen.pictures) == 700  # type: ignore[arg-type]


def test_features_that_are_not_finite_are_named():
    class Broken(Projection):
        def __call__(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
            seen, logits = super().__call__(x)
            seen[3] = torch.inf
            return seen, logits

    with pytest.raises(UserError, match="features of sample 3 aren't finite"):
        look(Stored(open_source("digits"), 50), Broken())


def panel(source: Source, extractor: Projection, cache, keys=("fid", "kid", "pr", "dc", "is"), count=None) -> Panel:
    return Panel(chosen(keys), extractor, source, None, Alone(CPU), count, cache=cache, progress=False).prepared()


def test_statistics_are_kept_and_give_the_same_numbers(tmp_path, monkeypatch):
    source, extractor = open_source("digits"), Projection()
    first = panel(source, extractor, tmp_path)
    fake = first.see(Stored(source, 500), "")
    values = first.values(first.case(fake))
    calls = []
    monkeypatch.setattr(Projection, "__call__", lambda self, x: calls.append(len(x)))
    again = panel(source, extractor, tmp_path)
    assert calls == []
    assert again.values(again.case(fake)) == pytest.approx(values, rel=1e-12)
    assert torch.equal(again.real.labels, first.real.labels)  # type: ignore[union-attr,arg-type]


@pytest.mark.parametrize("change", ["data", "extractor", "preprocessing", "count"])
def test_statistics_are_never_used_for_anything_else(tmp_path, change):
    source, extractor = open_source("digits"), Projection()
    panel(source, extractor, tmp_path, count=500)
    other, count = Projection(), 500
    if change == "data":
        x = source.tensors["x"].clone()
        x[0, 0, 0, 0] += 1
        from mulligan.data.source import fingerprint_tensors

        tensors = {**source.tensors, "x": x}
        source = Source(source.name, tensors, source.classes, fingerprint_tensors(tensors))
    elif change == "extractor":
        other = Projection(1)
        other.name = extractor.name
    elif change == "preprocessing":
        other.preprocessing = "x / 128"
    else:
        count = 400
    key = known.key_of(source.fingerprint, count, other)
    assert known.recalled(known.folder_of(source.name, key, tmp_path), key) is None


@pytest.mark.parametrize("file", ["features.f32", "facts.json", "sums.f64", "labels.i64"])
def test_damaged_statistics_are_worked_out_again(tmp_path, file, capsys):
    source, extractor = open_source("digits"), Projection()
    whole = panel(source, extractor, tmp_path)
    (damaged,) = (tmp_path / "statistics").glob(f"*/{file}")
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 255
    damaged.write_bytes(content)
    again = panel(source, extractor, tmp_path)
    assert torch.equal(again.real.gaussian().mean, whole.real.gaussian().mean)  # type: ignore[union-attr]
    assert file == "facts.json" or f"{file} is damaged" in capsys.readouterr().err
    assert panel(source, extractor, tmp_path).real is not None


@pytest.mark.parametrize("seed", [0, 1])
def test_kept_features_pictures_and_labels_belong_together(tmp_path, seed):
    """Whatever the seed of the first evaluation was, and that of a later one."""
    source, extractor = open_source("digits"), Projection()
    panel(source, extractor, tmp_path)
    again = Panel(chosen(["fid"]), extractor, source, None, Alone(CPU), seed=seed, cache=tmp_path, progress=False)
    seen = again.prepared().real
    assert seen is not None
    index = torch.arange(300)
    torch.testing.assert_close(extractor(seen.pictures[index])[0], seen.features[index])  # type: ignore[index]
    block = Stored(source, len(source)).block(0)
    assert torch.equal(block.x, seen.pictures[torch.arange(256)])  # type: ignore[index]
    assert torch.equal(block.y, seen.labels[:256])  # type: ignore[index,arg-type]


def test_the_floor_has_the_odd_rows_against_the_even_ones(tmp_path):
    """An extractor of the data set's own has been trained on the even ones."""
    x = torch.randint(0, 256, (100, 1, 8, 8), dtype=torch.uint8)
    source = Source("rows", {"x": x, "y": torch.arange(100)}, (), "rows")
    odd, even = panel(source, Projection(), tmp_path)._unseen_and_seen()
    assert set(odd.labels.tolist()) == set(range(1, 100, 2))  # type: ignore[union-attr]
    assert set(even.labels.tolist()) == set(range(0, 100, 2))  # type: ignore[union-attr]


def test_a_key_in_the_wrong_folder_is_not_believed(tmp_path):
    source, extractor = open_source("digits"), Projection()
    panel(source, extractor, tmp_path)
    (facts,) = (tmp_path / "statistics").glob("*/facts.json")
    content = json.loads(facts.read_text())
    content["key"]["fingerprint"] = "another"
    facts.write_text(json.dumps(content))
    key = known.key_of(source.fingerprint, len(source), extractor)
    assert known.recalled(facts.parent, key) is None


def test_the_floor_is_near_nothing_and_worse_samples_are_farther(tmp_path):
    source = open_source("digits")
    judge = panel(source, Projection(), tmp_path)
    floor, words = judge.floor()
    assert "898 real samples against 898 others" in words
    fake = judge.see(Generated(generator(), 900), "")
    values = judge.values(judge.case(fake))
    distance = next(name for name in values if name.startswith("fd_"))
    assert floor[distance] < 0.2 * values[distance]


def test_means_errors_and_their_words():
    assert mean_error([1.0, 2.0, 3.0]) == pytest.approx((2.0, 1 / 3**0.5))
    assert mean_error([4.0]) == (4.0, None)
    values = [1.0, 2.0, 4.0, 7.0]  # for a mean, the jackknife is the textbook's standard error
    without = [(sum(values) - v) / 3 for v in values]
    _, textbook = mean_error(values)
    assert jackknife(3.5, without) == pytest.approx((3.5, textbook))
    assert [brief(v) for v in (12.3456, 0.0, 1234.5678, 3e-6, 1e6)] == ["12.35", "0.000", "1,235", "3e-06", "1e+06"]


def test_the_shelf_tells_the_nearest_name():
    with pytest.raises(UserError, match="did you mean 'fid'"):
        chosen(["fidd"])
    with pytest.raises(UserError, match="empty"):
        chosen([])
    assert [m.key for m in chosen(["kid", "fid", "kid"])] == ["kid", "fid"]


def test_only_the_official_inception_gives_fid():
    class Official(Projection):
        official = True

        def __init__(self) -> None:
            super().__init__()
            self.name = "inception"

    assert SHELF["fid"].names(Official()) == ("fid",)
    assert SHELF["pr"].names(Official()) == ("precision", "recall")
    (name,) = SHELF["fid"].names(Projection())
    assert name == f"fd_projection0@{Projection().sha256[:8]}"
    assert SHELF["kid"].names(Projection())[0].startswith("kd_")
    assert SHELF["is"].names(Projection())[0].startswith("cs_")


def test_help_names_every_metric():
    from mulligan.commands.evaluate import KEYS

    assert KEYS.split(", ") == list(SHELF)


def test_lpips_says_so_in_the_name():
    class Eyes:
        name, sha256, preprocessing, official = "lpips_vgg", "0" * 64, "", True

    class Other:
        name, sha256, preprocessing, official = "distance_vgg@12345678", "1" * 64, "", False

    assert SHELF["lpips"].names(Eyes()) == ("pairs_lpips_vgg",)
    assert SHELF["ppl"].names(Other()) == ("ppl_distance_vgg@12345678",)
