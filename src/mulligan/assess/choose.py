"""Which extractor looks: the official Inception, one trained on the data themselves, or a module of the user's own."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import torch

from ..core.errors import UserError
from ..data.mnist import Stacked
from ..data.pack import cache_root
from ..data.source import Source
from ..metrics.channelwise import Channelwise
from ..metrics.extractors import Extractor
from ..metrics.inception import Inception, inception
from ..metrics.module import module_extractor
from ..metrics.own import Points, own_extractor
from .team import Team

Say = Callable[[str], None]


def choose(
    kind: str,
    source: Source,
    engine: Team,
    *,
    weights: Path | None = None,
    cache: Path | None = None,
    say: Say = print,
) -> Extractor:
    """`auto`, `inception`, `own`, or `net.py:make`; points are their own features. Raises UserError.

    auto is the official Inception where torch-fidelity and its weights are there, else the extractor trained on the
    data, which is said. One process trains it, the others read what it has kept.
    """  # fmt: skip
    root = cache_root(cache)
    if len(source.shape) == 1:
        if kind not in ("auto", "points", "own"):
            raise UserError(f"--extractor {kind} looks at pictures, but {source.name} consists of points")
        return Points()
    if ":" in kind or kind.endswith((".py", ".pt", ".pth")):
        return module_extractor(kind, engine.device)
    if kind not in ("auto", "inception", "own"):
        raise UserError(f"--extractor {kind!r}: take auto, inception, own, or a module of yours such as net.py:make")
    if kind == "inception" or weights is not None:
        if kind == "own":
            raise UserError("--extractor own takes no --weights: leave one of them out")
        return first_alone(engine, lambda: inception(weights, root, engine.device, progress=engine.rank == 0))
    if kind == "auto" and (found := _official(root, engine.device, say)):
        return found
    return first_alone(engine, lambda: own(source, root, engine))


def _official(root: Path, device: torch.device, say: Say) -> Inception | None:
    if importlib.util.find_spec("torch_fidelity") is None:
        say("no FID: the official Inception needs torch-fidelity (pip install 'mulligan[metrics]')")
        return None
    try:
        return inception(None, root, device, download=False)
    except UserError as error:
        say(f"no FID: {str(error).splitlines()[0].rstrip(':')} … --extractor inception fetches them")
        return None


def own(source: Source, root: Path, engine: Team) -> Extractor:
    """The extractor that is trained on the source; on stacked digits, one for digits looks at each channel."""
    if isinstance(source, Stacked):
        return Channelwise(own(source.digits, root, engine), 3)
    return own_extractor(
        source, source.name, source.shape, len(source.classes), source.fingerprint, root, engine.device,
        progress=engine.rank == 0,
    )  # fmt: skip


def first_alone(engine: Team, make: Callable[[], Extractor]) -> Extractor:
    """Rank 0 makes it while the others wait; then they do, from what rank 0 has kept."""
    made = make() if engine.rank == 0 else None
    engine.agree(True)
    return made or make()
