"""From logits and from samples to rows of signals: for a probe, and for a training loop of somebody's own."""

from __future__ import annotations

import torch
from torch import Tensor

from . import signals
from .history import Row
from .known import Known


def of_logits(objective: str, real: Tensor, fake: Tensor, held: Tensor | None = None) -> Row:
    """Logits of training, generated and held-out samples, flat. `objective`: a name of `parts.objectives`, or ""."""
    row = {
        "auc": signals.auc(real, fake),
        "r_t": signals.sign_mean(real),
        "margin": signals.margin(real, fake),
        "logits": float(torch.cat([real, fake]).std()),
    }
    if (push := signals.push(objective, real, fake)) is not None:
        row["push"] = push
    if held is not None:
        row["r_v"] = signals.overfit(real, held, fake)
        row["auc_held"] = signals.auc(held, fake)
    return row


def of_live(known: Known, x: Tensor, before: Tensor | None) -> tuple[Row, Tensor]:
    """Samples of the live generator; `before` is the mean of their features at the last probe. Gives that of now."""
    features = known.features(x).cpu()
    row, mean = {"diversity": signals.diversity(features, known.train.features[: len(x)])}, features.mean(0)
    if before is not None:
        row["wander"] = signals.wander(mean, before, known.spread)
    return row, mean


def of_samples(known: Known, x: Tensor, asked: Tensor | None = None) -> Row:
    """Samples (n, …) of the generator that is shipped, against the real data; `asked`: the labels they are made for."""
    n, features = len(x), known.features(x).cpu()
    named = known.modes(features)
    mine = signals.shares(named, len(known.modes))
    row = {
        "distance": signals.distance(features, known.fresh.features[: 2 * n]),
        "spread": signals.diversity(features, known.train.features[:n]),
        "duplicates": signals.duplicates(features, known.train.features),
        "missing": signals.missing(mine, known.fresh.shares),
        "imbalance": signals.imbalance(mine, known.fresh.shares),
        "repeats": signals.repeats(features, known.train.features),
    }
    if known.held is not None:
        m = min(len(known.train), len(known.held))
        row["copies"] = signals.copies(features, known.train.features[:m], known.held.features[:m])
    if x.dim() == 4:
        row["contrast"] = signals.contrast(x, known.train.x[:n])
        if min(x.shape[2:]) >= 8:
            row["checkerboard"] = signals.checkerboard(x, known.train.x[:n])
    if asked is not None and known.modes.of_labels and known.fresh.labels is not None:
        row["obeyed"] = signals.obeyed(named, asked.cpu(), known.fresh.named, known.fresh.labels)
    return row
