"""PSNR and SSIM against their definitions, MS-SSIM and similarity where they must rise, and copies that are found."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mulligan.metrics.memorisation import memorisation
from mulligan.metrics.neighbours import nearest
from mulligan.metrics.pictures import ms_ssim, psnr, scales_for, similarity, ssim


def pictures(n: int = 2, channels: int = 2, size: tuple[int, int] = (13, 15), seed: int = 0) -> Tensor:
    return torch.rand(n, channels, *size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def by_windows(x: Tensor, y: Tensor, span: float) -> float:
    """SSIM of one channel (H, W) with values from 0 to span, window by window, as the paper writes it."""
    at = [math.exp(-((i - 5) ** 2) / (2 * 1.5**2)) for i in range(11)]
    weights = torch.tensor([[a * b for b in at] for a in at], dtype=torch.float64)
    weights /= weights.sum()
    values = []
    for i in range(x.shape[0] - 10):
        for j in range(x.shape[1] - 10):
            a, b = (v[i : i + 11, j : j + 11].double() for v in (x, y))
            mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
            var_a, var_b = (weights * (a - mean_a) ** 2).sum(), (weights * (b - mean_b) ** 2).sum()
            both = (weights * (a - mean_a) * (b - mean_b)).sum()
            c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
            ratio = (2 * mean_a * mean_b + c1) * (2 * both + c2)
            values.append(ratio / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)))
    return float(torch.stack(values).mean())


def test_ssim_is_the_papers_window_by_window():
    x, y = pictures(), pictures(seed=1)
    y = 0.7 * x + 0.3 * y
    for i, found in enumerate(ssim(x, y)):
        expected = sum(by_windows((x[i, c] + 1) * 127.5, (y[i, c] + 1) * 127.5, 255.0) for c in range(2)) / 2
        assert float(found) == pytest.approx(expected, abs=1e-6)
    bytes_of = [(v.double() + 1) * 127.5 for v in (x, y)]
    torch.testing.assert_close(ssim(*bytes_of, span=255.0, black=0.0), ssim(x.double(), y.double()))


def test_a_brighter_picture_of_the_same_things_stays_similar():
    """Counted from mid-grey, the luminance of a shifted picture would come out as nonsense."""
    x = pictures(4, 1, (24, 24)) * 0.8
    assert float(ssim(x, x + 0.1).min()) > 0.9
    assert float(ms_ssim(x, x + 0.1).min()) > 0.9


def test_psnr_is_twenty_decibels_for_a_tenth_of_the_span():
    x = pictures()
    torch.testing.assert_close(psnr(x.double(), x.double() + 0.2), torch.full((2,), 20.0).double())
    torch.testing.assert_close(
        psnr(x.double() * 127.5, x.double() * 127.5 + 25.5, 255.0), torch.full((2,), 20.0).double()
    )
    assert psnr(x, x).isinf().all()


@pytest.mark.parametrize(
    ("side", "scales"), [(11, 1), (20, 1), (21, 2), (28, 2), (64, 3), (160, 4), (161, 5), (999, 5)]
)
def test_as_many_scales_as_fit(side: int, scales: int):
    """The paper's five need 161 pixels."""
    assert scales_for(side) == scales
    x = pictures(1, 1, (side, side + 3)) if side < 200 else None
    assert x is None or float(ms_ssim(x, x)) == pytest.approx(1)


def test_ms_ssim_falls_with_noise_and_one_scale_is_ssim():
    x = torch.nn.functional.avg_pool2d(pictures(2, 1, (96, 96)), 5, 1)
    noisy = [float(ms_ssim(x, x + a * pictures(2, 1, (92, 92), 1)).mean()) for a in (0.05, 0.2, 0.8)]
    assert 1 > noisy[0] > noisy[1] > noisy[2] > 0
    torch.testing.assert_close(ms_ssim(x, x * 0.9, scales=1), ssim(x, x * 0.9))


def test_similarity_rises_when_pictures_repeat():
    x = torch.nn.functional.avg_pool2d(pictures(24, 1, (32, 32)), 5, 1)
    repeated = x[torch.arange(24) % 3]
    assert similarity(x, 200) < similarity(repeated, 200) < 1
    assert similarity(x[:1].repeat(5, 1, 1, 1), 200) == pytest.approx(1)
    assert similarity(x, 200, seed=1) == similarity(x, 200, seed=1)


def test_pictures_that_cannot_be_compared_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        ssim(pictures(), pictures(size=(13, 14)))
    with pytest.raises(ValueError, match="pictures have 10x15"):
        ssim(pictures(size=(10, 15)), pictures(size=(10, 15)))
    with pytest.raises(ValueError, match="3 scales do not fit into 28x28 pixels: take 1 to 2"):
        ms_ssim(pictures(size=(28, 28)), pictures(size=(28, 28)), scales=3)
    with pytest.raises(ValueError, match="at least 2 pictures, not 1"):
        similarity(pictures(1))
    with pytest.raises(ValueError, match="samples of each kind, not 0, 4 and 4"):
        memorisation(torch.empty(0, 2), torch.ones(4, 2), torch.ones(4, 2))


def cloud(n: int, seed: int) -> Tensor:
    return torch.randn(n, 8, generator=torch.Generator().manual_seed(seed))


def test_nearest_is_the_smallest_distance():
    x, to = cloud(50, 0), cloud(70, 1)
    distance, index = nearest(x, to)
    expected = torch.cdist(x.double(), to.double()).min(1)
    torch.testing.assert_close(distance, expected.values)
    assert torch.equal(index, expected.indices)


def test_fresh_samples_are_near_to_neither_and_copies_are_found():
    train, held_out, fresh = cloud(900, 0), cloud(300, 1), cloud(400, 2)
    honest = memorisation(fresh, train, held_out)
    assert honest.share == pytest.approx(0.5, abs=0.1)
    assert honest.ratio == pytest.approx(1, abs=0.05)
    copied = fresh.clone()
    copied[7], copied[11] = train[5] + 1e-4, train[800] + 1e-3
    found = memorisation(copied, train, held_out, worst=3)
    assert found.worst[:2].tolist() == [[7, 5], [11, 800]]
    assert found.distances[1] < 0.01 < found.distances[2]
    parrot = memorisation(train[:400] + 0.01 * fresh, train, torch.cat([held_out] * 3) + 1e-3)
    assert parrot.share > 0.95
    assert parrot.ratio < 0.1


def test_a_set_against_itself_speaks_for_neither():
    x = cloud(40, 0)
    assert memorisation(cloud(60, 1), x, x).share == 0.5
