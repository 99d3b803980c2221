"""mulligan augment --data SOURCE --rare CLASS [options]"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

TEXT = """Does a GAN help where one class is rare?

Of the class --rare only --keep training pictures stay. A conditional GAN trained on what stays makes more of them, and
a small classifier is trained with and without these, beside class weights, oversampling and ordinary augmentation.
Over several seeds: balanced accuracy, and recall and precision of the rare class, with intervals. report.md says
whether it helps. The same command goes on where it was stopped.
"""
FURTHER = """
Arguments of the recipe are taken too (--width 16 --images 100000 --stabilize.r1 1):
mulligan augment --recipe RECIPE --help shows them all.
"""


def own_options() -> list[tuple[str, Any, Any]]:
    """Name, annotated type and default of the options that don't depend on the recipe."""

    def option(name: str, kind: Any, default: Any, text: str) -> tuple[str, Any, Any]:
        return name, Annotated[kind, tyro.conf.arg(help=text)], dataclasses.field(default=default)

    return [
        ("data", Annotated[str, tyro.conf.arg(help="labelled pictures (see mulligan --help)")], dataclasses.field()),
        ("rare", Annotated[str, tyro.conf.arg(help="name or number of the class made rare")], dataclasses.field()),
        option("keep", int, 50, "training pictures of that class that stay, drawn anew by each seed"),
        option("recipe", str, "cgan", "a GAN that learns the labels: cgan, acgan, projection, my_file.py:mine"),
        option(
            "add", int | None, None, "generated pictures (default: the class becomes as frequent as the median one)"
        ),
        option("seeds", int, 5, "how many; an interval needs at least 2"),
        option("seed", int, 0, "the first of them"),
        option("test", str | None, None, "test pictures (default: the set's own, else a fifth is held out)"),
        option("steps", int | None, None, "of the classifier, 64 pictures each (default: by the number of pictures)"),
        option(
            "flip", Literal["auto", "yes", "no"], "auto", "mirror pictures in ordinary augmentation; auto: not digits"
        ),
        option("out", Path | None, None, "folder of the study (default: runs/augment-DATA-CLASS)"),
        option("size", str | None, None, "one side such as 64, or height x width such as 64x96"),
        option("channels", int | None, None, "1 grey, 3 colour, 4 colour with alpha (default: as the data)"),
        option("device", str, "auto", "auto, cpu, cuda, cuda:1 or mps"),
        option("data_root", Path | None, None, "where named data sets lie"),
        option("cache", Path | None, None, "where decoded images are kept (default: the user's cache folder)"),
    ]


def command(words: Sequence[str]) -> None:
    """Parse the words with the options of the recipe that they name, and run the study."""
    fields, named = own_options(), recipe_of(words)
    asks = "-h" in words or "--help" in words
    if named or not asks:  # help without a recipe must not wait for torch
        fields += recipe_options(named or "cgan", {name for name, *_ in fields})
    form = dataclasses.make_dataclass("Augment", fields, kw_only=True)
    text = TEXT + ("" if named else FURTHER)
    given = vars(tyro.cli(form, args=list(words), prog="mulligan augment", description=text))
    from mulligan.augment.study import augment

    augment(**{**given, "flip": {"auto": None, "yes": True, "no": False}[given["flip"]]})


def recipe_of(words: Sequence[str]) -> str | None:
    """What follows --recipe."""
    for i, word in enumerate(words):
        if word.startswith("--recipe="):
            return word.partition("=")[2]
        if word == "--recipe" and i + 1 < len(words):
            return words[i + 1]
    return None


def recipe_options(recipe: str, taken: set[str]) -> list[tuple[str, Any, Any]]:
    """The arguments of a recipe, with the defaults that a study takes. Raises UserError for an unknown recipe."""
    from mulligan.augment.study import usual
    from mulligan.zoo import find

    made = find(recipe)
    defaults = {**made.defaults(), **made.arguments(usual(made))}
    return [
        (parameter.name, parameter.annotation, dataclasses.field(default=defaults[parameter.name]))
        for parameter in made.parameters()
        if parameter.name not in taken
    ]
