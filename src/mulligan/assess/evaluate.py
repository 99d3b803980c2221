"""mulligan evaluate: what a run, or pictures made by any program, are worth by numbers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..core.checkpoints import append_line
from ..core.engine import Engine
from ..core.errors import UserError
from ..data.mnist import Stacked
from ..data.source import Source
from ..experiment import Experiment
from ..metrics.case import Metric
from ..metrics.distances import frechet_infinite
from ..metrics.lpips import Lpips, lpips
from ..metrics.seen import Seen
from ..metrics.shelf import chosen
from . import protocol, sides
from .choose import choose
from .how import How
from .panel import Panel, Values
from .score import Score, jackknife, mean_error, notes
from .sides import Sides

DEFAULT_COUNT, OFFICIAL_COUNT = 10_000, 50_000


def evaluate(
    run: str | Path | Experiment | None = None,
    *,
    metrics: Sequence[str] = (),
    fake: str | Path | None = None,
    real: str | Path | None = None,
    reference: str | Path | None = None,
    held_out: str | Path | None = None,
    split: str = "train",
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    truncation: float = 1.0,
    checkpoint: str = "newest",
    live: bool = False,
    device: str = "auto",
    data_root: str | Path | None = None,
    cache: str | Path | None = None,
    max_bad: float = 0.01,
    how: How | None = None,
    record: bool = True,
    out: str | Path | None = None,
    say: Callable[[str], None] | None = None,
) -> list[Score]:
    """Scores of a run, or of the pictures in `fake` against those in `real`; appended to the run's `scores.jsonl`.

    metrics: keys of the shelf (metrics/shelf.py). reference: real data, where they aren't the run's own; split: train
    or test of a named set. out: a file of JSON lines that takes the scores, too. Under torchrun every process does its
    share, and rank 0 returns the scores. Raises UserError for wrong input with nothing written.
    """
    how = how or How()
    wanted = chosen(metrics) if metrics else []
    engine = Engine(device, how.seed)
    engine.settle()  # kernel matrices come and go by the hundred
    told = say or (lambda text: print(text, file=sys.stderr, flush=True))
    told = told if engine.rank == 0 else (lambda text: None)
    opening = sides.Opening(size, channels, data_root, cache, max_bad, split, held_out, engine.rank == 0)
    try:
        if run is None and fake is None:
            raise UserError("what is to be scored? Name a run, or --fake FOLDER with --real FOLDER")
        if run is not None:
            both = sides.of_run(run, reference or real, fake, opening, truncation, checkpoint, live, engine)
        else:
            both = sides.of_folders(fake, real or reference, opening)
        for note in both.notes:
            told(f"note: {note}")
        scores = _scores(both, wanted or chosen(usual(both.source)), how, engine, cache, told)
        if record and engine.rank == 0:
            keep(scores, both, out)
    finally:
        engine.close()
    return scores


def keep(scores: Sequence[Score], both: Sides, out: str | Path | None) -> None:
    """Add the scores to the run's `scores.jsonl`, and to a file that is named. Raises UserError."""
    for score in scores:
        if both.run is not None:
            both.run.add_score(score.row())
    try:
        for score in scores if out is not None else ():
            append_line(Path(str(out)), score.row())
    except OSError as error:
        raise UserError(f"can't write {out} ({error.strerror or error}): name another file with --out") from error


def usual(source: Source) -> tuple[str, ...]:
    """What is measured where nothing is asked for."""
    if isinstance(source, Stacked):
        return ("stacked", "fid")
    if source.name in ("ring", "grid"):
        return ("modes", "fid")
    return ("fid", "kid", "pr", "dc")


