"""Losses beside the adversarial one: matching, information, diversity, classes, energies."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def feature_matching(real: Tensor, fake: Tensor) -> Tensor:
    """||E f(real) - E f(fake)||^2 for features (N, F), means over the batch (Salimans et al. 2016, section 3.1)."""
    return (real.mean(0) - fake.mean(0)).square().sum()


def feature_matching_l1(real: Tensor, fake: Tensor) -> Tensor:
    """Mean over features of |E f(real) - E f(fake)|; features (N, F). Does not grow with F."""
    return (real.mean(0) - fake.mean(0)).abs().mean()


def gaussian_nll(x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """Mean over the batch of -log N(x; mean, diag(variance)), all (N, d); InfoGAN's continuous codes (Chen et al.)."""
    return (0.5 * (torch.log(2 * math.pi * variance) + (x - mean).square() / variance)).sum(1).mean()


def pulling_away(features: Tensor) -> Tensor:
    """Mean squared cosine between different samples (N, F), N > 1, in [0, 1] (Zhao et al. 2017, EBGAN, eq. 4)."""
    unit = F.normalize(features, dim=1)
    n = len(unit)
    return ((unit @ unit.t()).square().sum() - n) / (n * (n - 1))


def energy_margin(real: Tensor, fake: Tensor, margin: float) -> Tensor:
    """EBGAN's D loss E real + E max(0, margin - fake), on energies that are not negative (Zhao et al. 2017, eq. 1)."""
    return real.mean() + F.relu(margin - fake).mean()


def energy_balance(real: Tensor, fake: Tensor, k: float) -> Tensor:
    """BEGAN's D loss E real - k E fake on energies (Berthelot et al. 2017, section 3.4); the caller keeps k."""
    return real.mean() - k * fake.mean()


def multiclass_hinge(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean of max(0, 1 - logit of the label + the largest other logit) for logits (N, K) (Crammer & Singer 2001)."""
    of_label = F.one_hot(labels, logits.shape[1]).bool()
    others = logits.masked_fill(of_label, -torch.inf).amax(1)
    return F.relu(1 - logits[of_label] + others).mean()
