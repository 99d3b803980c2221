"""One function per illness, and the shelf of them, causes before effects."""

from __future__ import annotations

from . import cures
from .bands import BANDS, INF
from .history import History
from .illness import Illness, Level, Reading, Sign

CENTRED = ("minimax", "nonsaturating", "hinge")
"""Objectives whose logits have a zero that means "can't tell": only there r_t says anything."""
LOGISTIC = ("minimax", "nonsaturating", "relativistic")
"""Objectives of log sigmoid: a margin of 12 logits is a mistake in 160,000."""
EXPLODED, DEAD = 200.0, 1e-3
"""Logits of a D that has left all bounds, an eighth of them where G makes one sample to the last digits."""
PASSES, TOLD = 100, 0.8
"""Passes through few data after which an AUC so high is what D knows by heart."""
NEARER = 6 / 7
"""Of the way to its target that a bad signal may have left after a tenth of the budget, to be on its way."""
SEEN_OF_WEAK = (("distance", 0, 1), ("missing", 0, 2), ("imbalance", 0, 2), ("diversity", 1, 2))
"""What a critic that is clipped does to samples: signal, target, and the level from which it counts."""
SPREAD = 0.5
"""Diversity below which a mean that jumps is that of a collapsed G, which hops from mode to mode."""
FEW = 1_000
"""Training samples that D learns by heart."""


def reading(h: History, i: int, name: str) -> Reading | None:
    """The value of a signal, with its band in words; relative signals over their base."""
    band = BANDS[name]
    value = h.ratio(i, name) if band.relative else h.get(i, name)
    return None if value is None else Reading(name, value, band.healthy)


def level(h: History, i: int, name: str) -> int:
    """0 healthy or not taken, 1 watch, 2 alarm."""
    found = reading(h, i, name)
    return 0 if found is None else BANDS[name].level(found.value)


def arrives(h: History, i: int, name: str, target: float) -> bool:
    """Whether a signal that is bad gets better fast enough to be healthy when the budget ends.

    In the last tenth of the budget it must have come a seventh nearer to its target, and at that pace reach its band.
    Where the budget isn't known, coming nearer is enough.
    """
    then, band = h.back(i), BANDS[name]
    now, before = h.smooth(i, name), h.smooth(then, name) if then >= 0 else None
    if now is None or before is None:
        return False
    here, there, edge = abs(now - target), abs(before - target), band.high if target < band.high < INF else band.low
    if here > NEARER * there or not there:
        return not here
    left = max(h.facts.budget - h.images(i), 0) / max(h.images(i) - h.images(then), 1)
    return not h.facts.budget or here * (here / there) ** left <= abs(edge - target)


def lasting(h: History, i: int, how: int, name: str, target: float) -> int:
    """An alarm only where the signal isn't on its way: early on, samples are bad in every run."""
    return min(how, 1) if how > 1 and arrives(h, i, name, target) else how


def logistic(h: History) -> bool:
    """Whether the loss counts logits in nats, so that the size of a margin means something."""
    return h.facts.objective in LOGISTIC


def high(h: History, i: int, name: str) -> int:
    """The level of a signal above its band."""
    found = reading(h, i, name)
    return level(h, i, name) if found is not None and found.value > BANDS[name].high else 0


def low(h: History, i: int, name: str) -> int:
    """The level of a signal below its band."""
    found = reading(h, i, name)
    return level(h, i, name) if found is not None and found.value < BANDS[name].low else 0


def steadily_high(h: History, i: int, name: str) -> int:
    """The level above its band of a signal that pauses now and then: of its median over the last observations."""
    value = h.smooth(i, name)
    return 0 if value is None or value <= BANDS[name].high else BANDS[name].level(value)


def sign(h: History, i: int, how: int, *names: str) -> Sign | None:
    """A sign of level 1 or 2 with the evidence of these signals; None at 0."""
    if how <= 0:
        return None
    grade: Level = "alarm" if how >= 2 else "watch"
    return Sign(grade, tuple(r for name in names if (r := reading(h, i, name)) is not None))


