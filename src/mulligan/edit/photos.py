"""Picture files in, for a run to make again, and what came of it out."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..core.errors import UserError
from ..experiment import Experiment
from ..media.decode import MODES, BadImage, decode, fit
from ..media.image import save_png, to_pil
from ..media.video import check_video, save_video
from .files import save_w
from .invert import Inverted
from .sheet import needs_pictures, sheet

Video = Literal["gif", "webp", "mp4", "webm", "no"]
FPS = 12


def read_photos(experiment: Experiment, paths: Sequence[Path]) -> Tensor:
    """Picture files as the run's data: (n, C, H, W) in [-1, 1], turned upright, cropped to its shape and resized.

    Raises UserError naming the file for one that can't be read, and for a run that doesn't make grey, RGB or RGBA.
    """
    needs_pictures(experiment, "invert")
    channels, height, width = experiment.described.shape
    if channels not in MODES:
        raise UserError(f"{experiment.path} makes pictures of {channels} channels, and photos have 1, 3 or 4 of them")
    if not paths:
        raise UserError("no picture to invert: name one or more files behind the run")
    return torch.stack([_read(path, channels, (height, width)) for path in paths])


def _read(path: Path, channels: int, size: tuple[int, int]) -> Tensor:
    if path.is_dir():
        raise UserError(f"{path} is a folder: name the pictures in it, such as {path}/*.png")
    try:
        pixels = np.array(fit(decode(path, channels=channels, at_least=size), size))
    except BadImage as error:
        raise UserError(f"{path} can't be inverted: {error}") from error
    return torch.from_numpy(pixels.reshape(*size, channels)).permute(2, 0, 1) / 127.5 - 1


def place(experiment: Experiment, paths: Sequence[Path], out: Path | None, video: Video) -> Path:
    """The folder for what comes of these files (default: RUN/inverted-NAME). Raises UserError where it can't be one."""
    more = f"-and-{len(paths) - 1}-more" if len(paths) > 1 else ""
    folder = out or experiment.path / f"inverted-{paths[0].stem[:60]}{more}"
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out {folder} is a file: name a folder")
    if video != "no":
        check_video(folder / f"way.{video}", FPS)
    return folder


def keep(experiment: Experiment, found: Inverted, names: Sequence[str], folder: Path, video: Video = "gif") -> Path:
    """Write `w.safetensors`, `picture.png` (targets beside results), `result.png`, and the way there as `way.gif`.

    Of several pictures, results are `result-NAME.png`. A new folder appears whole or not at all; in one that exists,
    files of these names are replaced. Gives the folder. Raises OSError, and UserError as `save_w` and `check_video` do.
    """
    with _whole(folder) as made:
        save_w(made / "w.safetensors", found.w, experiment, found.y)
        for name, x in zip(_results(names), found.picture, strict=True):
            save_png(to_pil(x), made / name)
        rows = [list(pair) for pair in zip(found.target, found.picture, strict=True)]
        beside = [f"{name[:24]} {near:.1f} dB" for name, near in zip(names, found.psnr.tolist(), strict=True)]
        save_png(sheet(rows, beside, ["target", "result"]), made / "picture.png")
        if video != "no" and len(found.frames):
            save_video(_way(found), made / f"way.{video}", FPS)
    return folder


def _results(names: Sequence[str]) -> list[str]:
    if len(names) == 1:
        return ["result.png"]
    twice = {name for name in names if list(names).count(name) > 1}
    return [f"result-{name}{f'-{i}' if name in twice else ''}.png" for i, name in enumerate(names, 1)]


def _way(found: Inverted) -> Iterator[Image.Image]:
    """Targets beside what was made of them so far; the last frame stays for a second."""
    small = torch.nn.functional.interpolate(found.target, found.frames.shape[-2:], mode="area")
    for frame in [*found.frames, *[found.frames[-1]] * FPS]:
        so_far = frame.float() / 127.5 - 1
        yield sheet([list(pair) for pair in zip(small, so_far, strict=True)], [""] * len(small), ["target", "so far"])


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """A folder to write into, which takes its place, or whose files do, when all is written."""
    parent = folder.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=parent))
    try:
        yield made
        made.chmod(0o755)
        if folder.exists():
            for file in sorted(made.iterdir()):
                os.replace(file, folder / file.name)
        else:
            os.replace(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
