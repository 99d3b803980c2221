"""mulligan invert RUN photo.jpg"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro

arg = tyro.conf.arg


def command(
    run: Annotated[Path, tyro.conf.Positional, arg(metavar="RUN", help="run folder")],
    photos: Annotated[tuple[Path, ...], tyro.conf.Positional, arg(metavar="PHOTO", help="picture files")],
    space: Annotated[
        Literal["auto", "w", "w+", "z"],
        arg(help="w+: a style for each layer; w: one for all; z: latents of a run without styles; auto: w+ or z"),
    ] = "auto",
    steps: Annotated[int, arg(help="of Adam, for each photo")] = 300,
    refine: Annotated[int, arg(help="of L-BFGS after them; 0 for none")] = 200,
    label: Annotated[str | None, arg(help="class number or name, on a run with labels; all are tried if none")] = None,
    compare: Annotated[
        Literal["auto", "lpips", "critic", "pixels"],
        arg(help="beside pixels: lpips, or the run's own discriminator; auto: lpips with --heads, else it"),
    ] = "auto",
    perceptual: Annotated[float, arg(help="weight of what is compared beside pixels")] = 0.1,
    lpips_net: Annotated[Literal["alex", "vgg", "squeeze"], arg(help="the network of LPIPS")] = "vgg",
    trunk: Annotated[Path | None, arg(help="its ImageNet weights, if not in torch.hub's folder")] = None,
    heads: Annotated[Path | None, arg(help="the authors' heads of LPIPS v0.1, such as vgg.pth")] = None,
    video: Annotated[Literal["gif", "webp", "mp4", "webm", "no"], arg(help="the way there as a video")] = "gif",
    seed: Annotated[int, arg(help="of where the search starts")] = 0,
    out: Annotated[Path | None, arg(aliases=("-o",), help="a folder (default: RUN/inverted-PHOTO)")] = None,
    device: Annotated[str, arg(help="auto, cpu, cuda, cuda:1 or mps")] = "auto",
) -> None:
    """What the generator must be given to make a photo again: styles or latents, as near as it comes.

    What is found is saved, and can be given wherever a seed can: mulligan mix RUN --rows RUN/inverted-me/w.safetensors
    """
    from tqdm import tqdm

    from ..edit.invert import invert
    from ..edit.looks import looks
    from ..edit.photos import keep, place, read_photos
    from ..verbs import load
    from .writing import writing

    experiment = load(run, device)
    pictures = read_photos(experiment, photos)
    folder = place(experiment, photos, out, video)
    by = looks(experiment, compare, perceptual, lpips_net, trunk, heads)
    print(f"compares by {by.name}")
    total = len(pictures) * (steps + refine)
    with tqdm(total=total, unit="step", disable=None, dynamic_ncols=True) as bar:

        def show(done: int, loss: float, near: float) -> None:
            bar.set_postfix_str(f"loss {loss:.3g} PSNR {near:.1f} dB", refresh=False)
            bar.update(done - bar.n)

        found = invert(
            experiment, pictures, space=space, steps=steps, refine=refine, label=label, seed=seed, by=by, show=show
        )
    names = [photo.stem for photo in photos]
    with writing(folder):
        keep(experiment, found, names, folder, video)
    for i, (name, near, start) in enumerate(zip(names, found.psnr.tolist(), found.start.tolist(), strict=True)):
        told = f", label {experiment.classes[int(found.y[i])]}" if found.y is not None and experiment.classes else ""
        print(f"{name}: PSNR {near:.1f} dB in {found.space}, from {start:.1f} dB at the start{told}")
    print(folder)
