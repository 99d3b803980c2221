"""The two sides of an evaluation: what is scored, and the real data that it is held against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..core.engine import Engine
from ..core.errors import UserError
from ..core.run import Run
from ..data import open_source
from ..data.scan import FolderListing
from ..data.source import Source
from ..experiment import Experiment
from ..metrics.case import Case
from ..metrics.extractors import Extractor
from ..metrics.lpips import Lpips
from ..metrics.path import path_length, path_lengths
from .panel import Given
from .supply import BLOCK, Decoder, Generated, Stored, Supply

WALKS = 2_000
"""Pairs of latents of a path length."""


@dataclass(frozen=True)
class Opening:
    """How data are opened."""

    size: tuple[int, int] | None
    channels: int | None
    root: str | Path | None
    cache: str | Path | None
    max_bad: float
    split: str
    held_out: str | Path | None
    progress: bool

    def source(
        self, spec: str | Path, shape: tuple[int, ...] | None = None, split: str = "train", labels: str | None = None
    ) -> Source:
        """A source in the shape that is asked for, or, without one, that of its files, which must agree."""
        size, channels = self.size, self.channels
        if shape is not None:
            size, channels = (shape[1:], shape[0]) if len(shape) == 3 else (None, None)  # type: ignore[assignment]
        return open_source(
            spec, size=size, channels=channels, root=self.root, cache=self.cache, max_bad=self.max_bad, split=split,
            progress=self.progress, as_is=True, labels=labels,
        )  # fmt: skip

    def held(self, spec: str | Path, shape: tuple[int, ...]) -> Source | None:
        """What was kept out of training: --held-out, or the test split where there is one."""
        if self.held_out is not None:
            return self.source(self.held_out, shape)
        if self.split == "test":
            return None
        try:
            return self.source(spec, shape, "test")
        except UserError:
            return None


@dataclass
class Sides:
    """What is scored (a run, or a source of pictures), and the real data."""

    source: Source
    held: Source | None
    real_name: str
    split: str
    run: Run | None = None
    fake: Source | None = None
    weights: dict[str, Any] = field(default_factory=dict)
    truncation: float = 1.0
    notes: tuple[str, ...] = ()
    pairs: bool = False
    resized: bool = False
    sampler: Decoder | None = None

    def most(self, count: int) -> int:
        """As many samples as there can be."""
        return count if self.fake is None else min(count, len(self.fake))

    def fakes(self, count: int, seed: int, batch: int) -> Supply:
        if self.fake is not None:
            return Stored(self.fake, count)
        assert self.sampler is not None
        return Generated(self.sampler, count, seed, batch, self.shares(), self.truncation, self.numbers())

    def numbers(self) -> Tensor | None:
        """What the real data tell of each picture (N, k), where the run was told the same."""
        facts = self.run.settings()["data"] if self.run is not None and self.source.columns else {}
        same = facts.get("columns") == list(self.source.columns)
        same = same and facts.get("scaling") == [list(scale) for scale in self.source.scaling]
        return self.source.tensors["y"] if same else None

    def shares(self) -> Tensor | None:
        """How often the real data have each label, where the generator takes the same ones."""
        assert self.sampler is not None
        y = self.source.tensors.get("y")
        classes = int(getattr(self.sampler, "classes", 0))
        if not classes or y is None or len(self.source.classes) != classes:
            return None
        return torch.bincount(y, minlength=classes).float()

    def label_law(self) -> str:
        """How the labels of generated samples were chosen."""
        if getattr(self.sampler, "conditions", None) is not None:
            return "as in examples from the training data" if self.numbers() is None else "as in the real data"
        if self.sampler is None or not getattr(self.sampler, "classes", 0):
            return ""
        return "even" if self.shares() is None else "as often as in the real data"

    def title(self, number: int, repeats: int) -> str:
        return f"scoring {number + 1} of {repeats}" if self.run is not None else "looking at the pictures to be scored"

    def given(self, extractor: Extractor, trunk: bool) -> Given:
        classes = len(self.source.classes)
        logits = extractor.official or classes > 0 or ".py:" in extractor.name
        if self.sampler is not None:
            labels = self.shares() is not None
        else:
            labels = self.fake is not None and "y" in self.fake.tensors and self.fake.classes == self.source.classes
            labels = labels and not self.source.columns
        real = "y" in self.source.tensors and not self.source.columns
        walks = self.sampler is not None and (trunk or hasattr(extractor, "floats"))
        held = self.held
        named = held is not None and real and "y" in held.tensors and held.classes == self.source.classes
        return Given(
            self.source.shape, logits, labels, real, held is not None, named, self.source, walks, trunk, self.pairs,
        )  # fmt: skip

    def facts(self) -> dict[str, Any]:
        """What `scores.jsonl` says about the weights."""
        return {"round": self.weights.get("round"), "images": self.weights.get("images"), "training": False}

    def path(self, eyes: object, seed: int) -> Callable[[], float] | None:
        """Perceptual path length of the generator in z, through LPIPS or the extractor's view of unrounded pictures."""
        seen = eyes.features if isinstance(eyes, Lpips) else getattr(eyes, "floats", None)
        sampler = self.sampler
        if sampler is None or seen is None:
            return None

        def walk() -> float:
            draw, found = torch.Generator().manual_seed(seed), []
            for start in range(0, WALKS, 50):
                n = min(50, WALKS - start)
                a, b = sampler.latents(n, draw), sampler.latents(n, draw)
                t = torch.rand(n, generator=draw).to(a)
                y = torch.randint(sampler.classes, (n,), generator=draw).to(a.device) if sampler.classes else None
                if getattr(sampler, "conditions", None) is not None:
                    y = sampler.labels(n, draw)  # type: ignore[attr-defined]

                def decode(z: Tensor, y: Tensor | None = y) -> Tensor:
                    return sampler.decode(z.float(), None if y is None else torch.cat([y, y])).double()

                with torch.no_grad():
                    found.append(
                        path_lengths(decode, lambda x: seen(x / 127.5 - 1), a.double(), b.double(), t.double())
                    )
            return path_length(torch.cat(found))

        return walk

    def look_closer(self, case: Case, seed: int, batch: int) -> None:
        """The picture of the pairs that look most like copies, where memorisation was measured."""
        if self.run is None or "memorisation" not in case.details or len(self.source.shape) != 3:
            return
        pairs = torch.tensor(case.details["memorisation"])
        fakes = _picked(self.fakes(len(case.fake), seed, batch), pairs[:, 0])
        reals = _picked(Stored(self.source, len(case.real)), pairs[:, 1])
        from ..media.image import grid, save_png

        sheet = torch.stack([fakes, reals], 1).flatten(0, 1)
        path = self.run.path / "memorisation.png"
        self.run.write("memorisation.png", lambda: save_png(grid(sheet, columns=8), path))


