"""The test set of the doctor: trainings of which is known what they are, healthy or ill, and how that is measured.

Rings and grids of Gaussians, a Gaussian in 32 dimensions and MNIST. Fresh seeds draw fresh data.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mulligan.core.errors import NonFinite
from mulligan.data import Source
from mulligan.data.source import fingerprint_tensors

from .common import SHARED, mnist

WHOLE = {"ring": 50_000, "grid": 50_000, "lab32": 20_000}
"""Training samples where a case doesn't ask for fewer."""
PROBES = 30
"""Of the doctor, in a run."""
SHARE, NEAR = 0.01, 9
"""A mode of a toy is found where it holds so large a share of the samples, within so many sigma."""
Numbers = dict[str, float]


@dataclass(frozen=True)
class Case:
    """A training. `right`: keys of the illnesses that are right to name; none for a healthy one.

    `steps` are rounds. `count`: training samples, 0 for the whole set; `shuffled`: labels that belong to others.
    `beside`: the healthy case that it has to be clearly worse than, to be ill in truth.
    """

    name: str
    group: str
    right: tuple[str, ...]
    steps: int
    arguments: dict[str, Any] = field(default_factory=dict)
    recipe: str = "toy"
    count: int = 0
    shuffled: bool = False
    beside: str = ""

    @property
    def settings(self) -> str:
        """All that a training follows from beside its seed, as JSON."""
        facts = {"recipe": self.recipe, "steps": self.steps, "count": self.count, "shuffled": self.shuffled}
        return json.dumps({**facts, "group": self.group, "arguments": self.arguments}, sort_keys=True)

    @property
    def images(self) -> int:
        batch = self.arguments.get("batch", 64 if self.group == "mnist" else 128)
        return self.steps * batch * self.arguments.get("critic_turns", 1)

    def train(self, seed: int, out: Path) -> Numbers:
        """Train it in a folder; what came of it in truth. `nonfinite` where it left the finite numbers."""
        import mulligan

        source = sources(self, seed)
        spec = f"{Path(__file__).with_name('sick.py')}:toy" if self.recipe == "toy" else self.recipe
        try:
            run = mulligan.train(
                spec, source, out=out, seed=seed, images=self.images, device="cpu", sample_every=10**12,
                checkpoint_every=10**12, probe_every=max(self.images // PROBES, 1), **self.arguments,
            )  # fmt: skip
        except NonFinite:
            return {"nonfinite": 1.0}
        return measured(self, run, source, seed)


def sources(case: Case, seed: int) -> Source:
    """The training data of a case."""
    if case.group == "mnist":
        return digits(case, seed)
    x = points(case.group, case.count or WHOLE[case.group], 2 * seed)
    return Source(case.group, {"x": x}, (), fingerprint_tensors({"x": x}))


def points(law: str, count: int, seed: int) -> Tensor:
    """Points (count, 2 or 32) of a law; even seeds to train on, odd ones to compare with."""
    draw = torch.Generator().manual_seed(seed)
    if law == "lab32":
        root = covariance_root()
        return (torch.randn(count, len(root), generator=draw, dtype=root.dtype) @ root.T).float()
    where, sigma = centres(law)
    mode = torch.randint(len(where), (count,), generator=draw)
    return (where[mode] + sigma * torch.randn(count, 2, generator=draw)).float()


def centres(law: str) -> tuple[Tensor, float]:
    """Centres (K, 2) and sigma: eight on a circle of radius 2, or 25 on {-4, -2, 0, 2, 4}²."""
    if law == "ring":
        angle = torch.arange(8) * (2 * math.pi / 8)
        return 2 * torch.stack([angle.cos(), angle.sin()], 1), 0.02
    axis = torch.arange(-4.0, 5.0, 2.0)
    return torch.cartesian_prod(axis, axis), 0.05


def covariance_root() -> Tensor:
    """R (32, 32) with covariance R Rᵀ: standard deviations 2, 1.7, 1.44, … along directions drawn once for all."""
    draw = torch.Generator().manual_seed(32)
    directions = torch.linalg.qr(torch.randn(32, 32, generator=draw, dtype=torch.float64)).Q
    return directions * 2 * 0.85 ** torch.arange(32, dtype=torch.float64)


def digits(case: Case, seed: int) -> Source:
    """MNIST, or `count` of its pictures; with `shuffled`, the labels go to pictures that they weren't given to."""
    source, draw = mnist(SHARED / "data" / "mnist"), torch.Generator().manual_seed(seed)
    if not (case.count or case.shuffled):
        return source
    chosen = torch.randperm(len(source), generator=draw)[: case.count or len(source)]
    rows = source.gather(chosen)
    if case.shuffled:
        rows["y"] = rows["y"][torch.randperm(len(chosen), generator=draw)]
    return Source("mnist", rows, source.classes, fingerprint_tensors(rows))


def measured(case: Case, run: Any, source: Source, seed: int) -> Numbers:
    """What came of a training, by numbers that the doctor doesn't have."""
    if case.group == "mnist":
        return of_digits(run, source, seed)
    x, train = run.sample(10_000, seed=seed), source.tensors["x"]
    copies = nearness(x, train, points(case.group, len(train), 2 * seed + 1))
    return (of_lab(x) if case.group == "lab32" else of_modes(x, *centres(case.group))) | {"copies": copies}


def of_modes(x: Tensor, where: Tensor, sigma: float) -> Numbers:
    """Modes found, share of good points (within 3 sigma), and KL of the points over the modes, in nats."""
    from mulligan.metrics.modes import modes

    distance, nearest = torch.cdist(x, where).min(1)
    held = torch.bincount(nearest[distance <= NEAR * sigma], minlength=len(where)) / len(x)
    found = modes(x, where, sigma)
    return {"modes": float((held >= SHARE).sum()), "of": float(len(where)), "good": found.good, "kl": found.kl}


def of_lab(x: Tensor) -> Numbers:
    """Fréchet distance to the law itself."""
    from mulligan.metrics.gaussian import Gaussian, frechet_given

    root, found = covariance_root(), Gaussian.of(x)
    return {"frechet": frechet_given(found.mean, found.covariance(), torch.zeros(len(root)), root @ root.T)}


def of_digits(run: Any, source: Source, seed: int) -> Numbers:
    """By the LeNet: classes, KL of their histogram to uniform, sure verdicts, Fréchet distance, obeyed labels."""
    from mulligan.metrics.distances import frechet, kl_to_uniform

    from .instruments import LeNet, digits_test

    x, asked, net, real = run.sample(5_000, seed=seed), run.some_labels(5_000), LeNet(), digits_test()[0]
    (features, probabilities), (test, _) = net(x), net(real)
    best, label = probabilities.max(1)
    train = net(source.gather(torch.arange(min(len(source), 5_000)))["x"].float() / 127.5 - 1)[0]
    return {
        "classes": float(len(label.unique())), "kl": kl_to_uniform(label, 10),
        "sure": float((best > 0.9).double().mean()), "frechet": frechet(features, test),
        "copies": nearness(features, train, test),
        **({"obeyed": float((label == asked).double().mean())} if asked is not None else {}),
    }  # fmt: skip


def nearness(x: Tensor, train: Tensor, fresh: Tensor, most: int = 1_000) -> float:
    """Median distance of samples to training data over that to as many fresh ones: 1, or less for copies."""
    n = min(len(train), len(fresh), 5_000)
    near, far = (torch.cdist(x[:most], side[:n]).min(1).values.median() for side in (train, fresh))
    return float(near / far)
