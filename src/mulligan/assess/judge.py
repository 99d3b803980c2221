"""People as the measure: a page on which they tell real from generated, and what their answers say.

After HYPE (Zhou et al. 2019, arXiv:1904.01121), with a time limit (HYPE_time) or without one (HYPE_infinity), but in
pairs: HYPE shows one picture at a time and averages the errors on real and on generated ones; here both stand side by
side and there is one error, the generated one taken for the real one. Guessing gives 50 % in both. The time limit is
fixed instead of a staircase per judge, and the mask is plain grey.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mulligan.core.errors import UserError
from mulligan.core.run import warn
from mulligan.data import Source, open_source
from mulligan.experiment import Experiment
from mulligan.media.image import over_white, to_pil
from mulligan.media.page import write_page

from .judgements import masked
from .judgements import score_judgements as score_judgements

PRACTICE = 3  # pairs before the counted ones


@dataclass(frozen=True)
class Shown:
    """What the page shows: equally many real and generated pictures (N,C,H,W), and in words where they are from."""

    real: Tensor
    fake: Tensor
    about: dict[str, Any]


def judge(
    run: str | Path | None = None,
    *,
    fake: str | Path | None = None,
    real: str | Path | None = None,
    pairs: int = 50,
    seconds: float = 1.0,
    seed: int = 0,
    reference: str | Path | None = None,
    split: str = "train",
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    data_root: str | Path | None = None,
    device: str = "auto",
    out: str | Path | None = None,
) -> Path:
    """Write a page that is one file, on which a person says which picture of each pair is real; its path.

    Of a run, whose own data are the real pictures unless `reference` names others; or of two sources `fake` and `real`,
    brought to `size` (height, width) and `channels` where they are given. seconds: how long a pair is seen, 0 for no
    limit. The same arguments and files give the same page, byte for byte. Raises UserError.
    """
    if pairs < 1:
        raise UserError(f"--pairs {pairs}: at least 1")
    if not 0 <= seconds <= 3600:
        raise UserError(f"--seconds {seconds:g}: give the seconds that a pair is seen, such as 1, or 0 for no limit")
    if run is not None:
        if fake or real or size or channels:
            raise UserError("a run has its own generated pictures and their size: leave out --fake, --real, --size and "
                            "--channels; other real pictures are named with --reference")  # fmt: skip
        experiment = Experiment(run, device)
        target = Path(out or experiment.path / f"judge-seed-{seed}.html")
    elif fake is None or real is None:
        missing = "--real" if fake else "--fake" if real else "RUN, or both --fake and --real,"
        raise UserError(f"{missing} is missing: name a run folder, or the generated and the real pictures")
    elif reference is not None:
        raise UserError("--reference is for a run; here --real names the real pictures")
    else:
        experiment, target = None, Path(out or f"judge-seed-{seed}.html")
    if target.suffix.lower() != ".html":
        raise UserError(f"--out {target}: name a .html")
    if experiment is not None:
        sides = _of_run(experiment, pairs, seed, reference, split, data_root)
    else:
        sides = _of_sources(str(fake), str(real), pairs, seed, split, size, channels, data_root)
    page = _page(sides, len(sides.real) - pairs, seconds, seed)
    try:
        return write_page(page, target)
    except OSError as error:
        raise UserError(f"can't write {target} ({error.strerror or error}): name another place with --out") from error


def _of_run(
    run: Experiment, pairs: int, seed: int, reference: str | Path | None, split: str, data_root: str | Path | None
) -> Shown:
    settings = run.settings()
    facts, shape = settings["data"], run.described.shape
    if len(shape) != 3:
        raise UserError(f"{run.path} makes points, and people judge pictures: `mulligan sample` draws them")
    wanted = reference if reference is not None else facts["source"]
    try:
        source = _opened(wanted, split=split, size=(shape[1], shape[2]), channels=shape[0], root=data_root)
    except UserError as error:
        raise UserError(
            f"{error}\nThese would be the real pictures: name them with --reference, or the folder of the named sets "
            "with --data-root."
        ) from error
    if reference is None and split == "train" and source.fingerprint != facts["fingerprint"]:
        warn(f"{wanted} has changed since {run.path} was trained on it; name the right data with --reference")
    count = _enough(pairs, source)
    rows = run.rows()
    images = max((row["images"] for row in rows if "images" in row), default=0)
    name = f"{run.path.resolve().name} ({settings['recipe'].rpartition('/')[2]}, {images:,} images)"
    # a labelled run makes its classes in turn, which would tell them from real ones
    order = torch.from_numpy(_draw(seed, 2).permutation(count))
    return Shown(_picked(source, count, seed, 1), run.sample(count, seed)[order], _about(name, source, split, shape))


def _of_sources(
    fake: str, real: str, pairs: int, seed: int, split: str,
    size: tuple[int, int] | None, channels: int | None, data_root: str | Path | None,
) -> Shown:  # fmt: skip
    theirs = _opened(fake, size=size, channels=channels, root=data_root)
    ours = _opened(real, split=split, size=size, channels=channels, root=data_root)
    for name, source in ((fake, theirs), (real, ours)):
        if len(source.shape) != 3:
            raise UserError(f"{name} consists of points, and people judge pictures")
    if theirs.shape != ours.shape:

        def told(shape: tuple[int, ...]) -> str:
            return f"{shape[1]}x{shape[2]} pixels with {shape[0]} channel{'s' * (shape[0] > 1)}"

        (c, h, w), (d, i, j) = theirs.shape, ours.shape
        advice = [f"--size {min(h, i)}x{min(w, j)}"] * ((h, w) != (i, j)) + [f"--channels {min(c, d)}"] * (c != d)
        raise UserError(f"{fake} has {told(theirs.shape)}, {real} has {told(ours.shape)}: bring both to one, for "
                        f"example with {' '.join(advice)}")  # fmt: skip
    count = min(_enough(pairs, theirs), _enough(pairs, ours))
    about = _about(theirs.name, ours, split, ours.shape)
    return Shown(_picked(ours, count, seed, 1), _picked(theirs, count, seed, 2), about)


def _opened(source: str | Path, **wishes: Any) -> Source:
    found = open_source(source, as_is=True, **wishes)
    for note in found.notes:
        if "discriminator" not in note:  # advice for training
            warn(f"{source}: {note}")
    return found


def _enough(pairs: int, source: Source) -> int:
    """The counted pairs and those for practice, as far as there are pictures for them; none is shown twice."""
    if pairs > len(source):
        raise UserError(f"--pairs {pairs}, but {source.name} has {len(source):,} pictures: ask for at most so many")
    return min(pairs + PRACTICE, len(source))


def _about(fake: str, source: Source, split: str, shape: tuple[int, ...]) -> dict[str, Any]:
    real = source.name if split == "train" else f"{source.name} ({split})"
    return {"fake": fake, "real": real, "shape": list(shape)}


def _picked(source: Source, count: int, seed: int, stream: int) -> Tensor:
    return source.gather(torch.from_numpy(_draw(seed, stream).permutation(len(source))[:count].copy()))["x"]


def _draw(seed: int, stream: int) -> np.random.Generator:
    return np.random.default_rng([seed % 2**63, stream])


def _page(sides: Shown, practice: int, seconds: float, seed: int) -> str:
    """The template with pictures, settings and key; its policy lets only this script and this style run."""
    count = len(sides.real)
    left = np.arange(count) % 2 == 0  # as many on either side, so that a favourite side neither helps nor harms
    real_left = np.concatenate(
        [_draw(seed, 3).permutation(left[:practice]), _draw(seed, 4).permutation(left[practice:])]
    )
    pairs = [
        [_png(real), _png(fake)] if first else [_png(fake), _png(real)]
        for real, fake, first in zip(sides.real, sides.fake, real_left, strict=True)
    ]
    about = {**sides.about, "seed": seed}
    made = json.dumps([pairs, practice, seconds, about], sort_keys=True)
    name = hashlib.sha256(made.encode()).hexdigest()[:32]
    key = "".join("L" if first else "R" for first in real_left[practice:])
    page = {
        "id": name, "key": base64.b64encode(masked(key.encode(), name)).decode(), "about": about, "seconds": seconds,
        "practice": practice, "size": list(sides.real.shape[2:]), "pairs": pairs,
    }  # fmt: skip
    text = resources.files("mulligan.assess").joinpath("judge.html").read_text(encoding="utf-8")
    for mark, tag in (("@@SCRIPT-HASH@@", "script"), ("@@STYLE-HASH@@", "style")):
        content = text.split(f"<{tag}>", 1)[1].split(f"</{tag}>", 1)[0]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        text = text.replace(mark, f"sha256-{digest}")
    return text.replace("@@PAGE@@", json.dumps(page).replace("<", "\\u003c"))


def _png(x: Tensor) -> str:
    """A picture (C,H,W) as text: 8 bits, transparency over white, no remarks inside that could tell it."""
    image, buffer = to_pil(x), io.BytesIO()
    (over_white(image) if image.mode == "RGBA" else image).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
