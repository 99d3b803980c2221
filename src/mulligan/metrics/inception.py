"""The Inception of the FID paper, as torch-fidelity has it: the one network whose distances may be called FID."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import io
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..core.errors import UserError
from .fetch import fetch

NAMES = ("weights-inception-2015-12-05-6726825d.pth", "pt_inception-2015-12-05-6726825d.pth")
"""torch-fidelity's and pytorch-fid's name of the same file."""
URLS = (
    f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{NAMES[0]}",
    f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{NAMES[1]}",
)
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
SIZE = 95_628_359
SIDE = 299
MOST = 32
"""Pictures at a time: some 30 MB each on their way through the network."""


class Inception:
    """An Extractor: pool features (n, 2048) and the logits without their bias (n, 1008), as the Inception score takes.

    Made by `inception`.
    """

    name = "inception"
    preprocessing = (
        "uint8; grey repeated to 3 channels, transparency laid on white; bilinear to 299x299 as in TensorFlow 1; "
        "(x - 128) / 128"
    )

    def __init__(self, network: nn.Module, sha256: str, device: torch.device) -> None:
        self.network, self.sha256, self.device = network.to(device), sha256, device
        self.official = sha256 == SHA256

    @torch.no_grad()
    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 pictures (n, C, H, W) of 1 to 4 channels to features and logits, float32 on the CPU.

        Raises UserError for anything else.
        """
        if x.dim() != 4 or x.dtype != torch.uint8 or not 1 <= x.shape[1] <= 4:
            raise UserError(
                "Inception looks at 8-bit pictures (n, C, H, W) of 1 to 4 channels, not at "
                f"{str(x.dtype).removeprefix('torch.')} of shape {tuple(x.shape)}: take another extractor"
            )
        at_once = max(1, min(MOST, MOST * SIDE**2 // (x.shape[2] * x.shape[3])))
        with full_precision(self.device):
            found = [self.network(coloured(part.to(self.device))) for part in x.split(at_once)]
        features, logits = (torch.cat([pair[i].cpu() for pair in found]) for i in range(2))
        return features, logits


def coloured(x: Tensor) -> Tensor:
    """uint8 pictures (n, C, H, W) of grey, grey and alpha, RGB or RGBA to RGB (n, 3, H, W): alpha laid on white."""
    if x.shape[1] in (2, 4):
        alpha = x[:, -1:].float() / 255
        x = (x[:, :-1] * alpha + 255 * (1 - alpha)).round().to(torch.uint8)
    return x.expand(-1, 3, -1, -1)


@contextlib.contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """float32 all the way: no TF32 in convolutions, no autocast, no algorithm chosen by the clock."""
    with (
        torch.autocast(device.type, enabled=False),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
    ):
        yield


def inception(
    weights: Path | None, cache: Path, device: torch.device, *, download: bool = True, progress: bool = True
) -> Inception:
    """The official network with the weights of a file, of the cache, of torch.hub's folder, or from the network.

    Raises UserError where torch-fidelity isn't installed, where the file's SHA-256 is another one, or where there is
    no such file and none may be downloaded. No byte is interpreted before its checksum is known to be right.
    """
    build = architecture()
    data = _given(weights) if weights else _found(cache, download, progress)
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        checked = io.BytesIO()
        torch.save({str(name): value.contiguous() for name, value in state.items()}, checked)
        checked.seek(0)
        # torch-fidelity unpickles without care: it gets what was just written here, never a path
        with torch.random.fork_rng(devices=[]):
            network = build("inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=checked)
    except Exception as error:  # every reader fails with a class of its own
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"the weights of Inception can't be read as plain tensors: {reason}") from error
    return Inception(network, hashlib.sha256(data).hexdigest(), device)


def architecture() -> Any:
    """torch-fidelity's class of the network, without the rest of the package, which needs a fitting torchvision.

    Raises UserError where torch-fidelity isn't installed.
    """
    package, module = "torch_fidelity", "torch_fidelity.feature_extractor_inceptionv3"
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UserError("Inception needs torch-fidelity, which isn't installed: pip install 'mulligan[metrics]'")
    with contextlib.nullcontext() if package in sys.modules else _bare(package, list(spec.submodule_search_locations)):
        try:
            return importlib.import_module(module).FeatureExtractorInceptionV3
        except (ImportError, AttributeError) as error:
            raise UserError(
                f"the installed torch-fidelity has no usable Inception ({error}): pip install 'mulligan[metrics]'"
            ) from error


@contextlib.contextmanager
def _bare(package: str, places: list[str]) -> Iterator[None]:
    """Inside, modules of a package can be imported without its __init__; afterwards nobody takes it for the whole."""
    stand_in = types.ModuleType(package)
    stand_in.__path__ = places
    sys.modules[package] = stand_in
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
            del sys.modules[name]


def _given(path: Path) -> bytes:
    """The bytes of the file that the user has named; never replaced by another."""
    path = path.expanduser()
    if not path.is_file():
        raise UserError(f"the weights {path} aren't a file that is there. They are {NAMES[0]}, from {URLS[0]}")
    data, length, digest = _read(path)
    if digest != SHA256:
        raise UserError(
            f"{path} is not the Inception of the FID paper: {length:,} bytes with SHA-256 {digest}, expected {SIZE:,} "
            f"bytes with {SHA256}. Take {NAMES[0]} from {URLS[0]}, or leave --weights out."
        )
    return data


def _found(cache: Path, download: bool, progress: bool) -> bytes:
    """The bytes of the first right file in the known folders, or of a download."""
    here = cache / "extractors"
    places = [here, Path(torch.hub.get_dir()) / "checkpoints"]
    wrong = ""
    for path in (place / name for place in places for name in NAMES):
        if path.is_file():
            data, length, digest = _read(path)
            if digest == SHA256:
                return data
            wrong += f"\n  {path} is passed over: {length:,} bytes with SHA-256 {digest}, expected {SHA256}"
    if not download:
        looked = "".join(f"\n  {place}" for place in places)
        raise UserError(
            f"the weights of Inception, {NAMES[0]} or {NAMES[1]}, are in neither of these folders:{looked}{wrong}\n"
            f"Put the file into one of them (from {URLS[0]}), or name it with --weights FILE."
        )
    data, _, digest = _read(fetch(URLS, here / NAMES[0], SHA256, SIZE, progress))
    if digest != SHA256:  # someone has changed it since
        raise UserError(f"{here / NAMES[0]} has SHA-256 {digest}, expected {SHA256}: remove it and try again")
    return data


def _read(path: Path) -> tuple[bytes, int, str]:
    """What a file holds, read once and no further kept than the right one is long; its length and SHA-256."""
    try:
        with path.open("rb") as file:
            data = file.read(SIZE + 1)
            digest, length = hashlib.sha256(data), len(data)
            while more := file.read(1 << 20):
                digest.update(more)
                length += len(more)
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror or error}") from error
    return data, length, digest.hexdigest()