def non_finite(h: History, i: int) -> Sign | None:
    return sign(h, i, 2 if h.get(i, "nonfinite") else 0, "nonfinite", "grad_D", "grad_G")


def data(h: History, i: int) -> Sign | None:
    found = [event for event in h.events if event.get("event") == "data"]
    if not found:
        return None
    grade: Level = "alarm" if any(event.get("level") == "alarm" for event in found) else "watch"
    return Sign(grade, tuple(Reading(e["problem"], float(e["value"]), str(e["healthy"])) for e in found))


def idle(h: History, i: int) -> Sign | None:
    return sign(h, i, low(h, i, "moved_D"), "moved_D", "auc", "distance")


def weak(h: History, i: int) -> Sign | None:
    how = high(h, i, "clipped") if h.facts.clip else 0
    bad = [(name, target) for name, target, least in SEEN_OF_WEAK if level(h, i, name) >= least]
    how = max((lasting(h, i, how, name, target) for name, target in bad), default=0)
    return sign(h, i, how, "clipped", "slope", "auc", *(name for name, _ in bad))


def vanishing(h: History, i: int) -> Sign | None:
    sure = h.get(i, "auc") is None or high(h, i, "auc")  # where G fools D, the loss doesn't push it either
    how = max(low(h, i, "push") if sure else 0, low(h, i, "slope"))
    return sign(h, i, how, "push", "slope", "grad_G", "auc")


def unstable(h: History, i: int) -> Sign | None:
    unbounded = h.facts.objective == "wasserstein"
    hops = (h.get(i, "diversity") or 0.0) < SPREAD and not unbounded
    # an unbounded critic stands still between its throws; other runs settle, and what was early mustn't linger
    how = steadily_high(h, i, "wander") if unbounded else high(h, i, "wander")
    jumping = 0 if hops else lasting(h, i, how, "distance", 0)
    dead = (h.get(i, "diversity") or 0.0) < DEAD
    apart = 2 if logistic(h) and abs(h.get(i, "margin") or 0.0) > (EXPLODED / 8 if dead else EXPLODED) else 0
    steep = ("slope",) if h.has("slope") else ("grad_G", "grad_D")
    how = max(jumping, apart, *(high(h, i, name) for name in steep))
    return sign(h, i, how, "wander", "margin", *steep, "distance")


def overfitting(h: History, i: int) -> Sign | None:
    known = 0 < h.facts.count < FEW and h.images(i) > PASSES * h.facts.count
    by_heart = 2 if known and (h.get(i, "auc") or 0.0) > TOLD else 0
    return sign(h, i, max(high(h, i, "r_v"), by_heart), "r_v", "auc", "auc_held", "distance")


def memorisation(h: History, i: int) -> Sign | None:
    return sign(h, i, max(low(h, i, "copies"), low(h, i, "repeats")), "copies", "repeats")


def overpowering(h: History, i: int) -> Sign | None:
    sure = max(high(h, i, "auc"), high(h, i, "margin") if logistic(h) else 0)
    how = lasting(h, i, min(sure, high(h, i, "distance")), "distance", 0)
    return sign(h, i, how, "auc", "margin", *(("r_t",) if h.facts.objective in CENTRED else ()), "slope", "distance")


def ignored(h: History, i: int) -> Sign | None:
    return sign(h, i, low(h, i, "obeyed"), "obeyed", "distance")


def blank(h: History, i: int) -> Sign | None:
    return sign(h, i, lasting(h, i, low(h, i, "contrast"), "contrast", 1), "contrast", "diversity")


def collapse(h: History, i: int) -> Sign | None:
    how = max(lasting(h, i, low(h, i, name), name, 1) for name in ("diversity", "spread"))
    return sign(h, i, how, "diversity", "spread", "duplicates", "missing", "distance")


def dropping(h: History, i: int) -> Sign | None:
    return sign(h, i, lasting(h, i, high(h, i, "missing"), "missing", 0), "missing", "imbalance", "distance")


def unbalanced(h: History, i: int) -> Sign | None:
    return sign(h, i, lasting(h, i, high(h, i, "imbalance"), "imbalance", 0), "imbalance", "missing", "distance")


