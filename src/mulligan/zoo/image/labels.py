"""Labels of the data, or a clear refusal."""

from __future__ import annotations

from mulligan.core.errors import UserError
from mulligan.core.recipe import Shape


def classes_of(data: Shape, recipe: str) -> int:
    """Number of classes. Raises UserError where the data has no labels."""
    if not data.classes:
        raise UserError(
            f"{recipe} needs labels and the data has none: sort the pictures into one folder per class, "
            "give an .npz with x and y, or take a recipe without labels such as dcgan"
        )
    return len(data.classes)
