"""Labels of the data, or a clear refusal; and numbers, for networks that take them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mulligan.core.errors import UserError
from mulligan.core.recipe import Shape
from mulligan.nets.stylegan2 import Mapping


def classes_of(data: Shape, recipe: str) -> int:
    """Number of classes. Raises UserError where the data has no labels."""
    if count := len(getattr(data, "columns", ())):
        raise UserError(
            f"{recipe} takes classes, and the data gives {count} number{'s' * (count != 1)} for each picture: take "
            "stylegan2 or stylegan3, or a labels.csv with one column of words (--labels none for no labels)"
        )
    if not data.classes:
        raise UserError(
            f"{recipe} needs labels and the data has none: sort the pictures into one folder per class, "
            "give an .npz with x and y, or take a recipe without labels such as dcgan"
        )
    return len(data.classes)


@dataclass(frozen=True)
class Taken:
    """What networks of styles are told: `count` entries, of `classes`, or numbers with `examples` (m, count)."""

    count: int
    classes: int
    examples: Tensor | None = None

    def told_apart(self, *networks: nn.Module) -> None:
        """Draw the bias where numbers enter a mapping, in each of the networks.

        What enters is normalized, and without a bias 1 and 2 would be the same direction; one of classes starts at 0.
        """
        for module in (module for network in networks for module in network.modules()):
            if self.examples is not None and isinstance(module, Mapping) and module.embed.bias is not None:
                nn.init.normal_(module.embed.bias)


def taken(data: Shape) -> Taken:
    """The classes of the data, or its numbers where it has `columns`, with their `examples`."""
    columns = getattr(data, "columns", ())
    if not columns:
        return Taken(len(data.classes), len(data.classes))
    return Taken(len(columns), 0, torch.tensor(getattr(data, "examples"), dtype=torch.float32))  # noqa: B009
