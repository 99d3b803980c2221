"""Numbers for arguments left to "auto", by a rule that docs/auto.md tells with what was measured and what was taken.

    lr                   the recipe's own × √(batch / the recipe's own batch)
    lr_d                 as far from lr as in the recipe
    stabilize.r1 and r2  pictures: 1 × 64 / batch, or the recipe's own r1 × its own batch / batch; above 64 × 64
                         pixels × pixels / 64²; the networks of StyleGAN2: 0.0002 × pixels / batch; points: 0.1,
                         below 1,000 of them 1

Adam and RMSprop follow the root of the batch (Malladi et al. 2022, arXiv:2205.10287). Gamma in proportion to pixels and
to 1 / batch is the heuristic of StyleGAN2-ADA (Karras et al. 2020), 0.0002 × pixels / batch for its own networks; here
it starts from what held for ours.
"""

from __future__ import annotations

import math
from typing import Any

from .core.errors import UserError
from .core.recipe import Recipe, Shape, flatten, nest, unresolved

PICTURES, SIDE, BATCH = 1.0, 64, 64
"""Gamma of pictures up to that side in batches of that size, where the recipe has none of its own."""
STYLES = 2e-4
"""Gamma per pixel and sample of a batch for the networks of StyleGAN2, whose recipes leave it to auto."""
POINTS, FEW_POINTS, FEW = 0.1, 1.0, 1_000
"""Gamma of points, and of fewer points than that."""


def resolve(recipe: Recipe, arguments: dict[str, Any], data: Shape) -> tuple[dict[str, Any], list[str]]:
    """All arguments, with a number in place of each "auto", and a line on each: number, rule, source.

    It follows from the recipe, its other arguments, and shape and count of the data alone, so that a run that goes on
    gets the same numbers.
    """
    left, flat, notes = unresolved(arguments), flatten(arguments), list[str]()
    for name in left:  # lr comes before lr_d, which follows it
        value, why = {"lr": _rate, "lr_d": _rate_of_d}.get(name, _gamma)(recipe.defaults(), flat, data)
        flat[name] = float(f"{value:.2g}")  # so that it can be typed
        notes.append(f"--{name.replace('_', '-')} {flat[name]:g} {why}")
    return (recipe.arguments(nest(flat)) if left else arguments), notes


def _rate(own: dict[str, Any], given: dict[str, Any], data: Shape) -> tuple[float, str]:
    if own["lr"] is None:
        raise UserError("--lr auto starts from the recipe's own rate, and this one has none: give a number")
    usual, batch = _batches(own, given)
    why = f"= {own['lr']:g} × √({batch}/{usual}): the recipe's, by the root of the batch (Malladi et al. 2022)"
    return own["lr"] * math.sqrt(batch / usual), why


def _rate_of_d(own: dict[str, Any], given: dict[str, Any], data: Shape) -> tuple[float, str]:
    if not own.get("lr") or given["lr"] is None:
        raise UserError("--lr-d auto follows --lr, and this recipe has none: give a number")
    ratio = 1.0 if own["lr_d"] is None else own["lr_d"] / own["lr"]
    return given["lr"] * ratio, f"= {ratio:g} × --lr, as in the recipe"


def _gamma(own: dict[str, Any], given: dict[str, Any], data: Shape) -> tuple[float, str]:
    if len(data.shape) == 1:
        few = len(data) < FEW
        return (FEW_POINTS, f"for fewer than {FEW:,} points") if few else (POINTS, "for points")
    usual, batch = _batches(own, given)
    base, pixels = flatten(own)["stabilize.r1"], math.prod(data.shape[1:])
    if base == "auto":
        value = STYLES * pixels / batch
        return value, f"= {STYLES:g} × {pixels:,}/{batch}: by batch and pixels (Karras et al. 2020)"
    if not base:
        base, usual = PICTURES, BATCH if "batch" in given else batch
    larger = max(pixels / SIDE**2, 1.0)
    why = f"= {base:g} × {usual}/{batch}" + (f" × {pixels:,}/{SIDE}²" if larger > 1 else "")
    return base * usual / batch * larger, f"{why}: by batch and pixels, as StyleGAN2-ADA (Karras et al. 2020)"


def _batches(own: dict[str, Any], given: dict[str, Any]) -> tuple[int, int]:
    """The recipe's own batch and the one that is asked for; where a recipe has none, nothing follows."""
    usual, batch = own.get("batch"), given.get("batch")
    return (usual, batch) if isinstance(usual, int) and isinstance(batch, int) else (1, 1)
