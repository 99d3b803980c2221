"""LPIPS v0.1: how different two pictures look to a trained network (Zhang et al. 2018, "lin" variant)."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from ..core.errors import UserError
from .inception import full_precision

Net = Literal["alex", "vgg", "squeeze"]
TRUNKS: dict[Net, str] = {
    "alex": "alexnet-owt-7be5be79.pth",
    "vgg": "vgg16-397923af.pth",
    "squeeze": "squeezenet1_1-b8a52dc0.pth",
}
"""torchvision's ImageNet networks; behind the dash are the first 8 digits of the file's SHA-256."""
HEADS: dict[Net, str] = {
    "alex": "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
    "vgg": "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
    "squeeze": "4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76",
}
"""SHA-256 of the learned weights of v0.1 in the authors' repository."""
TAPS: dict[Net, tuple[int, ...]] = {
    "alex": (1, 4, 7, 9, 11),
    "vgg": (3, 8, 15, 22, 29),
    "squeeze": (1, 4, 7, 9, 10, 11, 12),
}
"""Layers of the trunk that are compared, each behind its ReLU."""
SMALLEST: dict[Net, int] = {"alex": 31, "vgg": 16, "squeeze": 17}
"""Pixels that leave at least one after the last pooling."""
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
EPSILON = 1e-10
MOST = 1 << 19
"""Pixels of pictures at a time."""


