"""Results files of the page that people judge on -> human error rate with its confidence interval."""

from __future__ import annotations

import base64
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from mulligan.core.errors import UserError

from .comparison_words import table as columns

FORMAT, VERSION = "mulligan-judgements", 1
RESAMPLES = 10_000
Z95 = 1.959964  # the normal distribution's 97.5th percentile
FEW = 10  # judges, below which resampling them says little


@dataclass(frozen=True)
class Session:
    """One results file: a judge, a page, and of each answer whether it was wrong and after how many ms it came."""

    path: Path
    page: str
    judge: str
    fake: str
    real: str
    seconds: float
    pairs: int
    wrong: tuple[bool, ...]
    ms: tuple[float, ...]


@dataclass(frozen=True)
class HumanError:
    """What all judges of one page said. error, low and high are shares in [0, 1]; the interval is of 95 %."""

    page: str
    fake: str
    real: str
    seconds: float
    judges: int
    answers: int
    wrong: int
    error: float
    low: float
    high: float
    method: str
    median_seconds: float
    notes: tuple[str, ...]

    @property
    def meaning(self) -> str:
        """The numbers as a sentence."""
        if self.high < 0.5:
            return (
                "The interval lies below 50 %: people tell generated pictures from real ones better than by guessing; "
                f"they took the generated one for the real one in {percent(self.error)} of the pairs."
            )
        if self.low > 0.5:
            return (
                "The interval lies above 50 %: the generated pictures are taken for real more often than the real ones."
                " Look whether the real ones are the worse pictures, for example by compression or resizing."
            )
        return (
            "50 % lies within the interval: these answers don't show that people can tell generated pictures from real "
            f"ones, but error rates from {percent(self.low)} to {percent(self.high)} fit them as well."
        )


def score_judgements(files: Sequence[str | Path], seed: int = 0) -> list[HumanError]:
    """The human error rate of each page that the results files are of, in the order of the files.

    It is the share of pairs in which the generated picture was taken for the real one; 50 % is guessing. The interval:
    of one judge by Wilson's formula, of several by a bootstrap of 10,000 resamples as in HYPE (Zhou et al. 2019,
    arXiv:1904.01121), here of judges and of the answers of each. Answers to different pages are never pooled. Raises
    UserError that names the file for one that isn't whole, isn't of this format, or is there twice.
    """
    if not files:
        raise UserError("--score needs at least one results file")
    pages: dict[str, list[Session]] = {}
    seen: dict[tuple[str, str], Path] = {}
    for path in map(Path, files):
        session = read(path)
        other = seen.setdefault((session.page, session.judge), path)
        if other is not path:
            raise UserError(f"{path} is of the same judge and page as {other}: name one of them")
        pages.setdefault(session.page, []).append(session)
    return [_scored(sessions, seed) for sessions in pages.values()]


def _scored(sessions: list[Session], seed: int) -> HumanError:
    answers, wrong = sum(len(s.wrong) for s in sessions), sum(sum(s.wrong) for s in sessions)
    notes = [f"{s.path}: {len(s.wrong)} of {s.pairs} pairs answered" for s in sessions if len(s.wrong) < s.pairs]
    (low, high), method = wilson(wrong, answers), "Wilson"
    if len(sessions) > 1 and 0 < wrong < answers:
        low, high = bootstrap([s.wrong for s in sessions], seed)
        method = f"bootstrap over judges and their answers, {RESAMPLES:,} resamples, seed {seed}"
        if len(sessions) < FEW:
            notes.append(
                f"{len(sessions)} judges say little about how much judges differ: the interval may be too narrow"
            )
    first, times = sessions[0], [ms for s in sessions for ms in s.ms]
    return HumanError(
        first.page, first.fake, first.real, first.seconds, len(sessions), answers, wrong, wrong / answers,
        low, high, method, statistics.median(times) / 1000, tuple(notes),
    )  # fmt: skip


