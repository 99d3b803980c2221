"""BigGAN-PyTorch's generators (G_ema.pth, G.pth: plain state dicts, MIT) as our recipe `biggan`, deep ones too.

What a file doesn't tell is what their scripts leave at its default: ReLU, and 1e-5 beside a variance.
"""

from __future__ import annotations

import math
import re
from typing import Any

from torch import Tensor

from mulligan.core.errors import UserError

from .biggan import UP
from .found import Found, imported
from .reading import Weights, shape

State = dict[str, Tensor]
LAYOUT = "BigGAN-PyTorch (G_ema.pth or G.pth: shared.weight, linear.weight, blocks.0.0.conv1.weight, …)"
GENERATES = {"linear.weight", "blocks.0.0.conv1.weight", "blocks.0.0.bn1.gain.weight", "output_layer.2.weight"}
JUDGES = {"linear.weight", "embed.weight", "blocks.0.0.conv1.weight"}
BLOCK, LOOK = re.compile(r"blocks\.(\d{1,4})\.0\.conv1\.weight"), re.compile(r"blocks\.(\d{1,4})\.1\.theta\.weight")
DEPTH = 2
"""Blocks for each size in a deep one of theirs, which runs with no other number."""
MOST = 16
"""Doublings, which are far beyond the largest pictures."""
WIDEST = 16
"""Times the width that their first block has."""
KINDS = {"stored_mean": "stored", "bn.stored_mean": "standing", "bn.running_mean": "synchronized"}
"""Where the statistics are, by the entry of a norm; a norm without any is told by none of them."""


def recognise(weights: Weights) -> Found | None:
    """The generator in a file, or None. Raises UserError for a discriminator, and for what ours can't be built as."""
    G = weights.tensors
    if not G.keys() >= GENERATES:
        if G.keys() >= JUDGES:
            raise UserError(
                f"{weights.path} is a discriminator of BigGAN-PyTorch: name the file of the generator, G_ema.pth"
            )
        return None
    deep = "blocks.0.0.conv4.weight" in G
    widths = channels(G, deep, weights)
    ups = len(widths) - 1
    start = square(sides(G, "linear.weight", 2, weights)[0], widths[0], weights)
    told = latent(G, deep, ups, weights)
    size = (sides(G, "output_layer.2.weight", 4, weights)[0], start << ups, start << ups)
    net: dict[str, Any] = {
        "kind": "deep" if deep else "biggan", "base": start, "widths": widths, "width": unit(widths, size[1]),
        "attention": attention(G, start, deep) or [0], "singular": singular(G), "statistics": statistics(G),
        "init": "normal", **told,
    }  # fmt: skip
    name = "shared.weight" if "shared.weight" in G else "blocks.0.0.bn1.gain.weight"
    return Found(
        network=f"BigGAN{'-deep' if deep else ''} generator",
        layout="ajbrock/BigGAN-PyTorch",
        recipe="biggan",
        arguments={f"net.{name}": value for name, value in net.items()},
        data={**imported("unknown", size), "classes": [str(i) for i in range(sides(G, name, 2, weights)[0])]},
        tensors={f"G.{name}": tensor for name, tensor in G.items()},
    )


def channels(G: State, deep: bool, weights: Weights) -> list[int]:
    """Those from the base on, one number more than there are doublings."""
    blocks, each = sorted(int(match[1]) for name in G if (match := BLOCK.fullmatch(name))), DEPTH if deep else 1
    if blocks != list(range(len(blocks))) or len(blocks) % each or len(blocks) > MOST * each:
        raise UserError(f"{weights.path}: blocks {', '.join(map(str, blocks[:40]))} are none of a BigGAN generator's")
    last = "conv4" if deep else "conv2"
    outputs = [sides(G, f"blocks.{i}.0.{last}.weight", 4, weights)[0] for i in blocks[each - 1 :: each]]
    return [sides(G, "blocks.0.0.conv1.weight", 4, weights)[1], *outputs]


def square(units: int, width: int, weights: Weights) -> int:
    """Pixels of a side that so many units of so many channels make."""
    side = math.isqrt(units // width)
    if side * side * width != units:
        raise UserError(f"{weights.path}: {units} units of {width} channels are no square, as BigGAN's base is")
    return side


def unit(widths: list[int], side: int) -> int:
    """Their G_ch, by which D becomes as wide as G."""
    multiple = UP[side][0] if side in UP else WIDEST
    return max(widths[0] // multiple, 4)


def latent(G: State, deep: bool, ups: int, weights: Weights) -> dict[str, Any]:
    """How z and labels come in. Raises UserError where the sizes of layers don't tell."""
    first = sides(G, "linear.weight", 2, weights)[1]
    if "shared.weight" not in G:
        return {"latent": first, "labels": "embedding", "hier": False}
    shared = sides(G, "shared.weight", 2, weights)[1]
    beside = sides(G, "blocks.0.0.bn1.gain.weight", 2, weights)[1] - shared
    if deep:
        return {"latent": _positive(first - shared, weights), "shared": shared}
    if not beside:
        return {"latent": first, "shared": shared, "hier": False}
    return {"latent": _positive(beside, weights) * (ups + 1), "shared": shared}


def _positive(entries: int, weights: Weights) -> int:
    if entries < 1:
        raise UserError(f"{weights.path} is no BigGAN generator: beside labels, {entries} entries are left for z")
    return entries


def attention(G: State, start: int, deep: bool) -> list[int]:
    """Sizes that self-attention comes at; where it stands between two blocks of a size, it finds no place."""
    blocks, each = sorted(int(match[1]) for name in G if (match := LOOK.fullmatch(name))), DEPTH if deep else 1
    return [start << min(i // each + 1, MOST) for i in blocks if i % each == each - 1]


def singular(G: State) -> int:
    """Singular values that are followed, 0 without a spectral norm."""
    return sum(re.fullmatch(r"linear\.u\d", name) is not None for name in G)


def statistics(G: State) -> str:
    """Where the norms in the blocks keep them."""
    return next((kind for entry, kind in KINDS.items() if f"blocks.0.0.bn1.{entry}" in G), "none")


def sides(state: State, name: str, dims: int, weights: Weights) -> tuple[int, ...]:
    """The shape of an entry. Raises UserError where it is missing, is empty, or has another number of sides."""
    if name not in state:
        raise UserError(f"{weights.path} is no whole BigGAN generator: {name} is missing")
    if state[name].dim() != dims or not state[name].numel():
        raise UserError(f"{weights.path} is no BigGAN generator: {name} is {shape(state[name])}, not of {dims} sides")
    return tuple(state[name].shape)
