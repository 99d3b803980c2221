"""Whether a generator repeats its training data: nearest neighbours there against held-out data of the same kind."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .bank import Rows, some
from .neighbours import nearest


@dataclass(frozen=True)
class Memorisation:
    """`share` of samples nearer to the training data than to as many held-out ones: one half where nothing is copied.

    `ratio` is the median of distance to the training data over distance to the held-out data, 1 where nothing is
    copied and near 0 for copies. `worst` (W, 2) are the numbers of generated and training sample whose distance, as a
    share of that to the held-out data, is smallest, over the whole training set; `distances` (W,) are these shares.
    """

    share: float
    ratio: float
    worst: Tensor
    distances: Tensor


def memorisation(fake: Tensor, train: Rows, held_out: Rows, *, worst: int = 16, seed: int = 0) -> Memorisation:
    """Of features fake (N, F), train (M, F) and held_out (K, F).

    For `share` and `ratio` the larger of train and held_out is thinned to the smaller, since more neighbours are
    nearer ones (Meehan, Chaudhuri & Dasgupta 2020 compare so). Raises ValueError where a set is empty.
    """
    if not (len(fake) and len(train) and len(held_out)):
        raise ValueError(f"memorisation needs samples of each kind, not {len(fake)}, {len(train)} and {len(held_out)}")
    draw = torch.Generator().manual_seed(seed)
    size = min(len(train), len(held_out))
    near, far = (
        nearest(fake, some(v, torch.randperm(len(v), generator=draw)[:size]) if len(v) > size else v)[0]
        for v in (train, held_out)
    )
    whole, index = nearest(fake, train)
    shares = whole / far.clamp(min=1e-12)
    order = shares.argsort()[:worst]
    ties = (near == far).double()  # a tie speaks for neither
    return Memorisation(
        float(((near < far).double() + ties / 2).mean()),
        float((near / far.clamp(min=1e-12)).median()),
        torch.stack([order, index[order]], 1),
        shares[order],
    )
