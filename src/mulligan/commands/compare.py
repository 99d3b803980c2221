"""`mulligan compare`: runs beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro


def command(
    runs: Annotated[
        tuple[Path, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="RUN RUN …", help="run folders", help_behavior_hint="(two or more)"),
    ],
    out: Annotated[Path, tyro.conf.arg(help="the page, one file that works from the disk")] = Path("compare.html"),
    seed: Annotated[int, tyro.conf.arg(help="of the samples, the same for every run")] = 0,
    count: Annotated[int, tyro.conf.arg(name="n", aliases=("-n",), help="samples of each run; points: 2,000")] = 36,
    device: Annotated[str, tyro.conf.arg(help="auto, cpu, cuda, cuda:1 or mps")] = "auto",
    samples: Annotated[bool, tyro.conf.arg(help="draw samples; without them no recipe is run")] = True,
) -> None:
    """Scores, samples from the same seeds, curves and cost of runs side by side, as one page and a table."""
    from ..assess.compare import compare

    print(compare(runs, out, seed=seed, n=count, device=device, samples=samples))
    print(f"\n{out}")
