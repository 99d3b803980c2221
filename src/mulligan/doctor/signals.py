"""The signals: tensors in, one number out. What each means and where it is healthy stands in `bands.py`.

No sample makes a signal fail. Where it can't be told it is nan: for too few samples, for values that aren't finite,
and for real data without the spread that it is measured by.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

EPS = 1e-6
"""Smaller than any spread of features, whose mean square is 1."""
EXACT = 16
"""Coordinates up to which distances are taken from differences, not from products, which round near 0."""
FAINT = 2e-4
"""Power of a pattern that can't be seen, as a share of all: two levels of grey in pictures of full contrast."""
LOOKED = 64
"""Pictures that a pattern is looked for in."""


def over(value: float, whole: float) -> float:
    """value / whole, nan where there is no whole."""
    return value / whole if whole > EPS else math.nan


def auc(real: Tensor, fake: Tensor) -> float:
    """P(real logit > fake logit), ties counted half: 0.5 where D can't tell, for every loss. Logits of any shape."""
    order = torch.cat([real.flatten(), fake.flatten()]).double()
    n, m = real.numel(), fake.numel()
    if not n * m or order.isnan().any():
        return math.nan
    _, rank, count = order.unique(return_inverse=True, return_counts=True)
    middle = count.cumsum(0) - (count.double() - 1) / 2  # the mean rank of equal values (Mann & Whitney 1947)
    return float((middle[rank[:n]].sum() - n * (n + 1) / 2) / (n * m))


def sign_mean(real: Tensor) -> float:
    """r_t = E[sign D(x)] on training data, in [-1, 1] (Karras et al. 2020, ADA, eq. 1); 0.6 is its target."""
    return float(real.sign().mean())


def margin(real: Tensor, fake: Tensor) -> float:
    """E D(x) - E D(G(z)), in logits."""
    return float(real.mean() - fake.mean())


def overfit(train: Tensor, held: Tensor, fake: Tensor) -> float:
    """r_v = (E D(train) - E D(held)) / (E D(train) - E D(G(z))) (Karras et al. 2020, eq. 1): 0 none, 1 overfitted.

    0 where the numerator is within four standard errors. The denominator is taken as its size, and as four standard
    errors of its own at least: at equilibrium, and where G repeats the training data, it is noise around 0.
    """
    if min(train.numel(), held.numel(), fake.numel()) < 2:
        return math.nan
    gap, whole = margin(train, held), abs(margin(train, fake))
    error, noise = _error(train, held), _error(train, fake)
    return 0.0 if abs(gap) <= 4 * error else over(gap, max(whole, 4 * noise))


def _error(a: Tensor, b: Tensor) -> float:
    """The standard error of the difference of two means."""
    return math.sqrt(float(a.var() / a.numel() + b.var() / b.numel()))


def between(x: Tensor, rows: Tensor) -> Tensor:
    """Distances (n, m) of the rows of x (n, F) to `rows` (m, F)."""
    middle = rows.mean(0)  # products round by the distance from 0
    if x.shape[1] <= EXACT:
        return torch.cdist((x - middle).double(), (rows - middle).double(), compute_mode="donot_use_mm_for_euclid_dist")
    return torch.cdist(x - middle, rows - middle, compute_mode="use_mm_for_euclid_dist")


def nearest(x: Tensor, rows: Tensor) -> Tensor:
    """Distance (n,) of each row of x (n, F) to the nearest of `rows` (m, F)."""
    if not len(rows):
        return x.new_full((len(x),), math.nan)
    return (x - rows[between(x, rows).argmin(1)]).norm(dim=1)


def neighbour(x: Tensor, first: int) -> Tensor:
    """Distance (first,) of each of the first rows of x (n, F) to its nearest other one."""
    some = x[:first]
    if len(x) < 2:
        return some.new_full((len(some),), math.nan)
    return (some - x[between(some, x).fill_diagonal_(math.inf).argmin(1)]).norm(dim=1)


def mean_distance(x: Tensor) -> float:
    """Mean distance between two different rows of x (n, F)."""
    pairs = len(x) * (len(x) - 1)
    return float(between(x, x).fill_diagonal_(0).sum(dtype=torch.float64)) / pairs if pairs else math.nan


def diversity(fake: Tensor, real: Tensor) -> float:
    """Mean distance among generated over that among real features (N, F): 1 where equally spread, 0 for one point."""
    return over(mean_distance(fake), mean_distance(real))


def duplicates(fake: Tensor, real: Tensor) -> float:
    """Median nearest-neighbour distance among generated over that among as many real features: below 1, doubles."""
    n = min(len(fake), len(real))
    return over(float(neighbour(fake[:n], n).median()), float(neighbour(real[:n], n).median()))


def distance(fake: Tensor, real: Tensor) -> float:
    """Energy distance of features (N, F), (M, F) over the spread of the real ones (Székely & Rizzo 2013).

    (2 E|x-y| - E|x-x'| - E|y-y'|) / E|x-x'| with unbiased means, so that few samples do: about 0 for equal laws, and
    at most a little below 0.
    """
    spread = mean_distance(real)
    return over(2 * float(between(fake, real).double().mean()) - mean_distance(fake) - spread, spread)


