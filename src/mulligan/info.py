"""What `mulligan info` prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .core.progress import brief
from .core.recipe import flatten
from .core.run import Run
from .zoo import SHELF, find


def describe(path: Path) -> str:
    """A run in a few lines: recipe, what differs from its defaults, data, progress, files; nothing of it is executed.

    Raises UserError where it isn't a run folder.
    """
    run = Run(path)
    settings = run.settings()
    arguments, data = settings["arguments"], settings["data"]
    rows = [row for row in run.rows() if "event" not in row]
    events = [row for row in run.rows() if "event" in row]
    checkpoints = run.checkpoints.newest_first()
    index = run.checkpoints.index()
    lines = [
        ("run", str(path)),
        ("recipe", f"{settings['recipe']}  ({settings.get('paper') or 'no paper named'})"),
        ("changed", changed(settings["recipe"], arguments)),
        *([("from", settings["start"]["from"]["source"])] if settings.get("start", {}).get("from") else []),
        *([("by strokes", words(settings["changes"]))] if settings.get("changes") else []),
        (
            "data",
            f"{data['source']}: {times(data['count'])}{'×'.join(map(str, data['shape']))}"
            + (f", {len(data['classes'])} classes" if data["classes"] else "")
            + (f", {len(data['columns'])} numbers each" if data.get("columns") else ""),
        ),
        ("budget", f"{rows[-1]['images'] if rows else 0:,} of {arguments.get('images', 0):,} images"),
        ("numbers", brief(rows[-1]) if rows else "none yet"),
        (
            "saved",
            ", ".join(f"{p.name} ({index.get(p.name, {}).get('images', 0):,} images)" for p in checkpoints)
            or "no checkpoint yet",
        ),
        ("best", run.checkpoints.best() or "no score was asked for"),
        ("scores", scores(run.scores())),
        ("files", ", ".join(p.name for p in (run.sampler_file, run.curves, run.log_file) if p.is_file()) or "none yet"),
        ("made with", ", ".join(f"{name} {version}" for name, version in settings.get("versions", {}).items())),
    ]
    if "imported" in settings:
        lines = [line for line in lines if line[0] not in ("budget", "numbers", "saved", "best")]
        facts = settings["imported"]
        lines[2:2] = [
            ("imported", f"{facts['file']}, SHA-256 {facts['sha256']}: {facts['network']}"),
            ("source", facts["source"] or "unknown"),
            ("licence", facts["licence"] or "unknown"),
        ]
    lines += [("event", row.get("text", row["event"])) for row in events]
    return "\n".join(f"{name:<10} {text}" for name, text in lines)


def scores(rows: list[dict[str, Any]]) -> str:
    """The newest value of each score that was asked for after training, and of each taken on the way."""
    newest = {(row.get("name"), row.get("training", False)): row for row in rows if row.get("value") is not None}
    words = [
        f"{name} {row['value']:.4g}"
        + ("" if row.get("error") is None else f" ± {row['error']:.2g}")
        + (" (while training)" if training else "")
        for (name, training), row in newest.items()
        if not training or (name, False) not in newest
    ]
    return ", ".join(words) or "none yet: mulligan evaluate"


def times(count: int) -> str:
    """How many, where that is known."""
    return f"{count:,} × " if count else ""


def changed(recipe: str, arguments: dict[str, object]) -> str:
    """The arguments that are not the recipe's defaults; all of them for a recipe of the user's own file."""
    defaults = flatten(find(recipe).defaults()) if recipe in SHELF else {}
    other = {name: value for name, value in arguments.items() if defaults.get(name) != value}
    return words(other) or "nothing: the recipe's defaults"


def words(arguments: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in arguments.items())
