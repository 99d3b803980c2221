"""Inversion: what a generator must be given to make this picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast, get_args

import torch
from torch import Tensor

from ..core.errors import UserError
from ..experiment import Experiment
from ..metrics.inception import full_precision
from ..parts.samplers import Sampler
from .looks import Looks, looks
from .search import PIXELS, Ground, Search, psnr

Space = Literal["auto", "z", "w", "w+"]
STARTS, TRIES, FRAMES, REFINE = 256, 4, 40, 200
"""Random latents to start from, those of them that are followed, pictures of the way, and looks of L-BFGS."""
LOOSE = 8.0
"""Where pictures are surely not meant for [-1, 1]: generators that end without tanh leave it by little."""


@dataclass(frozen=True)
class Inverted:
    """What inversion found: `w` as `Experiment.w` gives it, (n, layers, style) or (n, latent), and labels `y`.

    `picture` (n, C, H, W) is what the generator makes of it, `psnr` (n,) in dB how near that is to the target, `start`
    (n,) how near it was before the first step; `frames` (T, n, C, h, w) in uint8 show the way, 256 pixels at most.
    """

    target: Tensor
    w: Tensor
    y: Tensor | None
    picture: Tensor
    psnr: Tensor
    start: Tensor
    frames: Tensor
    space: str


def invert(
    experiment: Experiment, pictures: Tensor, *, space: Space = "auto", steps: int = 300, refine: int = REFINE,
    label: int | str | None = None, seed: int = 0, by: Looks | None = None, starts: int = STARTS, tries: int = TRIES,
    frames: int = FRAMES, show: Callable[[int, float, float], None] | None = None,
) -> Inverted:  # fmt: skip
    """Latents that make pictures (n, C, H, W) in [-1, 1], of the run's own shape.

    `space`: "w", one style for all layers, or "w+", one for each (Abdal et al. 2019), of a styled generator; "z" of one
    that isn't, with a prior. auto: w+, which comes nearest, or z. Of `starts` random latents the `tries` best ones are
    followed for a quarter of the steps, then the best: Adam, with noise that dies away (Karras et al. 2020, appendix
    D), and in the end `refine` looks of L-BFGS. Without a label all are tried. `by` compares the pictures (None:
    `looks` chooses). `show` is told the steps done, of n × (steps + refine), the mean loss and the mean PSNR.

    Raises UserError for other shapes and values, a space that this generator hasn't, and numbers that make no sense.
    """
    sampler = _sampler(experiment)
    space = _space(space, sampler)
    _check(experiment, pictures, steps, refine, starts, tries, frames)
    by = by or looks(experiment)
    target = pictures.to(experiment.device, torch.float32)
    side = target[0, 0].numel()
    ground = Ground(experiment, space, label, seed, starts, by)
    tries = max(1, min(max(tries, ground.labels), PIXELS // side, len(ground.u)))
    searches: list[Search] = []
    with full_precision(experiment.device):
        for part in target.split(max(1, PIXELS // (tries * side))):
            before = sum(len(s.target) for s in searches) * (steps + refine)
            searches.append(Search(ground, part, steps, refine, tries, frames, show, before))
            searches[-1].all()

    y = None if ground.y is None else torch.cat([cast(Tensor, s.y) for s in searches])
    w, x, start = (torch.cat([getattr(s, name) for s in searches]) for name in ("w", "picture", "start"))
    if not bool(x.isfinite().all()):
        raise UserError(f"{experiment.path}: its pictures are not finite numbers, the weights are of no use")
    way = torch.cat([torch.stack(s.frames) for s in searches], 1) if frames else torch.empty(0, *x.shape).byte()
    return Inverted(pictures.float().cpu(), w, y, x.cpu(), psnr(x, target).cpu(), start.cpu(), way, space)


def _sampler(experiment: Experiment) -> Sampler:
    sampler, shape = experiment.sampler, experiment.described.shape
    if len(shape) != 3:
        raise UserError(f"{experiment.path} makes points {shape}: only pictures are inverted")
    if not isinstance(sampler, Sampler):
        raise UserError(f"{experiment.path} has a sampler of its own ({type(sampler).__name__}), which isn't inverted")
    return sampler


def _space(space: Space, sampler: Sampler) -> Space:
    if space not in get_args(Space):
        raise UserError(f"--space {space!r}: take auto, w, w+ or z")
    if space == "auto":
        return "w+" if sampler.styled else "z"
    if sampler.styled == (space == "z"):
        has = "styles: take w or w+" if sampler.styled else "no styles: take z"
        raise UserError(f"--space {space}: this generator has {has}, or leave --space out")
    return space


def _check(
    experiment: Experiment, pictures: Tensor, steps: int, refine: int, starts: int, tries: int, frames: int
) -> None:
    shape = tuple(experiment.described.shape)
    if pictures.dim() != 4 or tuple(pictures.shape[1:]) != shape or not len(pictures):
        raise UserError(f"pictures of shape {tuple(pictures.shape)}: {experiment.path} makes (n, {shape})")
    if not pictures.is_floating_point() or not bool((pictures.abs() <= LOOSE).all()):
        raise UserError("pictures to invert are floats in [-1, 1], or beyond it by little as generators make them")
    for name, value, least in (("steps", steps, 1), ("refine", refine, 0), ("starts", starts, 1), ("tries", tries, 1)):
        if value < least:
            raise UserError(f"--{name} {value}: at least {least}")
    if frames < 0:
        raise UserError(f"{frames} frames: at least 0")