def copies(fake: Tensor, train: Tensor, held: Tensor) -> float:
    """rho = median distance of generated features to the training data over that to as many held-out ones.

    1 where nothing is copied, towards 0 for copies.
    """
    n = min(len(train), len(held))
    near, far = (float(nearest(fake, side[:n]).median()) for side in (train, held))
    return over(near, far)


def repeats(fake: Tensor, train: Tensor) -> float:
    """Median distance of generated features to the training data over that of training data to each other.

    What `copies` asks where nothing was held out. 1 where generated samples are as far from the data as those from
    each other; towards 0 for copies.
    """
    return over(float(nearest(fake, train).median()), float(neighbour(train, max(len(fake), 1)).median()))


def shares(named: Tensor, modes: int) -> Tensor:
    """Share (modes,) of the samples named (N,) in each mode; -1 is none of them."""
    return torch.bincount(named[named >= 0], minlength=modes).double() / max(len(named), 1)


def missing(fake: Tensor, real: Tensor, least: float = 0.1) -> float:
    """Share of the real mass in modes that hold less than `least` times their share of generated samples.

    fake, real: shares (K,).
    """
    return float(real[fake < least * real].sum())


def imbalance(fake: Tensor, real: Tensor) -> float:
    """Total variation between shares (K,) of modes, in [0, 1]: the mass that sits in the wrong mode."""
    return float((fake - real).abs().sum() / 2)


def wander(mean: Tensor, before: Tensor, spread: float) -> float:
    """How far the mean of generated features (F,) has moved since the last probe, in spreads of the real data."""
    return over(float((mean - before).norm()), spread)


def push(objective: str, real: Tensor, fake: Tensor) -> float | None:
    """How hard the loss still pushes G: mean |dL_G/dlogit| over its largest value; None for losses without a largest.

    minimax: sigmoid(fake), which a sure D makes 0 (Goodfellow et al. 2014, section 3).
    """
    if objective == "minimax":
        return float(fake.sigmoid().mean())
    if objective == "nonsaturating":
        return float((-fake).sigmoid().mean())
    if objective == "relativistic":
        n = min(real.numel(), fake.numel())
        return float((real.flatten()[:n] - fake.flatten()[:n]).sigmoid().mean())
    return None


def checkerboard(x: Tensor, real: Tensor) -> float:
    """Power at the frequencies of a checkerboard and of stripes, over that of real pictures; (N, C, H, W) both.

    The frequencies are (π, π), (π, 0) and (0, π): every second pixel (Odena et al. 2016). Real pictures count as if
    they had a faint pattern at least: one that can't be seen, or that chance makes in small ones.
    """
    blocks = x.shape[-2] // 2 * (x.shape[-1] // 2)
    whole = float(inside(real[:LOOKED]).square().mean())
    if not blocks or not whole > EPS:
        return math.nan
    return _alternating(x) / max(_alternating(real), whole * max(FAINT, 1 / (LOOKED * blocks)))


def _alternating(x: Tensor) -> float:
    """Power of what alternates in the same way all over a picture: the square of its mean, without that of noise."""
    x = x[:LOOKED, :, : x.shape[-2] // 2 * 2, : x.shape[-1] // 2 * 2].float()
    a, b, c, d = x[..., ::2, ::2], x[..., ::2, 1::2], x[..., 1::2, ::2], x[..., 1::2, 1::2]
    falling, rising, blocks = a - d, b - c, a.shape[-2] * a.shape[-1]
    waves = (a + d - b - c, falling + rising, falling - rising)
    power = [w.mean((-2, -1)).square() - inside(w).square() / blocks for w in waves]
    return max(float(torch.stack(power).sum(0).mean()) / 16, 0.0)


def contrast(x: Tensor, real: Tensor) -> float:
    """Median standard deviation inside a picture over that of real ones: 0 where pictures are of one colour."""
    return over(*(float(inside(side).mean(1).median()) for side in (x, real)))


def inside(x: Tensor) -> Tensor:
    """Standard deviation (N, C) inside the pictures (N, C, H, W)."""
    x = x.float().flatten(2)
    return (x - x.mean(2, keepdim=True)).norm(dim=2) / math.sqrt(max(x.shape[2], 1))  # several times as fast as std


def obeyed(named: Tensor, asked: Tensor, real_named: Tensor, real_labels: Tensor) -> float:
    """How well generated samples show the label that was asked for: 1 as well as real ones, 0 no better than chance.

    Cohen's kappa of (named, asked) over that of real samples by the same classifier; all (N,) int64. nan where the
    classifier tells real samples no better than chance.
    """
    known, error = kappa(real_named, real_labels)
    return over(kappa(named, asked)[0], known if known > 4 * error else 0.0)


def kappa(named: Tensor, labels: Tensor) -> tuple[float, float]:
    """Agreement beyond chance (Cohen 1960), 1 the most, and its standard error if there were none; (N,) int64 both."""
    n = len(labels)
    if not n:
        return math.nan, math.nan
    classes = int(max(int(named.max()), int(labels.max()))) + 1
    chance = float((shares(named, classes) * shares(labels, classes)).sum())
    agree = float((named == labels).double().mean())
    if chance > 1 - EPS:
        return math.nan, math.nan
    return (agree - chance) / (1 - chance), math.sqrt(chance / (1 - chance) / n)
