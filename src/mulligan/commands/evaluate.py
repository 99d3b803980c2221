"""mulligan evaluate"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro

Positional = tyro.conf.Positional
arg = tyro.conf.arg
KEYS = (
    "fid, fid_inf, kid, is, pr, dc, mind, msssim, lpips, ppl, modes, stacked, classes, intra, memorisation, cas, "
    "psnr, ssim"
)
"""As on the shelf, which is not read for a line of help; a test holds both together."""


def command(
    run: Annotated[Path | None, Positional, arg(metavar="RUN", help="run folder; or --fake and --real")] = None,
    metrics: Annotated[str, arg(help=f"with commas, of: {KEYS} (default: fid,kid,pr,dc)")] = "",
    fake: Annotated[str | None, arg(help="pictures made by any program: folder, zip, .npy, .npz")] = None,
    real: Annotated[str | None, arg(help="real pictures to hold them against")] = None,
    reference: Annotated[str | None, arg(help="real data for a run, instead of its own")] = None,
    held_out: Annotated[
        str | None, arg(help="real data never trained on (default: the test split of a named set)")
    ] = None,
    split: Annotated[str, arg(help="train or test, of named sets")] = "train",
    count: Annotated[int | None, arg(help="samples (default: 10,000; 50,000 for the official Inception)")] = None,
    real_count: Annotated[int | None, arg(help="real samples (default: all)")] = None,
    repeats: Annotated[int, arg(help="evaluations with fresh samples, for the standard error")] = 3,
    extractor: Annotated[str, arg(help="auto, inception, own, or a module such as net.py:make")] = "auto",
    weights: Annotated[Path | None, arg(help="weight file of the official Inception")] = None,
    trunk: Annotated[
        Path | None, arg(help="torchvision's weights of LPIPS' network (default: torch.hub's folder)")
    ] = None,
    heads: Annotated[Path | None, arg(help="the v0.1 heads of LPIPS for that network")] = None,
    lpips_net: Annotated[Literal["alex", "vgg", "squeeze"], arg(help="which network it is")] = "alex",
    checkpoint: Annotated[str, arg(help="newest, best, or a file name")] = "newest",
    live: Annotated[bool, arg(help="the weights as trained instead of their moving average")] = False,
    truncation: Annotated[float, arg(help="factor on the latents; 1 is off")] = 1.0,
    size: Annotated[str | None, arg(help="for --fake and --real: one side, or height x width")] = None,
    channels: Annotated[int | None, arg(help="for --fake and --real: 1, 3 or 4")] = None,
    out: Annotated[Path | None, arg(help="a file of JSON lines that the scores are added to")] = None,
    seed: int = 0,
    batch: Annotated[int, arg(help="pictures at a time; it doesn't change the scores")] = 64,
    device: Annotated[str, arg(help="auto, cpu, cuda, cuda:1 or mps")] = "auto",
    data_root: Annotated[Path | None, arg(help="where named data sets lie")] = None,
    cache: Annotated[Path | None, arg(help="where statistics, extractors and packed pictures are kept")] = None,
    max_bad: Annotated[float, arg(help="share of unreadable images that may be left out")] = 0.01,
) -> None:
    """Scores of a run, or of pictures made by any program, each with its error, its floor and its protocol."""
    from ..assess import protocol
    from ..assess.evaluate import evaluate
    from ..assess.how import How
    from ..assess.score import NOT_FID, table
    from ..verbs import parse_size

    how = How(count, real_count, extractor, weights, trunk, heads, lpips_net, repeats, seed, batch)
    keys = [key for key in metrics.replace(" ", ",").split(",") if key]
    scores = evaluate(
        run, metrics=keys, fake=fake, real=real, reference=reference, held_out=held_out, split=split,
        size=parse_size(size), channels=channels, truncation=truncation, checkpoint=checkpoint, live=live,
        device=device, data_root=data_root, cache=cache, max_bad=max_bad, how=how, out=out,
    )  # fmt: skip
    if not scores:
        return  # a rank above 0
    print(table(scores))
    print("\n" + "\n".join(protocol.lines(max((s.protocol for s in scores), key=lambda p: len(p["extractor"])))))
    if any(score.note == NOT_FID for score in scores):
        print(f"{NOT_FID}: another network looked. Compare only with numbers of the same name and protocol.")
    for score in scores:
        if score.metric in ("classes", "intra") and score.details:
            print(f"{score.metric:<10} " + ", ".join(f"{name}: {value:.4g}" for name, value in score.details.items()))
    if any(score.metric == "memorisation" for score in scores) and run is not None:
        print(f"pairs      {run / 'memorisation.png'}")
    for path in filter(None, (run and run / "scores.jsonl", out)):
        print(f"appended   {path}")
