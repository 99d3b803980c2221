"""The shelf: one file, one GAN."""

from __future__ import annotations

import importlib

from mulligan.core.errors import UserError
from mulligan.core.recipe import REGISTRY, Recipe, from_file, nearest

SHELF = {
    name: f"mulligan.zoo.image.{name}"
    for name in (
        "gan", "dcgan", "radford", "lsgan", "wgan", "wgan_gp", "sngan",
        "cgan", "acgan", "projection", "infogan", "unrolled", "r3gan", "progressive", "stylegan",
        "stylegan2", "stylegan3", "biggan", "sagan", "fastgan",
    )
}  # fmt: skip


def find(name: str) -> Recipe:
    """The recipe `dcgan`, or `my.py:mygan` from a file of the user's own.

    Raises UserError with the nearest name for an unknown one.
    """
    if ":" in name:
        return from_file(name)
    if name not in SHELF:
        hint = " (a recipe of your own is named like my.py:mygan)" if name.endswith(".py") else ""
        raise UserError(f"unknown recipe {name!r}{nearest(name, SHELF)}{hint}; the recipes are: {', '.join(SHELF)}")
    importlib.import_module(SHELF[name])
    return REGISTRY[name]


def shelf() -> list[Recipe]:
    """Every recipe of the house."""
    return [find(name) for name in SHELF]