def _picked(supply: Supply, numbers: Tensor) -> Tensor:
    """The samples of these numbers."""
    blocks = {int(n): supply.block(int(n)).x for n in (numbers // BLOCK).unique()}
    return torch.stack([blocks[int(n) // BLOCK][int(n) % BLOCK] for n in numbers])


def of_run(
    path: str | Path | Experiment, reference: str | Path | None, fake: object, opening: Opening, truncation: float,
    checkpoint: str, live: bool, engine: Engine,
) -> Sides:  # fmt: skip
    """A run against its own data, or a reference."""
    if fake is not None:
        raise UserError("a run and --fake at once: score one of them, then the other")
    run = path if isinstance(path, Experiment) else Experiment(path, str(engine.device))
    facts = run.settings()["data"]
    shape = tuple(int(side) for side in facts["shape"])
    if opening.size is not None or opening.channels is not None:
        raise UserError("--size and --channels belong to --fake and --real: a run has its own, and the data follow it")
    weights = run.use(checkpoint, live)
    sampler = run.sampler  # before the data are read: without weights there is no evaluation
    spec = reference if reference is not None else facts["source"]
    try:
        source = opening.source(spec, shape, opening.split, facts.get("labels") if reference is None else None)
    except UserError as error:
        if reference is not None:
            raise
        raise UserError(
            f"the data of {run.path} can't be opened: {error}\nName where named sets lie with --data-root, or the real "
            "data with --reference"
        ) from error
    notes = list(source.notes)
    if reference is None and opening.split == "train" and source.fingerprint != facts.get("fingerprint"):
        notes.append(f"{spec} is not what the run was trained on: its contents have changed since")
    held = opening.held(spec, shape)
    return Sides(source, held, str(spec), opening.split, run, None, weights, truncation, tuple(notes), sampler=sampler)


def of_folders(fake: str | Path | None, real: str | Path | None, opening: Opening) -> Sides:
    """Pictures of anybody's program against real ones."""
    if fake is None or real is None:
        raise UserError("pictures need both sides: --fake FOLDER and --real FOLDER")
    real_source = opening.source(real, split=opening.split)
    fake_source = opening.source(fake)
    for name, source in (("--fake", fake_source), ("--real", real_source)):
        if len(source) < 2:
            raise UserError(f"{name} has {len(source)} picture, and a distance needs at least 2")
    if fake_source.shape != real_source.shape:
        raise UserError(
            f"--fake has pictures of {_shape(fake_source)} and --real of {_shape(real_source)}: bring both to one size "
            "with --size (and --channels), which then belongs to the protocol"
        )
    held = opening.held(real, real_source.shape) if opening.held_out is not None else None
    notes = tuple(dict.fromkeys([*fake_source.notes, *real_source.notes]))
    notes = tuple(note for note in notes if not note.startswith("Only "))  # advice for training
    return Sides(real_source, held, str(real), opening.split, None, fake_source, notes=notes,
                 pairs=_paired(fake, real, fake_source, real_source), resized=opening.size is not None)  # fmt: skip


def _paired(fake: str | Path, real: str | Path, first: Source, second: Source) -> bool:
    """Whether the pictures are pairs: equally many, and where both are folders, of equal names."""
    if len(first) != len(second):
        return False
    if Path(fake).is_dir() and Path(real).is_dir():
        names = [[Path(name).stem for name in FolderListing(Path(folder)).names] for folder in (fake, real)]
        return names[0] == names[1]
    return True


def _shape(source: Source) -> str:
    if len(source.shape) != 3:
        return f"{source.shape[0]} numbers"
    channels, height, width = source.shape
    return f"{width}x{height} pixels in {channels} channel{'s' * (channels != 1)}"
