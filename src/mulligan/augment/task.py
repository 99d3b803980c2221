"""The data of a study: what may be trained on, which class is made rare, and what is only ever tested on."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from mulligan.core.errors import UserError
from mulligan.data import Source, open_source
from mulligan.data.arrays import KEYS
from mulligan.data.mnist import SETS
from mulligan.data.source import fingerprint_tensors

from .arms import Pictures

HELD_OUT = 5  # without a test set, one in so many of each class
WITH_TEST = {*SETS, "cifar10", "stacked_mnist"}  # named sets that have a test split
ONE_WAY = {"digits", "mnist", "kmnist", "stacked_mnist"}  # a mirror image of these is another thing, or none


@dataclass(frozen=True)
class Task:
    """`pool`: rows of the source that may be trained on, int64. `origin`: in words, where the test set is from."""

    source: Source
    pool: Tensor
    rare: int
    keep: int
    test: Pictures
    origin: str

    @property
    def rare_name(self) -> str:
        return self.source.classes[self.rare]

    def usual(self) -> int:
        """Pictures of the median class, the rare one left out."""
        y = self.source.tensors["y"][self.pool]
        counts = torch.bincount(y, minlength=len(self.source.classes)).tolist()
        return int(median(count for cls, count in enumerate(counts) if cls != self.rare))

    def kept(self, seed: int) -> tuple[Tensor, Tensor]:
        """Rows of the other classes, and those `keep` of the rare class that this seed leaves in, both int64."""
        is_rare = self.source.tensors["y"][self.pool] == self.rare
        rows = self.pool[is_rare]
        draw = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[: self.keep]
        return self.pool[~is_rare], rows[draw].sort().values

    def training(self, seed: int) -> Pictures:
        """What a classifier is trained on: all other classes, and the rare pictures that are kept."""
        rows = self.source.gather(torch.cat(self.kept(seed)))
        return Pictures(rows["x"], rows["y"])

    def for_gan(self, seed: int) -> Source:
        """The same, each rare picture repeated until its class is as frequent as the median class.

        A class of 50 in 50,000 is in one batch of thirty otherwise, and its samples look like those of the others.
        """
        others, kept = self.kept(seed)
        repeated = kept.repeat(max(1, round(self.usual() / len(kept))))
        tensors = {key: value.contiguous() for key, value in self.source.gather(torch.cat([others, repeated])).items()}
        name = f"{self.source.name}-rare-{self.rare}-seed-{seed}"
        return Source(name, tensors, self.source.classes, fingerprint_tensors(tensors))


def open_task(
    data: str | Path, rare: int | str, keep: int, test: str | Path | None, seed: int, options: dict[str, Any]
) -> Task:
    """Open the data and set the test pictures apart. `options` are those of `open_source`.

    Without a test set one in five of each class is held out, drawn by `seed`. Raises UserError.
    """
    if keep < 2:
        raise UserError(f"--keep {keep}: at least 2 pictures of the rare class must stay")
    source = open_source(data, **options)
    cls = _class(source, rare)
    pool = torch.arange(len(source))
    if test is None and not has_test(data):
        pool, held = _hold_out(source, seed)
        rows = source.gather(held)
        found = Pictures(rows["x"], rows["y"])
        origin = f"one in {HELD_OUT} of each class of {source.name}, held out before anything else (it has no test set)"
    else:
        where = data if test is None else test
        found = _opened_test(source, where, options)
        origin = f"the test set of {source.name}" if test is None else f"{where}"
    there = int((source.tensors["y"][pool] == cls).sum())
    if keep > there:
        raise UserError(
            f"--keep {keep}: there are only {there:,} training pictures of class {source.classes[cls]}; keep fewer"
        )
    if not (found.y == cls).any():
        raise UserError(f"the test set ({origin}) has no picture of class {source.classes[cls]}: no recall without one")
    return Task(source, pool, cls, keep, found, origin)


def has_test(data: str | Path) -> bool:
    """Whether this source has a test split of its own: a named set, or an .npz with test pictures."""
    name, path = str(data).lower().replace("-", "_"), Path(data).expanduser()
    if name in WITH_TEST:
        return True
    if path.suffix.lower() != ".npz":
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            names = {Path(entry).stem for entry in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return False  # opening it says what is wrong
    return not names.isdisjoint(KEYS["test"][0])


def _class(source: Source, rare: int | str) -> int:
    names = _checked(source, "").classes
    if str(rare) in names:
        return names.index(str(rare))
    if str(rare).isdigit() and int(rare) < len(names):
        return int(rare)
    shown = ", ".join(names[:12]) + (" …" if len(names) > 12 else "")
    raise UserError(f"--rare {rare}: {source.name} has no such class; take one of {shown}, or its number from 0")


def _checked(source: Source, what: str) -> Source:
    if len(source.shape) != 3:
        raise UserError(f"{source.name}{what} holds points: the classifier of this study looks at pictures")
    if "y" not in source.tensors or not source.classes:
        raise UserError(
            f"{source.name}{what} has no labels: sort the pictures into one folder per class, or give an .npz "
            "with x and y"
        )
    counts = torch.bincount(source.tensors["y"], minlength=len(source.classes)).tolist()
    if len(source.classes) < 2:
        raise UserError(f"{source.name}{what} has one class only: nothing to tell apart")
    if not what and min(counts) < 2:
        raise UserError(
            f"{source.name}: class {source.classes[counts.index(min(counts))]} has {min(counts)} pictures, which is "
            "too few; add some or leave it out"
        )
    return source


def _hold_out(source: Source, seed: int) -> tuple[Tensor, Tensor]:
    """Rows to train on and rows to test on, stratified."""
    y, random = source.tensors["y"], torch.Generator().manual_seed(seed)
    held = []
    for cls in range(len(source.classes)):
        rows = torch.nonzero(y == cls).flatten()
        held.append(rows[torch.randperm(len(rows), generator=random)[: max(1, len(rows) // HELD_OUT)]])
    test = torch.cat(held).sort().values
    trained = torch.ones(len(source), dtype=torch.bool)
    trained[test] = False
    return torch.nonzero(trained).flatten(), test


def _opened_test(source: Source, where: str | Path, options: dict[str, Any]) -> Pictures:
    opened = open_source(where, **options, split="test" if has_test(where) else "train")
    found = _checked(opened, " (the test set)")
    if found.fingerprint == source.fingerprint:
        raise UserError(f"{where} holds the very pictures that are trained on: name others with --test")
    if found.shape != source.shape:
        ours, theirs = ("×".join(map(str, shape)) for shape in (source.shape, found.shape))
        raise UserError(f"the training pictures are {ours} and those of {where} are {theirs}: give --size, --channels")
    rows = found.gather(torch.arange(len(found)))
    return Pictures(rows["x"], _numbers(found, source.classes)[rows["y"]])


def _numbers(test: Source, classes: Sequence[str]) -> Tensor:
    """The training data's number of each class of the test set, by name."""
    unknown = [name for name in test.classes if name not in classes]
    if unknown:
        raise UserError(
            f"the test set has classes that the training data lack: {', '.join(unknown[:6])}. "
            f"Those are: {', '.join(classes[:12])}"
        )
    return torch.tensor([classes.index(name) for name in test.classes])
