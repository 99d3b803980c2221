"""mimicry's residual generators (netG_N_steps.pth, MIT) of 32, 48, 64 and 128 pixels.

Those of SNGAN, WGAN-GP, SSGAN and InfoMax-GAN are one network, which a file doesn't tell apart: they come in as
`sngan`, and conditional ones, of cGAN-PD, as `projection`.
"""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from mulligan.core.errors import UserError

from .found import Found, imported
from .reading import Weights, shape

LAYOUT = "a residual generator of mimicry (l1.weight, block2.c1.weight, …)"
STATE = "model_state_dict."
"""Before the names in a checkpoint, which has the optimizer's beside them."""
LAYERS = {"c1": "conv1", "c2": "conv2", "c_sc": "shortcut", "b1": "norm1", "b2": "norm2"}
ENDS = {"l": "project", "b": "norm", "c": "paint"}
BLOCK = re.compile(r"block(\d{1,4})\.(\w+)\.(.+)")
END = re.compile(r"([lbc])(\d{1,4})\.(.+)")
MOST = 16
"""Blocks, which are far beyond the largest pictures."""
State = dict[str, Tensor]


def recognise(weights: Weights) -> Found | None:
    """The generator in a file, or None. Raises UserError for a discriminator, and for what ours can't be built as."""
    tensors, whole = weights.tensors, any(name.startswith(STATE) for name in weights.tensors)
    G = {name.removeprefix(STATE): t for name, t in tensors.items() if not whole or name.startswith(STATE)}
    if not {"l1.weight", "block2.c1.weight", "block2.c_sc.weight"} <= G.keys():
        _refuse(G, weights)
        return None
    blocks = sorted(int(match[1]) for name in G if (match := BLOCK.fullmatch(name)) and name.endswith(".c1.weight"))
    if blocks != list(range(2, len(blocks) + 2)) or len(blocks) > MOST:
        raise UserError(f"{weights.path}: its blocks aren't numbered as mimicry's are ({', '.join(map(str, blocks))})")
    widths = [_sides(G, "block2.c1.weight", 4, weights)[1]]
    widths += [_sides(G, f"block{i}.c2.weight", 4, weights)[0] for i in blocks]
    side = base(G, widths[0], weights) << len(blocks)
    channels, latent = _sides(G, f"c{len(blocks) + 2}.weight", 4, weights)[0], _sides(G, "l1.weight", 2, weights)[1]
    conditional = "block2.b1.embed.weight" in G
    classes = _sides(G, "block2.b1.embed.weight", 2, weights)[0] if conditional else 0
    net: dict[str, Any] = {"upsample": "bilinear", "widths": widths}
    return Found(
        network=f"{'Conditional residual' if conditional else 'Residual'} generator of mimicry",
        layout="kwotsin/mimicry",
        recipe="projection" if conditional else "sngan",
        arguments={"latent": latent, "width": widths[0]} | {f"net.{name}": value for name, value in net.items()},
        data={**imported("unknown", (channels, side, side)), "classes": [str(i) for i in range(classes)]},
        tensors={f"G.{ours(name, len(blocks))}": tensor for name, tensor in G.items()},
    )


def base(G: State, width: int, weights: Weights) -> int:
    """Pixels of a side that the first layer makes. Raises UserError where ours would begin with others."""
    units = _sides(G, "l1.weight", 2, weights)[0]
    for side in range(4, 8):
        if side * side * width == units:
            return side
    raise UserError(f"{weights.path}: {units} units of {width} channels are no square of 4 to 7 pixels, as ours begin")


def ours(name: str, blocks: int) -> str:
    """Our name of an entry of a generator of so many blocks; one that we don't know stays, and finds no place."""
    if (match := BLOCK.fullmatch(name)) and match[2] in LAYERS:
        return f"blocks.{int(match[1]) - 2}.{LAYERS[match[2]]}.{match[3]}"
    if (match := END.fullmatch(name)) and int(match[2]) == (1 if match[1] == "l" else blocks + 2):
        return f"{ENDS[match[1]]}.{match[3]}"
    return name


def _refuse(tensors: State, weights: Weights) -> None:
    """Raises UserError for networks of mimicry that are no generator of ours."""
    if {"block1.c1.weight", "block1.c_sc.weight"} <= tensors.keys() or "block1.c1.weight_orig" in tensors:
        raise UserError(f"{weights.path} is a discriminator of mimicry: name the file of the generator, netG_…")
    if {"l1.weight_orig", "block2.c1.weight_orig"} <= tensors.keys():
        raise UserError(
            f"{weights.path} is a generator of mimicry under a spectral norm (SAGAN), which ours can't be: those of "
            "SNGAN, WGAN-GP, SSGAN, InfoMax-GAN and cGAN-PD come in"
        )


def _sides(G: State, name: str, dims: int, weights: Weights) -> tuple[int, ...]:
    """The shape of an entry. Raises UserError where it is missing, or can't be one of mimicry's."""
    if name not in G:
        raise UserError(f"{weights.path} is no whole generator of mimicry: {name} is missing")
    if G[name].dim() != dims or not G[name].numel():
        raise UserError(f"{weights.path} is no generator of mimicry: {name} is {shape(G[name])}, not of {dims} sides")
    return tuple(G[name].shape)
