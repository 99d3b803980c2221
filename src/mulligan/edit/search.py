"""The search for what a generator must be given: from random latents, by Adam and L-BFGS, to given pictures."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ..experiment import CHUNK, Experiment
from ..media.image import to_uint8
from .descend import Span, adam, lbfgs
from .looks import Looks

TRIAL = 0.25
"""Share of the steps in which all tries are walked, and in which one style serves all layers in w+, too."""
FEW = 10
"""Labels at most of which each is walked from."""
MANY, FLAT = 4096, 1e-3
"""Latents whose styles give the axes, and the share of the mean variance that every axis has at least."""
PIXELS = 1 << 18
"""Of pictures that are searched for at a time; each takes some thousand bytes while slopes are worked out."""
SHOWN = 256
"""Pixels of a side in the pictures of the way."""
PRIOR, RARE = 0.1, 3.09
"""Weight of the prior of z, and the deviations beyond which one of a thousand latents is longer."""


def psnr(x: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio (n,) in dB of pictures (n, …), cut to [-1, 1], where the peak is 2; 120 at most."""
    error = (x.clamp(-1, 1) - target.clamp(-1, 1)).square().flatten(1).mean(1)
    return 10 * (4 / error.clamp(min=4e-12)).log10()


class Ground:
    """Where is searched: random latents to start from, as variables `u` of deviation 1, and their labels `y`."""

    def __init__(
        self, experiment: Experiment, space: str, label: int | str | None, seed: int, starts: int, by: Looks
    ) -> None:
        self.sampler, self.by, self.seed = experiment.sampler, by, seed
        self.styled, self.wide = space != "z", space == "w+"
        self.chunk = max(1, min(CHUNK, PIXELS // math.prod(experiment.described.shape[1:])))
        classes = len(experiment.classes) if label is None else 0
        self.y = experiment.some_labels(max(starts, classes), label)
        self.labels = classes if classes <= FEW and not self.styled else 0
        w = experiment.w(experiment.latents(max(starts, classes), seed), self.y)
        self.layers = w.shape[1]
        if self.styled:
            w = w[:, :1]  # the mapping gives the same to all layers
            self.centre, self.axes, back = _axes(experiment, seed, label)
            w = (w - self.centre) @ back
        self.u = w

    def w(self, u: Tensor) -> Tensor:
        """Latents as the sampler takes them: styles (n, layers, style), or z (n, latent)."""
        if self.styled:
            return (self.centre + u @ self.axes).expand(-1, self.layers, -1)
        return u.clamp(-1, 1) if self.sampler.prior == "uniform" else u

    def prior(self, u: Tensor) -> Tensor | float:
        """What z (n, latent) is charged where hardly any latent was drawn: far off, or out of the cube."""
        if self.styled:
            return 0.0
        if self.sampler.prior == "uniform":
            return PRIOR * F.relu(u.abs() - 1).square().sum(1)
        usual = 1 + RARE * (2 / u.shape[1]) ** 0.5  # of the mean of squares, whose variance is 2 over their number
        return PRIOR * F.relu(u.square().mean(1) - usual).square()

    def best(self, seen: Tensor, tries: int) -> Tensor:
        """The starts (n, tries) whose pictures look most like what was seen (n, F), the nearest first.

        Where each label is walked from, the best start of each comes before all others.
        """
        apart = []
        with torch.no_grad():
            for i in range(0, len(self.u), self.chunk):
                y = None if self.y is None else self.y[i : i + self.chunk]
                looks = self.by.of(self.sampler.picture(self.w(self.u[i : i + self.chunk]), y))
                apart.append(torch.stack([(looks - one).square().sum(1) for one in seen]))
        distance = torch.cat(apart, 1)
        if self.labels and self.y is not None:
            first = torch.zeros_like(distance, dtype=torch.bool)
            for label in range(self.labels):
                first.scatter_(1, distance.masked_fill(self.y != label, math.inf).argmin(1, keepdim=True), True)
            distance = distance - first * (2 * distance.max())
        return distance.topk(tries, 1, largest=False).indices


def _axes(experiment: Experiment, seed: int, label: int | str | None) -> tuple[Tensor, Tensor, Tensor]:
    """The mean of styles, their principal axes (style, style), each as long as its deviation, and the way back.

    Styles vary a hundred times more along some axes than others; walked along these, all are alike (Zhu et al. 2020,
    arXiv:2012.09036).
    """
    w = experiment.w(experiment.latents(MANY, seed), experiment.some_labels(MANY, label))[:, 0].double().cpu()
    centre = w.mean(0)
    variance, vectors = torch.linalg.eigh((w - centre).T @ (w - centre) / (MANY - 1))
    spread = variance.clamp(min=max(float(variance.mean()) * FLAT, 1e-12)).sqrt()
    there, back = (spread * vectors).T, vectors / spread
    return tuple(part.to(experiment.device, torch.float32) for part in (centre, there, back))  # type: ignore[return-value]


class Search:
    """For some pictures together, each as if it were alone; `all` sets w, y, picture, start and frames."""

    def __init__(
        self, ground: Ground, target: Tensor, steps: int, refine: int, tries: int, frames: int,
        show: Callable[[int, float, float], None] | None, before: int,
    ) -> None:  # fmt: skip
        self.ground, self.target, self.steps, self.refine, self.tries = ground, target, steps, refine, tries
        self.show, self.done, self.total = show, before, len(target) * (steps + refine)
        self.seen, self.x, self.number = ground.by.of(target), target, 0
        self.every, self.frames = math.ceil(steps / frames) if frames else 0, list[Tensor]()

    def all(self) -> None:
        g, steps, end = self.ground, self.steps, self.done + self.total
        which = g.best(self.seen, self.tries)
        u, y = g.u[which], None if g.y is None else g.y[which]
        with torch.no_grad():
            self.start = psnr(self.made(u[:, :1], y), self.target)

        trial = round(steps * TRIAL)
        u = self.down(u, y, Span(0, trial, steps))
        with torch.no_grad():
            best = self.losses(u, y).view(u.shape[:2]).argmin(1)
        rows = torch.arange(len(u), device=u.device)
        u, y = u[rows, best][:, None], None if y is None else y[rows, best][:, None]

        u = self.down(u.expand(-1, -1, g.layers, -1) if g.wide else u, y, Span(trial, steps, steps))
        u = self.floor(u, y)
        with torch.no_grad():
            self.last = self.losses(u, y).mean()

        self.w, self.y = g.w(u[:, 0]).contiguous(), None if y is None else y[:, 0]
        with torch.no_grad():
            self.picture = self.made(u, y)
        if self.every:
            self.frames.append(_shown(self.picture))
        self._tell(end - self.done, float(self.last), self.picture)

    def made(self, u: Tensor, y: Tensor | None) -> Tensor:
        """Pictures (n·k, C, H, W) of u (n, k, …) with the labels (n, k, …) of each."""
        labels = None if y is None else y[:, : u.shape[1]].flatten(0, 1)
        return self.ground.sampler.picture(self.ground.w(u.flatten(0, 1)), labels)

    def losses(self, u: Tensor, y: Tensor | None) -> Tensor:
        """(n·k,) of u (n, k, …)."""
        self.x = self.made(u, y)
        seen = self.seen.repeat_interleave(u.shape[1], 0)
        return (self.ground.by.of(self.x) - seen).square().sum(1) + self.ground.prior(u.flatten(0, 1))

    def down(self, u: Tensor, y: Tensor | None, span: Span) -> Tensor:
        """All pictures together, by Adam."""

        def step(losses: Tensor) -> None:
            best = losses.argmin(1)
            x = self.x.detach().unflatten(0, losses.shape)[torch.arange(len(best), device=best.device), best]
            if self.every and self.number % self.every == 0:
                self.frames.append(_shown(x))
            self.number += 1
            self._tell(len(best), float(losses.min(1).values.mean()), x)

        return adam(u, lambda u: self.losses(u, y), span, self.ground.seed, step)

    def floor(self, u: Tensor, y: Tensor | None) -> Tensor:
        """One picture after the other, by L-BFGS."""
        if not self.refine:
            return u
        seen, target, found = self.seen, self.target, []
        for i in range(len(u)):
            self.seen, self.target = seen[i : i + 1], target[i : i + 1]
            label = None if y is None else y[i : i + 1]

            def step(loss: float) -> None:
                self._tell(1, loss, self.x.detach())

            found.append(lbfgs(u[i : i + 1], lambda u, label=label: self.losses(u, label), self.refine, step))
        self.seen, self.target = seen, target
        return torch.cat(found)

    def _tell(self, steps: int, loss: float, x: Tensor) -> None:
        self.done += steps
        if self.show:
            self.show(self.done, loss, float(psnr(x, self.target).mean()))


def _shown(x: Tensor) -> Tensor:
    factor = -(-max(x.shape[2:]) // SHOWN)
    small = F.avg_pool2d(x, factor) if factor > 1 and min(x.shape[2:]) >= factor else x
    return to_uint8(small).cpu()
