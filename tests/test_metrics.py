"""Distances between features against closed forms, against the plain computation, and where they must rise or fall."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mulligan.metrics import neighbours
from mulligan.metrics.distances import (
    frechet,
    frechet_by_class,
    frechet_infinite,
    inception_score,
    kernel_distance,
    mmd,
    sliced_wasserstein,
)
from mulligan.metrics.gaussian import Gaussian, frechet_given, frechet_of
from mulligan.metrics.memorisation import memorisation
from mulligan.metrics.path import path_length, path_lengths, sphere


def cloud(n: int, dims: int = 6, seed: int = 0) -> Tensor:
    return torch.randn(n, dims, generator=torch.Generator().manual_seed(seed))


def rotation(dims: int, seed: int = 0) -> Tensor:
    return torch.linalg.qr(cloud(dims, dims, seed).double()).Q


@pytest.mark.parametrize("ranks", [(5, 5), (5, 2), (1, 3), (0, 4)])
def test_frechet_is_the_closed_form_of_gaussians_with_common_axes(ranks: tuple[int, int]):
    """‖Δμ‖² + Σ (√λ − √κ)², covariances of full rank and below it."""
    axes, step = rotation(5), cloud(1, 5, 1)[0].double()
    first, second = (torch.rand(5, generator=torch.Generator().manual_seed(s)).double() + 0.1 for s in (2, 3))
    first[ranks[0] :], second[ranks[1] :] = 0, 0
    found = frechet_given(step * 0, axes * first @ axes.T, step, axes * second @ axes.T, ranks)
    assert found == pytest.approx(float(step.square().sum() + (first.sqrt() - second.sqrt()).square().sum()), rel=1e-9)


def test_fewer_samples_than_features_leave_no_rounding_behind():
    """tr (C₁C₂)^½ is also the sum of the singular values of X₁X₂ᵀ, which has no empty dimensions."""
    a, b = cloud(20, 300).double(), cloud(30, 300, 1).double()
    x, y = a - a.mean(0), b - b.mean(0)
    overlap = torch.linalg.svdvals(x @ y.T).sum() / (19 * 29) ** 0.5
    step = (a.mean(0) - b.mean(0)).square().sum()
    expected = float(step + x.square().sum() / 19 + y.square().sum() / 29 - 2 * overlap)
    assert frechet(a, b) == pytest.approx(expected, rel=1e-10)


def test_frechet_of_two_samples_each_is_finite_and_of_one_refused():
    """Each covariance has rank one: tr (C₁C₂)^½ is the absolute product of the two directions."""
    a, b = cloud(2).double(), cloud(2, seed=1).double()
    u, v = ((x[0] - x[1]) / 2**0.5 for x in (a, b))
    expected = (a.mean(0) - b.mean(0)).square().sum() + u @ u + v @ v - 2 * (u @ v).abs()
    assert frechet(a, b) == pytest.approx(float(expected), rel=1e-6)
    assert frechet(a, a) == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="at least 2 rows, not 1"):
        frechet(a[:1], b)


@pytest.mark.parametrize("batch", [1, 7, 64, 1000])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_a_stream_of_batches_is_the_whole(batch: int, offset: float):
    """Far from the origin too, where sums of squares would cancel."""
    x = cloud(1000).double() + offset
    streamed = Gaussian()
    for part in x.split(batch):
        streamed.add(part)
    assert streamed.count == 1000
    torch.testing.assert_close(streamed.mean, x.mean(0), rtol=1e-14, atol=1e-12)
    torch.testing.assert_close(streamed.covariance(), torch.cov(x.T), rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(streamed.covariance(unbiased=False), torch.cov(x.T, correction=0), rtol=1e-8, atol=1e-9)


def test_parts_of_several_processes_merge_to_the_whole():
    x = cloud(100)
    merged = Gaussian.of(x[:30]).merge(Gaussian()).merge(Gaussian.of(x[30:]))
    other = Gaussian.of(cloud(80, seed=1))
    assert frechet_of(merged, other) == pytest.approx(frechet_of(Gaussian.of(x), other), rel=1e-12)


def test_features_that_no_distance_can_use_are_refused():
    with pytest.raises(ValueError, match="aren't finite"):
        Gaussian().add(torch.tensor([[1.0, math.nan]]))
    with pytest.raises(ValueError, match="7 dimensions, but 6 before"):
        Gaussian.of(cloud(3)).add(cloud(3, 7))
    with pytest.raises(ValueError, match="6 and 7 dimensions"):
        frechet(cloud(3), cloud(3, 7))
    with pytest.raises(ValueError, match="2 rows on each side, not 1 and 5"):
        mmd(cloud(1), cloud(5))
    with pytest.raises(ValueError, match="more than 5 samples"):
        neighbours.prdc(cloud(5), cloud(9))
    with pytest.raises(ValueError, match="10 splits"):
        inception_score(cloud(9))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_no_metric_passes_over_what_is_not_finite(value: float):
    """Comparisons with NaN are false, and would make a precision of it."""
    good, bad = cloud(40), cloud(40, seed=1)
    bad[3, 2] = value
    for metric in (
        frechet, mmd, neighbours.prdc, neighbours.precision_recall, neighbours.nearest, sliced_wasserstein,
        lambda a, b: inception_score(b), lambda a, b: memorisation(b, a, a),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="aren't finite"):
            metric(good, bad)


def test_classes_that_never_occur_add_nothing_to_the_inception_score():
    logits = torch.tensor([[0.0, -2000.0], [0.0, -2000.0]])
    assert inception_score(logits, 1).mean == 1


def test_extrapolation_takes_away_what_few_samples_add():
    """Two Gaussians of one covariance: the truth is the square of their step, the rest is bias."""
    truth, dims = 0.16, 40
    real = Gaussian.of(cloud(200_000, dims, 9))
    step = torch.full((dims,), (truth / dims) ** 0.5)
    found = [frechet_infinite(cloud(1000, dims, seed) + step, real) for seed in range(5)]
    assert min(f.plain for f in found) > 2 * truth, "a thousand samples of forty dimensions overstate it"
    mean = sum(f.value for f in found) / 5
    assert mean == pytest.approx(truth, abs=0.08)
    assert all(abs(f.value - truth) < abs(f.plain - truth) for f in found)
    with pytest.raises(ValueError, match="at least 20 samples, not 19"):
        frechet_infinite(cloud(19), real)


def test_distances_inside_classes_see_what_the_whole_hides():
    """Labels exchanged: the pictures are the same, and each class is the other one."""
    real, labels = torch.cat([cloud(200), cloud(200, seed=1) + 3]), torch.arange(400) // 200
    whole, right = frechet(real, real), frechet_by_class(real, labels, real, labels)
    wrong = frechet_by_class(real, 1 - labels, real, labels)
    assert whole == pytest.approx(0, abs=1e-6)
    assert right == pytest.approx({0: 0, 1: 0}, abs=1e-6)
    assert min(wrong.values()) > 50
    with pytest.raises(ValueError, match="class 1 has 0 generated and 200 real"):
        frechet_by_class(real, labels * 0, real, labels)


def test_kernel_distance_of_one_law_is_zero_within_its_error_and_rises_with_the_shift():
    real = cloud(600)
    same = kernel_distance(cloud(600, seed=1), real, subsets=20, size=200)
    assert abs(same.mean) < 3 * same.std / 20**0.5 + 0.02
    shifted = [kernel_distance(cloud(600, seed=1) + step, real, subsets=20, size=200).mean for step in (0.2, 0.5, 1)]
    assert same.mean < shifted[0] < shifted[1] < shifted[2]


def test_sliced_wasserstein_of_a_shift_is_three_times_its_square():
    """The mean of (θ·δ)² over directions is ‖δ‖² / F."""
    x, step = cloud(200), torch.full((6,), 0.5)
    assert sliced_wasserstein(x, x + step, 20_000) == pytest.approx(3 * float(step @ step), rel=0.03)
    assert sliced_wasserstein(x, x) == 0


def test_inception_score_lies_between_one_and_the_number_of_classes():
    sure = torch.eye(4).repeat(10, 1) * 100
    assert inception_score(sure, 2, seed=None).mean == pytest.approx(4)
    assert inception_score(torch.zeros(40, 4), 2).mean == pytest.approx(1)
    assert inception_score(sure[:1].repeat(40, 1), 2) == pytest.approx((1, 0))


def plain(real: Tensor, fake: Tensor, k: int) -> neighbours.PRDC:
    """The definitions word by word, with every distance in memory."""
    real, fake = real.double(), fake.double()
    inner, outer, cross = torch.cdist(real, real), torch.cdist(fake, fake), torch.cdist(real, fake)
    reach, reach_fake = inner.sort(1).values[:, k], outer.sort(1).values[:, k]
    within = cross < reach[:, None]
    return neighbours.PRDC(
        float(within.any(0).double().mean()), float((cross < reach_fake).any(1).double().mean()),
        float(within.sum(0).double().mean()) / k, float((cross.amin(1) < reach).double().mean()),
    )  # fmt: skip


@pytest.mark.parametrize("block", [1, 13, 1000])
def test_prdc_in_blocks_is_the_definition(block: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(neighbours, "BLOCK", block)
    real, fake = cloud(60), cloud(45, seed=1) * 0.7 + 0.3
    assert neighbours.prdc(real, fake, 4) == pytest.approx(plain(real, fake, 4), abs=1e-12)


def test_precision_falls_with_noise_and_coverage_with_missing_clusters():
    centres = torch.eye(6) * 20
    real, fake = ((centres.repeat(50, 1) + cloud(300, seed=s)) for s in (0, 1))
    noisy = [neighbours.prdc(real, fake + a * cloud(300, seed=2)).precision for a in (0, 1, 3)]
    assert noisy[0] > noisy[1] > noisy[2]
    fewer = [neighbours.prdc(real, fake[torch.arange(300) % 6 < c]) for c in (6, 4, 2)]
    assert fewer[0].coverage > fewer[1].coverage > fewer[2].coverage
    assert fewer[0].recall > fewer[1].recall > fewer[2].recall
    assert min(f.precision for f in fewer) > 0.8


def test_identical_sets_are_perfect_only_where_the_border_counts():
    x = cloud(50)
    assert neighbours.precision_recall(x, x) == (1, 1)
    assert neighbours.prdc(x, x).precision == 1


def test_path_lengths_of_a_linear_generator_are_the_length_of_its_slope():
    """G(w) = w A: each step of a line is (b − a) A ε, scaled by half of 255."""
    A = cloud(4, 5).double()
    a, b = cloud(30, 4, 1).double(), cloud(30, 4, 2).double()
    lengths = path_lengths(lambda w: w @ A, lambda x: x, a, b, torch.rand(30).double(), walk="line")
    torch.testing.assert_close(lengths, (((b - a) @ A) * 127.5).square().sum(1), rtol=1e-6, atol=0)


def test_a_walk_on_the_sphere_stays_there_and_ends_where_it_should():
    a, b = cloud(8, 4).double(), cloud(8, 4, 1).double()
    for t, end in ((0.0, a), (1.0, b)):
        torch.testing.assert_close(sphere(a, b, torch.full((8, 1), t).double()), end / end.norm(dim=1, keepdim=True))
    assert sphere(a, a, torch.full((8, 1), 0.5).double()).isfinite().all()


def test_path_length_leaves_out_a_hundredth_on_either_side():
    lengths = torch.arange(1, 201).double()
    lengths[-1] = 1e9
    assert path_length(lengths) == pytest.approx(float(lengths[1:199].mean()), rel=0.01)


def test_frechet_of_nearly_singular_covariances_is_that_of_their_axes():
    """Both have the same axes, along which they are as wide as 100 and as thin as 0.0001."""
    draw = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(60, 60, generator=draw, dtype=torch.float64)).Q
    first = torch.logspace(4, -8, 60, dtype=torch.float64)
    second = first * (1 + torch.rand(60, generator=draw, dtype=torch.float64))
    exact = float((first.sqrt() - second.sqrt()).square().sum())
    covariances = [(axes * widths) @ axes.T for widths in (first, second)]
    zero = torch.zeros(60, dtype=torch.float64)
    found = frechet_given(zero, (covariances[0] + covariances[0].T) / 2, zero, (covariances[1] + covariances[1].T) / 2)
    assert found == pytest.approx(exact, rel=1e-9)
