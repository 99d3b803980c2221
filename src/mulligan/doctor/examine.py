"""From a history to a verdict: an alarm is three observations that agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from .history import History
from .illness import Finding, Illness, Sign, Spell, Verdict
from .illnesses import SHELF

AGREE = 3


def examine(history: History, shelf: Sequence[Illness] = SHELF) -> Verdict:
    """The verdict on a run as far as its history goes. `shelf` lists the gravest illness first."""
    possible, impossible = split(history, shelf)
    start = history.start
    findings, watched, spells = [], [], list[Spell]()
    for illness in possible:
        first = 0 if illness.at_once else start
        signs = [illness.rule(history, i) if i >= first else None for i in range(len(history))]
        spells += spells_of(history, illness, signs)
        found = standing(history, illness, signs)
        if found is not None:
            (findings if found.level == "alarm" else watched).append(found)
    early = not findings and start >= len(history)
    word = findings[0].illness.name if findings else "too early" if early else "watch" if watched else "healthy"
    ordered = tuple(sorted(spells, key=lambda spell: spell.since))
    return Verdict(word, tuple(findings), tuple(watched), ordered, chief(history, spells), impossible)


def chief(history: History, spells: Sequence[Spell]) -> str:
    """The illness that was the gravest one in most observations; `spells` come gravest first."""
    found = Counter[str]()
    for i in range(len(history)):
        at = history.images(i)
        standing = (s.key for s in spells if s.since <= at and (s.until is None or at < s.until))
        found.update(list(standing)[:1])
    return found.most_common(1)[0][0] if found else ""


def split(history: History, shelf: Sequence[Illness]) -> tuple[list[Illness], tuple[tuple[Illness, str], ...]]:
    """What can be judged from the signals that are there, and what can't, with what lacks."""
    possible, impossible = [], []
    for illness in shelf:
        if not illness.needs or any(history.has(*group) for group in illness.needs):
            possible.append(illness)
        else:
            lacking = " or ".join(
                " and ".join(name for name in group if not history.has(name)) for group in illness.needs
            )
            impossible.append((illness, lacking))
    return possible, tuple(impossible)


def alarmed(signs: Sequence[Sign | None], i: int, agree: int) -> bool:
    """Whether the observations up to i agree on an alarm."""
    return i + 1 >= agree and all(sign is not None and sign.level == "alarm" for sign in signs[i + 1 - agree : i + 1])


def standing(history: History, illness: Illness, signs: Sequence[Sign | None]) -> Finding | None:
    """What the newest observation says of an illness; None where it is healthy."""
    last = len(signs) - 1
    if last < 0 or (sign := signs[last]) is None:
        return None
    agree = 1 if illness.at_once else AGREE
    first = last
    while first > 0 and signs[first - 1] is not None:
        first -= 1
    confirmed = next((i for i in range(first, last + 1) if alarmed(signs, i, agree)), None)
    if confirmed is not None and alarmed(signs, last, agree):
        since = confirmed - agree + 1
        return Finding(illness, "alarm", history.images(since), history.images(confirmed), sign.readings)
    return Finding(illness, "watch", history.images(first), 0, sign.readings)


def spells_of(history: History, illness: Illness, signs: Sequence[Sign | None]) -> list[Spell]:
    """Every stretch of confirmed alarm."""
    agree, found, since, confirmed = 1 if illness.at_once else AGREE, list[Spell](), -1, 0
    for i in range(len(signs)):
        on = alarmed(signs, i, agree)
        if on and since < 0:
            since, confirmed = i - agree + 1, history.images(i)
        if not on and since >= 0:
            found.append(Spell(illness.key, history.images(since), history.images(i), confirmed))
            since = -1
    if since >= 0:
        found.append(Spell(illness.key, history.images(since), None, confirmed))
    return found
