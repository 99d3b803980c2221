"""A run folder with its generator: sample, interpolate, tell about itself."""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .core.checkpoints import read_state
from .core.engine import pick_device
from .core.errors import UserError
from .core.recipe import Plan, Recipe, nest
from .core.run import Run
from .data.conditions import wished
from .media import Images, Points, for_shape
from .parts.samplers import Sampler
from .trust import find_trusted

CHUNK = 64  # samples made at a time


@dataclass(frozen=True)
class Described:
    """The data as `recipe.json` remembers it: enough to build the networks without the files."""

    shape: tuple[int, ...]
    classes: tuple[str, ...]
    count: int
    columns: tuple[str, ...] = ()
    scaling: tuple[tuple[float, float], ...] = ()
    examples: tuple[tuple[float, ...], ...] = ()

    def __len__(self) -> int:
        return self.count

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Described:
        """From `data` in `recipe.json`."""
        shape, classes, columns = tuple(facts["shape"]), tuple(facts["classes"]), tuple(facts.get("columns", ()))
        scaling, examples = (tuple(tuple(row) for row in facts.get(key, ())) for key in ("scaling", "examples"))
        return cls(shape, classes, int(facts["count"]), columns, scaling, examples)


class Experiment(Run):
    """A run folder that can sample. `mulligan.load(path)` and `mulligan.train(…)` give one."""

    def __init__(self, path: str | Path, device: str = "auto") -> None:
        super().__init__(path)
        self.device = pick_device(device)
        self._folded: tuple[Any, list[Tensor], list[int], Any] = (None, [], [], None)
        self._which: tuple[str, bool] = ("newest", False)

    @cached_property
    def recipe(self) -> Recipe:
        settings = self.settings()
        return find_trusted(settings["recipe"], settings.get("sha256", ""))

    @cached_property
    def described(self) -> Described:
        return Described.of(self.settings()["data"])

    @cached_property
    def plan(self) -> Plan:
        """Fresh networks as the recipe builds them, with what strokes have changed."""
        settings = self.settings()
        arguments = {**settings["arguments"], **settings.get("changes", {})}
        return self.recipe.plan(self.described, self.recipe.arguments(nest(arguments)))

    @property
    def media(self) -> Images | Points:
        return for_shape(self.described.shape)

    @cached_property
    def sampler(self) -> Any:
        """The averaged generator with the law of its latents, in eval mode on the device.

        Raises UserError where the run has saved no weights yet, or where they don't fit the recipe.
        """
        sampler = self.plan.game.sampler
        try:
            sampler.load_state_dict(self._weights())
        except RuntimeError as error:
            raise UserError(
                f"the weights in {self.path} don't fit its recipe ({str(error).splitlines()[0]})"
            ) from error
        return sampler.to(self.device).eval().requires_grad_(False)

    def use(self, checkpoint: str = "newest", live: bool = False) -> dict[str, Any]:
        """Take other weights: `newest`, `best` by its score, or a checkpoint's file name; live ones, or their average.

        Gives what is known about them: checkpoint, weights ("ema" or "live"), round, images. Raises UserError where
        they aren't there.
        """
        name = self.checkpoints.best() if checkpoint == "best" else checkpoint
        if name is None:
            raise UserError(
                f"no checkpoint of {self.path} has a score: take --checkpoint newest, or train with --metrics"
            )
        self._which = (name, live)
        self.__dict__.pop("sampler", None)
        return {"checkpoint": name, "weights": "live" if live else "ema", **self._facts_of(name)}

    def _facts_of(self, name: str) -> dict[str, Any]:
        if name == "newest":
            newest = self.checkpoints.newest_first()
            row = self.checkpoints.index().get(newest[0].name, {}) if newest else {}
        else:
            row = self.checkpoints.index().get(name, {})
        return {"round": row.get("round"), "images": row.get("images")}

    def _weights(self) -> dict[str, Tensor]:
        if self._which != ("newest", False):
            return self._state_of(*self._which)
        if self.sampler_file.is_file():
            from safetensors import SafetensorError
            from safetensors.torch import load_file

            try:
                return load_file(self.sampler_file)
            except SafetensorError as error:
                raise UserError(
                    f"{self.sampler_file} is damaged ({error}): delete it, the newest checkpoint is used then"
                ) from error
        state, _ = self.checkpoints.load()
        if state is None:
            raise UserError(f"{self.path} has no weights yet: train it to its first checkpoint")
        return state["average"]

    def _state_of(self, name: str, live: bool) -> dict[str, Tensor]:
        newest = self.checkpoints.newest_first()
        path = newest[0] if name == "newest" and newest else self.checkpoints.folder / name
        if path not in newest:
            there = ", ".join(p.name for p in newest) or "none"
            raise UserError(f"{self.path} has no checkpoint {name!r}: there are {there}; or take newest or best")
        try:
            state = read_state(path, self.checkpoints.digests().get(path.name, set()))
        except Exception as error:  # every reader fails with a class of its own
            raise UserError(f"checkpoint {path} is damaged ({str(error).splitlines()[0]}): take another one") from error
        if not live:
            return state["average"]
        inside = "sampler."
        return {k.removeprefix(inside): v for k, v in state["game"].items() if k.startswith(inside)}

    @property
    def classes(self) -> tuple[str, ...]:
        """What `label` may name; empty for a run without labels."""
        count = int(getattr(self.sampler, "classes", 0))
        names = self.described.classes
        return names if len(names) == count else tuple(str(i) for i in range(count))

    @property
    def columns(self) -> tuple[str, ...]:
        """The numbers that `some_labels` may be told by name; empty for a run that takes none."""
        return self.described.columns if getattr(self.sampler, "conditions", None) is not None else ()

    def label(self, label: int | str) -> int:
        """The number of a class given by number or name.

        Raises UserError on a run without labels, or of numbers (see `some_labels`), or for an unknown one.
        """
        if self.columns:
            raise UserError(
                f"{self.path} takes numbers, no classes: give values such as {self.columns[0]}=1 of "
                f"{', '.join(self.columns[:12])}{' …' * (len(self.columns) > 12)}"
            )
        if not self.classes:
            raise UserError(
                f"{self.path} was trained without labels ({self.recipe.name}): leave --label out, or train "
                "cgan, acgan or projection"
            )
        names = [str(name) for name in self.classes]
        if str(label) in names:
            return names.index(str(label))
        if str(label).isdigit() and int(label) < len(names):
            return int(label)
        shown = ", ".join(names[:12]) + (" …" if len(names) > 12 else "")
        raise UserError(
            f"no label {label!r} in {self.path}: take one of {shown}, or a number from 0 to {len(names) - 1}"
        )

    def latents(self, n: int, seed: int = 0) -> Tensor:
        """z (n, latent); the same for the same seed on every device."""
        return self.sampler.latents(n, torch.Generator().manual_seed(seed))

    def truncate(self, psi: float) -> Experiment:
        """Itself, from now on with styles pulled towards their average, or latents shortened; 1 leaves all as it is.

        Raises UserError for a psi outside of [0, 1.5] or a sampler that can't.
        """
        if not 0 <= psi <= 1.5:
            raise UserError(f"psi is {psi:g}: take 0 (the average) to 1 (all variety), 1.5 at most")
        if psi != 1 and not isinstance(self.sampler, Sampler):
            raise UserError(f"{self.path} has a sampler of its own ({type(self.sampler).__name__}), which knows no psi")
        if isinstance(self.sampler, Sampler):
            self.sampler.psi = psi
            self._folded = (None, [], [], None)
        return self

    @torch.no_grad()
    def w(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """What can be edited: styles (n, layers, style) where G has them, else the latents themselves."""
        return self.sampler.w(z, y)

    def picture(self, w: Tensor, y: Tensor | None = None) -> Tensor:
        """Samples (n, *shape) for what `w` gave, float32 on the CPU, without slopes."""
        with torch.no_grad():
            parts = [
                self.sampler.picture(w[i : i + CHUNK], None if y is None else y[i : i + CHUNK]).float().cpu()
                for i in range(0, len(w), CHUNK)
            ]
        return torch.cat(parts)

    def decode(self, z: Tensor, y: Tensor | None = None, batch: int = CHUNK) -> Tensor:
        """Samples (n, *shape) for latents, float32 on the CPU; `batch` are made at a time."""
        sampler = self._quick()
        # less bookkeeping for the plain sampler; one of somebody else may follow gradients on its way
        quiet = torch.inference_mode if getattr(type(sampler), "decode", None) is Sampler.decode else torch.no_grad
        with quiet():
            parts = [
                sampler.decode(z[i : i + batch], None if y is None else y[i : i + batch]).float().cpu()
                for i in range(0, len(z), batch)
            ]
        return torch.cat(parts)  # joined outside, the result is an ordinary tensor

    def _quick(self) -> Any:
        """The sampler; on a CPU with its norms folded away where G knows how, made anew when weights change."""
        sampler, (known, tensors, versions, twin) = self.sampler, self._folded
        if self.device.type != "cpu" or not hasattr(getattr(sampler, "G", None), "folded"):
            return sampler
        if sampler is not known or [v._version for v in tensors] != versions:
            tensors = [*sampler.parameters(), *sampler.buffers()]
            twin = copy(sampler)
            twin._modules = {**sampler._modules, "G": sampler.G.folded()}
            self._folded = sampler, tensors, [v._version for v in tensors], twin
        return twin

    def sample(self, n: int, seed: int = 0, label: int | str | None = None) -> Tensor:
        """n samples, float32 (n, C, H, W) in [-1, 1], or (n, d) points, on the CPU.

        Without a label, a labelled run shows its classes in turn, and one of numbers examples from its data. Raises
        UserError for a bad label or n < 1.
        """
        if n < 1:
            raise UserError(f"{n} samples asked for: at least 1")
        return self.decode(self.latents(n, seed), self.some_labels(n, label))

    def some_labels(self, n: int, label: int | str | None = None) -> Tensor | None:
        """Labels (n,): the one that is named, else all in turn; None for a run without labels.

        For a run of numbers, rows (n, k) of examples from its data in turn, of which `smiling=1,age=30` (in the numbers
        of the data) sets the columns that it names. Raises UserError for what isn't known.
        """
        if self.columns:
            rows = self.sampler.in_turn(n)
            told = {} if label is None else wished(str(label), self.columns, self.described.scaling)
            for column, value in told.items():
                rows[:, column] = value
            return rows
        if label is not None:
            return torch.full((n,), self.label(label), device=self.device)
        return torch.arange(n, device=self.device) % len(self.classes) if self.classes else None

    def interpolate(
        self, steps: int = 16, through: int = 5, seed: int = 0, label: int | str | None = None, walks: int = 9
    ) -> Tensor:
        """A closed walk through `through` latents, spherical, `steps` frames each: (frames, walks, *shape)."""
        if steps < 1 or through < 2 or walks < 1:
            raise UserError(
                f"steps {steps}, through {through}, walks {walks}: needs at least 1 step, 2 latents and 1 walk"
            )
        stops = self.latents(through * walks, seed).view(through, walks, -1)
        times = torch.arange(steps, device=stops.device) / steps
        path = torch.cat([slerp(stops[i], stops[(i + 1) % through], times) for i in range(through)])
        y = self.some_labels(walks, label)
        made = self.decode(path.flatten(0, 1), None if y is None else torch.cat([y] * len(path)))
        return made.view(len(path), walks, *made.shape[1:])


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Spherical interpolation of (n, d) latents at times t (T,): (T, n, d) (White 2016, arXiv:1609.04468)."""
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=-1).clamp(-1, 1)
    angle = cosine.acos().clamp(1e-4, math.pi - 1e-4)[None, :, None]
    t = t[:, None, None]
    return (((1 - t) * angle).sin() * a + (t * angle).sin() * b) / angle.sin()
