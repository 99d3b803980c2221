"""Metrics that use labels: what a classifier says of generated pictures, and what it learns from them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..core.stream import Rows
from .bank import PART
from .bank import Rows as Matrix
from .channelwise import digits_of
from .classifier import SmallNet, accuracy, fit, predict
from .distances import kl_to_uniform


class Classes(NamedTuple):
    """Share of each class in [0, 1], and the KL in nats of the shares from those of the real data."""

    shares: tuple[float, ...]
    kl: float


def class_shares(fake: Matrix, classes: int, real: Matrix | None = None) -> Classes:
    """The histogram of classes in generated pictures, and how far it is from the real one, or from an even one.

    fake, real: labels int64 (N,), or logits (N, classes) of a classifier, whose largest names the class. The KL is 0
    where both agree, and infinite where a class is generated that the real data haven't. Raises ValueError on labels
    that don't fit.
    """
    shares = _shares(fake, classes)
    others = torch.full_like(shares, 1 / classes) if real is None else _shares(real, classes)
    seen = shares > 0
    kl = float((shares[seen] * (shares[seen] / others[seen]).log()).sum())
    return Classes(tuple(shares.tolist()), max(kl, 0.0))


class Trained(NamedTuple):
    """Accuracy in [0, 1] of a classifier trained on generated pictures, of one trained on real ones, and that one."""

    fake: float
    real: float
    net: SmallNet


def gan_train(
    fake_x: Tensor | Rows,
    fake_y: Tensor,
    real_x: Tensor | Rows,
    real_y: Tensor,
    test_x: Tensor | Rows,
    test_y: Tensor,
    classes: int,
    *,
    seed: int = 0,
    steps: int | None = None,
    device: torch.device | str = "cpu",
) -> Trained:
    """Accuracy on real test pictures of a classifier trained on generated ones alone, and on as many real ones.

    Known as the classification accuracy score (Ravuri & Vinyals 2019) and GAN-train (Shmelkov et al. 2018). Near the
    real one: the pictures fit their labels and are varied enough to learn from. Low: classes are missing, mixed up,
    unlike the real ones, or without variety; unlike GAN-test it sees what is missing. Both classifiers get the same
    number of pictures (the larger set is thinned at random), steps and seed. x uint8 (N, C, H, W), y int64 (N,).
    """
    count, nets = min(len(fake_x), len(real_x)), list[SmallNet]()
    for x, y in ((fake_x, fake_y), (real_x, real_y)):
        nets.append(fit(*_thinned(x, y, count, seed), classes, seed=seed, steps=steps, device=device))
    fake, real = (accuracy(predict(net, test_x), test_y) for net in nets)
    return Trained(fake, real, nets[1])


def gan_test(
    real_x: Tensor | Rows,
    real_y: Tensor,
    fake_x: Tensor | Rows,
    fake_y: Tensor,
    classes: int,
    *,
    seed: int = 0,
    steps: int | None = None,
    device: torch.device | str = "cpu",
    net: SmallNet | None = None,
) -> float:
    """Share of generated pictures that a classifier trained on real ones names as they were asked for.

    GAN-test (Shmelkov et al. 2018). Near the accuracy on real test pictures: they show their class. Low: they don't, or
    can't be recognised. Above it: they are easier than reality, typical or copied from the training pictures. It
    doesn't see what is missing: one good picture of each class again and again reaches 1. net: one that is trained
    already, as `gan_train` gives.
    """
    net = net or fit(real_x, real_y, classes, seed=seed, steps=steps, device=device)
    return accuracy(predict(net, fake_x), fake_y)


class StackedModes(NamedTuple):
    """Modes `found` of 1,000, and the KL in nats of their histogram from the uniform one."""

    found: int
    kl: float


def stacked_modes(logits: Matrix) -> StackedModes:
    """Modes of stacked MNIST from the logits float (n, 3 × 10) of a classifier of digits that saw each channel.

    `Channelwise` gives such logits. Srivastava et al. 2017 (VEEGAN) and Lin et al. 2018 (PacGAN), who draw 26,000
    samples; a mode is found by one sample, so n of them find about 1000 (1 − 0.999ⁿ) at best. Raises ValueError.
    """
    if tuple(logits.shape[1:]) != (30,) or len(logits) == 0:
        raise ValueError(f"3 × 10 logits per sample are needed, not {tuple(logits.shape)}")
    modes = torch.cat([digits_of(part) @ torch.tensor([100, 10, 1]) for part in logits.split(PART)])
    return StackedModes(len(modes.unique()), max(kl_to_uniform(modes, 1000), 0.0))


def _shares(named: Matrix, classes: int) -> Tensor:
    labels = torch.cat([part.argmax(1) if part.dim() == 2 else part.long() for part in named.split(PART)])
    if len(labels) == 0 or int(labels.min()) < 0 or int(labels.max()) >= classes:
        raise ValueError(f"labels {labels.unique().tolist()[:20]} don't fit {classes} classes")
    return torch.bincount(labels, minlength=classes).double() / len(labels)


def _thinned(x: Tensor | Rows, y: Tensor, count: int, seed: int) -> tuple[Tensor | Rows, Tensor]:
    if len(x) == count:
        return x, y
    kept = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:count].sort().values
    return x[kept] if isinstance(x, Tensor) else x.gather(kept)["x"], y[kept]
