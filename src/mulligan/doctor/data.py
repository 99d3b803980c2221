"""Problems of the data, looked for once before a training: what no setting of a GAN can make up for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mulligan.core.stream import Rows, prepare, shuffled

from . import signals
from .eyes import CLASSES, Features, Modes, reduced, unseen
from .illness import Level

MOST, LEAST, BYTES = 4_096, 512, 48 << 20
"""Rows that are looked at: at most, and at least where they are large; beyond the least no more than so many bytes."""
THUMB = 32
"""Pixels a side on which brightness is looked at: every so many-th."""


@dataclass(frozen=True)
class Problem:
    """What is wrong (`text`, with the value), in words where the value is healthy, and what to do (`advice`)."""

    key: str
    level: Level
    value: float
    healthy: str
    text: str
    advice: str


@dataclass(frozen=True)
class Seen:
    """Rows in random order, with how many there are in all: uint8 pictures (N, C, H, W) or float points (N, d).

    `axes`: those of one row in the data, 1 for points; pictures of floats are points here, with 3.
    """

    x: Tensor
    y: Tensor | None
    total: int
    axes: int

    @property
    def pictures(self) -> bool:
        return self.x.dim() == 4

    @property
    def what(self) -> str:
        return "pictures" if self.pictures else "points"

    @property
    def looked(self) -> str:
        """Of how many samples something is said."""
        all_ = "all " if len(self.x) == self.total else ""
        return f"{all_}{len(self.x):,} {self.what}{'' if all_ else ' looked at'}"

    @cached_property
    def thumbs(self) -> Tensor:
        """Every so many-th pixel, (N, C, h, w)."""
        height, width = (max(side // THUMB, 1) for side in self.x.shape[2:])
        return self.x[:, :, ::height, ::width].contiguous()

    @cached_property
    def levels(self) -> Tensor:
        """Levels of brightness (N,) between the darkest and the brightest pixel of a picture, in its widest channel."""
        flat = self.thumbs.flatten(2)
        return (flat.amax(2).int() - flat.amin(2).int()).amax(1)

    @cached_property
    def plain(self) -> Tensor:
        """Which pictures (N,) are nearly of one colour: they vary by less than a hundredth of the range, 2.5 levels."""
        return signals.inside(self.thumbs).amax(1) < 2.5

    @cached_property
    def small(self) -> Tensor:
        """The pictures as the doctor looks at them, from -1 to 1."""
        return torch.cat([reduced(prepare(part, part.device)) for part in self.x.split(64)])

    @cached_property
    def eyes(self) -> Features:
        return Features(self.small)

    @cached_property
    def features(self) -> Tensor:
        """(N, F); of points, their coordinates in standard deviations, and random units, which see curves."""
        if self.pictures:
            return self.eyes(self.small)
        x = (self.x - self.x.mean(0)) / self.x.std(0).clamp_min(signals.EPS)
        draw = torch.Generator().manual_seed(0)
        weight, bias = torch.randn(x.shape[1], 128, generator=draw), torch.randn(128, generator=draw)
        return torch.cat([x, F.relu(x @ weight / x.shape[1] ** 0.5 + bias)], 1)


def problems(rows: Rows, classes: Sequence[str] | int, seed: int = 0) -> list[Problem]:
    """What is wrong with the data, alarms first; the same for one seed.

    At most 4,096 rows are looked at: uint8 pictures (N, C, H, W) or float points (N, d) under "x", and where there are
    labels int64 (N,) under "y". `classes`: their names, or how many.
    """
    names = [str(i) for i in range(classes)] if isinstance(classes, int) else classes
    seen = look(rows, seed)
    found = of_pictures(seen) if seen.pictures else of_points(seen)
    if seen.y is not None and len(names) > 1:
        found += of_classes(seen, seen.y, names)
        found += [] if ruined(found) else of_labels(seen, seen.y)
    found += few(seen)
    return sorted(found, key=lambda problem: problem.level != "alarm")


def ruined(found: Sequence[Problem]) -> bool:
    """Whether what was found keeps other things from being judged."""
    return any(problem.level == "alarm" and problem.key != "duplicates" for problem in found)


def look(rows: Rows, seed: int) -> Seen:
    """A draw of the rows; what isn't bytes of pictures counts as points."""
    total = len(rows)
    size = sum(value.nbytes for value in rows.gather(torch.zeros(1, dtype=torch.int64)).values())
    count = min(total, MOST, max(LEAST, BYTES // max(size, 1)))
    index = torch.from_numpy(shuffled(np.arange(count), total, seed, epoch=-2))
    order = index.argsort()  # a file is read from front to back
    batch = rows.gather(index[order])
    back = order.argsort()
    x, axes = batch["x"][back], batch["x"].dim() - 1
    if x.dtype != torch.uint8 or x.dim() != 4:
        x = prepare(x, x.device).flatten(1).float()
    return Seen(x, batch["y"][back] if "y" in batch else None, total, axes)


def of_pictures(seen: Seen) -> list[Problem]:
    found = of_range(seen)
    if ruined(found):
        return found + colours(seen)
    return found + blank(seen) + colours(seen) + polarity(seen) + doubles(seen)


def of_range(seen: Seen) -> list[Problem]:
    """Whether the pictures use the levels that a byte has."""
    typical, top = int(seen.levels.median()), int(seen.x.max())
    if typical > 64:
        return []
    text = (
        f"Half of {seen.looked} have no more than {typical} of 255 levels of brightness; the brightest pixel is {top}."
    )
    if typical > 16:
        advice = "Stretch them to the whole range from 0 to 255 if they aren't meant to be so pale."
        return [Problem("range", "watch", typical, "above 64 levels", text, advice)]
    advice = (
        "Values from 0 to 1, or from 0 to 16, that were saved as bytes are black: save them from 0 to 255, or as "
        "floats from 0 to 1 in a .npy file."
    )
    return [Problem("range", "alarm", typical, "above 16 levels", text, advice)]


def blank(seen: Seen) -> list[Problem]:
    """Pictures of one colour."""
    share = float(seen.plain.double().mean())
    if share < 0.01:
        return []
    text = f"{percent(share)} of {seen.looked} are of one colour: black, white or empty."
    return [Problem("blank", "watch", share, "below 0.01", text, "Leave them out: G learns to make them, too.")]


def colours(seen: Seen) -> list[Problem]:
    """Channels that say nothing."""
    x, channels = seen.thumbs, seen.x.shape[1]
    if channels == 3 and torch.equal(x[:, 0], x[:, 1]) and torch.equal(x[:, 0], x[:, 2]):
        text = f"{capital(seen.looked)} are grey, and stored in three equal channels."
        advice = "Train with --channels 1: the same pictures for a third of the work, and G can't make them coloured."
        return [Problem("grey", "watch", 3, "channels that differ", text, advice)]
    low, high = (edge.tolist() for edge in (x.amin((0, 2, 3)), x.amax((0, 2, 3))))
    flat = [i for i in range(channels) if low[i] == high[i]]
    if not flat or channels == 1:
        return []
    text = f"Channel {flat[0] + 1} of {channels} is {low[flat[0]]} in every pixel of {seen.looked}."
    advice = "Train with --channels 3." if flat == [3] else "Leave it out, or look how the files were converted."
    return [Problem("channel", "watch", len(flat), "channels that vary", text, advice)]


def polarity(seen: Seen, count: int = 1_024, least: float = 0.02, unsure: float = 0.05) -> list[Problem]:
    """Negatives among the pictures.

    A discriminant learns to tell pictures from their negatives; the few that it takes for negatives are some. Where
    half of them are it can't learn that, but dark and bright borders tell.
    """
    some = (~seen.plain).nonzero()[:count, 0]
    if len(some) < 100:
        return []
    x, mine = seen.x[some], seen.features[some]
    modes = Modes.of(torch.cat([mine, seen.eyes(-seen.small[some])]), torch.arange(2 * len(x)) // len(x))
    off = torch.cdist(mine.double() @ modes.project, modes.centres).square()
    score = off[:, 0] - off[:, 1]
    sure = float((score.abs() < score.abs().median() / 2).double().mean()) < unsure
    share = float((score > 0).double().mean()) if sure else borders(x)
    share = min(share, 1 - share)
    if share < least:
        return []
    text = f"{percent(share)} of {len(x):,} pictures looked at are like negatives of the others."
    advice = "Invert them, so that all have the same background, unless the set is meant to be like that."
    return [Problem("polarity", "watch", share, f"below {least:g}", text, advice)]


def borders(x: Tensor) -> float:
    """Share of pictures (N, C, H, W) with a bright border where all borders are either bright or dark; else 0."""
    grey = x.float().mean(1) / 255
    edge = torch.cat([grey[:, 0], grey[:, -1], grey[:, :, 0], grey[:, :, -1]], 1).mean(1)
    dark, bright = (float(side.double().mean()) for side in (edge < 0.25, edge > 0.75))
    return bright if dark + bright > 0.95 else 0.0


def doubles(seen: Seen, near: float = 0.06) -> list[Problem]:
    """Equal and nearly equal pictures: nearer in features than `near` of the mean distance.

    Of pictures that stand twice, few are among those looked at with their double: their number is divided by the share
    that was looked at. Where a picture stands more often, more of them are, and the number counts as it is.
    """
    rows = seen.features[~seen.plain]
    n, part = len(rows), (len(seen.x) - 1) / max(seen.total - 1, 1)
    if n < 2:
        return []
    beside = close(rows, near * signals.mean_distance(rows[:LEAST]))
    return repeated(seen, int((beside == 1).sum()), int((beside > 1).sum()), n, part, "an equal or nearly equal one")


def close(x: Tensor, within: float, first: int = 64) -> Tensor:
    """How many other rows (n,) of x (n, F) are nearer than `within`, to a tenth of it."""
    mix = torch.randn(x.shape[1], first, generator=torch.Generator().manual_seed(0))
    x = (x - x.mean(0)) @ mix / first**0.5  # a quarter of the numbers, and nearly the same distances
    square = x.square().sum(1)
    near = [
        (torch.addmm(square, part, x.T, alpha=-2) + own[:, None] <= within**2).sum(1) - 1
        for part, own in zip(x.split(LEAST), square.split(LEAST), strict=True)
    ]
    return torch.cat(near)


def repeated(seen: Seen, twice: int, often: int, n: int, part: float, which: str) -> list[Problem]:
    """What rows with one double, and with more of them, say about the whole set."""
    whole = min(twice / part / n, 1.0) if twice >= 6 or part == 1 else 0.0  # six: three pairs aren't chance
    whole = min(whole + often / n, 1.0)
    if whole < 0.02:
        return []
    level: Level = "alarm" if whole >= 0.5 and seen.pictures else "watch"
    text = f"{percent((twice + often) / n)} of {seen.looked} have {which} among them"
    text += "." if part == 1 else f"; in all {seen.total:,} that makes about {percent(whole)}."
    advice = "Remove the doubles: D learns them by heart, and a double that is held out hides that G repeats it."
    return [Problem("duplicates", level, whole, "below 0.02", text, advice)]


def of_points(seen: Seen) -> list[Problem]:
    bad = float((~seen.x.isfinite()).any(1).double().mean())
    if bad:
        text = f"{percent(bad)} of {seen.looked} hold a value that is no finite number."
        return [
            Problem("non-finite", "alarm", bad, "0", text, "Remove these rows: a single one makes all weights NaN.")
        ]
    return [*of_scale(seen), *of_spread(seen), *equal_points(seen)]


def of_scale(seen: Seen) -> list[Problem]:
    """Whether values have a size that a network begins with."""
    size = float(seen.x.double().square().mean().sqrt())
    if 0.05 <= size <= 20:
        return []
    level: Level = "watch" if 0.001 <= size <= 1_000 else "alarm"
    text = f"The values of {seen.looked} are of the size {size:.3g}; networks begin near 1."
    return [Problem("scale", level, size, "0.05 to 20", text, "Divide by the standard deviation of each coordinate.")]


def of_spread(seen: Seen) -> list[Problem]:
    """Coordinates that don't vary, and some that vary far more than others; pixels may."""
    if len(seen.x) < 2 or seen.axes > 1:
        return []
    spread = seen.x.double().std(0)
    still = spread <= 1e-7 * seen.x.double().abs().amax(0)
    which = [i + 1 for i in still.nonzero()[:, 0].tolist()]
    if which:
        level: Level = "alarm" if len(which) == len(spread) else "watch"
        names = ", ".join(map(str, which[:5])) + (", …" if len(which) > 5 else "")
        text = f"{len(which)} of {len(spread)} coordinates don't vary in {seen.looked}: number {names}."
        return [Problem("constant", level, len(which), "0", text, "Leave them out: they tell D nothing but rounding.")]
    ratio = float(spread.max() / spread.min())
    if ratio <= 100:
        return []
    text = f"Coordinate {int(spread.argmax()) + 1} varies {ratio:,.0f} times as much as {int(spread.argmin()) + 1}."
    advice = "Divide each coordinate by its standard deviation, or the small ones aren't learnt."
    return [Problem("unequal", "watch", ratio, "below 100", text, advice)]


def equal_points(seen: Seen) -> list[Problem]:
    _, group, count = seen.x.unique(dim=0, return_inverse=True, return_counts=True)
    many, n = count[group], len(seen.x)
    part = (n - 1) / max(seen.total - 1, 1)
    return repeated(seen, int((many == 2).sum()), int((many > 2).sum()), n, part, "an equal one")


def of_classes(seen: Seen, y: Tensor, names: Sequence[str]) -> list[Problem]:
    """Whether the classes that there are said to be occur."""
    outside = (y < 0) | (y >= len(names))
    if outside.any():
        wrong = float(outside.double().mean())
        text = (
            f"{percent(wrong)} of the labels of {seen.looked} lie outside 0 … {len(names) - 1}, the {len(names)} "
            f"classes: {int(y[outside][0])}, for one."
        )
        return [Problem("labels", "alarm", wrong, "0", text, "Number the classes from 0 on, without gaps.")]
    held = torch.bincount(y, minlength=len(names))
    return one_class(seen, held, names) or rare_classes(seen, held, names)


def one_class(seen: Seen, held: Tensor, names: Sequence[str]) -> list[Problem]:
    most, name = float(held.max() / held.sum()), names[int(held.argmax())]
    if most <= 0.95:
        return []
    level: Level = "alarm" if most == 1 else "watch"
    text = f"{percent(most)} of {seen.looked} are of one class, {name}, of {len(names)}."
    advice = "Train without labels, or add samples of the other classes."
    return [Problem("one class", level, most, "0.95 at most", text, advice)]


def rare_classes(seen: Seen, held: Tensor, names: Sequence[str]) -> list[Problem]:
    """Classes with hardly a sample, where 25 of each class were to be expected."""
    rare = (held < 5).nonzero()[:, 0].tolist()
    if not rare or int(held.sum()) < 25 * len(names):
        return []
    said = ", ".join(f"{names[i]} with {int(held[i])}" for i in rare[:5]) + (", …" if len(rare) > 5 else "")
    text = f"{len(rare)} of {len(names)} classes have hardly a sample among {seen.looked}: {said}."
    advice = "Add samples, or leave these classes out: G can't learn what it isn't shown."
    return [Problem("rare class", "watch", len(rare), "0", text, advice)]


def of_labels(seen: Seen, y: Tensor, least: int = 20) -> list[Problem]:
    """Whether the labels say anything about the samples, by a discriminant that saw the other half of them.

    Not judged where kappa would be known to no better than 0.1, or no two classes have `least` samples.
    """
    held = torch.bincount(y)
    kept = held.argsort(descending=True, stable=True)[:CLASSES]
    kept = kept[held[kept] >= least]
    if len(kept) < 2:
        return []
    number = torch.full((len(held),), -1).index_put((kept,), torch.arange(len(kept)))[y]
    labels = number[number >= 0]
    kappa, error = signals.kappa(unseen(seen.features[number >= 0], labels), labels)
    if 3 * error > 0.1 or kappa > 3 * error:
        return []
    text = (
        f"The labels say nothing about {seen.looked}: a classifier that was shown one half names the other no better "
        f"than chance (kappa {kappa:.3f}, by chance 0 ± {error:.3f}, without a mistake 1)."
    )
    advice = "Check that samples and labels are in the same order; without that, train without labels."
    return [Problem("labels", "alarm", kappa, f"above {3 * error:.2g}", text, advice)]


def few(seen: Seen, least: int = 1_000) -> list[Problem]:
    if seen.total >= least:
        return []
    text = f"There are only {seen.total:,} {seen.what}: D learns so few by heart."
    advice = "--stabilize.r1 1 --stabilize.r2 1"
    if seen.pictures:
        advice = "--stabilize.diffaugment color,translation,cutout, or fine-tune a trained generator."
    return [Problem("few", "watch", seen.total, f"{least:,} at least", text, advice)]


def percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else "100 %"


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]
