"""A small convolutional classifier, good and quick on a CPU: what metrics and extractors learn from a data set."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.game import Batch
from ..core.stream import Rows, Stream, prepare

Augment = Literal["flip", "crop", "mixup"]
FEATURES = 64
LARGEST = 64  # pixels a side that the network looks at
RATE, DECAY, WARM = 5e-3, 0.02, 0.2  # peak of the learning rate, weight decay, share of the steps that warm up
ALPHA = 0.2  # of mixup, as for ImageNet in the paper


class SmallNet(nn.Module):
    """Pictures float32 (n, channels, *size) in [-1, 1] to features (n, 64), none negative, and logits (n, classes).

    Three convolutions, the first one with a stride and two with pooling, until 2×2 to 6×6 are left; batch norm after
    each. Larger pictures are first reduced by area to 64 on the longer side. In eval mode a result doesn't depend on
    the rest of the batch.
    """

    def __init__(self, channels: int, size: tuple[int, int], classes: int, width: int = 32) -> None:
        super().__init__()
        self.seen = _seen(size)
        strides = (_stride(self.seen[0]), _stride(self.seen[1]))
        pool = nn.MaxPool2d(2, ceil_mode=True)
        self.body = nn.Sequential(
            *_block(channels, width, 7 if max(strides) == 4 else 5, strides),
            *_block(width, 2 * width, 3, (1, 1), pool),
            *_block(2 * width, 2 * width, 3, (1, 1), pool),
            nn.Flatten(),
        )
        left = [-(-side // (4 * stride)) for side, stride in zip(self.seen, strides)]
        hidden = nn.Linear(2 * width * left[0] * left[1], FEATURES, bias=False)
        self.features = nn.Sequential(hidden, nn.BatchNorm1d(FEATURES), nn.ReLU(inplace=True))
        self.head = nn.Linear(FEATURES, classes)
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # a third quicker on a CPU

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if x.shape[2:] != self.seen:
            x = F.interpolate(x, size=self.seen, mode="area")
        features = self.features(self.body(x.contiguous(memory_format=torch.channels_last)))
        return features, self.head(features)


def fit(
    x: Tensor | Rows,
    y: Tensor | None,
    classes: int,
    *,
    seed: int,
    steps: int | None = None,
    batch: int = 64,
    augment: Sequence[Augment] = (),
    class_weights: Tensor | None = None,
    sampling: Literal["plain", "balanced"] = "plain",
    device: torch.device | str = "cpu",
    width: int = 32,
    report: Callable[[int, int], None] | None = None,
) -> SmallNet:
    """A SmallNet trained by AdamW with a warm-up and a cosine to zero; in eval mode.

    x: uint8 (N, C, H, W), or rows to gather it from. y: int64 (N,); None takes "y" of the rows. steps: `default_steps`.
    augment: crop moves by up to 1/8 of the side, flip is left-right (wrong for digits and letters), mixup blends pairs
    (Zhang et al. 2018, alpha 0.2). class_weights: float (classes,) of the loss. sampling: balanced shows every class
    equally often, which needs y. report: called with (step, steps) after each step. Same seed, same weights; the global
    random state is left as it was. Raises ValueError on labels that don't fit.
    """
    rows = _Picked(x, y, _balanced(y) if sampling == "balanced" else None)
    _check(rows, classes)
    steps = default_steps(len(rows)) if steps is None else steps
    first = rows.gather(torch.zeros(1, dtype=torch.int64))["x"]
    net = untrained(first.shape[1:], classes, seed, width).to(device).train()
    weights = None if class_weights is None else class_weights.to(device, torch.float32)
    optimizer = torch.optim.AdamW(net.parameters(), RATE, weight_decay=DECAY, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    batches = _batches(Stream(rows, batch, seed=seed, device=device), augment, seed)
    for step in range(steps):
        seen, first, second, share = next(batches)
        logits = net(seen)[1]
        loss = F.cross_entropy(logits, first, weights)
        if share < 1:
            loss = share * loss + (1 - share) * F.cross_entropy(logits, second, weights)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if report is not None:
            report(step + 1, steps)
    return net.eval()


def untrained(shape: Sequence[int], classes: int, seed: int = 0, width: int = 32) -> SmallNet:
    """A SmallNet for pictures of shape (C, H, W), its weights drawn from the seed and from nothing else."""
    with torch.random.fork_rng(devices=[]):  # layers draw from the global state
        torch.default_generator.manual_seed(seed)
        return SmallNet(shape[0], (shape[1], shape[2]), classes, width)


def default_steps(count: int) -> int:
    """Steps of 64 pictures: 20 passes, but at least 300 and at most 1,500 (1.6 passes through MNIST)."""
    return min(max(300, 20 * count // 64), 1500)


@torch.no_grad()
def look(net: SmallNet, x: Tensor | Rows, batch: int = 500) -> tuple[Tensor, Tensor]:
    """Features (N, 64) and logits (N, classes) of pictures uint8 (N, C, H, W), float32 on the CPU."""
    rows, device = _Picked(x, None), net.head.weight.device
    parts = [net(prepare(rows.gather(some)["x"], device)) for some in torch.arange(len(rows)).split(batch)]
    features, logits = zip(*parts)
    return torch.cat(features).cpu(), torch.cat(logits).cpu()


def predict(net: SmallNet, x: Tensor | Rows, batch: int = 500) -> Tensor:
    """Logits (N, classes) of pictures uint8 (N, C, H, W), float32 on the CPU."""
    return look(net, x, batch)[1]


def accuracy(logits: Tensor, y: Tensor) -> float:
    """Share in [0, 1] of rows of logits (N, classes) whose largest is at the label y (N,)."""
    return float((logits.argmax(1) == y).double().mean())


def recall(logits: Tensor, y: Tensor, cls: int) -> float:
    """Share in [0, 1] of the rows of class `cls` that are named so. Raises ValueError where y has none."""
    of_it = y == cls
    if not of_it.any():
        raise ValueError(f"no row has the label {cls}: it has no recall")
    return accuracy(logits[of_it], y[of_it])


def balanced_accuracy(logits: Tensor, y: Tensor, classes: int) -> float:
    """Mean recall over the classes below `classes` that occur in y; chance is 1 / their number."""
    found = [recall(logits, y, cls) for cls in y.unique().tolist() if cls < classes]
    return sum(found) / len(found)


def crop(x: Tensor, random: torch.Generator) -> Tensor:
    """x (N, C, H, W), each moved by up to 1/8 of its sides; what comes in at the border is reflected."""
    rows, columns = (_moved(len(x), side, random).to(x.device) for side in x.shape[2:])
    return x.gather(2, rows[:, None, :, None].expand_as(x)).gather(3, columns[:, None, None, :].expand_as(x))


def flip(x: Tensor, random: torch.Generator) -> Tensor:
    """x (N, C, H, W), each mirrored left to right with probability 1/2."""
    turned = torch.rand(len(x), 1, 1, 1, generator=random).to(x.device) < 0.5
    return torch.where(turned, x.flip(3), x)


class _Picked:
    """Rows `picks` of pictures with their labels, where there are any."""

    def __init__(self, x: Tensor | Rows, y: Tensor | None, picks: Tensor | None = None) -> None:
        if y is not None and len(y) != len(x):
            raise ValueError(f"{len(x)} pictures and {len(y)} labels")
        self.x, self.y, self.picks = x, y, picks

    def __len__(self) -> int:
        return len(self.x if self.picks is None else self.picks)

    def gather(self, indices: Tensor) -> Batch:
        indices = indices if self.picks is None else self.picks[indices]
        found = {"x": self.x[indices]} if isinstance(self.x, Tensor) else self.x.gather(indices)
        return found if self.y is None else {**found, "y": self.y[indices]}


def _balanced(y: Tensor | None) -> Tensor:
    """Row numbers where every class comes as often as the largest does."""
    if y is None:
        raise ValueError("balanced sampling needs the labels y")
    members = [(y == cls).nonzero()[:, 0] for cls in y.unique()]
    most = max(map(len, members))
    return torch.cat([rows[torch.arange(most) % len(rows)] for rows in members])


def _check(rows: _Picked, classes: int) -> None:
    if len(rows) == 0:
        raise ValueError("a classifier needs at least one picture")
    y = rows.gather(torch.zeros(1, dtype=torch.int64)).get("y") if rows.y is None else rows.y
    if y is None:
        raise ValueError("a classifier needs labels: the rows have none and y is None")
    if int(y.min()) < 0 or int(y.max()) >= classes:
        raise ValueError(f"labels from {int(y.min())} to {int(y.max())} don't fit {classes} classes")


def _batches(stream: Stream, augment: Sequence[Augment], seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor, float]]:
    """Pictures, their labels, the labels of what is mixed in, and the share of the first ones."""
    random, shares = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    for rows in stream:
        x, y = rows["x"], rows["y"]
        x = crop(x, random) if "crop" in augment else x
        x = flip(x, random) if "flip" in augment else x
        if "mixup" not in augment:
            yield x, y, y, 1.0
            continue
        share, partner = float(shares.beta(ALPHA, ALPHA)), torch.randperm(len(x), generator=random).to(x.device)
        yield share * x + (1 - share) * x[partner], y, y[partner], share


def _moved(count: int, side: int, random: torch.Generator) -> Tensor:
    """Where each pixel of a side is taken from, int64 (count, side)."""
    step = torch.randint(-(side // 8), side // 8 + 1, (count, 1), generator=random)
    return side - 1 - (side - 1 - (torch.arange(side) + step).abs()).abs()


def _rate(step: int, steps: int) -> float:
    warm = WARM * steps
    return (step + 1) / (warm + 1) if step < warm else (1 + math.cos(math.pi * (step - warm) / (steps - warm))) / 2


def _seen(size: tuple[int, int]) -> tuple[int, int]:
    scale = min(1.0, LARGEST / max(size))
    height, width = (max(1, round(side * scale)) for side in size)
    return height, width


def _stride(side: int) -> int:
    """Of the first convolution, so that 4 to 24 are left of any side above 3."""
    return 1 if side < 16 else 2 if side < 48 else 4


def _block(inside: int, outside: int, kernel: int, stride: tuple[int, int], *pool: nn.Module) -> list[nn.Module]:
    convolution = nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False)
    return [convolution, *pool, nn.BatchNorm2d(outside), nn.ReLU(inplace=True)]
