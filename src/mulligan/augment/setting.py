"""What a study was asked to do: noted once, compared when it goes on, told in the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any

import torch

from mulligan import __version__
from mulligan.core.checkpoints import write_whole
from mulligan.core.errors import UserError
from mulligan.core.recipe import Recipe, flatten
from mulligan.data.source import fingerprint_tensors

from .task import Task


@dataclass(frozen=True)
class Setting:
    """`arguments` are all of the recipe's, `spec` how it was named, `add` and `steps` as they come out."""

    task: Task
    recipe: Recipe
    spec: str
    arguments: dict[str, Any]
    add: int
    steps: int
    flip: bool
    device: torch.device

    def asked(self) -> dict[str, Any]:
        """What must be the same for a study to go on: everything but the seeds and the machine."""
        task = self.task
        return {
            "data": task.source.name,
            "fingerprint": task.source.fingerprint,
            "test": task.origin,
            "test pictures": fingerprint_tensors({"x": task.test.x, "y": task.test.y}),
            "--rare": task.rare_name,
            "--keep": task.keep,
            "--add": self.add,
            "--steps": self.steps,
            "--flip": self.flip,
            "--recipe": self.recipe.spec,
            "recipe file": self.recipe.sha256,
            **{"--" + name.replace("_", "-"): value for name, value in flatten(self.arguments).items()},
        }

    def sentences(self, seeds: Sequence[int]) -> list[str]:
        """How it was done."""
        task, count = self.task, len(self.task.kept(seeds[0])[0])
        flips = "flip, crop and mixup" if self.flip else "crop and mixup, without flip"
        off = flatten({name: type(value)() for name, value in self.arguments.items() if is_dataclass(value)})
        told = {name: value for name, value in flatten(self.arguments).items() if value != off.get(name)}
        given = ", ".join(f"{name} {value}" for name, value in told.items())
        return [
            f"Data: {task.source.name}, {'×'.join(map(str, task.source.shape))}, {len(task.source.classes)} classes "
            f"(fingerprint {task.source.fingerprint[:12]}). Of class {task.rare_name} only {task.keep} training "
            f"pictures are kept, drawn anew by each seed; all {count:,} of the other classes stay.",
            f"Test: {len(task.test.y):,} pictures, {task.origin}. Nothing was chosen by them but the best arm below.",
            f"Seeds {seeds[0]} to {seeds[-1]}. Every arm trains the same small network (mulligan.metrics.classifier) "
            f"from the same start with {self.steps:,} steps of 64 pictures.",
            f"Ordinary augmentation: {flips}. Class weights: inverse frequency. Oversampling: all classes alike.",
            f"GAN: {self.recipe.name} ({given}), trained on what is kept, the rare pictures repeated until their class "
            f"is as frequent as the median class. It adds {self.add:,} rare pictures, none of them picked.",
            f"mulligan {__version__}, torch {torch.__version__}, {self.device}.",
        ]


def check_folder(path: Path) -> None:
    """Raises UserError where a study can't lie."""
    if path.is_file():
        raise UserError(f"--out {path} is a file: name a folder")
    if path.is_dir() and not (path / "study.json").is_file() and any(p.name != ".lock" for p in path.iterdir()):
        raise UserError(f"{path} is a folder of other things (it has no study.json): name a new one with --out")


def settle(folder: Path, asked: dict[str, Any]) -> None:
    """Note what is asked, or compare it with what is noted. Raises UserError naming what differs."""
    file, asked = folder / "study.json", json.loads(json.dumps(asked))
    if not file.is_file():
        write_whole(file, json.dumps(asked, indent=2, ensure_ascii=False) + "\n")
        return
    try:
        there = dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{file} can't be read ({error}): put a good copy back, or name another --out") from error
    differ = [
        f"{name}: {_short(there.get(name))} in the study, {_short(asked.get(name))} asked for"
        for name in {**there, **asked}
        if there.get(name) != asked.get(name)
    ]
    if differ:
        raise UserError(
            f"{folder} was made with other settings ({'; '.join(differ)}). Take the same ones to go on, or another "
            "--out to start anew."
        )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "…"
