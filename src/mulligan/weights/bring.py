"""From a file of weights to a run folder that samples like one of our own."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

import mulligan
from mulligan.core.errors import UserError
from mulligan.core.game import Game
from mulligan.core.recipe import flatten, nest
from mulligan.core.run import Run
from mulligan.experiment import Described, Experiment
from mulligan.parts.stabilize import Stabilize
from mulligan.trust import find_trusted

from . import (
    biggan_found,
    biggan_hf_found,
    dcgan_examples,
    mimicry,
    nvidia,
    own,
    progressive,
    r3gan_found,
    radford,
    stylegan1,
)
from .found import Found
from .reading import Weights, read, shape, shown

FORMATS = (
    own, radford, nvidia, r3gan_found, dcgan_examples, mimicry, stylegan1, progressive, biggan_found, biggan_hf_found,
)  # fmt: skip
"""Each has LAYOUT, in words, and recognise(Weights) -> Found | None."""
MOST = 2**30  # bytes of networks beyond what the file's size explains
LARGEST = 2048  # pixels of a side: a few tensors could ask for any number of doublings


def bring(file: str | Path, out: str | Path | None = None) -> Experiment:
    """A run folder (default: runs/RECIPE-DATA) with the generator that a file of official weights holds.

    Raises UserError, with nothing written, for a file that can't be read or isn't known, weights that don't fit their
    network or make no pictures, and a place that is taken.
    """
    weights = read(Path(file))
    found = recognise(weights)
    name = re.sub(r"[^\w.-]+", "-", f"{found.recipe.rpartition(':')[2]}-{found.data['name']}")[:60]  # from a file
    target = Path(out) if out is not None else Path("runs") / name
    _check_place(target)
    game, settings = build(found, weights)
    with _whole(target) as folder:
        run = Run(folder)
        run.create(settings)
        run.write_sampler(cast(nn.Module, game.sampler), settings)
        if found.critic:
            run.write_critic(critic(game), settings)
        if not run.sampler_file.is_file():  # there was a warning with the reason
            raise UserError(f"can't write to {target}: name another folder with --out")
        if not bool(Experiment(folder, "cpu").sample(2).isfinite().all()):
            raise UserError(f"{weights.path}: its pictures are not finite numbers, the weights are of no use")
    return Experiment(target)


def recognise(weights: Weights) -> Found:
    """What a file holds. Raises UserError where no format knows it."""
    for kind in FORMATS:
        if (found := kind.recognise(weights)) is not None:
            return found
    some = ", ".join(f"{shown(name)} ({shape(tensor)})" for name, tensor in list(weights.tensors.items())[:4])
    raise UserError(
        f"{weights.path} is of no known format: its {len(weights.tensors):,} tensors are {some}"
        f"{', …' if len(weights.tensors) > 4 else ''}. Known: {'; '.join(kind.LAYOUT for kind in FORMATS)}"
    )


def critic(game: Game) -> nn.Module:
    """D of a game that has one behind its remedies."""
    return game.get_submodule("critic.D")


def build(found: Found, weights: Weights) -> tuple[Game, dict[str, Any]]:
    """The game with its weights, and what `recipe.json` says. Raises UserError where the weights don't fit."""
    size = tuple(found.data["shape"])
    if max(size, default=0) > LARGEST:
        raise UserError(f"{weights.path} is to make {'×'.join(map(str, size))} pictures: {LARGEST} is the largest side")
    recipe = find_trusted(found.recipe, found.recipe_sha256)
    arguments = recipe.arguments(nest(found.arguments))
    try:
        with torch.device("meta"):  # shapes without memory: what a file claims costs nothing
            game = recipe.plan(Described.of(found.data), _without_spectral_norm(arguments)).game
        if (claimed := 4 * sum(p.numel() for p in game.parameters())) > MOST + 64 * weights.size:
            raise UserError(f"{weights.path} asks for networks of {claimed:,} bytes in a file of {weights.size:,}")
        fit(game.sampler, found.tensors, weights.path)
        if found.critic:
            fit(critic(game), found.critic, weights.path)
    except (RuntimeError, TypeError, ValueError, ArithmeticError) as error:
        why = str(error).split("\n")[0]
        raise UserError(f"{weights.path} asks for a {found.recipe} network that can't be built ({why})") from error
    facts = {
        "file": weights.path.name, "bytes": weights.size, "sha256": weights.sha256, "network": found.network,
        "from": found.layout, "source": found.source, "licence": found.licence,
    }  # fmt: skip
    versions = {"mulligan": mulligan.__version__, "torch": torch.__version__, "python": platform.python_version()}
    settings = {
        "recipe": recipe.spec, "sha256": recipe.sha256, "paper": recipe.paper, "arguments": flatten(arguments),
        "data": found.data, "imported": facts, "versions": versions,
    }  # fmt: skip
    return game, settings


def _without_spectral_norm(arguments: dict[str, Any]) -> dict[str, Any]:
    """It belongs to D, and starts with products that need the numbers."""
    stabilize = arguments.get("stabilize")
    plain = {"stabilize": replace(stabilize, spectral_norm=False)} if isinstance(stabilize, Stabilize) else {}
    return {**arguments, **plain}


def fit(net: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Put the tensors into a network. Raises UserError naming what is missing, left over or of another shape."""
    wanted = net.state_dict()
    ours = {name: tensors.get(name, torch.tensor(0)) for name in wanted if name.endswith("num_batches_tracked")}
    given = {**tensors, **ours}
    wrong = [f"{shown(name)} is missing" for name in wanted if name not in given]
    wrong += [f"{shown(name)} is left over" for name in given if name not in wanted]
    wrong += [
        f"{shown(name)} is {shape(tensor)} instead of {shape(wanted[name])}"
        for name, tensor in given.items()
        if name in wanted and tensor.shape != wanted[name].shape
    ]
    if wrong:
        more = f", and {len(wrong) - 4} more" if len(wrong) > 4 else ""
        raise UserError(f"{path} doesn't fit its network: {', '.join(wrong[:4])}{more}")
    net.load_state_dict({name: tensor.to(wanted[name].dtype) for name, tensor in given.items()}, assign=True)


def _check_place(target: Path) -> None:
    try:
        if target.exists() and not target.is_dir():
            raise UserError(f"--out {target} is a file: name a folder")
        if target.is_dir() and (any(target.iterdir()) or target.samefile(".")):
            raise UserError(f"--out {target} is no new or empty folder: name another one")
    except OSError as error:  # a name that is too long, a folder that can't be read
        raise UserError(Run(target).refused(error)) from error


@contextlib.contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """A folder that takes the place of `target` at the end, and leaves nothing where anything fails."""
    made = [folder for folder in target.parents if not folder.exists()]
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        beside.mkdir(parents=True)
        yield beside
        os.replace(beside, target)
    except BaseException as error:
        shutil.rmtree(beside, ignore_errors=True)
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        cause = error.__cause__ if isinstance(error, UserError) else error
        if isinstance(cause, OSError):
            raise UserError(Run(target).refused(cause)) from error
        raise
