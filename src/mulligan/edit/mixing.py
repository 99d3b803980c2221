"""Style mixing: what the coarse, middle and fine styles of a generator say."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from ..experiment import Experiment
from .sheet import needs_pictures, sheet
from .styles import needs_styles, parse_layers


def mixed(rows: Tensor, columns: Tensor, layers: Sequence[int]) -> Tensor:
    """Each row's w with each column's styles in the layers (Karras et al. 2019, section 3.1 and figure 3).

    rows (r, layers, style), columns (c, layers, style) -> (r, c, layers, style).
    """
    w = rows[:, None].expand(-1, len(columns), -1, -1).clone()
    w[:, :, list(layers)] = columns[None][:, :, list(layers)]
    return w


def mix(
    experiment: Experiment, rows: tuple[Tensor, Tensor | None], columns: tuple[Tensor, Tensor | None], layers: str
) -> Tensor:
    """Pictures (r, c, C, H, W) of every row with every column's styles in `layers`, such as coarse or 0-3.

    `rows` and `columns` are what `stops` gives. Raises UserError for a generator without styles, and for layers that
    it doesn't have.
    """
    count = needs_styles(experiment, "mixing")
    (w, _), (donors, _) = rows, columns
    made = experiment.picture(mixed(w, donors, parse_layers(layers, count)).flatten(0, 1))
    return made.unflatten(0, (len(w), len(donors)))


def mixing_sheet(
    experiment: Experiment, rows: tuple[Tensor, Tensor | None], columns: tuple[Tensor, Tensor | None], layers: str,
    names: tuple[Sequence[str], Sequence[str]],
) -> Image.Image:  # fmt: skip
    """The figure: rows' own pictures on the left, columns' on top, and in each place the row with the column's styles.

    `names` stand beside the rows and above the columns. Raises UserError as `mix` does.
    """
    needs_pictures(experiment, "mixing")
    cells = mix(experiment, rows, columns, layers)
    left, top = experiment.picture(rows[0]), experiment.picture(columns[0])
    body = [[x, *cell] for x, cell in zip(left, cells, strict=True)]
    return sheet([[None, *top], *body], ["", *names[0]], ["", *names[1]], breaks_below=[0], breaks_right=[0])


def words_of(layers: str, count: int) -> str:
    """Which numbers the named layers have: `coarse: layers 0-3 of 0-17`."""
    numbers = parse_layers(layers, count)
    ends = torch.tensor(numbers).diff().ne(1).nonzero().flatten().tolist()
    firsts, lasts = [numbers[0], *(numbers[i + 1] for i in ends)], [*(numbers[i] for i in ends), numbers[-1]]
    text = ",".join(f"{a}-{b}" if a < b else f"{a}" for a, b in zip(firsts, lasts, strict=True))
    return f"{layers}: layers {text} of 0-{count - 1}"
