"""open_source: one word or path -> a Source."""

import difflib
from dataclasses import replace
from pathlib import Path

from mulligan.core.errors import UserError
from mulligan.data.arrays import array_source
from mulligan.data.cifar import cifar10
from mulligan.data.convert import convert
from mulligan.data.folder import folder_source, zip_source
from mulligan.data.mnist import SETS, idx_source, stacked_mnist
from mulligan.data.request import Request
from mulligan.data.source import Source, fingerprint_tensors
from mulligan.data.toys import TOYS, digits, toy

NAMES: tuple[str, ...] = ("digits", *TOYS, *SETS, "cifar10", "stacked_mnist")
SMALL = 1_000


def open_source(
    spec: str | Path,
    *,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    root: str | Path | None = None,
    cache: str | Path | None = None,
    max_bad: float = 0.01,
    split: str = "train",
    seed: int = 0,
    progress: bool = True,
    as_is: bool = False,
    labels: str | Path | None = None,
) -> Source:
    """Open a name from NAMES, a folder or .zip of pictures, or a .npy/.npz file; pictures are packed into a cache once.

    size: (height, width), by centre crop and antialiased resize. channels: 1, 3 or 4. root: where named sets lie.
    cache: folder of the packs. max_bad: share of unusable files that may be left out. split: "train" or "test", for
    named sets. seed: of the toy sets' draw. as_is: without a size, refuse a folder of different sizes instead of
    resizing it. labels: a CSV of labels for a folder or zip, by default its labels.csv where it has one; "none" leaves
    that aside. Raises UserError. A name wins over a folder of that name: write ./digits.
    """
    request = Request(size, channels, root, cache, max_bad, split, seed, progress, as_is, labels)
    name = str(spec).lower().replace("-", "_")
    _suits(name if name in NAMES else Path(spec).suffix.lower(), str(spec), request)
    source = _named(name, request) if name in NAMES else _from_path(Path(spec).expanduser(), str(spec), request)
    if name in NAMES and Path(spec).is_dir() and isinstance(spec, str):
        source.notes += (f'"{spec}" is the built-in set; for the folder of that name write ./{spec}',)
    if len(source.shape) == 3 and len(source) < SMALL:
        source.notes += (_few(len(source)),)
    return source


def _suits(kind: str, spec: str, request: Request) -> None:
    """Refuse what is for other kinds of data."""
    array = kind in (".npy", ".npz")
    if request.channels not in (None, 1, 3, 4) and not array:
        raise UserError(f"{request.channels} channels are impossible; take 1 (grey), 3 (RGB) or 4 (RGB and alpha).")
    if request.labels is not None and (array or kind in NAMES):
        place = "keep them as y in an .npz beside x" if array else "it has its own"
        raise UserError(f"--labels {request.labels} is for a folder or zip of pictures, not for {spec}: {place}.")


def _few(count: int) -> str:
    return (
        f"Only {count:,} pictures: a discriminator learns so few by heart. What helps: "
        "--stabilize.diffaugment color,translation,cutout, or fine-tuning a trained generator."
    )


def _named(name: str, request: Request) -> Source:
    if name in TOYS:
        if request.size is not None or request.channels is not None:
            raise UserError(f"{name} consists of points in the plane; --size and --channels are for pictures.")
        return toy(name, request.split, request.seed)
    if name == "digits":
        return _digits(request)
    if name == "cifar10":
        return cifar10(request)
    return stacked_mnist(request) if name == "stacked_mnist" else idx_source(name, request)


def _digits(request: Request) -> Source:
    _only_train("digits", request)
    source = digits()
    if request.size is None and request.channels is None:
        return source
    import torch

    x = torch.from_numpy(convert(source.tensors["x"].numpy(), request.size, request.channels))
    tensors = {**source.tensors, "x": x.contiguous()}
    return replace(source, tensors=tensors, fingerprint=fingerprint_tensors(tensors))


def _only_train(what: str, request: Request) -> None:
    if request.split != "train":
        raise UserError(f"{what} has no {request.split} split; put other pictures into a folder of their own.")


def _from_path(path: Path, spec: str, request: Request) -> Source:
    suffix = path.suffix.lower()
    if not path.exists():
        raise UserError(_missing(path, spec))
    if path.is_file() and suffix in (".npy", ".npz"):
        return array_source(path, request)
    _only_train(spec, request)
    if path.is_dir():
        return folder_source(path, request)
    if path.is_file() and suffix == ".zip":
        return zip_source(path, request)
    raise UserError(
        f"{spec} is neither a folder of pictures, nor a .zip, .npy or .npz file. "
        "A single picture is no data set: give the folder. Other archives: unpack them first. Pickles are never read."
    )


def _missing(path: Path, spec: str) -> str:
    near = difflib.get_close_matches(spec.lower().replace("-", "_"), NAMES, n=1, cutoff=0.6)
    guess = f'Did you mean "{near[0]}"? ' if near else ""
    if path.suffix or len(path.parts) > 1:
        parent = next(p for p in (*path.absolute().parents,) if p.exists())
        return f"There is no {spec}: the path ends at {parent}. {guess}Check the spelling of --data."
    return f'There is no data set and no path "{spec}". {guess}The named sets are: {", ".join(NAMES)}.'