def _scores(
    both: Sides, metrics: list[Metric], how: How, engine: Engine, cache: str | Path | None, say: Callable[[str], None]
) -> list[Score]:
    root = Path(cache) if cache else None
    extractor = choose(how.extractor, both.source, engine, weights=how.weights, cache=root, say=say)
    perceptual = _perceptual(how, engine)
    both.given(extractor, perceptual is not None).check(metrics)
    real_count = how.count if any("pairs" in metric.needs for metric in metrics) else how.real_count
    panel = Panel(
        metrics, extractor, both.source, both.held, engine, real_count, how.batch, how.seed, root, perceptual
    ).prepared()
    count = both.most(how.count or (OFFICIAL_COUNT if extractor.official else DEFAULT_COUNT))
    fakes = [
        panel.see(both.fakes(count, how.seed + i, how.batch), both.title(i, how.repeats))
        for i in range(how.repeats if both.run is not None else 1)
    ]
    if engine.rank:
        return []
    found = [fake for fake in fakes if fake is not None]
    warn_of_bias(panel, found[0], say)
    details: dict[str, Any] = {}
    values, spread = _measured(both, panel, found, how, details)
    floor, words = panel.floor()
    facts = protocol.facts(both, panel, how, count, words)
    told = notes(panel)
    return [
        Score(metric.key, name, *spread[name], tuple(each[name] for each in values), better, floor.get(name), note,
              protocol.of(facts, metric, panel.eyes(metric)), both.facts(), details.get(metric.key))
        for name, (metric, better, note) in told.items()
    ]  # fmt: skip


def _measured(
    both: Sides, panel: Panel, fakes: list[Seen], how: How, details: dict[str, Any]
) -> tuple[list[Values], dict[str, tuple[float, float | None]]]:
    """The values of each repeat, and of each name value and error.

    A run makes fresh samples for each repeat. A folder has only those that it has: one value, and an error by leaving
    out one of `repeats` groups at a time. `details` takes what is more than numbers, of the first one.
    """
    if both.run is not None:
        values = []
        for i, fake in enumerate(fakes):
            case = panel.case(fake, path=both.path(panel.perceptual or panel.extractor, how.seed + i))
            values.append(panel.values(case))
            if i == 0:
                details |= case.details
                both.look_closer(case, how.seed, how.batch)
        return values, {name: mean_error([each[name] for each in values]) for name in values[0]}
    assert panel.real is not None
    whole = panel.values(panel.case(fakes[0], details=details))
    parts = [
        panel.values(panel.case(fakes[0].of(index), partners=panel.real.of(index) if both.pairs else None))
        for index in _all_but_one(len(fakes[0]), how.repeats)
    ]
    paired = {name: jackknife(whole[name], [part[name] for part in parts]) for name in whole}
    return [whole], paired


def _all_but_one(count: int, groups: int) -> list[Tensor]:
    """The numbers of all samples but those of one group, for each group."""
    if groups < 2 or count < 4 * groups:
        return []
    number = torch.arange(count)
    return [number[number % groups != group] for group in range(groups)]


def warn_of_bias(panel: Panel, fake: Seen, say: Callable[[str], None]) -> None:
    """Say where there are fewer samples than a covariance has dimensions, and about how much that adds."""
    assert panel.real is not None
    few = min(len(fake), len(panel.real))
    if few > fake.width or not any(metric.key in ("fid", "intra") for metric in panel.metrics):
        return
    text = f"warning: {few:,} samples for {fake.width:,} feature dimensions: a Fréchet distance is biased upwards"
    if len(fake) >= 20 and len(panel.real) >= 2:
        found = frechet_infinite(fake.features, panel.real.gaussian(), seed=panel.seed)
        bias = found.plain - found.value
        text += f", here by about {bias:.3g} of {found.plain:.4g}" if 0 < bias <= found.plain else ""
    say(f"{text}. Take more samples (--count), and compare only numbers of equal counts")


def _perceptual(how: How, engine: Engine) -> Lpips | None:
    """LPIPS where it is asked for: its trunk may be found, its heads are named."""
    if how.heads is None:
        return None
    return lpips(how.net, how.trunk, how.heads, engine.device)
