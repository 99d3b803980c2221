"""Scores while a run trains: the best checkpoint is kept by the first of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..core.clock import Clock
from ..core.errors import UserError
from ..core.run import Run
from ..data.source import Source
from ..metrics.shelf import chosen
from . import protocol
from .choose import choose
from .how import How
from .panel import Panel
from .score import Score, notes
from .sides import Opening, Sides
from .team import Alone

COUNT = 2_000
"""Samples of a score while training: enough to choose among the checkpoints of one run."""


class Scorer:
    """Called with the sampler and the clock, writes lines to `scores.jsonl` and gives what makes a checkpoint the best.

    The same latents every time, one repeat, fewer samples than `evaluate` takes: these numbers compare checkpoints of
    one run with each other. Raises UserError at once where a metric can't be taken on these data.
    """

    def __init__(
        self, run: Run, source: Source, held: Source | None, spec: str, metrics: Sequence[str], device: torch.device, *,
        classes: int = 0, count: int = COUNT, extractor: str = "auto", cache: str | Path | None = None, seed: int = 0,
        say: Callable[[str], None] | None = None,
    ) -> None:  # fmt: skip
        self.run, self.count, self.how = run, count, How(count, repeats=1, seed=seed)
        self.sides = Sides(source, held, spec, "train", run, sampler=_Labels(classes))
        root, team = Path(cache) if cache else None, Alone(device)
        self.metrics = chosen(metrics)
        told = say or (lambda text: print(text, file=sys.stderr, flush=True))
        look = choose(extractor, source, team, cache=root, say=told)
        self.sides.given(look, False).check(self.metrics)
        self.panel = Panel(self.metrics, look, source, held, team, None, 64, seed, root).prepared()
        self.floor, self.words = self.panel.floor()

    def __call__(self, sampler: Any, clock: Clock) -> float:
        self.sides.sampler = sampler
        self.sides.weights = {"weights": "ema", "checkpoint": "newest", "round": clock.round, "images": clock.images}
        fake = self.panel.see(self.sides.fakes(self.count, self.how.seed, self.how.batch), "scoring")
        assert fake is not None
        case = self.panel.case(fake, path=self.sides.path(self.panel.extractor, self.how.seed))
        found = self.panel.values(case)
        self._write(found)
        name, (_, better, _) = next(iter(notes(self.panel).items()))
        return -found[name] if better == "higher" else found[name]

    def _write(self, found: dict[str, float]) -> None:
        facts = protocol.facts(self.sides, self.panel, self.how, self.count, self.words)
        now = self.sides.facts() | {"training": True}
        done = {(row.get("name"), row.get("round")) for row in self.run.scores() if row.get("training")}
        for name, (metric, better, note) in notes(self.panel).items():
            if (name, now["round"]) not in done:  # a finished run that is asked to go on scores its end again
                whole = protocol.of(facts, metric, self.panel.eyes(metric))
                value = found[name]
                score = Score(metric.key, name, value, None, (value,), better, self.floor.get(name), note, whole, now)
                self.run.add_score(score.row())


def scorer(
    run: Run, source: Source, spec: str, metrics: Sequence[str], device: torch.device, classes: int, count: int,
    extractor: str, root: str | Path | None, cache: str | Path | None,
) -> Scorer:  # fmt: skip
    """A scorer for a run that is about to train. On a CPU `auto` is the extractor of the data set's own: the official
    Inception would take longer than the training."""
    opening = Opening(None, None, root, cache, 1.0, "train", None, True)
    held = opening.held(spec, source.shape)
    kind = "own" if extractor == "auto" and device.type == "cpu" else extractor
    if kind != extractor and len(source.shape) == 3:
        print("scores on a CPU: the data set's own extractor looks; --extractor inception for FID", file=sys.stderr)
    return Scorer(run, source, held, spec, metrics, device, classes=classes, count=count, extractor=kind, cache=cache)


class _Labels(nn.Module):
    """Stands for the sampler until there is one."""

    latent = 0

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def latents(self, n: int, generator: torch.Generator | None = None) -> torch.Tensor:
        raise UserError("there is no generator yet")

    def decode(self, z: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        raise UserError("there is no generator yet")
