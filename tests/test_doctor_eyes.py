"""The doctor's eyes: features of an untrained network, classes by a discriminant, clusters."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mulligan.data import open_source
from mulligan.doctor import eyes, signals
from mulligan.doctor.eyes import Features, Modes, clusters, reduced, unseen


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(n: int, side: int = 16, channels: int = 3, seed: int = 0) -> Tensor:
    """Smooth random pictures in [-1, 1]."""
    coarse = torch.randn(n, channels, 4, 4, generator=draw(seed))
    return torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear").tanh()


def ring(n: int = 800) -> tuple[Tensor, Tensor]:
    """Points on eight far blobs, and which."""
    y = torch.arange(n) % 8
    angle = y * (2 * math.pi / 8)
    return torch.stack([angle.cos(), angle.sin()], 1) + 0.01 * torch.randn(n, 2, generator=draw()), y


def digits() -> tuple[Tensor, Tensor]:
    tensors = open_source("digits").tensors
    order = torch.randperm(1797, generator=draw())
    return tensors["x"][order].float() / 127.5 - 1, tensors["y"][order]


# more rows than are looked at together, so that the mean can't be one part's
@pytest.mark.parametrize("kind", ["small", "large", "points"])
def test_features_of_the_real_data_have_mean_0_and_mean_square_1(kind: str):
    points = torch.randn(500, 2, generator=draw()) * 5 + 3
    real = {"small": pictures(300), "large": pictures(300, 48, 1), "points": points}[kind]
    features = Features(real)(real)
    torch.testing.assert_close(features.mean(0), torch.zeros(features.shape[1]), atol=1e-4, rtol=0)
    assert float(features.square().mean()) == pytest.approx(1, abs=1e-3)


def test_features_are_the_same_on_every_call_and_for_every_maker():
    x = pictures(20)
    first = Features(x)
    assert torch.equal(first(x), first(x))
    assert torch.equal(first(x), Features(x)(x))


def test_features_of_a_sample_do_not_depend_on_the_others():
    x = pictures(300)
    see = Features(x)
    torch.testing.assert_close(see(x)[290:], see(x[290:]))


def test_features_leave_the_global_random_state_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    Features(pictures(20))
    assert torch.equal(torch.get_rng_state(), before)


def test_larger_pictures_are_reduced_by_means_over_areas():
    x = torch.randn(2, 3, 64, 128, generator=draw())
    small = reduced(x)
    assert small.shape == (2, 3, 16, 32)
    torch.testing.assert_close(small[1, 2, 3, 5], x[1, 2, 12:16, 20:24].mean())


def test_a_picture_stored_twice_as_large_has_the_same_features():
    x = pictures(40, 32)
    large = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    see = Features(x)
    torch.testing.assert_close(see(large), see(x), atol=1e-4, rtol=1e-4)


def test_features_tell_pictures_apart_that_have_the_same_colours():
    x, fresh = pictures(200), pictures(200, seed=1)
    mixed = fresh.flatten(2)[:, :, torch.randperm(256, generator=draw())].view_as(x)
    see = Features(x)
    assert signals.distance(see(mixed), see(x)) > 10 * abs(signals.distance(see(fresh), see(x)))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (5, 3), (8, 100)])
def test_pictures_of_any_size_have_features(size: tuple[int, int]):
    x = torch.randn(4, 1, *size, generator=draw())
    assert Features(x)(x).isfinite().all()


def test_a_set_of_one_picture_has_finite_features():
    x = pictures(1).expand(50, -1, -1, -1)
    assert Features(x)(x).isfinite().all()


def test_a_row_that_is_not_finite_spoils_its_own_features_only():
    x = torch.randn(50, 2, generator=draw())
    x[7, 1] = math.inf
    features = Features(x)(x)
    assert not features[7].isfinite().all()
    assert torch.cat([features[:7], features[8:]]).isfinite().all()


def test_the_classes_of_a_ring_are_found_without_a_mistake():
    x, y = ring()
    modes = Modes.of(x, y)
    assert modes.of_labels
    assert len(modes) == 8
    assert torch.equal(modes(x.float()), y)


def test_clusters_find_eight_blobs_that_lie_apart():
    x, y = ring()
    found = clusters(x.double(), 8)
    true = torch.stack([x[y == i].mean(0) for i in range(8)]).double()
    nearest = torch.cdist(true, found).min(1)
    assert float(nearest.values.max()) < 0.01
    assert len(nearest.indices.unique()) == 8


def test_clusters_are_the_same_every_time():
    x = torch.randn(300, 5, generator=draw()).double()
    assert torch.equal(clusters(x, 6), clusters(x, 6))


def test_there_are_no_more_clusters_than_different_rows():
    assert len(clusters(torch.eye(3).double().repeat(10, 1), 8)) == 3


@pytest.mark.parametrize("count", [2, 64, 5_000])
def test_data_without_labels_have_as_many_modes_as_samples_allow(count: int):
    modes = Modes.of(torch.randn(count, 3, generator=draw()), None)
    assert not modes.of_labels
    assert len(modes) == max(2, min(eyes.CLUSTERS, count // eyes.PER_MODE))


@pytest.mark.parametrize("side", [2, 5])
def test_data_that_fall_into_clusters_have_as_many_modes_as_there_are(side: int):
    at = torch.cartesian_prod(torch.arange(float(side)), torch.arange(float(side)))
    y = torch.randint(side * side, (2_000,), generator=draw())
    x = at[y] + 0.02 * torch.randn(2_000, 2, generator=draw())
    named = Modes.of(x, None)(x)
    assert len(named.unique()) == side * side
    assert all(len(named[y == mode].unique()) == 1 for mode in range(side * side))


def test_a_cloud_does_not_fall_into_clusters():
    assert eyes.apart(torch.randn(1_000, 3, generator=draw()).double(), eyes.MOST) is None


def test_the_silhouette_compares_the_nearest_centre_with_the_next():
    x, centres = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [5.0]])
    assert eyes.silhouette(x, centres) == pytest.approx((1 + 0.75) / 2)
    assert eyes.silhouette(x, centres[:1]) == 0


def test_labels_with_a_gap_are_not_taken_for_modes():
    x, y = ring()
    assert not Modes.of(x, torch.where(y == 3, 2, y)).of_labels


def test_more_labels_than_can_be_told_apart_are_not_taken_for_modes():
    x = torch.randn(400, 3, generator=draw())
    assert not Modes.of(x, torch.arange(400) % (eyes.CLASSES + 1)).of_labels


@pytest.mark.parametrize("labelled", [True, False])
def test_samples_that_are_not_finite_are_in_no_mode(labelled: bool):
    x, y = ring()
    modes = Modes.of(x, y if labelled else None)
    assert modes(torch.tensor([[math.nan, 0.0], [math.inf, 0.0], [1.0, 0.0]]))[:2].tolist() == [-1, -1]


def test_modes_without_labels_are_those_of_the_finite_rows():
    x, _ = ring()
    spoiled = torch.cat([torch.full((5, 2), math.nan), x])
    torch.testing.assert_close(Modes.of(spoiled, None).centres, Modes.of(x, None).centres)


def test_a_set_without_variance_has_modes():
    x = torch.ones(100, 4)
    assert set(Modes.of(x, None)(x).tolist()) == {0}
    assert len(Modes.of(x, torch.arange(100) % 2)(x)) == 100


def test_the_discriminant_names_digits_that_it_has_not_seen():
    x, y = digits()
    features = Features(x)(x)
    modes = Modes.of(features[:900], y[:900])
    assert float((modes(features[900:]) == y[900:]).double().mean()) > 0.95


def test_unseen_names_do_not_know_the_labels_of_their_own_half():
    x, y = digits()
    features, mixed = Features(x)(x), y[torch.randperm(len(y), generator=draw())]
    right, error = signals.kappa(unseen(features, mixed), mixed)
    assert signals.kappa(unseen(features, y), y)[0] > 0.95
    assert abs(right) < 4 * error
    # where a discriminant names what it was fitted to, mixed labels look as if they meant something
    assert signals.kappa(Modes.of(features, mixed)(features), mixed)[0] > 0.2
