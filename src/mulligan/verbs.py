"""train, load, recipes: what the command does, for Python."""

from __future__ import annotations

import contextlib
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from . import __version__
from .assess.scoring import Scoring, words
from .core.engine import Engine, Precision
from .core.errors import UserError
from .core.progress import brief, duration
from .core.recipe import Plan, Recipe, flatten
from .core.run import Run, warn
from .core.trainer import Hooks, Rhythm, Trainer, per_shard
from .data import Source, open_source
from .experiment import Experiment
from .media import curves, for_shape
from .trust import trust
from .zoo import find, shelf

SHEET = 64  # samples on a sheet
CURVES_SHARE = 0.01  # of the time may go to drawing the curves while training


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
    **arguments: Any,
) -> Experiment:
    """Train a recipe on data in a run folder; an existing folder of the same settings is continued.

    `data`: a folder, an archive, a name, or a Source that is open.
    `arguments` are the recipe's own. `size` is a side, "64x96" (height x width) or a pair. Intervals count images.
    `metrics` (a list, or words with commas; by default those that the recipe names) are scored every `score_every`
    images on `score_count` samples, and the first one says which checkpoint is the best and stays; or `score` maps the
    sampler to a number, lower is better. Raises UserError for wrong input with nothing written, Interrupted after a
    signal, NonFinite where training left the finite numbers.
    """
    made, spec = find(recipe), data.name if isinstance(data, Source) else data
    chosen = made.arguments(arguments)
    every = intervals(log_every, sample_every, checkpoint_every, score_every)
    scoring = Scoring(words(metrics), score_count, extractor, str(spec), data_root, cache, score)
    engine = Engine(device, seed, precision)
    try:
        source = opened(data, parse_size(size), channels, data_root, cache, max_bad, engine.rank == 0)
        run = Experiment(out or Path("runs") / f"{made.name}-{source.name}", str(engine.device))
        settings = describe(made, chosen, str(spec), source, seed, precision) | {"shards": engine.world * accumulate}
        torch.manual_seed(seed)
        with enough_memory(source, engine, chosen):
            plan = made.plan(source, chosen)
            say(engine, *(f"note: {note}" for note in source.notes))
            per_shard(plan.batch, engine.world, accumulate)
            if engine.rank == 0:
                _check_folder(run)
                if made.sha256:
                    trust(made.sha256, made.spec)
            with run.locked() if engine.rank == 0 else contextlib.nullcontext():
                _fit(run, plan, source, engine, settings, every, accumulate, tensorboard, scoring)
    finally:
        engine.close()
    run.__dict__.pop("sampler", None)
    return run


def opened(
    data: str | Path | Source, size: tuple[int, int] | None, channels: int | None, root: str | Path | None,
    cache: str | Path | None, max_bad: float, progress: bool,
) -> Source:  # fmt: skip
    """The source of a word or path; one that is open already as it is."""
    if not isinstance(data, Source):
        return open_source(
            data, size=size, channels=channels, root=root, cache=cache, max_bad=max_bad, progress=progress
        )
    if size is not None or channels is not None:
        raise UserError("size and channels are for data that are opened here: give the Source in its own shape")
    return data


