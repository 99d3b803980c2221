"""train, load, recipes: what the command does, for Python."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .assess.scoring import Scoring, words
from .auto import resolve
from .core.engine import Engine, Precision
from .core.errors import UserError
from .core.recipe import Plan, Recipe, flatten, nest
from .core.run import Run
from .core.stream import kept_aside
from .core.trainer import per_shard
from .data import Source, open_source
from .doctor.care import described
from .experiment import Experiment
from .forecast import foretell
from .job import Job, fit, report
from .settings import describe
from .starting import Start, begun
from .strokes.book import Book
from .strokes.play import Otherwise, play
from .talk import say
from .trust import trust
from .zoo import find, shelf


def recipes() -> list[Recipe]:
    """Every recipe of the house: name, summary, paper, parameters()."""
    return shelf()


def load(path: str | Path, device: str = "auto") -> Experiment:
    """An existing run folder. Raises UserError where it isn't one."""
    run = Experiment(path, device)
    run.settings()
    return run


def train(
    recipe: str,
    data: str | Path | Source,
    *,
    out: str | Path | None = None,
    size: int | str | tuple[int, int] | None = None,
    channels: int | None = None,
    labels: str | Path | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: Precision = "fp32",
    accumulate: int = 1,
    data_root: str | Path | None = None,
    cache: str | Path | None = None,
    max_bad: float = 0.01,
    log_every: int | None = None,
    sample_every: int | None = None,
    checkpoint_every: int | None = None,
    tensorboard: bool = False,
    metrics: str | Sequence[str] = (),
    score_every: int | None = None,
    score_count: int = 2_000,
    extractor: str = "auto",
    score: Callable[[nn.Module], float] | None = None,
    doctor: bool = True,
    mulligans: int = 0,
    otherwise: Otherwise = "go-on",
    probe_every: int | None = None,
    forecast: bool = False,
    start_from: str | Path | None = None,
    freeze_d: int = 0,
    **arguments: Any,
) -> Experiment:
    """Train a recipe on data in a run folder; an existing folder of the same settings is continued.

    `data`: a folder, an archive, a name, or a Source that is open.
    `arguments` are the recipe's own. `size` is a side, "64x96" (height x width) or a pair. Intervals count images.
    `labels`: a CSV with a row for each picture; by default the labels.csv of a folder or zip, "none" leaves it aside.
    `metrics` (a list, or words with commas; by default those that the recipe names) are scored every `score_every`
    images on `score_count` samples, and the first one says which checkpoint is the best and stays; or `score` maps the
    sampler to a number, lower is better. `doctor`: keep 2 % of the data aside (at least 500; none of fewer than 5,000)
    and watch over the run, with a probe every `probe_every` images. On an illness, up to `mulligans` strokes are played
    again; where none helps, the run goes on or stops as `otherwise` says. `start_from`: a run folder or a file of
    official weights to fine-tune; its networks and picture size are taken where no others are asked for. `freeze_d`: so
    many layers of D, from the picture on, stay as they are. Raises UserError for wrong input with nothing written,
    Interrupted after a signal, NonFinite where training left the finite numbers.
    """
    made, spec = find(recipe), data.name if isinstance(data, Source) else data
    start = Start(None if start_from is None else Path(start_from), freeze_d)
    chosen = start.arguments(made, made.arguments(arguments))
    if mulligans < 0 or (mulligans and not doctor):
        raise UserError(f"--mulligans {mulligans}: at least 0, and only with the doctor, who says when one is due")
    every = intervals(log_every, sample_every, checkpoint_every, score_every, probe_every)
    scoring = Scoring(words(metrics), score_count, extractor, str(spec), data_root, cache, score)
    engine = Engine(device, seed, precision)
    try:
        sides, channels = start.size(parse_size(size)), start.channels(channels)
        source = opened(data, sides, channels, data_root, cache, max_bad, engine.rank == 0, labels)
        chosen, notes = resolve(made, chosen, source)
        run = Experiment(out or Path("runs") / f"{made.name}-{source.name}", str(engine.device))
        settings = describe(made, chosen, str(spec), source, seed, precision, labels)
        settings |= {"shards": engine.world * accumulate, "start": start.facts()}

        def build(changes: dict[str, Any]) -> Plan:
            plan = made.plan(source, made.arguments(nest({**flatten(chosen), **changes})) if changes else chosen)
            start.prepare(plan.game, source.shape, not begun(run))
            return plan

        with enough_memory(source, engine, chosen):
            if engine.rank == 0:
                _check_folder(run)
            job = Job(
                build, source, engine, settings, every, accumulate, tensorboard, scoring, doctor,
                aside=_aside(run, source, doctor), changes=_changes(run),
            )  # fmt: skip
            plan = job.plan()
            settings |= {"doctor": {**described(plan), "held_out": job.aside}, "changes": job.changes}
            say(engine, *(f"note: {note}" for note in source.notes), *start.lines)
            per_shard(plan.batch, engine.world, accumulate)
            if engine.rank == 0 and made.sha256:
                trust(made.sha256, made.spec)
            if forecast or notes:
                foretell(job, run, plan, notes)
            with run.locked() if engine.rank == 0 else contextlib.nullcontext():
                trainer = play(job, run, plan, mulligans, otherwise) if mulligans else fit(job, run, plan)
                if engine.rank == 0:
                    report(run, trainer, Book(run).summary())
    finally:
        engine.close()
    run.__dict__.pop("sampler", None)
    return run


