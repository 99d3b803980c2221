"""What the doctor sees of samples without having been trained: random features, and the modes of the real data."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

LARGEST = 32  # pixels a side that are looked at
SMALL = 16  # pixels a side up to which no pixel is skipped
LAYERS = ((16, 5), (32, 3))  # channels, and the width of a kernel
AREAS = 3  # a side, whose means are the features
PART = 256  # samples that are looked at together
FIRST = 512  # real samples, in random order, that features are scaled by
CLASSES = 32  # labels that are modes of their own; with more of them, or none, clusters are
CLUSTERS = 16  # with more of them 256 fair samples sit in the wrong one by chance: a fifth with 32
MOST = 32  # clusters that are looked for
APART = 0.9  # silhouette from which clusters are the data's own: ten times nearer to their centre than to the next
STARTS = 2  # of k-means for a number of clusters
PER_MODE = 32  # real samples that a cluster needs on average
WIDEST = 32  # directions that clusters are looked for in
NORM = 1e-5


class Features:
    """Random convolutions of pictures, coordinates of points: (n, …) to (n, F).

    Features of an untrained network tell distributions apart nearly as well as trained ones (Naeem et al. 2020, section
    5), and cost a hundredth of a second. Those of the first of `real`, which are in random order, have mean 0 and mean
    square 1; each layer is scaled by them, and has the same weights on every machine. Samples that aren't finite have
    features that aren't.
    """

    def __init__(self, real: Tensor, seed: int = 0) -> None:
        self.layers: list[tuple[Tensor, Tensor, int]] = []
        if real.dim() == 4:
            self._build(real[:PART].float(), torch.Generator().manual_seed(seed))
        raw = finite(torch.cat([self._raw(part) for part in real[:FIRST].split(PART)]))
        self.mean = raw.mean(0)
        self.scale = (raw - self.mean).square().mean().sqrt().clamp_min(NORM)

    def _build(self, x: Tensor, draw: torch.Generator) -> None:
        x = reduced(x)
        stride = 1 if max(x.shape[2:]) <= SMALL else 2
        for outputs, width in LAYERS:
            weight = torch.randn(outputs, x.shape[1], width, width, generator=draw).to(x)
            x = F.conv2d(x, weight, stride=stride, padding=width // 2)
            mean, std = x.mean((0, 2, 3)), x.std((0, 2, 3)).clamp_min(NORM)
            self.layers.append((weight / std[:, None, None, None], -mean / std, stride))
            x = F.relu((x - mean[:, None, None]) / std[:, None, None])
            stride = 2

    def _raw(self, x: Tensor) -> Tensor:
        x = x.float()
        if not self.layers:
            return x.flatten(1)
        x = reduced(x)
        for weight, bias, stride in self.layers:
            x = F.conv2d(x, weight, bias, stride, weight.shape[-1] // 2).relu_()
        return F.adaptive_avg_pool2d(x, AREAS).flatten(1)

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        return torch.cat([(self._raw(part) - self.mean) / self.scale for part in x.split(PART)])


def reduced(x: Tensor) -> Tensor:
    """Pictures (N, C, H, W) of at most LARGEST pixels a side: means over areas, as two products of matrices."""
    height, width = x.shape[2:]
    share = LARGEST / max(height, width)
    if share >= 1:
        return x
    return _areas(height, share).to(x).T @ (x @ _areas(width, share).to(x))


def _areas(size: int, share: float) -> Tensor:
    """The matrix (size, smaller) that takes means of neighbours."""
    return F.adaptive_avg_pool1d(torch.eye(size)[None], max(round(size * share), 1))[0]


def finite(x: Tensor) -> Tensor:
    """The rows of x (n, F) that hold finite numbers only."""
    return x[x.isfinite().all(1)]


@dataclass(frozen=True)
class Modes:
    """Names features (n, F) by the nearest of K centres (K, P), seen through `project` (F, P); -1 what isn't finite.

    `of_labels`: the centres are the classes of the data, in their order.
    """

    centres: Tensor
    project: Tensor
    of_labels: bool

    def __len__(self) -> int:
        return len(self.centres)

    def __call__(self, features: Tensor) -> Tensor:
        seen = features.double() @ self.project
        return torch.cdist(seen, self.centres).argmin(1).where(seen.isfinite().all(1), -1)

    @classmethod
    def of(cls, features: Tensor, labels: Tensor | None, seed: int = 0) -> Modes:
        """The classes where there are labels (Fisher's linear discriminant), else clusters of k-means.

        As many clusters as the data fall into, where these are clearly apart; else CLUSTERS, which share the data out.
        """
        features = features.double()
        if labels is not None and 2 <= int(labels.max()) + 1 == len(labels.unique()) <= CLASSES:
            return cls._classes(features, labels)
        features = finite(features)
        project = widest(features)
        seen, most = features @ project, len(features) // PER_MODE
        found = apart(seen, min(MOST, most), seed)
        return cls(clusters(seen, max(2, min(CLUSTERS, most)), seed) if found is None else found, project, False)

    @classmethod
    def _classes(cls, x: Tensor, labels: Tensor) -> Modes:
        means = torch.stack([x[labels == label].mean(0) for label in range(int(labels.max()) + 1)])
        inside = (x - means[labels]).T @ (x - means[labels]) / max(len(x) - len(means), 1)
        # a tenth of the mean variance in every direction: there are hardly more samples than features
        inside.diagonal().add_(0.1 * inside.trace() / len(inside) + NORM)
        lower = torch.linalg.cholesky(inside)
        white = torch.linalg.solve_triangular(lower, (means - means.mean(0)).T, upper=False)
        across = torch.linalg.qr(white).Q  # nearest centres are told within the span of the centres
        project = torch.linalg.solve_triangular(lower.T, across, upper=True)
        return cls(means @ project, project, True)


def unseen(features: Tensor, labels: Tensor) -> Tensor:
    """Names (n,) of features (n, F) by the discriminant of the other half; every label occurs twice at least."""
    order, named = labels.argsort(stable=True), torch.empty_like(labels)
    halves = order[::2], order[1::2]
    for mine, other in (halves, halves[::-1]):
        named[mine] = Modes.of(features[other], labels[other])(features[mine])
    return named


def widest(x: Tensor) -> Tensor:
    """The directions (F, P) in which x (n, F) varies most, WIDEST at most."""
    x = x - x.mean(0)
    return torch.linalg.eigh(x.T @ x / max(len(x), 1)).eigenvectors[:, -WIDEST:]


def apart(x: Tensor, most: int, seed: int = 0) -> Tensor | None:
    """Centres of the clusters that x (n, F), in random order, falls into, `most` of them; None where it doesn't."""
    some = x[:FIRST]
    tries = [clusters(some, count, seed + start) for count in range(2, most + 1) for start in range(STARTS)]
    best = max(tries, key=lambda centres: silhouette(some, centres), default=None)
    return best if best is not None and silhouette(some, best) >= APART else None


def silhouette(x: Tensor, centres: Tensor) -> float:
    """Mean of 1 - a / b over the rows of x (n, F), a and b the distances to the nearest and the next centre.

    By centres instead of all pairs: the simplified silhouette of Hruschka et al. 2004, after Rousseeuw 1987.
    """
    if len(centres) < 2:
        return 0.0
    nearest, following = torch.cdist(x, centres).topk(2, largest=False).values.unbind(1)
    return float((1 - nearest / following.clamp_min(NORM)).mean())


def clusters(x: Tensor, count: int, seed: int = 0, turns: int = 20) -> Tensor:
    """Centres (count, F) of k-means with the start of k-means++ (Arthur & Vassilvitskii 2007); the same for one seed.

    Fewer where x (n, F) has fewer different rows.
    """
    draw = torch.Generator().manual_seed(seed)
    chosen = [int(torch.randint(len(x), (1,), generator=draw))]
    nearest = torch.cdist(x, x[chosen])[:, 0]
    while len(chosen) < count and float(nearest.max()) > 0:
        chosen.append(int(torch.multinomial(nearest.square(), 1, generator=draw)))
        nearest = nearest.minimum(torch.cdist(x, x[chosen[-1:]])[:, 0])
    centres = x[chosen]
    for _ in range(turns):
        named = torch.cdist(x, centres).argmin(1)
        held = torch.bincount(named, minlength=len(centres))[:, None]
        total = torch.zeros_like(centres).index_add_(0, named, x)
        before, centres = centres, torch.where(held > 0, total / held.clamp_min(1), centres)
        if torch.equal(before, centres):
            break
    return centres
