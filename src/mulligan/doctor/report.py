"""A diagnosis as a whole: of a run folder, or of the table of anybody's training loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mulligan.core.errors import UserError
from mulligan.core.recipe import AUTO, flatten
from mulligan.core.run import Run
from mulligan.parts.objectives import OBJECTIVES
from mulligan.parts.stabilize import Stabilize

from .advice import Advice, Best, Series, advise, best_checkpoint, distances, scores
from .care import facts_from
from .cures import asked
from .examine import examine
from .gather import Log, stopped, whole
from .history import PROBED, Facts, History, Row
from .illness import Finding, Verdict
from .illnesses import SHELF
from .reading import read_log
from .table import read_table
from .words import applies, clean, flags_of

PUSHES: dict[str, Callable[[float], float]] = {"minimax": lambda p: p, "nonsaturating": lambda p: 1 - p}
"""How hard the loss pushes G where D gives its samples the probability p on average: exactly what `push` measures."""


@dataclass(frozen=True)
class Report:
    """What is known of a training. `subject`: its folder or file; `unit`: what counts its lines; `arguments`: of the
    run, as cures take them, None where it isn't one."""

    subject: str
    history: History
    verdict: Verdict
    notes: tuple[str, ...]
    advice: Advice
    best: Best | None = None
    unit: str = "images"
    arguments: dict[str, Any] | None = None

    @property
    def images(self) -> int:
        """How far it got."""
        return max((self.history.images(i) for i in range(len(self.history))), default=0)

    @property
    def budget(self) -> int:
        return self.history.facts.budget

    def as_text(self) -> str:
        """For a person, in lines of at most 100 letters."""
        from .telling import text

        return text(self)

    def as_json(self) -> dict[str, Any]:
        """For a program, of plain types.

        subject; verdict: healthy, watch, too early, or the name of the gravest illness; ill; images, budget (0 where
        unknown) in `unit`; objective ("" where unknown); observations;
        findings, and watched (no alarm yet): {illness, name, what, since, confirmed, rival, evidence: [{signal, value,
        healthy}], cures: [{text, flags, source}]};
        timeline: confirmed alarms {illness, name, since, until (null where it stands)};
        impossible: {illness, name, lacks}; notes: [text];
        best: {checkpoint, images, by, value, why} or null; advice: {word: stop, go on or not enough, why, at}.
        """
        return {
            "subject": self.subject, "verdict": self.verdict.word, "ill": self.verdict.ill,
            "images": self.images, "budget": self.budget, "unit": self.unit,
            "objective": self.history.facts.objective, "observations": len(self.history),
            "findings": [self._plain(finding) for finding in self.verdict.findings],
            "watched": [self._plain(finding) for finding in self.verdict.watched],
            "timeline": [
                {"illness": spell.key, "name": named(spell.key), "since": spell.since, "until": spell.until}
                for spell in self.verdict.spells
            ],
            "impossible": [
                {"illness": illness.key, "name": illness.name, "lacks": lacks}
                for illness, lacks in self.verdict.impossible
            ],
            "notes": list(self.notes), "best": asdict(self.best) if self.best else None, "advice": asdict(self.advice),
        }  # fmt: skip

    def _plain(self, finding: Finding) -> dict[str, Any]:
        illness = finding.illness
        return {
            "illness": illness.key, "name": illness.name, "what": illness.what,
            "since": finding.since, "confirmed": finding.confirmed, "rival": illness.rival,
            "evidence": [asdict(reading) for reading in finding.readings],
            "cures": [
                {"text": cure.text, "flags": flags_of(cure, self.arguments), "source": cure.source}
                for cure in illness.cures
                if applies(cure, self.arguments)
            ],
        }  # fmt: skip