def checkerboard(h: History, i: int) -> Sign | None:
    return sign(h, i, high(h, i, "checkerboard"), "checkerboard", "contrast")


SHELF: tuple[Illness, ...] = (
    Illness(
        "nonfinite", "non-finite numbers", "a loss or gradient is no finite number any more",
        "the data themselves hold a value that is no number", non_finite, (),
        (cures.MUCH_SLOWER, cures.SLOPES), at_once=True,
    ),
    Illness(
        "data", "data problem", "the data are not what they should be, so no setting will help",
        "a set may be like that on purpose", data, (), (cures.DATA,), at_once=True,
    ),
    Illness(
        "idle", "D not learning", "D's weights don't change, so its verdict leads G nowhere",
        "a D that is held still on purpose, for a few rounds", idle, (("moved_D",),), (cures.THAW,),
    ),
    Illness(
        "weak", "critic too weak", "most of the critic's weights lie at their clipping bound: it sees too little",
        "a learning rate that is too small shows the same", weak, (("clipped",),),
        (cures.PENALTY, cures.SLOPES),
    ),
    Illness(
        "vanishing", "vanishing gradient of G", "D is so sure that the loss hardly pushes G any more",
        "G may have reached the data: then D isn't sure", vanishing, (("push",), ("slope",)),
        (cures.NONSATURATING, cures.EQUAL, cures.RELATIVISTIC),
    ),
    Illness(
        "unstable", "exploding or oscillating training", "the players throw each other about, away from the data",
        "a rough start calms down when the learning rates fall", unstable,
        (("wander",), ("slope",), ("margin",), ("grad_G",), ("grad_D",)),
        (cures.PENALTY, cures.SLOWER, cures.RELATIVISTIC),
    ),
    Illness(
        "overfitting", "D overfitting", "D knows the training data by heart, and misjudges what it hasn't seen",
        "held-out data of another kind than the training data", overfitting, (("r_v",), ("auc",)),
        (cures.AUGMENT, cures.SLOPES, cures.STOP),
    ),
    Illness(
        "memorisation", "memorisation", "G repeats training samples",
        "data that hold the same sample many times", memorisation, (("copies",), ("repeats",)),
        (cures.AUGMENT, cures.SLOPES, cures.STOP),
    ),
    Illness(
        "overpowering", "D overpowering",
        "D tells real from generated samples nearly without error, so G learns little from it",
        "early in training D is ahead in every run, and falls back when G catches up", overpowering,
        (("auc", "distance"),), (cures.EQUAL, cures.RELATIVISTIC, cures.SLOPES),
    ),
    Illness(
        "ignored", "label ignored", "samples don't show the label that was asked for",
        "labels of the data that don't belong to the pictures", ignored, (("obeyed",),), (cures.LABELS,),
    ),
    Illness(
        "blank", "blank pictures", "pictures are nearly of one colour", "the data are nearly of one colour, too",
        blank, (("contrast",),), (cures.EQUAL, cures.SLOWER, cures.RELATIVISTIC),
    ),
    Illness(
        "collapse", "mode collapse", "G makes nearly the same sample whatever its latent is",
        "an average of the weights that has only begun also looks alike", collapse,
        (("diversity",), ("spread",), ("duplicates",)), (cures.EQUAL, cures.RELATIVISTIC, cures.PACK),
    ),
    Illness(
        "dropping", "mode dropping", "G leaves out whole parts of the data",
        "a part that is rare in the data may be missing by chance", dropping, (("missing",),),
        (cures.RELATIVISTIC, cures.PACK, cures.SLOPES),
    ),
    Illness(
        "unbalanced", "unbalanced modes", "G makes all parts of the data, but in the wrong proportions",
        "the data that were held out may be shared out otherwise than the training data", unbalanced, (("imbalance",),),
        (cures.RELATIVISTIC, cures.PACK, cures.SLOPES),
    ),
    Illness(
        "checkerboard", "checkerboard", "pictures carry a pattern of every second pixel",
        "data with such a pattern of their own: a screen, a fabric", checkerboard, (("checkerboard",),),
        (cures.SLOWER,),
    ),
)  # fmt: skip
