"""mulligan arithmetic RUN"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

arg = tyro.conf.arg


def command(
    run: Annotated[Path, tyro.conf.Positional, arg(metavar="RUN", help="run folder")],
    base: Annotated[str | None, arg(help="what is changed: seeds such as 1,5,10-20, and files of w")] = None,
    plus: Annotated[str | None, arg(help="what is added: the mean of these seeds and files")] = None,
    minus: Annotated[str | None, arg(help="what is taken away: the mean of these seeds and files")] = None,
    psi: Annotated[float, arg(help="truncation of seeds: 0, the average, to 1, all variety")] = 1.0,
    label: Annotated[str | None, arg(help="class number or name, on a run with labels; several with commas")] = None,
    out: Annotated[
        Path | None, arg(aliases=("-o",), help="a .png; a .safetensors of that name goes beside (RUN/arithmetic.png)")
    ] = None,
    device: Annotated[str, arg(help="auto, cpu, cuda, cuda:1 or mps")] = "auto",
) -> None:
    """The picture of base + plus - minus, each the mean of some seeds (Radford et al. 2016, section 6.3.2).

    What comes out is saved, and can be given wherever a seed can: mulligan sample RUN --seeds out.safetensors.
    """
    from ..edit.arithmetic import arithmetic_sheet, label_of, terms_of, total
    from ..edit.styles import save_w
    from ..media.image import save_png
    from ..verbs import load
    from .writing import named_png, writing

    experiment = load(run, device).truncate(psi)
    out = named_png(out or experiment.path / "arithmetic.png")
    terms = terms_of(experiment, base, plus, minus, label)
    made = arithmetic_sheet(experiment, terms)
    with writing(out):
        save_png(made, out)
    print(save_w(out.with_suffix(".safetensors"), total(terms), experiment, label_of(terms)))
    print(out)
