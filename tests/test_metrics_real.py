"""On real digits, seen by a trained classifier: metrics rise and fall where a person would say so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.instruments import LeNet, digits_test
from mulligan.metrics.distances import frechet, kernel_distance
from mulligan.metrics.neighbours import prdc, precision_recall

SHARED = Path(__file__).resolve().parents[2] / "shared"
pytestmark = pytest.mark.skipif(
    not (SHARED / "weights" / "mnist_csinva").is_dir() or not (SHARED / "data" / "mnist").is_dir(),
    reason="MNIST and the LeNet are not beside this checkout",
)
COUNT = 2000


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return LeNet()


@pytest.fixture(scope="module")
def halves() -> tuple[Tensor, Tensor, Tensor]:
    """Two sets of test pictures, drawn at random since writers differ along the file, and the classes of the second."""
    x, y = digits_test()
    drawn = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[: 2 * COUNT]
    return x[drawn[:COUNT]], x[drawn[COUNT:]], y[drawn[COUNT:]]


def noisy(x: Tensor, amount: float) -> Tensor:
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    return (x + amount * noise).clamp(-1, 1)


def blurred(x: Tensor, radius: int) -> Tensor:
    return F.avg_pool2d(x, 2 * radius + 1, 1, radius, count_include_pad=False) if radius else x


@pytest.mark.parametrize("change", [noisy, blurred])
def test_distances_rise_with_every_step_away_from_the_real(net, halves, change):
    real, other, _ = halves
    seen = net(real)[0]
    steps = [net(change(other, amount))[0] for amount in ((0, 0.2, 0.4, 0.8) if change is noisy else (0, 1, 2, 3))]
    distances = [frechet(step, seen) for step in steps]
    kernels = [kernel_distance(step, seen, subsets=10, size=500).mean for step in steps]
    assert distances == sorted(set(distances))
    assert kernels == sorted(set(kernels))
    assert distances[0] < 0.02 * distances[-1], "real against real is near zero"
    assert abs(kernels[0]) < 0.02 * kernels[-1]


def test_distances_rise_and_coverage_falls_with_every_class_that_is_missing(net, halves):
    real, other, labels = halves
    seen, features = net(real)[0], net(other)[0]
    kept = [features[labels < classes] for classes in (10, 8, 5, 2)]
    distances, found = [frechet(f, seen) for f in kept], [prdc(seen, f) for f in kept]
    assert distances == sorted(set(distances))
    assert [f.coverage for f in found] == sorted((f.coverage for f in found), reverse=True)
    assert found[0].coverage > 0.85
    assert found[-1].coverage < 0.3


def test_distances_rise_with_every_mode_that_is_missing(net, halves):
    """The same few pictures again and again: each is good, and little is there."""
    real, other, _ = halves
    seen, features = net(real)[0], net(other)[0]
    repeated = [features[torch.arange(COUNT) % modes] for modes in (COUNT, 200, 50, 10)]
    distances = [frechet(f, seen) for f in repeated]
    recalls = [precision_recall(seen, f).recall for f in repeated]
    assert distances == sorted(set(distances))
    assert recalls == sorted(recalls, reverse=True)
    assert recalls[0] > 0.85 > 0.1 > recalls[-1]


def test_precision_falls_with_noise(net, halves):
    """By the direction of the features.

    Their length shrinks under noise, and near the origin the spheres of real samples are wide: by plain features of a
    classifier, precision rises with noise. That wide spheres of outliers mislead it, Naeem et al. (2020) say too.
    """
    real, other, _ = halves
    seen = F.normalize(net(real)[0])
    steps = [F.normalize(net(noisy(other, amount))[0]) for amount in (0, 0.4, 0.8, 1.3)]
    found, improved = [prdc(seen, step) for step in steps], [precision_recall(seen, step) for step in steps]
    for values in ([f.precision for f in found], [f.density for f in found], [f.precision for f in improved]):
        assert values == sorted(values, reverse=True)
    assert found[0].precision > 0.9 > 0.7 > found[-1].precision