def _aside(run: Run, source: Source, doctor: bool) -> int:
    """Rows kept out of training: as the run has it, else by the rule."""
    if run.exists:
        return int(run.settings().get("doctor", {}).get("held_out", 0))
    return kept_aside(len(source)) if doctor else 0


def _changes(run: Run) -> dict[str, Any]:
    """What strokes have changed in the arguments of a run."""
    return run.settings().get("changes", {}) if run.exists else {}


def opened(
    data: str | Path | Source, size: tuple[int, int] | None, channels: int | None, root: str | Path | None,
    cache: str | Path | None, max_bad: float, progress: bool, labels: str | Path | None = None,
) -> Source:  # fmt: skip
    """The source of a word or path; one that is open already as it is."""
    if not isinstance(data, Source):
        return open_source(
            data, size=size, channels=channels, root=root, cache=cache, max_bad=max_bad, progress=progress,
            labels=labels,
        )  # fmt: skip
    if size is not None or channels is not None or labels is not None:
        raise UserError("size, channels and labels are for data that are opened here: give the Source as it shall be")
    return data


def parse_size(size: int | str | tuple[int, int] | None) -> tuple[int, int] | None:
    """64, "64", "64x96" (height x width) or a pair as (height, width). Raises UserError otherwise."""
    if size is None:
        return None
    try:
        sides = (
            [int(side) for side in str(size).lower().split("x")]
            if isinstance(size, (int, str))
            else [int(side) for side in size]
        )
    except ValueError:
        sides = []
    if not 1 <= len(sides) <= 2 or min(sides, default=0) < 1:
        raise UserError(f"--size {size!r}: give one side such as 64, or height x width such as 64x96")
    return (sides[0], sides[-1])


def intervals(
    log: int | None, preview: int | None, checkpoint: int | None, score: int | None = None, probe: int | None = None
) -> dict[str, int | None]:
    given = {"log": log, "preview": preview, "checkpoint": checkpoint, "score": score, "probe": probe}
    for name, value in given.items():
        if value is not None and value < 1:
            raise UserError(f"the {name} interval is {value} images, but must be at least 1")
    return given


def _check_folder(run: Run) -> None:
    left_by_a_kill = {".lock", "recipe.json.tmp"}
    try:
        if run.path.exists() and not run.path.is_dir():
            raise UserError(f"--out {run.path} is a file: name a folder")
        if run.path.is_dir() and not run.exists and any(p.name not in left_by_a_kill for p in run.path.iterdir()):
            raise UserError(
                f"{run.path} is a folder of other things (it has no recipe.json): name a new one with --out"
            )
        if run.exists and "imported" in run.settings():
            raise UserError(
                f"{run.path} holds imported weights, and stays as it is: start from them with --from {run.path} and "
                "another --out"
            )
    except OSError as error:  # a name that is too long, a folder that can't be read
        raise UserError(run.refused(error)) from error


@contextlib.contextmanager
def enough_memory(source: Any, engine: Engine, arguments: dict[str, Any]) -> Iterator[None]:
    """Turn an allocation that failed, on a GPU or a CPU, into what to lower."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        out = isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)
        if not out:
            raise
        at = "×".join(map(str, source.shape))
        batch = f"batch {arguments['batch']} at {at}" if "batch" in arguments else f"samples of {at}"
        raise UserError(
            f"out of memory with {batch} on {engine.device}: lower --batch, --width or --size, or keep the batch and "
            "share it with --accumulate 4"
        ) from error
