"""What an illness is, what a doctor finds, and a verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from .history import History

Level = Literal["watch", "alarm"]


@dataclass(frozen=True)
class Reading:
    """One piece of evidence: a signal, its value, and in words where it is healthy."""

    signal: str
    value: float
    healthy: str


@dataclass(frozen=True)
class Sign:
    """What a rule sees in one observation."""

    level: Level
    readings: tuple[Reading, ...]


@dataclass(frozen=True)
class Cure:
    """One change: in plain words, as flags of `train`, where it comes from, and what it changes in the arguments.

    `change` takes the arguments as they are, with names such as "stabilize.r1", "pictures" (whether the data are) and
    "gamma" (where R1 begins), and gives those that it sets; {} where it doesn't apply. None: only the user can do it.
    """

    text: str
    flag: str
    source: str
    change: Callable[[dict[str, Any]], dict[str, Any]] | None = None

    def of(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """What it changes in these arguments."""
        return self.change(arguments) if self.change else {}


Rule = Callable[[History, int], Sign | None]


@dataclass(frozen=True)
class Illness:
    """`what`: in plain words. `rival`: the competing explanation. `needs`: groups of signals, one of which must be
    there for a verdict. `cures`: the ladder, first rung first. `at_once`: one observation is enough."""

    key: str
    name: str
    what: str
    rival: str
    rule: Rule
    needs: tuple[tuple[str, ...], ...]
    cures: tuple[Cure, ...] = ()
    at_once: bool = False


@dataclass(frozen=True)
class Finding:
    """An illness in a run: since which images, and the evidence of the newest observation that shows it."""

    illness: Illness
    level: Level
    since: int
    confirmed: int
    readings: tuple[Reading, ...]


@dataclass(frozen=True)
class Spell:
    """An illness from its first to its last observation, and when it was confirmed; `until` None where it stands."""

    key: str
    since: int
    until: int | None
    confirmed: int = 0


@dataclass(frozen=True)
class Verdict:
    """`word`: healthy, watch, or the name of the gravest illness; "too early" before anything can be judged.

    `findings` are alarms that stand (three observations that agree), gravest first; `watched` is what an alarm may
    come from; `spells` is the time line of all alarms; `chief` is the key of the illness that was the gravest for the
    longest time, "" where there was none; `impossible` names what can't be judged and which signals lack.
    """

    word: str
    findings: tuple[Finding, ...] = ()
    watched: tuple[Finding, ...] = ()
    spells: tuple[Spell, ...] = ()
    chief: str = ""
    impossible: tuple[tuple[Illness, str], ...] = ()

    @property
    def ill(self) -> bool:
        return bool(self.findings)

    @property
    def treatable(self) -> bool:
        """Whether an illness stands that a change of the arguments may cure."""
        return any(cure.change for finding in self.findings for cure in finding.illness.cures)
