"""Every signal on samples whose answer is known, and on samples that have none."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mulligan.doctor import signals as s
from mulligan.doctor.eyes import Features, Modes
from mulligan.parts.objectives import OBJECTIVES


def normal(n: int, dimensions: int = 2, seed: int = 0) -> Tensor:
    return torch.randn(n, dimensions, generator=torch.Generator().manual_seed(seed))


def pictures(n: int, side: int = 32, seed: int = 0) -> Tensor:
    """Smooth random pictures in [-1, 1], (n, 3, side, side)."""
    coarse = normal(n * 3, 25, seed).view(n, 3, 5, 5)
    return F.interpolate(coarse, size=(side, side), mode="bicubic").tanh()


# ---- logits


def ranked(real: Tensor, fake: Tensor) -> float:
    """AUC by its definition."""
    wins = [float(a > b) + 0.5 * float(a == b) for a in real for b in fake]
    return sum(wins) / len(wins)


def test_auc_is_the_share_of_ordered_pairs_with_ties_counted_half():
    real, fake = (normal(n, 1, seed).round() for n, seed in ((37, 1), (23, 2)))
    assert s.auc(real, fake) == pytest.approx(ranked(real, fake), abs=1e-12)
    assert len(torch.cat([real, fake]).unique()) < 10  # there are ties


@pytest.mark.parametrize(("real", "fake", "known"), [([2, 3], [0, 1], 1), ([1, 1], [1, 1], 0.5), ([0], [1, 2], 0)])
def test_auc_of_all_above_all_equal_and_all_below(real: list[float], fake: list[float], known: float):
    assert s.auc(torch.tensor(real), torch.tensor(fake)) == known


def test_auc_is_the_same_for_every_scale_of_logits():
    real, fake = normal(50, 1, 1) + 1, normal(60, 1, 2)
    assert s.auc(real, fake) == s.auc(real.exp(), fake.exp())


def test_sign_mean_counts_signs():
    assert s.sign_mean(torch.tensor([[3.0], [-0.1], [2.0], [5.0]])) == 0.5


def test_margin_is_the_difference_of_means():
    assert s.margin(torch.tensor([1.0, 3.0]), torch.tensor([-4.0])) == 6


def test_a_d_that_judges_held_out_data_as_it_judges_training_data_does_not_overfit():
    assert s.overfit(normal(200, 1, 1) + 3, normal(200, 1, 2) + 3, normal(200, 1, 3)) == 0


def test_a_d_that_takes_held_out_data_for_generated_overfits():
    assert s.overfit(normal(200, 1, 1) + 3, normal(200, 1, 2), normal(200, 1, 3)) == pytest.approx(1, abs=0.1)


def test_half_of_the_way_to_the_generated_data_is_half_overfitted():
    assert s.overfit(normal(200, 1, 1) + 6, normal(200, 1, 2) + 3, normal(200, 1, 3)) == pytest.approx(0.5, abs=0.05)


def test_a_d_that_knows_what_g_repeats_overfits_however_small_its_margin():
    for seed in range(10):  # the margin to the generated samples is noise of either sign
        train, held, fake = (normal(200, 1, 3 * seed + i) for i in range(3))
        assert s.overfit(train + 3, held, fake + 3) > 1
    assert 1 < s.overfit(train + 3, held, train + 3) < 100


def test_a_d_that_prefers_generated_samples_does_not_look_overfitted():
    assert 0 <= s.overfit(normal(200, 1, 1), normal(200, 1, 2) - 0.5, normal(200, 1, 3) + 9) < 0.1


@pytest.mark.parametrize("name", ["minimax", "nonsaturating", "relativistic"])
def test_push_is_the_slope_of_the_loss_over_its_largest(name: str):
    def slope(real: Tensor, fake: Tensor) -> float:
        fake = fake.double().requires_grad_()
        (gradient,) = torch.autograd.grad(OBJECTIVES[name].g(real.double(), fake), fake)
        return float(gradient.abs().sum())

    real, fake = 2 * normal(64, 1, 1).flatten() + 1, 2 * normal(64, 1, 2).flatten() - 1
    largest = max(slope(torch.full((64,), 50.0), torch.full((64,), at)) for at in (-50.0, 50.0))
    assert s.push(name, real, fake) == pytest.approx(slope(real, fake) / largest, abs=1e-6)


def test_push_of_minimax_dies_with_a_sure_d_and_that_of_the_other_losses_does_not():
    real, fake = torch.full((8,), 20.0), torch.full((8,), -20.0)
    values = [s.push(name, real, fake) for name in ("minimax", "nonsaturating", "relativistic")]
    assert values == [pytest.approx(0, abs=1e-6), pytest.approx(1), pytest.approx(1)]


@pytest.mark.parametrize("name", ["hinge", "wasserstein", "least_squares", ""])
def test_push_says_nothing_of_losses_without_a_largest_slope(name: str):
    assert s.push(name, normal(4, 1), normal(4, 1)) is None


# ---- features


def test_distances_are_those_of_differences():
    for dimensions in (2, 40):  # by differences, and by products
        x, rows = normal(30, dimensions, 1) + 100, normal(20, dimensions, 2) + 100
        plain = (x[:, None] - rows).double().norm(dim=2)
        torch.testing.assert_close(s.between(x, rows).double(), plain, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(s.nearest(x, rows).double(), plain.min(1).values, atol=1e-4, rtol=1e-4)


def test_a_row_is_not_its_own_neighbour():
    x = torch.tensor([[0.0], [1.0], [3.0], [3.5]])
    torch.testing.assert_close(s.neighbour(x, 4), torch.tensor([1, 1, 0.5, 0.5]))
    torch.testing.assert_close(s.neighbour(x, 2), torch.tensor([1.0, 1.0]))


def test_mean_distance_leaves_out_the_distance_to_itself():
    assert s.mean_distance(torch.tensor([[0.0], [1.0], [3.0]])) == pytest.approx((1 + 3 + 2) / 3)


@pytest.mark.parametrize("dimensions", [2, 200])
@pytest.mark.parametrize("far", [0.0, 1e6])
def test_diversity_of_one_point_is_0_wherever_it_is(dimensions: int, far: float):
    point = (normal(1, dimensions) + far).expand(300, -1)
    assert s.diversity(point, normal(300, dimensions, 1)) == pytest.approx(0, abs=1e-3)


def test_diversity_of_equal_laws_is_1_and_of_half_the_spread_half():
    assert s.diversity(normal(500, 8, 1), normal(500, 8, 2)) == pytest.approx(1, abs=0.03)
    assert s.diversity(normal(500, 8, 1) / 2, normal(500, 8, 2)) == pytest.approx(0.5, abs=0.02)


def test_doubled_samples_are_duplicates():
    half = normal(128, 20, 1)
    assert s.duplicates(torch.cat([half, half]), normal(256, 20, 2)) == pytest.approx(0, abs=1e-3)
    assert s.duplicates(normal(256, 20, 1), normal(256, 20, 2)) == pytest.approx(1, abs=0.1)


def test_duplicates_compares_as_many_real_samples():
    """Four times as many would lie closer by themselves: a false alarm in the plane, where 1 becomes 2."""
    assert s.duplicates(normal(256, 2, 1), normal(4096, 2, 2)) == pytest.approx(1, abs=0.2)


def test_energy_distance_is_its_definition():
    fake, real = normal(12, 3, 1) + 1, normal(9, 3, 2)
    across = sum(float((a - b).norm()) for a in fake for b in real) / (12 * 9)
    own = [sum(float((a - b).norm()) for a in x for b in x) / (len(x) * (len(x) - 1)) for x in (fake, real)]
    assert s.distance(fake, real) == pytest.approx((2 * across - sum(own)) / own[1], rel=1e-5)


def test_energy_distance_of_two_normal_laws():
    """X - Y of N(2, 1) and N(0, 1) is N(2, 2), and E|N(m, 2)| = 2 exp(-m²/4) / sqrt(π) + m erf(m/2)."""
    shift = 2.0
    across = 2 / math.sqrt(math.pi) * math.exp(-(shift**2) / 4) + shift * math.erf(shift / 2)
    spread = 2 / math.sqrt(math.pi)
    measured = s.distance(normal(3000, 1, 1) + shift, normal(3000, 1, 2))
    assert measured == pytest.approx(2 * (across - spread) / spread, rel=0.05)


@pytest.mark.parametrize("dimensions", [2, 100])
def test_energy_distance_of_equal_laws_is_0_without_bias(dimensions: int):
    found = torch.tensor([s.distance(normal(40, dimensions, i), normal(80, dimensions, 500 + i)) for i in range(200)])
    assert abs(float(found.mean())) < 3 * float(found.std()) / math.sqrt(200)
    assert float(found.min()) < 0  # a biased one never is


@pytest.mark.parametrize("dimensions", [2, 100])
def test_copies_of_training_data_lie_near_it_and_fresh_samples_no_nearer_than_held_out_data(dimensions: int):
    train, held, fresh = (normal(1000, dimensions, seed) for seed in range(3))
    assert s.copies(train[:300] + 1e-3, train, held) < 0.1
    assert s.copies(fresh[:300], train, held) == pytest.approx(1, abs=0.1)


def test_copies_compares_sets_of_one_size():
    """Ten times as many training samples lie nearer by themselves."""
    assert s.copies(normal(300, 2, 1), normal(5000, 2, 2), normal(500, 2, 3)) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("dimensions", [2, 100])
def test_repeats_tells_copies_where_nothing_was_held_out(dimensions: int):
    train, fresh = normal(1000, dimensions, 1), normal(300, dimensions, 2)
    assert s.repeats(train[:300] + 1e-3, train) < 0.1
    assert s.repeats(fresh, train) == pytest.approx(1, abs=0.1)


# ---- modes


def ring(n: int, modes: int = 8) -> tuple[Tensor, Tensor]:
    """Points on the first of eight blobs, and which."""
    y = torch.arange(n) % modes
    angle = y * (2 * math.pi / 8)
    return torch.stack([angle.cos(), angle.sin()], 1) + 0.01 * normal(n), y


def test_two_modes_of_eight_that_are_left_out_are_a_quarter():
    modes = Modes.of(*ring(800))
    real, fake = (s.shares(modes(ring(240, kept)[0]), 8) for kept in (8, 6))
    assert s.missing(fake, real) == pytest.approx(0.25)
    assert s.missing(real, real) == 0


def test_a_mode_with_less_than_a_tenth_of_its_share_is_missing():
    real = torch.tensor([0.5, 0.5], dtype=torch.float64)
    assert s.missing(torch.tensor([0.96, 0.04]), real) == 0.5
    assert s.missing(torch.tensor([0.94, 0.06]), real) == 0


def test_imbalance_is_the_total_variation():
    fake, real = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.25, 0.35, 0.4])
    assert s.imbalance(fake, real) == pytest.approx(0.25)  # (0.25 + 0.05 + 0.2) / 2
    assert s.imbalance(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])) == 1


def test_samples_in_no_mode_are_in_nobodys_share():
    assert s.shares(torch.tensor([0, 0, -1, 2]), 4).tolist() == [0.5, 0, 0.25, 0]


def test_wander_is_the_way_of_the_mean_in_spreads():
    assert s.wander(torch.tensor([3.0, 1.0]), torch.tensor([0.0, -3.0]), 10.0) == pytest.approx(0.5)


def test_kappa_of_a_table_worked_out_by_hand():
    """20 times both say 1, 15 times both 0, 5 and 10 times they differ: agreement 0.7, by chance 0.5."""
    one = torch.tensor([1] * 25 + [0] * 25)
    two = torch.tensor([1] * 20 + [0] * 5 + [1] * 10 + [0] * 15)
    assert s.kappa(one, two) == (pytest.approx(0.4), pytest.approx(1 / math.sqrt(50)))


def test_labels_that_are_obeyed_as_well_as_real_ones_and_labels_that_are_ignored():
    y = torch.arange(2000) % 10
    wrong = torch.rand(2000, generator=torch.Generator().manual_seed(0)) < 0.3  # what the classifier gets wrong
    named = torch.where(wrong, (y + 3) % 10, y)
    assert s.obeyed(named, y, named, y) == pytest.approx(1)
    assert s.obeyed(named[torch.randperm(2000)], y, named, y) == pytest.approx(0, abs=0.1)
    assert s.obeyed(torch.where(torch.arange(2000) < 1000, y, 0), y, y, y) == pytest.approx(0.5, abs=0.01)


def test_obedience_is_not_judged_by_a_classifier_that_can_not_tell_real_samples():
    y = torch.arange(200) % 4
    blind = torch.where(torch.arange(200) < 60, y, (y + 1 + torch.arange(200) % 3) % 4)
    known, error = s.kappa(blind, y)
    assert 0 < known < 4 * error  # above chance by chance
    assert math.isnan(s.obeyed(y, y, blind, y))


# ---- pictures


def board(side: int = 32) -> Tensor:
    """A checkerboard of 1 and -1."""
    at = torch.arange(side)
    return ((at[:, None] + at) % 2 * 2 - 1).float()


def stripes(side: int = 32) -> Tensor:
    return (torch.arange(side) % 2 * 2 - 1).float().expand(side, side)


@pytest.mark.parametrize("pattern", [board(), stripes(), stripes().T], ids=["board", "columns", "rows"])
def test_patterns_of_every_second_pixel_are_seen(pattern: Tensor):
    assert s.checkerboard(pictures(64) + 0.1 * pattern, pictures(64, seed=1)) > 20


def test_what_a_transposed_convolution_leaves_is_seen():
    """A kernel of 3 with a stride of 2 adds up unevenly: one, two or four products a pixel (Odena et al. 2016)."""
    half = F.avg_pool2d(pictures(64), 2)
    kernel = torch.full((3, 1, 3, 3), 0.45)
    uneven = F.conv_transpose2d(half, kernel, stride=2, padding=1, output_padding=1, groups=3)
    assert s.checkerboard(uneven, pictures(64, seed=1)) > 20


def smooth(x: Tensor) -> Tensor:
    return x


def noisy(x: Tensor) -> Tensor:
    return normal(x.numel(), 1).view(x.shape)


def fainter(x: Tensor) -> Tensor:
    return x + 0.004 * board()  # half a level of grey


def empty_but_for_a_trace(x: Tensor) -> Tensor:
    return 0 * x + 0.004 * board()


@pytest.mark.parametrize("change", [smooth, noisy, fainter, empty_but_for_a_trace])
def test_no_checkerboard_is_seen_where_there_is_none(change: Callable[[Tensor], Tensor]):
    assert s.checkerboard(change(pictures(64)), pictures(64, seed=1)) < 5


def test_noise_in_tiny_pictures_is_no_checkerboard():
    assert s.checkerboard(noisy(pictures(64, 8)), pictures(64, 8, seed=1)) < 20


def test_a_pattern_that_the_data_have_themselves_is_none():
    screen = 0.1 * board()
    assert s.checkerboard(pictures(64) + screen, pictures(64, seed=1) + screen) == pytest.approx(1, abs=0.2)


def test_contrast_is_that_inside_pictures_not_among_them():
    flat = torch.linspace(-1, 1, 64)[:, None, None, None].expand(64, 3, 32, 32)
    assert s.contrast(flat, pictures(64)) == pytest.approx(0, abs=1e-4)
    assert s.contrast(pictures(64) / 2, pictures(64)) == pytest.approx(0.5)


def test_inside_is_the_standard_deviation_of_each_channel():
    x = pictures(4)
    torch.testing.assert_close(s.inside(x), x.flatten(2).std(2, correction=0))


# ---- samples that have no answer

N, FEATURES = 64, 40
REAL, MORE = normal(256, FEATURES, 1), normal(256, FEATURES, 2)
BAD: dict[str, Tensor] = {
    "one point": normal(1, FEATURES).expand(N, -1),
    "all 0": torch.zeros(N, FEATURES),
    "far away": normal(N, FEATURES) * 1e8,
    "a single one": normal(1, FEATURES),
    "none": torch.empty(0, FEATURES),
    "some nan": torch.cat([torch.full((1, FEATURES), math.nan), normal(N, FEATURES)]),
    "all nan": torch.full((N, FEATURES), math.nan),
    "infinite": torch.full((N, FEATURES), math.inf),
}
NO_ANSWER = {"none", "some nan", "all nan", "infinite"}
OF_FEATURES: dict[str, Callable[[Tensor, Tensor, Tensor], float]] = {
    "diversity": lambda x, train, held: s.diversity(x, train),
    "duplicates": lambda x, train, held: s.duplicates(x, train),
    "distance": lambda x, train, held: s.distance(x, held),
    "copies": s.copies,
    "repeats": lambda x, train, held: s.repeats(x, train),
    "wander": lambda x, train, held: s.wander(x.mean(0), train.mean(0), s.mean_distance(held)),
}


@pytest.mark.parametrize("name", OF_FEATURES)
@pytest.mark.parametrize("bad", BAD)
def test_bad_samples_give_a_number_or_nan(name: str, bad: str):
    value = OF_FEATURES[name](BAD[bad], REAL, MORE)
    lone = bad == "a single one" and name in ("diversity", "duplicates", "distance")  # these need pairs
    assert math.isfinite(value) != (bad in NO_ANSWER or lone)


@pytest.mark.parametrize("name", OF_FEATURES)
@pytest.mark.parametrize("bad", ["one point", "all 0", "none", "all nan"])
def test_real_data_without_spread_give_no_answer(name: str, bad: str):
    value = OF_FEATURES[name](normal(N, FEATURES), BAD[bad], BAD[bad])
    assert math.isnan(value) or (name == "copies" and bad in ("one point", "all 0"))  # those are measured all the same


LOGITS = {"none": torch.empty(0), "one": torch.ones(1), "nan": torch.tensor([math.nan, 1.0]), "equal": torch.ones(8)}


@pytest.mark.parametrize("real", LOGITS.values(), ids=LOGITS)
@pytest.mark.parametrize("fake", LOGITS.values(), ids=LOGITS)
def test_bad_logits_give_a_number_or_nan(real: Tensor, fake: Tensor):
    known = all(len(x) and x.isfinite().all() for x in (real, fake))
    assert math.isnan(s.auc(real, fake)) != known
    assert math.isnan(s.margin(real, fake)) != known
    for name in OBJECTIVES:
        assert isinstance(s.push(name, real, fake), float | None)
    assert s.overfit(real, real, fake) == 0 or math.isnan(s.overfit(real, real, fake))
    assert isinstance(s.overfit(real, real + 1, real), float)


PICTURES = {
    "black": torch.full((8, 3, 16, 16), -1.0),
    "nan": torch.full((8, 3, 16, 16), math.nan),
    "none": torch.empty(0, 3, 16, 16),
    "pixel": torch.zeros(8, 3, 1, 1),
    "infinite": torch.full((8, 3, 16, 16), math.inf),
}


@pytest.mark.parametrize("x", PICTURES.values(), ids=PICTURES)
def test_bad_pictures_give_a_number_or_nan(x: Tensor):
    for signal in (s.checkerboard, s.contrast):
        assert isinstance(signal(x, pictures(8, 16)), float)
        assert math.isnan(signal(pictures(8, 16), x))


def test_black_pictures_have_no_contrast_and_no_checkerboard():
    black = PICTURES["black"]
    assert s.contrast(black, pictures(8, 16)) == 0
    assert s.checkerboard(black, pictures(8, 16)) == 0


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("bad", ["black", "nan", "infinite", "none"])
def test_modes_of_bad_pictures_are_all_missing_but_one(bad: str, labelled: bool):
    real = pictures(80, 16)
    see = Features(real)
    modes = Modes.of(see(real), torch.arange(80) % 2 if labelled else None)
    named = modes(see(PICTURES[bad]))
    mine, whole = s.shares(named, len(modes)), s.shares(modes(see(real)), len(modes))
    assert s.missing(mine, whole) == pytest.approx(1 if bad != "black" else 1 - float(whole[named[0]]))


def test_obedience_of_samples_in_no_mode_is_nan_or_none():
    y = torch.arange(100) % 4
    assert s.obeyed(torch.full((100,), -1), y, y, y) == 0
    assert math.isnan(s.obeyed(y[:0], y[:0], y, y))
    assert math.isnan(s.obeyed(torch.zeros(100).long(), torch.zeros(100).long(), y, y))
