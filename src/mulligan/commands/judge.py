"""`mulligan judge`: the page, and the score of what people answered."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro


def command(
    run: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help="run folder")] = None,
    score: Annotated[
        tuple[Path, ...] | None, tyro.conf.arg(metavar="FILE [FILE …]", help="results files that the page saved")
    ] = None,
    fake: Annotated[str | None, tyro.conf.arg(help="generated pictures of any program, instead of RUN")] = None,
    real: Annotated[str | None, tyro.conf.arg(help="the real pictures that go with --fake")] = None,
    pairs: Annotated[int, tyro.conf.arg(help="that count, after up to 3 for practice")] = 50,
    seconds: Annotated[float, tyro.conf.arg(help="that a pair is seen; 0 for no limit")] = 1.0,
    seed: Annotated[int, tyro.conf.arg(help="of the pictures, of their sides, and of the interval")] = 0,
    reference: Annotated[str | None, tyro.conf.arg(help="other real pictures than those RUN was trained on")] = None,
    split: Annotated[Literal["train", "test"], tyro.conf.arg(help="of the real pictures, for named sets")] = "train",
    size: Annotated[str | None, tyro.conf.arg(help="of --fake and --real: 64, or height x width such as 64x96")] = None,
    channels: Annotated[int | None, tyro.conf.arg(help="of --fake and --real: 1, 3 or 4")] = None,
    data_root: Annotated[Path | None, tyro.conf.arg(help="where named data sets lie")] = None,
    out: Annotated[Path | None, tyro.conf.arg(help="a .html (default: RUN/judge-seed-SEED.html)")] = None,
    device: Annotated[str, tyro.conf.arg(help="auto, cpu, cuda, cuda:1 or mps")] = "auto",
) -> None:
    """A page on which people tell real from generated: mulligan judge RUN, or --fake FOLDER --real FOLDER.

    Send the page to people. Each saves a results file; mulligan judge --score FILE FILE … gives the human error rate.
    """
    from ..core.errors import UserError

    if score is not None:
        if run or fake or real or reference or out:
            raise UserError("--score reads results files and needs nothing else: leave out RUN, --fake, --real, "
                            "--reference and --out")  # fmt: skip
        from ..assess.judgements import score_judgements, table

        print(table(score_judgements(score, seed)))
        return
    if run is None and fake is None and real is None:
        raise UserError(
            "nothing to judge: name a run folder (mulligan judge RUN), pictures of any program (--fake FOLDER "
            "--real FOLDER), or results to score (--score FILE)"
        )
    import sys

    from ..assess.judge import judge
    from ..verbs import parse_size

    made = judge(
        run, fake=fake, real=real, pairs=pairs, seconds=seconds, seed=seed, reference=reference, split=split,
        size=parse_size(size), channels=channels, data_root=data_root, device=device, out=out,
    )  # fmt: skip
    print("open it in a browser; `mulligan judge --score FILE` reads the results that it saves", file=sys.stderr)
    print(made)