def _fit(
    run: Experiment, plan: Plan, source: Any, engine: Engine, settings: dict[str, Any], every: dict[str, int | None],
    accumulate: int, tensorboard: bool, scoring: Scoring,
) -> None:  # fmt: skip
    # a run that never saved anything has nothing to contradict: out of memory, say, and the next try with less
    fresh, existed = not run.checkpoints.newest_first(), run.exists
    if existed and not fresh:
        notes = compare(run, settings, plan)
        for note in notes if engine.rank == 0 else ():
            warn(note)
    defaults = {"log": plan.images // 200, "preview": max(plan.images // 10, 5_000), "checkpoint": plan.images // 10}
    rhythm = Rhythm(
        **{name: max(every[name] or default, 1) for name, default in defaults.items()}, score=every["score"] or 0
    )
    hooks = Hooks(
        preview=previewer(run, plan, source),
        score=scoring.hook(run, plan, source, engine) if engine.rank == 0 else None,
        log=[tensorboard_writer(run)] if tensorboard and engine.rank == 0 else [],
    )
    trainer = Trainer(plan, source, run, engine, accumulate=accumulate, rhythm=rhythm, hooks=hooks)
    _resume(run, trainer, engine, settings)
    start = trainer.clock.images
    if start >= plan.images and trainer.clock.round:
        say(engine, f"already finished: {start:,} images; a larger --images goes on")
    else:
        name = settings["recipe"].rpartition("/")[2]
        say(
            engine,
            f"{name} on {source.name}: {len(source):,} × {'×'.join(map(str, source.shape))}, {engine.device}, "
            f"to {plan.images:,} images in {run.path}",
        )
    try:
        trainer.fit()
    except Exception:
        if engine.rank == 0 and not existed:
            run.discard()
        raise
    if engine.rank == 0:
        report(run, trainer)


def _resume(run: Experiment, trainer: Trainer, engine: Engine, settings: dict[str, Any]) -> None:
    state, notes = run.checkpoints.load()  # first: where all are damaged, nothing may be touched
    if state is not None:
        try:
            trainer.load(state)
        except (KeyError, RuntimeError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"the newest checkpoint in {run.path} does not fit its recipe ({str(error).splitlines()[0]}): it was "
                "made by other code. Put that back, or start anew with another --out."
            ) from error
    if engine.rank == 0:
        if state is None or run.settings()["arguments"] != settings["arguments"]:
            run.create(settings)
        run.checkpoints.clean()
        for note in notes:
            warn(note)
        run.rewind(state["round"] if state else 0)
    if state is not None:
        say(engine, f"going on from round {state['round']:,} ({state['position']:,} images)")


def describe(
    recipe: Recipe, arguments: dict[str, Any], data: str | Path, source: Any, seed: int, precision: str
) -> dict[str, Any]:
    """What `recipe.json` records."""
    facts = {
        "source": str(data), "name": source.name, "shape": list(source.shape), "classes": list(source.classes),
        "count": len(source), "fingerprint": source.fingerprint,
    }  # fmt: skip
    versions = {"mulligan": __version__, "torch": torch.__version__, "python": platform.python_version()}
    return {
        "recipe": recipe.spec, "sha256": recipe.sha256, "paper": recipe.paper, "arguments": flatten(arguments),
        "data": facts, "seed": seed, "precision": precision, "versions": versions,
    }  # fmt: skip


def compare(run: Run, asked: dict[str, Any], plan: Plan) -> list[str]:
    """Raises UserError naming every setting that differs from the run's; gives remarks on what need not be the same.

    A larger budget is no difference unless something runs down with the budget.
    """
    there = run.settings()
    told: list[tuple[str, Any, Any]] = [
        (key, there.get(key), asked[key]) for key in ("recipe", "sha256", "seed", "precision")
    ]
    keys = {**there["arguments"], **asked["arguments"]}
    told += [("--" + key.replace("_", "-"), there["arguments"].get(key), asked["arguments"].get(key)) for key in keys]
    told += [
        (f"data {key}", there["data"].get(key), asked["data"][key])
        for key in ("shape", "count", "classes", "fingerprint")
    ]
    differ = [(name, old, new) for name, old, new in told if old != new]
    noise = getattr(getattr(plan.game, "stabilize", None), "instance_noise", 0)
    if plan.schedule == "constant" and not noise:
        differ = [row for row in differ if not (row[0] == "--images" and row[2] > row[1])]
    if differ:
        lines = "; ".join(f"{name}: {_short(old)} in the run, {_short(new)} asked for" for name, old, new in differ)
        raise UserError(
            f"{run.path} was made with other settings ({lines}). Take the same ones to go on, or another "
            "--out to start anew."
        )
    notes, version, shards = [], there.get("versions", {}).get("torch"), there.get("shards", asked["shards"])
    if version != torch.__version__:
        notes.append(f"made with torch {version}, this is {torch.__version__}: numbers may differ in the last digits")
    if shards != asked["shards"]:
        notes.append(
            f"made with {shards} processes × micro-batches, these are {asked['shards']}: the same images in each "
            "round, but other random draws"
        )
    return [f"the run was {note}" for note in notes]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "…"


def previewer(run: Experiment, plan: Plan, source: Any) -> Callable[[nn.Module, int], None]:
    """Sheets of the same latents every time, so that one sees learning; the curves beside them."""
    reference = source.gather(torch.arange(min(len(source), 2000)))["x"] if len(source.shape) == 1 else None
    media = for_shape(source.shape, reference)
    classes = int(getattr(plan.game.sampler, "classes", 0))
    due = 0.0
    count = 2000 if reference is not None else classes**2 if 4 <= classes <= 12 else SHEET

    def preview(sampler: Any, images: int) -> None:
        nonlocal due
        z = sampler.latents(count, torch.Generator().manual_seed(0))
        y = torch.arange(count, device=z.device) % classes if classes else None
        with torch.no_grad():
            x = torch.cat(
                [
                    sampler.decode(z[i : i + SHEET], None if y is None else y[i : i + SHEET])
                    for i in range(0, count, SHEET)
                ]
            )
        run.samples.mkdir(parents=True, exist_ok=True)
        media.sheet(x.float().cpu(), run.samples / f"{images:010d}.png")
        begun = time.monotonic()
        if images and (images >= plan.images or begun > due):
            curves.draw_apart(run.rows(), run.curves, [row for row in run.scores() if row.get("training")])
            due = time.monotonic() + (time.monotonic() - begun) / CURVES_SHARE

    return preview


def tensorboard_writer(run: Run) -> Callable[[dict[str, Any]], None]:
    """Scalars for TensorBoard, under `tensorboard/` of the run. Raises UserError where it isn't installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UserError("--tensorboard needs the package tensorboard: pip install 'mulligan[tensorboard]'") from error
    writer = SummaryWriter(str(run.path / "tensorboard"))

    def write(row: dict[str, Any]) -> None:
        with run.tolerant("tensorboard"):
            for name, value in row.items():
                if isinstance(value, (int, float)) and name not in ("round", "images"):
                    writer.add_scalar(name.replace("(", "_").replace(")", ""), value, row["images"])
            writer.flush()

    return write


def report(run: Experiment, trainer: Trainer) -> None:
    """The end of a run: what was made and where."""
    rows = [row for row in run.rows() if "event" not in row]
    sheets = sorted(run.samples.glob("*.png"))
    numbers = brief(rows[-1]) if rows else "none logged"
    rate = (
        f", {duration(rows[-1]['seconds'])} at {rows[-1]['images_per_second']:,.0f} images/s"
        if rows and "seconds" in rows[-1]
        else ""
    )
    lines = [
        f"done: {trainer.clock.images:,} images in {trainer.clock.round:,} rounds{rate}",
        f"samples  {sheets[-1] if sheets else 'none'}",
        f"curves   {run.curves}",
        f"numbers  {run.log_file}  (last: {numbers})",
        f"weights  {run.sampler_file}",
    ]
    print("\n".join(lines), flush=True)


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
    log: int | None, preview: int | None, checkpoint: int | None, score: int | None = None
) -> dict[str, int | None]:
    given = {"log": log, "preview": preview, "checkpoint": checkpoint, "score": score}
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
                f"{run.path} holds imported weights, without D or optimizers to train on: take another --out"
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


def say(engine: Engine, *lines: str) -> None:
    """Lines to the user, once for all ranks."""
    if engine.rank == 0:
        for line in lines:
            print(line, file=sys.stderr, flush=True)
