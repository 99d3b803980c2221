"""What an export says of its generator, for those who have nothing else of the run."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import PurePath
from typing import Any

import torch
from torch import Tensor

from mulligan.experiment import Experiment
from mulligan.parts.samplers import Sampler


def header(run: Experiment, which: dict[str, Any]) -> dict[str, Any]:
    """The run's settings with what strokes have changed, `which` weights they are, and without folders of this machine.

    `mulligan import` builds the networks from it.
    """
    settings = run.settings()
    changed = {**settings["arguments"], **settings.pop("changes", {})}
    file, colon, name = settings["recipe"].rpartition(":")
    data = dict(settings["data"])
    if "imported" not in settings:  # a run that was says in words that its data isn't here
        data["source"] = data["name"]
        data.pop("labels", None)
    recipe = f"{PurePath(file).name}{colon}{name}"
    return {**settings, "recipe": recipe, "arguments": changed, "data": data, **_known(which)}


def _known(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None}


def tensors(run: Experiment) -> dict[str, Tensor]:
    """The weights of the averaged generator, by name."""
    return {name: value.detach().cpu().contiguous().clone() for name, value in run.sampler.state_dict().items()}


def digest(state: dict[str, Tensor]) -> str:
    """SHA-256 of the weights as safetensors without a header, so that everyone can work it out from a file."""
    from safetensors.torch import save

    return hashlib.sha256(save(state)).hexdigest()


def latents(sampler: Any) -> str:
    """The law of z in words."""
    if not plain(sampler):
        return f"{type(sampler).__name__}: {(inspect.getdoc(type(sampler)) or 'not described').splitlines()[0]}"
    return "independent, standard normal" if sampler.prior == "normal" else "independent, uniform on [-1, 1]"


def plain(sampler: Any) -> bool:
    """Whether z is what Sampler draws, with nothing of somebody else's in it."""
    return isinstance(sampler, Sampler) and type(sampler).latents is Sampler.latents


def example(run: Experiment, n: int, seed: int = 0) -> tuple[Tensor, ...]:
    """z (n, latent), drawn without truncation, and y where the generator takes labels or numbers."""
    z, y = run.latents(n, seed), run.some_labels(n)
    return (z.float(),) if y is None else (z.float(), y if y.is_floating_point() else y.to(torch.int64))
