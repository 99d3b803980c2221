"""The one loop: every game runs through it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from .average import Average
from .clock import Clock
from .engine import Engine
from .errors import Interrupted, NonFinite, UserError
from .game import Turn
from .progress import Progress
from .recipe import Plan
from .run import Run
from .signals import StopRequest
from .stream import Rows, Stream

STATE = 2
"""Counted up where weights change their meaning. 2: D's head reads features by row, column and channel."""


@dataclass
class Rhythm:
    """How often, in images; `seconds` is the longest time without a checkpoint. A score comes with a checkpoint of its
    own, by default with each regular one."""

    log: int
    preview: int
    checkpoint: int
    seconds: float = 300.0
    score: int = 0
    probe: int = 0

    def __post_init__(self) -> None:
        self.score = self.score or self.checkpoint
        self.probe = self.probe or self.log

    def after(self, images: int) -> Rhythm:
        """When each is next due."""
        log, preview, checkpoint, score, probe = (
            every * (images // every + 1) for every in (self.log, self.preview, self.checkpoint, self.score, self.probe)
        )
        return Rhythm(log, preview, checkpoint, score=score, probe=probe)


class Attendant(Protocol):
    """A doctor who attends the run; on rank 0 only.

    `probe` measures without changing anything, `note` hears each line of the log, `word` is shown beside the numbers,
    and `halt` ends the run: its state is saved and `fit` returns. `facts` are noted with each checkpoint. `distance` is
    how far samples are from the data, the same for the same sampler.
    """

    halt: bool

    @property
    def word(self) -> str: ...

    def probe(self, sampler: nn.Module) -> dict[str, float]: ...

    def note(self, row: dict[str, Any]) -> None: ...

    def state(self) -> dict[str, Any]: ...

    def load(self, state: dict[str, Any]) -> None: ...

    def facts(self) -> dict[str, Any]: ...

    def distance(self, sampler: nn.Module) -> float: ...


PROBING = 1 << 40
"""The shard whose random stream a probe takes: no micro-batch has it."""


@dataclass
class Hooks:
    """What the trainer is handed instead of knowing about pictures: each may be left out.

    `score` maps the sampler and the clock to a number, lower is better. `halts`, the same on every rank: whether the
    doctor may end the run.
    """

    preview: Callable[[nn.Module, int], Any] | None = None
    score: Callable[[nn.Module, Clock], float] | None = None
    log: list[Callable[[dict[str, Any]], Any]] = field(default_factory=list)
    doctor: Attendant | None = None
    halts: bool = False


class Trainer:
    """Plays a plan's game on a data source, in a run folder, until its budget of images is used.

    `until` ends it earlier, as a part of a longer run: whatever follows the budget stays as it is.
    """

    def __init__(
        self,
        plan: Plan,
        source: Rows,
        run: Run,
        engine: Engine,
        *,
        accumulate: int = 1,
        rhythm: Rhythm | None = None,
        hooks: Hooks | None = None,
        until: int = 0,
    ) -> None:
        self.plan, self.run, self.engine, self.hooks = plan, run, engine, hooks or Hooks()
        self.game = plan.game.to(engine.device).train()
        engine.adopt(self.game, plan.optims)
        self.average = Average(self.game.sampler, plan.ema)
        self.clock = Clock(budget=plan.images)
        self.until = min(until or plan.images, plan.images)
        shards, share = engine.world * accumulate, per_shard(plan.batch, engine.world, accumulate)
        self.streams = [
            Stream(
                source,
                share,
                seed=engine.seed,
                shard=engine.rank * accumulate + i,
                shards=shards,
                device=engine.device,
            )
            for i in range(accumulate)
        ]
        self.every = rhythm or Rhythm(max(plan.images // 200, 1), max(plan.images // 10, 1), max(plan.images // 10, 1))
        self.window = Window()
        self.doctor, self.halted = self.hooks.doctor, False

    def fit(self) -> None:
        """The loop. Raises Interrupted after a signal (state saved) and NonFinite (state on disk as it was)."""
        engine, clock, run = self.engine, self.clock, self.run
        due, saved = self.every.after(clock.images), time.monotonic()
        with StopRequest() as stop, Progress(clock, engine.rank == 0) as progress:
            while True:
                signalled = engine.agree(bool(stop.number))
                done = signalled or clock.images >= self.until
                if self.window.rounds and (done or clock.images >= due.log):
                    self._log(progress, clock.images >= min(due.probe, self.until))
                    self.halted = self.hooks.halts and engine.agree(bool(self.doctor and self.doctor.halt))
                    done = done or self.halted
                scored = not (signalled or self.halted) and (clock.images >= due.score or done)
                if (
                    done
                    or scored
                    or clock.images >= due.checkpoint
                    or engine.agree(time.monotonic() - saved > self.every.seconds)
                ):
                    self._save(scored)
                    saved = time.monotonic()
                if not (signalled or self.halted) and (clock.images >= due.preview or done):
                    self._preview()
                if done:
                    if signalled:
                        stop.heed()
                    break
                due = self.every.after(clock.images)
                self._round()
                progress.update(self.window, self.doctor.word if self.doctor else "")
        if signalled:
            raise Interrupted(
                stop.number or 15,
                f"stopped by a signal at round {clock.round:,} ({clock.images:,} images), state saved in "
                f"{run.path}: the same command goes on",
            )

    def _round(self) -> None:
        clock, engine = self.clock, self.engine
        engine.rates(self.plan.schedule, clock.progress)
        try:
            for turn, last in self._turns():
                loss = engine.backward(turn, 1 / len(self.streams))
                self.window.add(turn, loss / len(self.streams) if len(self.streams) > 1 else loss)
                if last:
                    self.window.close(turn.player, *engine.step(turn.player, self.window.pending))
        except NonFinite as error:
            raise self._explained(error) from None
        before, clock.images = clock.images, self.streams[0].position
        clock.round += 1
        if engine.world > 1:
            engine.equalize([self.game])
        self.average.update(clock.images - before, clock.images)
        engine.settle()

    def _turns(self) -> Iterator[tuple[Turn, bool]]:
        """The turns of one round. Each micro-batch of each rank has its own random stream and share of the data."""
        engine, clock = self.engine, self.clock
        first = engine.rank * len(self.streams)
        if len(self.streams) == 1:
            engine.seed_round(clock.round, first)
            play = self.game.turns(self.streams[0], clock)
            while (turn := self._advance(play)) is not None:
                yield turn, True
            return
        plays = [self.game.turns(stream, clock) for stream in self.streams]
        states: list[tuple[Any, ...] | None] = [None] * len(plays)
        while True:
            for i, play in enumerate(plays):
                state = states[i]
                if state is None:
                    engine.seed_round(clock.round, first + i)
                else:
                    engine.restore_draws(state)
                turn = self._advance(play)
                states[i] = engine.draws()
                if turn is None:
                    return
                yield turn, i == len(plays) - 1

    def _advance(self, play: Iterator[Turn]) -> Turn | None:
        with self.engine.autocast():
            return next(play, None)

    def _log(self, progress: Progress, probed: bool) -> None:
        row = {"round": self.clock.round, "images": self.clock.images, **self.window.row(), **self.game.readings()}
        row |= progress.rates()
        self.window = Window(last=self.window.last)
        if self.engine.rank == 0:
            if self.doctor:
                row |= self._probe(self.doctor) if probed else {}
                self.doctor.note(row)
            self.run.log(row)
            for hook in self.hooks.log:
                hook(row)

    def _probe(self, doctor: Attendant) -> dict[str, float]:
        """What the doctor measures; random draws start anew with each round, so it may take what it likes."""
        self.engine.seed_round(self.clock.round, PROBING)
        return doctor.probe(self.average.refresh())

    def _preview(self) -> None:
        hook = self.hooks.preview
        if hook and self.engine.rank == 0:
            state = self.engine.draws()
            self.run.write("sample", lambda: hook(self.average.refresh(), self.clock.images))
            self.engine.restore_draws(state)

    def _save(self, scored: bool) -> None:
        if self.engine.rank:
            return
        sampler = self.average.refresh()
        weights = [*self.game.state_dict().items(), *((f"average.{k}", v) for k, v in sampler.state_dict().items())]
        sick = [name for name, value in weights if value.is_floating_point() and not bool(value.isfinite().all())]
        if sick:
            error = NonFinite("", math.nan, math.nan, f"weights are not finite: {', '.join(sick[:3])}")
            raise self._explained(error, "Stopped before saving")
        facts: dict[str, Any] = {"images": self.clock.images, **(self.doctor.facts() if self.doctor else {})}
        if self.hooks.score and scored:
            facts["score"] = float(self.hooks.score(sampler, self.clock))  # random draws start anew with each round
        if self.run.save(self.state(), self.clock.round, **facts):
            self.run.write_sampler(
                sampler, {"round": self.clock.round, "images": self.clock.images, **self.run.settings()}
            )

    def _explained(self, error: NonFinite, when: str = "Stopped before the step") -> NonFinite:
        last = ", ".join(f"{name} {value:.4g}" for name, value in self.window.last.items()) or "none yet"
        text = (
            f"round {self.clock.round:,} ({self.clock.images:,} images): {error}. {when}; checkpoints "
            f"keep finite weights. Last finite numbers: {last}. Try a lower --lr, or --stabilize.r1 1."
        )
        if self.engine.rank == 0:
            self.run.log(
                {
                    "round": self.clock.round,
                    "images": self.clock.images,
                    "event": "non-finite",
                    "player": error.player,
                    "text": str(error),
                }
            )
        return NonFinite(error.player, error.loss, error.norm, text)

    def state(self) -> dict[str, Any]:
        """Everything that the next round depends on. Random draws follow from the seed and the round."""
        return {
            "format": STATE,
            "round": self.clock.round,
            "position": self.streams[0].position,
            "game": self.game.state_dict(),
            "average": self.average.module.state_dict(),
            "optimizers": self.engine.state(),
            **({"doctor": self.doctor.state()} if self.doctor else {}),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state of the same plan. Raises ValueError for one whose weights meant something else."""
        if state["format"] != STATE:
            raise ValueError(f"its state has format {state['format']}, this version reads {STATE}")
        self.game.load_state_dict(state["game"])
        self.average.module.load_state_dict(state["average"])
        self.engine.load(state["optimizers"])
        if self.doctor:
            self.doctor.load(state.get("doctor", {}))
        self.clock.round, self.clock.images = int(state["round"]), int(state["position"])
        for stream in self.streams:
            stream.position = self.clock.images


class Window:
    """Numbers of the rounds since the last line of the log."""

    def __init__(self, last: dict[str, float] | None = None) -> None:
        self.sums: dict[str, float] = {}
        self.counts: dict[str, int] = {}
        self.logits: dict[str, list[Tensor]] = {"real": [], "fake": []}
        self.last = last or {}
        self.pending, self.rounds = 0.0, 0

    def add(self, turn: Turn, loss: float) -> None:
        self.pending += loss
        for name, kept in self.logits.items():
            if name in turn.stats:
                kept.append(turn.stats[name].detach())
                del kept[:-8]

    def close(self, player: str, loss: float, norm: float) -> None:
        self.pending, self.rounds = 0.0, self.rounds + 1
        for name, value in ((f"loss_{player}", loss), (f"grad_{player}", norm)):
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + 1
            self.last[name] = value

    def row(self) -> dict[str, float]:
        """Means of losses and gradient norms; over the last rounds, logits and their sigmoids D(x) and D(G(z))."""
        row = {name: self.sums[name] / self.counts[name] for name in self.sums}
        for name, symbol in (("real", "D(x)"), ("fake", "D(G(z))")):
            if self.logits[name]:
                values = torch.cat([v.reshape(-1).float() for v in self.logits[name]])
                row[name], row[symbol] = float(values.mean()), float(values.sigmoid().mean())
        return row


def per_shard(batch: int, processes: int, accumulate: int) -> int:
    """Real images in a micro-batch. Raises UserError where the batch can't be shared out evenly."""
    shards = processes * accumulate
    if accumulate < 1 or batch < 1:
        raise UserError(f"--batch {batch} --accumulate {accumulate}: both must be at least 1")
    if batch % shards:
        raise UserError(
            f"batch {batch} can't be shared by {shards} processes × micro-batches: take a multiple of "
            f"{shards} with --batch"
        )
    return batch // shards
