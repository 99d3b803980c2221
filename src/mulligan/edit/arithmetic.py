"""Arithmetic with w: man with glasses - man + woman."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from ..core.errors import UserError
from ..experiment import Experiment
from .sheet import needs_pictures, sheet
from .styles import names_of, stops


@dataclass(frozen=True)
class Term:
    """w (n, …) of some seeds and files, of which the mean is taken; `sign` is 1 or -1."""

    name: str
    sign: int
    w: Tensor
    y: Tensor | None
    names: list[str]


def terms_of(
    experiment: Experiment, base: str | None, plus: str | None, minus: str | None, label: str | None = None
) -> list[Term]:
    """The terms of base + plus - minus, each given as seeds and files. Raises UserError for neither."""
    if plus is None and minus is None:
        raise UserError("nothing to reckon with: give --plus or --minus, seeds such as 1,2,5-7 or files of w")
    found: list[Term] = []
    for name, sign, given in (("base", 1, base), ("+ plus", 1, plus), ("- minus", -1, minus)):
        if given is not None:
            w, y = stops(experiment, given, label)
            found.append(Term(name, sign, w, y, names_of(given, len(w))))
    return found


def total(terms: Sequence[Term]) -> Tensor:
    """The sum of the terms' means, each with its sign (Radford et al. 2016, section 6.3.2): (1, …).

    The paper takes the mean of three latents for each term, because single ones were unstable.
    """
    means = [term.sign * term.w.mean(0, keepdim=True) for term in terms]
    return torch.stack(means).sum(0)


def label_of(terms: Sequence[Term]) -> Tensor | None:
    """What the result is told, (1,) or (1, k): as the first picture of the first term."""
    return None if terms[0].y is None else terms[0].y[:1]


def arithmetic_sheet(experiment: Experiment, terms: Sequence[Term]) -> Image.Image:
    """The means of the terms and the result in a row, and below each mean the pictures that it is of."""
    needs_pictures(experiment, "arithmetic")
    w = torch.cat([*(term.w.mean(0, keepdim=True) for term in terms), total(terms)])
    first = label_of(terms)
    y = None if first is None else torch.cat([*(term.y[:1] for term in terms if term.y is not None), first])
    means = list(experiment.picture(w, y))
    below = [experiment.picture(term.w, term.y) for term in terms]
    depth = max(map(len, below))
    rows = [[*(x[i] if i < len(x) else None for x in below), None] for i in range(depth)]
    above = [*(term.name for term in terms), "= result"]
    return sheet([means, *rows], ["mean", "of", *[""] * (depth - 1)], above, [0], [len(terms) - 1])
