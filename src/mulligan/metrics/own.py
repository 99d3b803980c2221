"""An extractor without a download: a small classifier trained on the data set itself. Its numbers carry its name."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..core.errors import UserError
from ..core.game import Batch
from ..core.run import warn
from ..core.stream import Rows
from .classifier import SmallNet, default_steps, fit, look, untrained

LAYOUT = 1  # of the network, its training and the file: a higher one trains all of them again
SEED = 0


@dataclass
class Own:
    """An `Extractor`: the 64 features of a SmallNet before its last layer, and its logits where they name classes."""

    name: str
    sha256: str
    preprocessing: str
    shape: tuple[int, ...]
    labelled: bool
    net: SmallNet
    official: bool = False

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """uint8 pictures (n, C, H, W) to features (n, 64) and logits (n, classes) or None. Raises UserError."""
        if tuple(x.shape[1:]) != self.shape:
            raise UserError(
                f"the extractor {self.name} was trained on pictures {_sides(self.shape)} and can't look at "
                f"{_sides(tuple(x.shape[1:]))}: give both sides the same size and channels"
            )
        features, logits = look(self.net, x)
        return features, logits if self.labelled else None

    def floats(self, x: Tensor) -> Tensor:
        """Features of pictures that aren't rounded, in [-1, 1], for path lengths."""
        return self.net(x.float())[0]


@dataclass
class Points:
    """An `Extractor`: points float32 (n, d) are their own features."""

    name: str = "points"
    sha256: str = hashlib.sha256(b"points").hexdigest()
    preprocessing: str = "none: the coordinates themselves"
    official: bool = False

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        return x.to("cpu", torch.float32).flatten(1), None


def own_extractor(
    source: Rows,
    name: str,
    shape: tuple[int, ...],
    classes: int,
    fingerprint: str,
    cache: Path,
    device: torch.device | str = "cpu",
    progress: bool = True,
) -> Own:
    """The extractor of a data set, trained at the first call and read from `cache`/extractors afterwards.

    source: uint8 (C, H, W) as `shape`, with "y" where labelled. It learns to name the classes; without labels, or with
    fewer than two classes, by which of four turns a picture was turned (Gidaris et al. 2018), and then has no logits.
    It is trained on every second picture, so that the others, which it hasn't seen, tell how far new real ones lie
    away: below about a thousand pictures it knows its own by heart. A damaged file is trained again and a folder that
    can't be written is passed over, both with a warning.
    """
    labelled = classes >= 2 and "y" in source.gather(torch.zeros(1, dtype=torch.int64))
    outputs = classes if labelled else 4
    clean = re.sub(r"[^A-Za-z0-9_.-]+", "_", name) or "data"
    key = json.dumps([LAYOUT, fingerprint, list(shape), outputs, labelled])
    file = cache / "extractors" / f"{clean[:40]}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"
    net = untrained(shape, outputs)
    if not _read(file, net):
        net = _trained(source, outputs, labelled, device, f"extractor {clean}" if progress else "")
        _write(file, net)
    task = f"named {classes} classes" if labelled else "told four turns of a picture apart"
    words = (
        f"as they are, {_sides(shape)}, to [-1, 1]; a small classifier that {task} of every second picture of {clean}"
    )
    return Own(clean, digest(net), words, shape, labelled, net.to(device).eval())


def digest(net: torch.nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes of all weights and statistics."""
    total = hashlib.sha256()
    for name, value in _tensors(net).items():
        total.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
        total.update(value.numpy().tobytes())
    return total.hexdigest()


class Even:
    """Every second row, from the first one on."""

    def __init__(self, source: Rows) -> None:
        self.source = source

    def __len__(self) -> int:
        return (len(self.source) + 1) // 2

    def gather(self, indices: Tensor) -> Batch:
        return self.source.gather(2 * indices)


class Turned:
    """Each picture four times: as it is and turned by 90°, 180° and 270°, or mirrored where it isn't square.

    y says which of the four.
    """

    def __init__(self, source: Rows) -> None:
        self.source = source

    def __len__(self) -> int:
        return 4 * len(self.source)

    def gather(self, indices: Tensor) -> Batch:
        x, turn = self.source.gather(indices // 4)["x"], indices % 4
        for which in range(1, 4):
            x[turn == which] = turned(x[turn == which], which)
        return {"x": x, "y": turn}


def turned(x: Tensor, which: int) -> Tensor:
    """Pictures (n, C, H, W) by `which` quarter turns; without square ones: left-right, upside down, or both."""
    if x.shape[2] == x.shape[3]:
        return x.rot90(which, (2, 3))
    return x.flip([(), (3,), (2,), (2, 3)][which])


def _trained(source: Rows, outputs: int, labelled: bool, device: torch.device | str, title: str) -> SmallNet:
    from tqdm import tqdm

    if title:
        print(f"training the {title}, once: it is kept in the cache", file=sys.stderr, flush=True)
    # disable=None: no bar where stderr is a file
    with tqdm(desc=title, unit=" steps", file=sys.stderr, disable=None if title else True, leave=False) as bar:

        def report(step: int, steps: int) -> None:
            bar.total = steps
            bar.update()

        half = Even(source)
        rows, steps = half if labelled else Turned(half), default_steps(len(source))
        # Moved a little, so that the border of a picture doesn't tell how it was turned, and so that none is known by
        # heart: of new digits, 65 % lay among those that it has seen without that, 88 % with it.
        return fit(rows, None, outputs, seed=SEED, steps=steps, augment=("crop",), device=device, report=report)


def _tensors(net: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in sorted(net.state_dict().items())}


def _read(file: Path, net: SmallNet) -> bool:
    """Fill the network from the file where it is there and whole."""
    from safetensors import SafetensorError, safe_open

    if not file.is_file():
        return False
    try:
        with safe_open(file, "pt") as opened:
            noted = (opened.metadata() or {}).get("sha256")
            net.load_state_dict({name: opened.get_tensor(name) for name in opened.keys()})  # noqa: SIM118
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        warn(f"{file} is damaged ({str(error).splitlines()[0]}): the extractor is trained again")
        return False
    if noted != digest(net):
        warn(f"{file} is damaged (its SHA-256 isn't the one it names): the extractor is trained again")
        return False
    return True


def _write(file: Path, net: SmallNet) -> None:
    """The weights in one step: never a half-written file."""
    from safetensors.torch import save

    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as opened:
                opened.write(save(_tensors(net), {"sha256": digest(net)}))
                opened.flush()
                os.fsync(opened.fileno())
            os.replace(temporary, file)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        warn(f"the extractor can't be kept in {file.parent} ({error.strerror or error}): it is trained again next time")


def _sides(shape: tuple[int, ...]) -> str:
    return f"{shape[-1]}x{shape[-2]} with {shape[0]} channel{'s' * (shape[0] != 1)}" if len(shape) == 3 else str(shape)
