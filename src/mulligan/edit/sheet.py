"""Pictures in rows and columns with a word beside each row and above each column."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..core.errors import UserError
from ..experiment import Experiment
from ..media.image import enlarged, over_white, readable_scale, to_pil

PAD, APART = 2, 10
"""Pixels between pictures, and between groups of them."""
FONT = 12
INK = 60


def needs_pictures(experiment: Experiment, what: str) -> None:
    """Raises UserError for a run of points."""
    if len(experiment.described.shape) != 3:
        raise UserError(f"{experiment.path} makes points, not pictures: {what} needs a run of pictures")


def sheet(
    rows: Sequence[Sequence[Tensor | None]], beside: Sequence[str], above: Sequence[str],
    breaks_below: Sequence[int] = (), breaks_right: Sequence[int] = (),
) -> Image.Image:  # fmt: skip
    """Pictures (C, H, W) in [-1, 1], or None for a place that stays empty, on white: rows as they come.

    `beside` has a word for each row, `above` one for each column; after the rows and columns in `breaks_…` the
    distance is larger. Small pictures are enlarged by a whole number, as on every sheet.
    """
    shown = [[None if x is None else _shown(x) for x in row] for row in rows]
    width, height = next(picture.size for row in shown for picture in row if picture is not None)
    font = ImageFont.load_default(FONT)
    left = PAD + max((round(font.getlength(word)) + 6 for word in beside if word), default=0)
    top = PAD + (FONT + 6 if any(above) else 0)
    xs, right = _places(left, width, len(above), breaks_right)
    ys, bottom = _places(top, height, len(beside), breaks_below)
    # the last column's word may be wider than its picture
    edge = max([right, *(x + round(font.getlength(word)) + PAD for x, word in zip(xs, above, strict=True))])
    grey = all(picture is None or picture.mode == "L" for row in shown for picture in row)
    made = Image.new("L" if grey else "RGB", (edge, bottom), "white")
    draw = ImageDraw.Draw(made)
    ink = INK if grey else (INK, INK, INK)
    for x, word in zip(xs, above, strict=True):
        draw.text((x + max(0, width - round(font.getlength(word))) // 2, PAD), word, ink, font)
    for y, word, row in zip(ys, beside, shown, strict=True):
        draw.text((PAD, y + (height - FONT) // 2 - 1), word, ink, font)
        for x, picture in zip(xs, row, strict=True):
            if picture is not None:
                made.paste(picture, (x, y))
    return made


def _places(first: int, side: int, count: int, breaks: Sequence[int]) -> tuple[list[int], int]:
    """Where each row or column begins, and where all end."""
    places, at = [], first
    for i in range(count):
        places.append(at)
        at += side + (APART if i in breaks else PAD)
    return places, at


def _shown(x: Tensor) -> Image.Image:
    picture = enlarged(to_pil(x), readable_scale(*x.shape[1:]))
    return over_white(picture) if picture.mode == "RGBA" else picture
