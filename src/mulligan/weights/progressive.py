"""facebookresearch/pytorch_GAN_zoo: our progressively grown networks from the arguments and entries of theirs."""

from __future__ import annotations

import re
from typing import Any

from mulligan.nets.progressive import Deviation, Discriminator, Generator

from .stylegan2 import Arguments, renamed

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
