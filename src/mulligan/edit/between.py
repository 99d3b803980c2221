"""Walks: what lies between some w, or between some latents, as frames."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ..core.errors import UserError
from ..experiment import CHUNK, Experiment, slerp
from ..media import Images
from ..media.image import grid
from ..media.video import check_video, save_video
from .files import SUFFIX
from .styles import labels_in_turn, needs_styles, parse_seeds, stops, styled

Space = Literal["auto", "w", "z"]
Ease = Literal["smooth", "linear"]


def eased(t: Tensor, ease: Ease) -> Tensor:
    """Times in [0, 1]: as they are, or slow at both ends, (1 - cos πt) / 2."""
    return (1 - torch.cos(math.pi * t)) / 2 if ease == "smooth" else t


@dataclass(frozen=True)
class Walk:
    """`stops` (k, n, …) of n walks side by side: styles of a styled generator for `space` w, latents for z.

    `y` (n,) or (n, k) is what each walk is told, None for nothing. A `closed` walk returns to its first stop.
    """

    stops: Tensor
    y: Tensor | None
    space: Space
    closed: bool = True

    def __len__(self) -> int:
        """The number of ways from stop to stop."""
        return len(self.stops) - (not self.closed)

    def count(self, steps: int) -> int:
        """Frames of the whole walk."""
        return len(self) * steps + (not self.closed)

    def places(self, steps: int, ease: Ease) -> Iterator[Tensor]:
        """The stops and what lies between them, (n, …) for each frame: w in straight lines, z on the sphere."""
        times = eased(torch.arange(steps, device=self.stops.device) / steps, ease)
        for i in range(len(self)):
            a, b = self.stops[i], self.stops[(i + 1) % len(self.stops)]
            if self.space == "z":
                yield from slerp(a, b, times)
            else:
                yield from (a.lerp(b, float(t)) for t in times)
        if not self.closed:
            yield self.stops[-1]


def random_walk(
    experiment: Experiment, through: int = 5, walks: int = 9, seed: int = 0, label: str | None = None,
    space: Space = "auto",
) -> Walk:  # fmt: skip
    """Closed walks through random latents of one seed. Raises UserError for numbers and labels that can't be."""
    if through < 2 or walks < 1:
        raise UserError(f"through {through}, walks {walks}: needs at least 2 latents and 1 walk")
    space = _space(experiment, space)
    turn = labels_in_turn(experiment, label)
    y = None if turn is None else turn[torch.arange(walks, device=turn.device) % len(turn)]
    z = experiment.latents(through * walks, seed)
    if space == "z":
        return Walk(z.view(through, walks, -1), y, space)
    w = experiment.w(z, None if y is None else torch.cat([y] * through))
    return Walk(w.view(through, walks, *w.shape[1:]), None, space)


def named_walk(
    experiment: Experiment, given: str, label: str | None = None, space: Space = "auto", closed: bool = True
) -> Walk:
    """One walk through seeds and files of w, as `stops` reads them.

    Between latents there is no way from label to label, so the first stop's holds for all. Raises UserError for fewer
    than two stops, several labels there, and files of w for a walk in z.
    """
    space = _space(experiment, space)
    turn = None if label is None or experiment.columns else labels_in_turn(experiment, label)
    if space == "z" and turn is not None and len(turn) > 1:
        raise UserError(f"--label {label}: a walk in z keeps one label; take one, or a styled generator and --in w")
    if space == "z" and styled(experiment):
        if SUFFIX in given:
            raise UserError(f"--seeds {given}: a file holds w, not z: leave --in out, or take --in w")
        places = torch.cat([experiment.latents(1, seed) for seed in parse_seeds(given)])
        y = stops(experiment, given, label)[1]
    else:
        places, y = stops(experiment, given, label)
    if len(places) < 2:
        raise UserError(f"--seeds {given}: a walk needs two stops, such as 1,2")
    return Walk(places[:, None], y[:1] if space == "z" and y is not None else None, space, closed)


def _space(experiment: Experiment, space: Space) -> Space:
    if space == "auto":
        return "w" if styled(experiment) else "z"
    if space == "w":
        needs_styles(experiment, "--in w")
    return space


def frames(experiment: Experiment, walk: Walk, steps: int = 16, ease: Ease = "smooth") -> Iterator[Tensor]:
    """The walk's samples (n, *shape), a frame after the other; `steps` from stop to stop, of which few are in memory.

    Raises UserError for fewer than 1 step.
    """
    if steps < 1:
        raise UserError(f"steps {steps}: needs at least 1 step")
    walks, held = walk.stops.shape[1], list[Tensor]()
    for number, place in enumerate(walk.places(steps, ease), 1):
        held.append(place)
        if len(held) * walks >= CHUNK or number == walk.count(steps):
            w, y = torch.cat(held), None if walk.y is None else torch.cat([walk.y] * len(held))
            make = experiment.decode if walk.space == "z" else experiment.picture
            yield from make(w, y).unflatten(0, (-1, walks))
            held.clear()


def save_walk(
    experiment: Experiment, walk: Walk, path: str | Path, *, steps: int = 16, ease: Ease = "smooth", fps: int = 12,
    show: Callable[[Iterator[Tensor], int], Iterator[Tensor]] = lambda made, _: made,
) -> Path:  # fmt: skip
    """Write a walk as the suffix says: .gif, .webp, .mp4 or .webm; of points as .gif. Gives the path.

    `show` is handed the frames and their number on the way, for a progress bar. Raises UserError for wrong input with
    nothing written, OSError.
    """
    path = check_video(path, fps)
    if steps < 1:
        raise UserError(f"steps {steps}: needs at least 1 step")
    made = show(frames(experiment, walk, steps, ease), walk.count(steps))
    if isinstance(experiment.media, Images):
        pad = 2 if walk.stops.shape[1] > 1 else 0
        return save_video((grid(x, pad=pad) for x in made), path, fps)
    if path.suffix.lower() != ".gif":
        raise UserError(f"--out {path}: a walk of points is written as .gif")
    return experiment.media.frames(torch.stack(list(made)), path, fps)
