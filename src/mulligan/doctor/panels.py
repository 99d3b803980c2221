"""Which signals share a panel of the picture, in which order, and where they are healthy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .bands import BANDS, INF
from .history import History
from .illness import Spell
from .illnesses import CENTRED, SHELF
from .table import SIGMOIDS

MOST = 16
GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("D's verdict as a probability", ("D(x)", "D(G(z))")),
    ("D's verdict: mean logits", ("real", "fake")),
    ("how often D ranks a real sample above a generated one", ("auc", "auc_held")),
    ("", ("r_t",)),
    ("", ("r_v",)),
    ("", ("push",)),
    ("", ("slope",)),
    ("", ("grad_G",)),
    ("", ("grad_D",)),
    ("", ("distance",)),
    ("distance among generated samples over that among real ones", ("diversity", "spread")),
    ("", ("duplicates",)),
    ("share of the data not generated, and of samples in the wrong mode", ("missing", "imbalance")),
    ("", ("wander",)),
    ("distance to training data, over that to held-out data, and among training data", ("copies", "repeats")),
)
"""Words ("" for those of the band), and signals that are drawn together; others follow, one by one."""


@dataclass(frozen=True)
class Panel:
    """Signals that share axes."""

    title: str
    names: tuple[str, ...]

    def marks(self, history: History, spell: Spell) -> bool:
        """Whether this panel shows an alarm: a signal that its illness needs is out of its band then."""
        needed = {name for found in SHELF if found.key == spell.key for group in found.needs for name in group}
        until = INF if spell.until is None else spell.until
        return any(
            left(history, name, value)
            for name in needed.intersection(self.names)
            for images, value in history.column(name)
            if spell.since <= images <= until
        )

    def restless(self, history: History) -> bool:
        """Whether a signal has ever left its band, once it was judged; one without a band always counts."""
        first = history.images(history.start) if history.start < len(history) else INF
        judged = [name for name in self.names if name in BANDS]
        return not judged or any(
            left(history, name, value) for name in judged for at, value in history.column(name) if at >= first
        )


def band(history: History, name: str) -> tuple[float, float] | None:
    """Where a signal is healthy, in its own units; None where nothing says so."""
    found = BANDS.get(name)
    base = history.base(name) if found is not None and found.relative else 1.0
    if found is None or not base or (found.low, found.high) == (-INF, INF):
        return None
    return found.low * base, found.high * base


def left(history: History, name: str, value: float) -> bool:
    """Whether a value is out of its band."""
    bounds = band(history, name)
    return bounds is not None and not bounds[0] <= value <= bounds[1]


def chosen(history: History) -> tuple[list[Panel], list[str]]:
    """At most 16 panels for what was taken, and the signals that found no room: those that never left their band."""
    panels = list(_panels(history))
    if len(panels) > MOST:
        kept = sorted(panels, key=lambda panel: not panel.restless(history))[:MOST]
        rest = [name for panel in panels if panel not in kept for name in panel.names]
        return [panel for panel in panels if panel in kept], rest
    return panels, []


def _panels(history: History) -> Iterator[Panel]:
    losses = sorted({name for row in history.rows for name in row if name.startswith("loss_")})
    grouped = {name for _, names in GROUPS for name in names} | {"nonfinite"}
    groups = [("losses", tuple(losses)), *GROUPS, *(("", (name,)) for name in BANDS if name not in grouped)]
    senseless = _senseless(history)
    for title, names in groups:
        taken = tuple(name for name in names if name not in senseless and history.has(name))
        if taken:
            yield Panel(title or BANDS[names[0]].text, taken)


def _senseless(history: History) -> set[str]:
    """What says nothing under the objective, or the same as another panel."""
    objective = history.facts.objective
    odd = {"r_t"} if objective and objective not in CENTRED else set[str]()
    if not history.has("D(x)", "D(G(z))", "real", "fake"):
        return odd
    return odd | ({"real", "fake"} if objective in SIGMOIDS else {"D(x)", "D(G(z))"})
