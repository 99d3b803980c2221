"""The doctor beside a run that trains: probes, the word for the progress line, the paragraph on an alarm."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import nn

from .examine import examine
from .history import PROBED, Facts, History, joined
from .illness import Finding, Verdict
from .probe import Probe


class Attending:
    """What `core.trainer` calls an attendant.

    `say` is told of the gravest illness when it is confirmed, with the names of others that stand. With `halts`, a
    confirmed illness ends the run: `halt`.
    """

    def __init__(
        self, probe: Probe, facts: Facts, say: Callable[[Finding, list[str]], Any], halts: bool = False
    ) -> None:
        self.measure, self.say, self.halts = probe, say, halts
        self.history, self.lines = History([], facts), list[dict[str, Any]]()
        self.verdict, self.told = Verdict("too early"), set[str]()
        self.halt = False

    @property
    def word(self) -> str:
        return "" if self.verdict.word == "too early" else self.verdict.word

    def probe(self, sampler: nn.Module) -> dict[str, float]:
        return self.measure(sampler)

    def note(self, row: dict[str, Any]) -> None:
        self.lines.append(row)
        if PROBED in row:
            self.history.rows.append(joined(self.lines))
            self.lines = []
            self._judge()

    def _judge(self) -> None:
        self.verdict = examine(self.history)
        if found := self.verdict.findings:
            first, *others = found
            if first.illness.key not in self.told:
                self.say(first, [other.illness.name for other in others])
            self.told |= {finding.illness.key for finding in found}
        self.told &= {finding.illness.key for finding in (*found, *self.verdict.watched)}
        self.halt = self.halts and self.verdict.treatable

    def remember(self, rows: Iterable[dict[str, Any]]) -> None:
        """Take the lines of the log of a run that goes on; what was told then isn't told again."""
        given = list(rows)
        probes = [i for i, row in enumerate(given) if PROBED in row]
        self.lines = given[probes[-1] + 1 if probes else 0 :]
        self.history = History.of(given[: len(given) - len(self.lines)], self.history.facts)
        self.verdict = examine(self.history)
        self.told = {finding.illness.key for finding in self.verdict.findings}

    def distance(self, sampler: nn.Module) -> float:
        return self.measure.quality(sampler)

    def state(self) -> dict[str, Any]:
        return self.measure.state()

    def load(self, state: dict[str, Any]) -> None:
        self.measure.load(state)

    def facts(self) -> dict[str, Any]:
        """What the index of checkpoints remembers."""
        known = {"healthy": self.verdict.word == "healthy"}
        last = self.history.rows[-1] if self.history.rows else {}
        return {**known, "distance": last["distance"]} if "distance" in last else known
