"""What a finding says to a person: the paragraph of an alarm, and a verdict in one line."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

from .bands import BANDS
from .illness import Cure, Finding, Reading, Verdict

WIDTH = 100
LABEL = 11


def paragraph(finding: Finding, budget: int = 0, unit: str = "images", arguments: dict[str, Any] | None = None) -> str:
    """An illness with its evidence, what else it could be, and the cure; in lines of at most 100 letters.

    `budget` of the whole training in `unit`, 0 where it isn't known. `arguments` of the run, flat, as `Cure.change`
    takes them: with these, cures that don't apply are left out, and flags have the values that the run would take.
    """
    illness, cures = finding.illness, remedies(finding, arguments)
    confirmed = f", confirmed at {finding.confirmed:,}" if finding.confirmed > finding.since else ""
    lines = [
        *wrapped(f"doctor: {illness.name}: {illness.what}."),
        *entry("  since", f"{finding.since:,} {unit}{share(finding.since, budget, ' of the budget')}{confirmed}"),
        *entries("  evidence", map(evidence, finding.readings)),
        *entry("  or else", illness.rival),
        *entries("  cure", cures[:1]),
        *entries("  then", cures[1:]),
    ]
    return "\n".join(lines)


def line(verdict: Verdict, unit: str = "images") -> str:
    """A verdict in one line: the gravest illness, what stands beside it, and what is only watched."""
    ill, watched = ([found.illness.name for found in group] for group in (verdict.findings, verdict.watched))
    word = {"too early": "too early to say", "watch": ""}.get(verdict.word, verdict.word)
    if ill:
        beside = f", with {', '.join(ill[1:])}" if ill[1:] else ""
        word = f"{ill[0]} since {verdict.findings[0].since:,} {unit}{beside}"
    return "; ".join(filter(None, (word, f"watch: {', '.join(watched)}" if watched else "")))


def briefly(finding: Finding, unit: str = "images", arguments: dict[str, Any] | None = None) -> str:
    """A finding in a sentence or two: values with their healthy range, and the likeliest cure of an alarm."""
    values = ", ".join(f"{clean(r.signal)} {r.value:.4g} (healthy: {clean(r.healthy)})" for r in finding.readings)
    cure = next(iter(remedies(finding, arguments)), "") if finding.level == "alarm" else ""
    return f"{finding.illness.name} since {finding.since:,} {unit}: {values}" + (f". Cure: {cure}" if cure else "")


def evidence(reading: Reading) -> str:
    """A signal, its value, and where it is healthy, in words."""
    band = BANDS.get(reading.signal)
    if band is None:
        return f"{clean(reading.signal)}: {reading.value:.4g} (healthy: {clean(reading.healthy)})"
    times = " times its early median" if band.relative else ""
    where = "too low" if reading.value < band.low else "too high" if reading.value > band.high else "as it should be"
    judged = "" if reading.healthy == "any" else f", {where} (healthy: {reading.healthy})"
    return f"{reading.signal} {reading.value:.4g}{times}{judged}: {band.text}"


def remedies(finding: Finding, arguments: dict[str, Any] | None = None) -> list[str]:
    """The cures in words, the likeliest first, with flags and source."""
    return [
        f"{cure.text}{f': {flags}' if (flags := flags_of(cure, arguments)) else ''}"
        f"{f' ({cure.source})' if cure.source else ''}"
        for cure in finding.illness.cures
        if applies(cure, arguments)
    ]


def applies(cure: Cure, arguments: dict[str, Any] | None) -> bool:
    """Whether a cure changes something in a run; an advice that is no argument of it always stands."""
    if arguments is None or cure.of(arguments):
        return True
    return cure.flag.split()[0].lstrip("-").replace("-", "_") not in arguments


def flags_of(cure: Cure, arguments: dict[str, Any] | None) -> str:
    """The flags of `train` that apply a cure, with this run's values where they are known."""
    change = cure.of(arguments) if arguments is not None else {}
    return " ".join(f"--{name.replace('_', '-')} {spelled(value)}" for name, value in change.items()) or cure.flag


def spelled(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def share(images: int, budget: int, of: str = "") -> str:
    """' (30 %)', or nothing where there is no budget."""
    return f" ({100 * images / budget:.0f} %{of})" if budget else ""


def clean(text: object) -> str:
    """One line without control characters: words from a file must not steer a terminal."""
    return "".join(c if c.isprintable() else "�" for c in str(text))


def wrapped(text: str, first: str = "", later: str = "  ") -> list[str]:
    """Lines that break neither a flag nor before a percent sign."""
    whole = text.replace(" %", "\u00a0%")
    lines = textwrap.wrap(
        whole, WIDTH, initial_indent=first, subsequent_indent=later, break_on_hyphens=False, break_long_words=False
    )
    return [line.replace("\u00a0%", " %") for line in lines]


def entry(label: str, text: str) -> list[str]:
    """Lines of a text with a label at their left."""
    return wrapped(text, f"{label:<{LABEL}} ", " " * (LABEL + 1))


def entries(label: str, texts: Iterable[str]) -> list[str]:
    """One entry for each text, the label only at the first."""
    return [line for i, text in enumerate(texts) for line in entry("" if i else label, text)]
