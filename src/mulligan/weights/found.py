"""What a format says about a file that it knows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Found:
    """A generator in a file, told as a recipe of the house and the tensors of its sampler.

    `network` is what it is, in words, and `layout` whose names its tensors have. `arguments` and `data` are as in
    `recipe.json`. `recipe_sha256` is that of a user's recipe file; `source` and `licence` are empty where unknown.
    `critic` holds those of its discriminator, under the names of `game.critic.D`, where the file has one that the
    recipe builds; it is what fine-tuning starts from.
    """

    network: str
    layout: str
    recipe: str
    arguments: dict[str, Any]
    data: dict[str, Any]
    tensors: dict[str, Tensor]
    source: str = ""
    licence: str = ""
    recipe_sha256: str = ""
    critic: dict[str, Tensor] = field(default_factory=dict)


def imported(name: str, shape: tuple[int, ...]) -> dict[str, Any]:
    """The data of a run that was not trained here; `shape` is that of one picture."""
    facts = {"source": f"{name} (imported weights: the data isn't here)", "name": name, "shape": list(shape)}
    return {**facts, "classes": [], "count": 0, "fingerprint": ""}