def of_run(run: Run, noted: dict[str, Any] | None = None) -> Report:
    """The report on a run folder, which may be training right now: nothing of it is locked or written.

    `noted`: what `care.described` says of its plan, for a run whose recipe.json doesn't. Raises UserError where the
    folder is no run, was imported, or has a log that can't be read.
    """
    settings = run.settings()
    if "imported" in settings:
        raise UserError(f"{run.path} was imported, and never trained here: there is nothing to diagnose")
    facts, log = facts_of(settings, noted or {}), read_log(run.log_file)
    report = reported(str(run.path), log, facts, scores(run))
    best = best_checkpoint(run.checkpoints, scores(run), distances(report.history), facts.budget)
    return replace(report, best=best, arguments=arguments_of(settings, facts))


def of_table(path: Path, objective: str = "", budget: int = 0) -> Report:
    """The report on a CSV of anybody's training loop. `budget` in what counts its lines, 0 where there is none.

    Raises UserError for an unknown objective, or where the file can't be understood.
    """
    if objective and objective not in OBJECTIVES:
        raise UserError(f"--objective {objective}: one of {', '.join(OBJECTIVES)}; or leave it out")
    if budget < 0:
        raise UserError(f"--budget {budget}: what the whole training takes, in what counts the lines; 0 for none")
    return reported(str(path), read_table(path, objective), Facts(objective, budget), None)


def reported(subject: str, log: Log, facts: Facts, scored: Series | None) -> Report:
    """From what was read to a report, without what only a run folder knows."""
    rows = pushed(log.rows, facts.objective)
    history = History.of([*rows, *log.events], facts)
    verdict, near = examine(history), distances(history)
    advice = advise(scored or Series("score", ()), near, facts.budget, log.unit)
    if verdict.ill and advice.word == "go on":
        advice = replace(advice, why=f"{advice.why}. But it is ill, and the cure comes first")
    notes = [*log.notes, *stopped(history, log.unit)]
    notes += [f"at {e['images']:,.0f} images: {clean(e['text'])}" for e in log.events if "text" in e]
    if rows is not log.rows:
        notes.append(f"push is worked out from D(G(z)) and the objective, {facts.objective}")
    if not facts.objective and log.rows:
        notes.append("the objective isn't known, so what depends on it isn't judged")
    return Report(subject, history, verdict, tuple(notes), advice, unit=log.unit)


def facts_of(settings: dict[str, Any], noted: dict[str, Any]) -> Facts:
    """What recipe.json tells the doctor; `noted` where it is older than the doctor."""
    told, data = settings.get("doctor"), settings.get("data")
    told = told if isinstance(told, dict) else noted
    count = whole(data.get("count")) or 0 if isinstance(data, dict) else 0
    held, budget = whole(told.get("held_out")) or 0, whole(settings["arguments"].get("images")) or 0
    return facts_from({**told, "held_out": held}, budget, max(count - held, 0))


def arguments_of(settings: dict[str, Any], facts: Facts) -> dict[str, Any]:
    """A run's arguments as cures take them: with what strokes have changed, and remedies that are younger than it."""
    given, changes, data = settings["arguments"], settings.get("changes"), settings.get("data")
    remedies = flatten({"stabilize": Stabilize()}) if any(name.startswith("stabilize.") for name in given) else {}
    shape = data.get("shape") if isinstance(data, dict) else None
    pictures = not isinstance(shape, list) or len(shape) == 3
    whole = {**remedies, **given, **(changes if isinstance(changes, dict) else {})}
    return asked({name: value for name, value in whole.items() if value != AUTO}, pictures, facts.objective)


def pushed(rows: list[Row], objective: str) -> list[Row]:
    """Rows of a log without probes with `push`, where the objective and D's verdict tell it."""
    push = PUSHES.get(objective)
    if push is None or any(PROBED in row or "push" in row for row in rows) or not any("D(G(z))" in row for row in rows):
        return rows
    return [{**row, "push": push(row["D(G(z))"])} if "D(G(z))" in row else row for row in rows]


def named(key: str) -> str:
    """The name of an illness of the shelf."""
    return next((illness.name for illness in SHELF if illness.key == key), key)
