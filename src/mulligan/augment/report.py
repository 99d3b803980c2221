"""What came out: tables, differences with intervals, verdicts in words, a plot and a sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from mulligan.media.image import grid, save_png

from .arms import ARMS, WITH, WITHOUT
from .intervals import WORTH, Interval, mean_interval, paired, verdict

MEASURES = {"balanced_accuracy": "balanced accuracy", "recall": "recall", "precision": "precision"}
JUDGED = ("balanced_accuracy", "recall")
WORDS = {
    "helps": "it helps",
    "harms": "it does not help but harms",
    "does not help": "it does not help",
    "can't be told": "it can't be told from these seeds whether it helps",
}


@dataclass(frozen=True)
class Results:
    """The lines of `results.jsonl` of these seeds, one per seed and arm."""

    rows: Sequence[dict[str, Any]]
    seeds: Sequence[int]

    def values(self, arm: str, measure: str) -> list[float | None]:
        """One per seed, in the order of the seeds."""
        found = {row["seed"]: row[measure] for row in self.rows if row["arm"] == arm}
        return [found[seed] for seed in self.seeds]

    def shares(self, arm: str, measure: str) -> list[float]:
        """The same where every seed has one."""
        return [value for value in self.values(arm, measure) if value is not None]

    def best(self) -> str:
        """The arm without generated samples that has the highest mean balanced accuracy."""
        return max(WITHOUT, key=lambda arm: sum(self.shares(arm, "balanced_accuracy")))

    def differences(self) -> list[tuple[str, str, str, Interval]]:
        """Arm with generated samples, arm without, measure, and their paired difference."""
        return [
            (ours, theirs, measure, paired(self.shares(ours, measure), self.shares(theirs, measure)))
            for measure in JUDGED
            for ours in WITH
            for theirs in dict.fromkeys(("plain", self.best()))
        ]


def percent(interval: Interval) -> str:
    """94.3 [93.1, 95.5]"""
    return f"{100 * interval.mean:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def points(interval: Interval) -> str:
    """+1.2 [-0.3, +2.7]"""
    return "{:+.1f} [{:+.1f}, {:+.1f}]".format(*(100 * x for x in (interval.mean, interval.low, interval.high)))


def arms_table(results: Results, rare: str) -> str:
    """Mean, interval and worst seed of every arm, in percent, as Markdown."""
    header = ["arm"]
    for name in MEASURES.values():
        header += [name if name == "balanced accuracy" else f"{name} of {rare}", "worst"]
    lines = [header]
    for arm, made in ARMS.items():
        line = [made.title]
        for measure in MEASURES:
            line += _cells(results.shares(arm, measure), len(results.seeds))
        lines.append(line)
    return markdown(lines)


def _cells(values: list[float], seeds: int) -> list[str]:
    if len(values) < 2:  # a class that is never named has no precision
        return [f"none ({len(values)} of {seeds})", "none"]
    missing = "" if len(values) == seeds else f" ({len(values)} of {seeds})"
    return [percent(mean_interval(values)) + missing, f"{100 * min(values):.1f}"]


def differences_table(results: Results, rare: str) -> str:
    """Paired differences in percentage points, as Markdown."""
    header = ["difference", "of", "points", "says"]
    rows = [
        [f"{ARMS[ours].title} − {ARMS[theirs].title}", _named(measure, rare), points(found), verdict(found)]
        for ours, theirs, measure, found in results.differences()
    ]
    return markdown([header, *rows])


def verdicts(results: Results, rare: str) -> list[str]:
    """A sentence for each measure and each arm with generated samples: against plain training and against the best."""
    best, said = results.best(), []
    found = {(ours, theirs, measure): interval for ours, theirs, measure, interval in results.differences()}
    for ours in WITH:
        for measure in JUDGED:
            rival = f"against {ARMS[best].title}, the best arm without a GAN, {_judged(found[ours, best, measure])}"
            plain = f"against plain training {_judged(found[ours, 'plain', measure])}"
            parts = [rival] if best == "plain" else [plain, rival]
            said.append(f"{ARMS[ours].title}, {_named(measure, rare)}: {'; '.join(parts)}.")
    return said


def _judged(difference: Interval) -> str:
    return f"{WORDS[verdict(difference)]} ({points(difference)} points)"


def _named(measure: str, rare: str) -> str:
    return MEASURES[measure] if measure == "balanced_accuracy" else f"{MEASURES[measure]} of {rare}"


def markdown(lines: list[list[str]]) -> str:
    """Rows, the first of them the header, as a table whose columns line up."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    padded = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines]
    return "\n".join([padded[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *padded[1:]])


def summary(results: Results, rare: str) -> str:
    """What is printed at the end."""
    count = len(results.seeds)
    return "\n".join(
        [
            f"percent: mean over {count} seeds [95 % interval, Student's t], and the worst seed",
            arms_table(results, rare),
            "",
            "paired by seed, percentage points [95 % interval]",
            differences_table(results, rare),
            "",
            *verdicts(results, rare),
        ]
    )


def page(results: Results, rare: str, setting: Sequence[str], sheets: Sequence[str]) -> str:
    """`report.md`: the sentences of the setting, and the files of the sheets beside it."""
    return "\n".join(
        [
            f"# Do generated samples of {rare} help a classifier?",
            "",
            *(f"- {line}" for line in verdicts(results, rare)),
            "",
            "![every arm](arms.png)",
            "",
            "## How it was done",
            "",
            *(f"- {line}" for line in setting),
            "",
            f"## Every arm: percent, mean over {len(results.seeds)} seeds [95 % interval], and the worst seed",
            "",
            arms_table(results, rare),
            "",
            "## Differences: percentage points, paired by seed [95 % interval]",
            "",
            differences_table(results, rare),
            "",
            "## How to read it",
            "",
            "- The intervals are Student's over seeds. A seed draws which pictures are kept, the GAN and the start of "
            "the classifier; the test set is the same in all, so other test pictures are not covered.",
            '- "Helps" and "harms": the interval lies above or below 0. "Does not help": it rules out a gain of '
            f"{100 * WORTH:.0f} point. Else these seeds don't tell. Nothing is corrected for asking several questions.",
            f"- The best arm without a GAN ({ARMS[results.best()].title}) was chosen by its mean balanced accuracy on "
            "this test set. Choosing the best of several is optimistic for the baselines, so that comparison is hard "
            "on the GAN. The one with plain training is easy on it: a class that is shown more often is named more "
            "often, and even noise with its label can do that.",
            "- Recall can be bought with false alarms: look at the precision beside it.",
            "",
            "## The rare class, real and generated, seed by seed",
            "",
            *(f"![real and generated]({name})" for name in sheets),
            "",
        ]
    )


def draw_arms(results: Results, rare: str, path: Path) -> Path:
    """Mean, interval and every seed of each arm, balanced accuracy and the rare class's recall, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    figure = Figure(figsize=(10, 3.8), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for axes, measure in zip(figure.subplots(1, len(JUDGED), sharey=True), JUDGED):
        for row, arm in enumerate(ARMS):
            values = [100 * value for value in results.shares(arm, measure)]
            found, color = mean_interval(values), "tab:red" if arm in WITH else "0.25"
            axes.plot(values, [row] * len(values), "o", color=color, alpha=0.3, markersize=4)
            axes.errorbar(
                found.mean, row, xerr=[[found.mean - found.low], [found.high - found.mean]], fmt="D", color=color,
                capsize=4, markersize=5,
            )  # fmt: skip
        axes.set_yticks(range(len(ARMS)), [arm.title for arm in ARMS.values()])
        low, high = axes.get_xlim()
        axes.set(xlabel=f"{_named(measure, rare)}, %", xlim=(max(low, -1), min(high, 101)))
        axes.grid(axis="x", alpha=0.3)
    figure.axes[0].invert_yaxis()
    figure.suptitle("dots: seeds; diamond and bar: mean and 95 % interval", fontsize="medium")
    canvas.draw()
    image = Image.frombytes("RGBA", canvas.get_width_height(), bytes(canvas.buffer_rgba()))
    return save_png(image.convert("RGB"), path)


def draw_samples(real: Tensor, made: Tensor, path: Path) -> Path:
    """Kept pictures of the rare class above generated ones, (N, C, H, W), as a PNG."""
    from PIL import Image, ImageDraw

    bar = 18
    sheets = [("real: these were kept", grid(real, 10)), ("generated", grid(made, 10))]
    width = max(sheet.width for _, sheet in sheets)
    image = Image.new("RGB", (width, sum(sheet.height + bar for _, sheet in sheets)), "white")
    top = 0
    for words, sheet in sheets:
        ImageDraw.Draw(image).text((4, top + 4), words, fill="black")
        image.paste(sheet.convert("RGB"), (0, top + bar))
        top += bar + sheet.height
    return save_png(image, path)