class Fire(nn.Module):
    """SqueezeNet's block: a narrow layer of 1×1, then 1×1 and 3×3 side by side (Iandola et al. 2016)."""

    def __init__(self, before: int, narrow: int, wide: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(before, narrow, 1)
        self.expand1x1 = nn.Conv2d(narrow, wide, 1)
        self.expand3x3 = nn.Conv2d(narrow, wide, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze(x).relu()
        return torch.cat([self.expand1x1(x), self.expand3x3(x)], 1).relu()


class Trunk(nn.Module):
    """The convolutional part of AlexNet, VGG-16 or SqueezeNet 1.1, its parameters named as torchvision names them."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.features, self.taps = nn.Sequential(*_layers(net)), TAPS[net]

    def forward(self, x: Tensor) -> Iterator[Tensor]:
        for at, layer in enumerate(self.features):
            x = layer(x)
            if at in self.taps:
                yield x


def _layers(net: Net) -> Iterator[nn.Module]:
    if net == "alex":
        for before, after, kernel, stride, padding, pool in (
            (3, 64, 11, 4, 2, True), (64, 192, 5, 1, 2, True), (192, 384, 3, 1, 1, False), (384, 256, 3, 1, 1, False),
            (256, 256, 3, 1, 1, False),
        ):  # fmt: skip
            yield from (nn.Conv2d(before, after, kernel, stride, padding), nn.ReLU())
            if pool:
                yield nn.MaxPool2d(3, 2)
    elif net == "vgg":
        before = 3
        for block, (after, deep) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))):
            if block:
                yield nn.MaxPool2d(2)
            for _ in range(deep):
                yield from (nn.Conv2d(before, after, 3, padding=1), nn.ReLU())
                before = after
    else:
        yield from (nn.Conv2d(3, 64, 3, 2), nn.ReLU())
        for before, narrow, wide, pool in (
            (64, 16, 64, True), (128, 16, 64, False), (128, 32, 128, True), (256, 32, 128, False),
            (256, 48, 192, True), (384, 48, 192, False), (384, 64, 256, False), (512, 64, 256, False),
        ):  # fmt: skip
            if pool:
                yield nn.MaxPool2d(3, 2, ceil_mode=True)
            yield Fire(before, narrow, wide)


class Lpips:
    """A distance between pictures. Made by `lpips`.

    `sha256` is that of the trunk's file; `official` is True where it is torchvision's, and only then is `name` plain.
    """

    preprocessing = "grey repeated to 3 channels; [-1, 1], per channel minus -.030, -.088, -.188 over .458, .448, .450"

    def __init__(
        self, net: Net, trunk: Trunk, heads: list[Tensor], sha256: str, device: torch.device, official: bool
    ) -> None:
        self.net: Net = net
        self.sha256, self.device, self.official = sha256, device, official
        self.name = f"lpips_{net}" if official else f"distance_{net}@{sha256[:8]}"
        self.trunk = trunk.to(device).eval().requires_grad_(False)
        self.roots = [head.to(device).sqrt() for head in heads]
        self.shift, self.scale = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (SHIFT, SCALE))

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """The distance (n,), at least 0, of pictures a, b (n, C, H, W) in [-1, 1], C 1 or 3, on the network's device.

        Slopes reach a and b. Raises UserError for other shapes and for pictures too small for the trunk.
        """
        if a.shape != b.shape:
            raise UserError(f"pictures to compare must have one shape, not {tuple(a.shape)} and {tuple(b.shape)}")
        at_once = max(1, MOST // max(1, a.shape[2:].numel()))
        parts = zip(a.split(at_once), b.split(at_once), strict=True)
        return torch.cat([self._distance(x, y) for x, y in parts])

    def _distance(self, a: Tensor, b: Tensor) -> Tensor:
        with full_precision(self.device):
            layers = zip(self._weighted(a), self._weighted(b), strict=True)
            return torch.stack([(x - y).square().flatten(1).sum(1) for x, y in layers]).sum(0)

    def features(self, x: Tensor) -> Tensor:
        """Vectors (n, F) of pictures (n, C, H, W) in [-1, 1] whose squared Euclidean distance is LPIPS.

        F grows with the pictures: VGG-16 has 122 numbers for each pixel. Raises UserError as the distance does.
        """
        with full_precision(self.device):
            return torch.cat([layer.flatten(1) for layer in self._weighted(x)], 1)

    def _weighted(self, x: Tensor) -> Iterator[Tensor]:
        """Each layer, of unit length over channels, times the roots of its weights and of one over its positions."""
        if x.dim() != 4 or x.shape[1] not in (1, 3) or not x.is_floating_point():
            raise UserError(
                "LPIPS compares pictures (n, C, H, W) of 1 or 3 channels in [-1, 1], not "
                f"{str(x.dtype).removeprefix('torch.')} of shape {tuple(x.shape)}"
            )
        if min(x.shape[2:]) < SMALLEST[self.net]:
            fits = [net for net, side in SMALLEST.items() if min(x.shape[2:]) >= side]
            raise UserError(
                f"LPIPS with {self.net} needs sides of {SMALLEST[self.net]} pixels or more, and these pictures have "
                f"{x.shape[2]}x{x.shape[3]}: enlarge them" + (f", or take {' or '.join(fits)}" if fits else "")
            )
        x = (x.to(self.device, torch.float32).expand(-1, 3, -1, -1) - self.shift) / self.scale
        for layer, root in zip(self.trunk(x), self.roots, strict=True):
            length = layer.square().sum(1, keepdim=True).sqrt()
            yield layer / (length + EPSILON) * root / layer.shape[2:].numel() ** 0.5


def lpips(net: Net, trunk: Path | None, heads: Path, device: torch.device) -> Lpips:
    """LPIPS v0.1 from torchvision's trunk (None: where `find_trunk` finds it) and the authors' heads.

    heads: `lpips/weights/v0.1/alex.pth` and the like of github.com/richzhang/PerceptualSimilarity. A trunk that is
    given may be another one of the same layers: `sha256` says which. Raises UserError for files that don't fit.
    """
    state, sha256 = _tensors(trunk or find_trunk(net), "trunk")
    learned, digest = _tensors(heads, "heads")
    if digest != HEADS[net]:
        raise UserError(f"{heads} isn't the head of LPIPS v0.1 for {net}: SHA-256 {digest}, expected {HEADS[net]}")
    with torch.random.fork_rng(devices=[]):
        network = Trunk(net)
    try:
        network.load_state_dict({name: value for name, value in state.items() if name.startswith("features.")})
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"{trunk} doesn't fit {net}: it must be torchvision's {TRUNKS[net]} or like it ({reason})"
        ) from error
    weights = [learned[f"lin{i}.model.1.weight"] for i in range(len(TAPS[net]))]
    return Lpips(net, network, weights, sha256, device, sha256.startswith(_prefix(net)))


def find_trunk(net: Net) -> Path:
    """torchvision's file in torch.hub's folder. Raises UserError where it isn't there or isn't what its name says."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / TRUNKS[net]
    address = f"https://download.pytorch.org/models/{path.name}"
    if not path.is_file():
        raise UserError(f"LPIPS with {net} needs torchvision's {path.name}: download {address} to {path}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(_prefix(net)):
        raise UserError(
            f"{path} is damaged or another file: its SHA-256 {digest} doesn't begin with {_prefix(net)}. "
            f"Download {address} anew"
        )
    return path


def _prefix(net: Net) -> str:
    return TRUNKS[net].removesuffix(".pth").rpartition("-")[2]


def _tensors(path: Path, what: str) -> tuple[dict[str, Tensor], str]:
    """The tensors of a file and its SHA-256, from one reading."""
    if not path.is_file():
        raise UserError(f"the {what} of LPIPS, {path}, isn't there")
    data = path.read_bytes()
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # every reader fails with a class of its own
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"the {what} of LPIPS, {path}, can't be read as plain tensors: {reason}") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"the {what} of LPIPS, {path}, is not a state_dict: it must hold names and tensors")
    return state, hashlib.sha256(data).hexdigest()