def wilson(wrong: int, answers: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927), which holds for few answers and at 0 and 1 too."""
    share, spread = wrong / answers, Z95**2 / answers
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread**2 / 4) / (1 + spread)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def bootstrap(wrong: Sequence[Sequence[bool]], seed: int = 0) -> tuple[float, float]:
    """The 95 % percentile interval of the share of wrong answers; judges are redrawn, and of each judge the answers."""
    draw = np.random.default_rng(seed)
    answers, mistakes = np.array([len(w) for w in wrong]), np.array([sum(w) for w in wrong])
    judges = draw.integers(len(wrong), size=(RESAMPLES, len(wrong)))
    # a judge's answers drawn with replacement hold a binomial number of wrong ones
    redrawn = draw.binomial(answers[judges], (mistakes / answers)[judges])
    low, high = np.percentile(redrawn.sum(1) / answers[judges].sum(1), [2.5, 97.5])
    return float(low), float(high)


def table(scores: Sequence[HumanError]) -> str:
    """One line per page, what it means, and how the interval was found."""
    head = ("generated", "real", "seconds", "judges", "answers", "human error rate", "95 % interval", "median answer")
    rows = [
        (s.fake, s.real, f"{s.seconds:g}" if s.seconds else "no limit", str(s.judges), str(s.answers),
         percent(s.error), f"{percent(s.low)} to {percent(s.high)}", f"after {s.median_seconds:.2f} s")
        for s in scores
    ]  # fmt: skip
    lines = [columns(head, rows)]
    for s in scores:
        lines += ["", f"{s.fake}: {s.meaning}" if len(scores) > 1 else s.meaning, f"Interval: {s.method}."]
        lines += [f"note: {note}" for note in s.notes]
    if len(scores) > 1:
        lines += ["", f"note: the files are of {len(scores)} pages; answers to different pages aren't pooled"]
    return "\n".join(lines)


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def read(path: Path) -> Session:
    """A results file. Raises UserError with its name."""
    if not path.is_file():
        raise UserError(f"there is no results file {path}")
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{path} can't be read ({error.strerror or error})") from error
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise UserError(f'{path} is no results file: name the .json that the page\'s button "Save the results" makes')
    if found.get("version") != VERSION:
        raise UserError(f"{path} has version {found.get('version')!r} of the format, known is {VERSION}: upgrade")
    try:
        return _session(path, found)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path} is damaged or was changed ({type(error).__name__}: {error}): ask for it again"
        ) from error


def _session(path: Path, found: dict[str, Any]) -> Session:
    page, pairs, answers = str(found["page"]), int(found["pairs"]), found["answers"]
    key = masked(base64.b64decode(found["key"], validate=True), page).decode("ascii")
    if len(key) != pairs or set(key) - {"L", "R"}:
        raise ValueError("its key is not of its page")
    numbers = [answer["pair"] for answer in answers]
    if not numbers:
        raise ValueError("it has no answers")
    if numbers != list(range(1, len(numbers) + 1)) or len(numbers) > pairs:
        raise ValueError(f"its answers aren't those to the pairs 1 to {pairs} in order")
    for answer in answers:
        if answer["answer"] not in ("left", "right") or not 0 <= answer["ms"] < math.inf:
            raise ValueError(f"the answer to pair {answer['pair']} makes no sense")
    wrong = tuple(answer["answer"][0].upper() != side for answer, side in zip(answers, key))
    about = found["about"]
    return Session(
        path, page, str(found["judge"]), _plain(about["fake"]), _plain(about["real"]), float(found["seconds"]), pairs,
        wrong, tuple(float(answer["ms"]) for answer in answers),
    )  # fmt: skip


def _plain(text: str) -> str:
    """Words of a stranger's file without what a terminal would obey."""
    return "".join(c if c.isprintable() else "?" for c in str(text))[:80]


def masked(key: bytes, page: str) -> bytes:
    """The key of a page so that nobody reads it in passing; twice is undone. Raises ValueError without a page."""
    if not page:
        raise ValueError("it names no page")
    return bytes(a ^ b for a, b in zip(key, cycle(page.encode())))
