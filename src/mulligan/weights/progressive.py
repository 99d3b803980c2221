"""facebookresearch/pytorch_GAN_zoo (BSD): our progressively grown networks from the arguments and entries of theirs,
or from a file.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from mulligan.core.errors import UserError
from mulligan.nets.progressive import FINE, LEAK, Deviation, Discriminator, Generator

from .found import Found, imported
from .pickled_values import Stub
from .reading import Weights, shown
from .stylegan2 import Arguments, renamed

LAYOUT = "progressive networks of facebookresearch/pytorch_GAN_zoo (.pth: config, netG, netD, avgG)"
MOST = 10
"""Sizes."""
USUAL: dict[str, tuple[Any, ...]] = {
    "leakyReluLeak": (LEAK,), "perChannelNormalization": (True,), "equalizedlR": (True,), "lossCriterion": ("WGANGP",),
    "categoryVectorDim": (0,), "attribKeysOrder": (None, {}),
}  # fmt: skip
"""What their configuration may say for our recipe to build it."""

LAYER = {"leakyReluLeak": "leak", "equalizedlR": "equalized", "initBiasToZero": "zero"}
ENDINGS = {None: "linear", "tanh": "tanh"}
NAMES = (
    (r"formatLayer", "project"),
    (r"groupScale0\.0", "first"),
    (r"scaleLayers\.(\d+)\.(\d+)", r"blocks.\1.\2"),
    (r"toRGBLayers\.(\d+)", r"paint.sizes.\1"),
    (r"fromRGBLayers\.(\d+)", r"see.\1"),
    (r"groupScaleZero\.0", "conv"),
    (r"groupScaleZero\.1", "dense"),
    (r"decisionLayer", "decide"),
)
"""Their layers and ours."""


def rename(key: str) -> str:
    """Our name of an entry of their state; one that we don't know stays as it is, and finds no place."""
    for theirs, ours in NAMES:
        if match := re.fullmatch(rf"{theirs}\.module\.(weight|bias)", key):
            return f"{match.expand(ours)}.{match[match.re.groups]}"
    return key


def _split(theirs: Arguments) -> tuple[Arguments, list[int], int]:
    """Other arguments, the widths of all sizes, and the side of the largest picture; they keep 4 pixels as the first.

    `scales` are the widths they add one by one after the network is made.
    """
    given = dict(theirs)
    widths = [given.pop("depthScale0"), *given.pop("scales", ())]
    return given, widths, 4 << (len(widths) - 1)


def _ending(activation: Any) -> str:
    """Theirs is a function, which a configuration can only name."""
    return ENDINGS[activation.rpartition(".")[2] if isinstance(activation, str) else activation]


def generator(theirs: Arguments) -> Generator:
    """From the arguments of their GNet and its scales."""
    given, widths, side = _split(theirs)
    latent, channels = given.pop("dimLatent"), given.pop("dimOutput", 3)
    ending = _ending(given.pop("generationActivation", None))
    layer = renamed(given, {**LAYER, "normalization": "normalized"})
    return Generator(latent, (channels, side, side), widths, ending=ending, whole=True, **layer)  # type: ignore[arg-type]


def discriminator(theirs: Arguments) -> Discriminator:
    """From the arguments of their DNet and its scales; one leak serves every layer."""
    given, widths, side = _split(theirs)
    channels, outputs = given.pop("dimInput", 3), given.pop("sizeDecisionLayer", 1)
    deviation = Deviation() if given.pop("miniBatchNormalization", False) else None
    layer = {"leak": 0.2, **renamed(given, LAYER)}
    return Discriminator(
        (channels, side, side), widths, outputs=outputs, sees=layer["leak"], deviation=deviation, whole=True, **layer
    )


def recognise(weights: Weights) -> Found | None:
    """The generator in a file, averaged if it is there, or None. Raises UserError for one that ours can't be."""
    tensors, first = weights.tensors, "formatLayer.module.weight"
    held = next((name for name in ("avgG.", "netG.", "") if name + first in tensors), None)
    if held is None:
        return None
    config = _config(weights)
    try:
        G = scaled(tensors, held)
        widths, critic = _widths(G, "paint.sizes", 1), scaled(tensors, "netD.")
        latent, channels = G["project.weight"].shape[1], len(G["paint.sizes.0.bias"])
        level = len(widths) - 1 - _old(config, len(widths))
        if not built(critic, widths):
            critic = {}
    except (KeyError, IndexError, ValueError, TypeError) as error:  # entries that are missing, or of other shapes
        why = f"{error.args[0]} is missing" if isinstance(error, KeyError) else error
        raise UserError(f"{weights.path} holds no whole progressive network of pytorch_GAN_zoo ({why})") from error
    side, stage = 4 << (len(widths) - 1), {"stage": torch.tensor(round(level * FINE))}
    return Found(
        network="progressively grown generator",
        layout="facebookresearch/pytorch_GAN_zoo",
        recipe="progressive",
        arguments={"latent": latent, "growth.maps": widths},
        data=imported("unknown", (channels, side, side)),
        tensors={f"G.{name}": tensor for name, tensor in _nested(G, stage).items()},
        critic=_nested(critic, stage) if critic else {},
    )


def scaled(tensors: dict[str, Tensor], held: str) -> dict[str, Tensor]:
    """Entries under our names. Their constant scales a layer's biases as well, which ours has in their values."""
    ours = {rename(name.removeprefix(held)): tensor for name, tensor in tensors.items() if name.startswith(held)}
    for name in [name for name in ours if name.endswith(".bias")]:
        weight = ours[name.removesuffix("bias") + "weight"]
        ours[name] = ours[name] * (2 / weight[0].numel()) ** 0.5
    return ours


def built(critic: dict[str, Tensor], widths: list[int]) -> bool:
    """Whether our recipe makes this discriminator of it: as wide as G, with one logit and one feature of the batch."""
    return (
        bool(critic)
        and _widths(critic, "see", 0) == widths
        and len(critic["decide.bias"]) == 1
        and critic["conv.weight"].shape[1] == widths[0] + 1
    )


def _config(weights: Weights) -> Arguments:
    """What the file says about its networks. Raises UserError for what our recipe can't build."""
    config = weights.tree.get("config") if isinstance(weights.tree, dict) else None
    given = (config.state or {}) if isinstance(config, Stub) else {}
    for name, usual in USUAL.items():
        value = given.get(name, usual[0])
        if isinstance(value, Tensor) or value not in usual:
            raise UserError(f"{weights.path}: its networks have {name} {shown(repr(value))}, ours can't")
    return given


def _old(config: Arguments, sizes: int) -> float:
    """Their alpha: the part of the picture that the size before still has."""
    alpha = float(config.get("alpha", 0)) if sizes > 1 else 0.0
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha {alpha}")
    return alpha


def _widths(ours: dict[str, Tensor], layers: str, axis: int) -> list[int]:
    """Feature maps of each size, by the layers that paint or read pictures of it."""
    count = sum(re.fullmatch(rf"{layers}\.\d+\.weight", name) is not None for name in ours)
    if not 0 < count <= MOST:
        raise ValueError(f"{count} sizes")
    return [ours[f"{layers}.{i}.weight"].shape[axis] for i in range(count)]


def _nested(net: dict[str, Tensor], stage: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"net.{name}": tensor for name, tensor in net.items()} | stage
