"""Files of w, taken wherever a seed is taken. w is what `Experiment.w` gives: styles, or else latents."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

import torch
from torch import Tensor

from ..core.errors import UserError
from ..experiment import Experiment

SUFFIX = ".safetensors"
HEADER = "mulligan_w"


def save_w(path: str | Path, w: Tensor, experiment: Experiment, y: Tensor | None = None) -> Path:
    """Write w (n, …), float32, with labels y where there are any; the path never holds a half-written file.

    The header says which run it is of. Raises UserError for another suffix, a wrong shape, and a refusing disk.
    """
    path = Path(path)
    if path.suffix != SUFFIX:
        raise UserError(f"{path}: w is saved as {SUFFIX}, name a file such as {path.stem}{SUFFIX}")
    _fits(w, experiment, path)
    facts = {"format": 1, "run": fingerprint(experiment), "recipe": experiment.settings()["recipe"]}
    facts |= {"shape": list(w.shape), "styled": styled(experiment)}
    tensors = {"w": w, **({} if y is None else {"y": y})}
    return save_tensors(path, tensors, {HEADER: json.dumps(facts)})


def save_tensors(path: Path, tensors: dict[str, Tensor], header: dict[str, str]) -> Path:
    """Write named tensors whole or not at all; makes the folder. Raises UserError where the disk refuses."""
    from safetensors.torch import save

    content = save({name: x.detach().cpu().contiguous() for name, x in tensors.items()}, header)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"can't write {path} ({error.strerror or error}): name another place with --out") from error
    finally:
        if temporary.parent.is_dir():
            temporary.unlink(missing_ok=True)
    return path


def load_w(path: str | Path, experiment: Experiment) -> Tensor:
    """w (n, …) of a file, float32 on the experiment's device; a single w without its first axis counts as n = 1.

    Raises UserError where the file isn't there, isn't one of w, or is of another shape than this generator takes.
    """
    return read_w(Path(path), experiment)[0]


def read_w(path: Path, experiment: Experiment) -> tuple[Tensor, Tensor | None]:
    """As `load_w`, and the labels (n,) or numbers (n, k) that were saved beside w, where this generator takes them."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise UserError(f"{path} isn't there: name a file that a command such as arithmetic or invert has saved")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys() if name in ("w", "y")}  # noqa: SIM118
            header = (file.metadata() or {}).get(HEADER, "")
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} can't be read as safetensors ({error}): name a file of w") from error
    if "w" not in tensors:
        raise UserError(f"{path} holds no tensor w: name a file that a command such as arithmetic or invert has saved")
    w = tensors["w"].float()
    if w.shape == shape_of(experiment):
        w = w[None]
    stranger = _of(header if header.isprintable() else "", experiment)
    _fits(w, experiment, path, stranger)
    if stranger:
        print(f"note: {path}: {stranger}, and w may mean something else here", file=sys.stderr)
    y = tensors.get("y")
    return w.to(experiment.device), None if y is None or not _told(y, w, experiment) else y.to(experiment.device)


def _told(y: Tensor, w: Tensor, experiment: Experiment) -> bool:
    """Whether labels of a file are ones that this generator takes."""
    like = experiment.some_labels(len(w))
    if like is None or y.shape != like.shape or y.is_floating_point() != like.is_floating_point():
        return False
    return y.is_floating_point() or bool(((y >= 0) & (y < len(experiment.classes))).all())


def _fits(w: Tensor, experiment: Experiment, path: Path, of: str = "") -> None:
    shape = shape_of(experiment)
    what = "styles (layers × entries)" if styled(experiment) else "latents"
    if w.shape[1:] != shape or len(w) == 0:
        raise UserError(
            f"{path}: w has the shape {'×'.join(map(str, w.shape))}, and {experiment.path} takes {what} of shape "
            f"n×{'×'.join(map(str, shape))}{of and '; '}{of}"
        )
    if not bool(w.isfinite().all()):
        raise UserError(f"{path}: w has values that are NaN or infinite: make it anew")


def _of(header: str, experiment: Experiment) -> str:
    """What to say of a file of another run; empty for one of this run, or without a word about it."""
    try:
        facts = json.loads(header)
        recipe = str(facts["recipe"])[:40]
        return f"it is of another run ({recipe})" if facts["run"] != fingerprint(experiment) else ""
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def shape_of(experiment: Experiment) -> torch.Size:
    """Of one w."""
    y = experiment.some_labels(1)
    return experiment.w(experiment.latents(1), y).shape[1:]


def styled(experiment: Experiment) -> bool:
    """Whether w are styles of each layer, not the latents themselves."""
    return bool(getattr(experiment.sampler, "styled", False))


def fingerprint(experiment: Experiment) -> str:
    """Which run this is: its recipe, arguments, seed and data, whatever checkpoint; 16 hex digits."""
    settings = experiment.settings()
    kept = {key: settings.get(key) for key in ("recipe", "sha256", "arguments", "seed")}
    kept |= {"data": settings["data"].get("fingerprint"), "imported": (settings.get("imported") or {}).get("sha256")}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]
