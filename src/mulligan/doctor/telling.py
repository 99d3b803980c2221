"""A report as text."""

from __future__ import annotations

from .illnesses import SHELF
from .report import Report, named
from .words import briefly, clean, entries, entry, line, paragraph, share


def text(report: Report) -> str:
    """The verdict, what it rests on, and what to do, in lines of at most 100 letters."""
    verdict, unit, budget = report.verdict, report.unit, report.budget
    lines = [
        *entry("verdict", line(verdict, unit) + judged(report)),
        *entry("run" if report.arguments is not None else "table", f"{clean(report.subject)}: {reached(report)}"),
    ]
    for finding in verdict.findings[:1]:
        lines += ["", paragraph(finding, budget, unit, report.arguments), ""]
    lines += entries("also", (briefly(finding, unit, report.arguments) for finding in verdict.findings[1:]))
    lines += entries("watched", (briefly(finding, unit) for finding in verdict.watched))
    lines += entries("time line", timeline(report))
    lines += entries("not judged", lacking(report))
    lines += entries("notes", report.notes)
    if report.best is not None:
        place = f"{clean(report.best.checkpoint)} at {report.best.images:,} images{share(report.best.images, budget)}"
        lines += entry("best", f"{place}: {report.best.why}")
    lines += entry("advice", f"{report.advice.word}: {report.advice.why}")
    return "\n".join(lines)


def judged(report: Report) -> str:
    """How many illnesses the verdict is about, where it isn't about all."""
    lacks = len(report.verdict.impossible)
    return f"; {len(SHELF) - lacks} of {len(SHELF)} illnesses could be judged" if lacks else ""


def reached(report: Report) -> str:
    """How far it got, and how often it was looked at."""
    of = f" of {report.budget:,}" if report.budget else ""
    part = share(report.images, report.budget)
    name = report.history.facts.objective
    objective = f", objective {name}" if name else ""
    return f"{report.images:,}{of} {report.unit}{part}, {len(report.history):,} observations{objective}"


def timeline(report: Report) -> list[str]:
    """Every stretch of a confirmed alarm."""
    return [
        f"{named(spell.key)} from {spell.since:,}{share(spell.since, report.budget)} "
        + (f"to {spell.until:,} {report.unit}{share(spell.until, report.budget)}" if spell.until is not None else "on")
        for spell in report.verdict.spells
    ]


def lacking(report: Report) -> list[str]:
    """What can't be judged, by the signals that lack."""
    groups: dict[str, list[str]] = {}
    for illness, lacks in report.verdict.impossible:
        groups.setdefault(lacks, []).append(illness.name)
    return [f"{', '.join(names)}: lacks {lacks}" for lacks, names in groups.items()]
