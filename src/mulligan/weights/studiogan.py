"""PyTorch-StudioGAN's resnet and big_resnet: our networks from their arguments, and our names for their entries."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

from mulligan.core.errors import UserError
from mulligan.nets import biggan, studio
from mulligan.parts.layers import spectral_norm

from . import hooked

Arguments = dict[str, Any]
UP = {
    32: (4, 4, 4, 4), 64: (16, 8, 4, 2, 1), 128: (16, 16, 8, 4, 2, 1), 256: (16, 16, 8, 8, 4, 2, 1),
    512: (16, 16, 8, 8, 4, 2, 1, 1),
}  # fmt: skip
"""Channels of G from the base to the last block, in multiples of g_conv_dim."""
BIG_UP = UP | {64: (16, 16, 8, 4, 2)}
DOWN = {
    32: (2, 2, 2, 2), 64: (1, 2, 4, 8, 16), 128: (1, 2, 4, 8, 16, 16), 256: (1, 2, 4, 8, 8, 16, 16),
    512: (1, 1, 2, 4, 8, 8, 16, 16),
}  # fmt: skip
"""Channels behind each block of D, in multiples of d_conv_dim. At 32 pixels two blocks halve, else all but the last."""
G_ARGUMENTS = {"z_dim", "g_shared_dim", "img_size", "g_conv_dim", "apply_attn", "attn_g_loc", "g_cond_mtd",
               "num_classes"}  # fmt: skip
D_ARGUMENTS = {"img_size", "d_conv_dim", "apply_d_sn", "apply_attn", "attn_d_loc", "d_cond_mtd", "aux_cls_type",
               "d_embed_dim", "normalize_d_embed", "num_classes"}  # fmt: skip
NO_DIFFERENCE = {"g_depth", "d_depth", "g_init", "d_init", "mixed_precision"}
"""Arguments about training, and the depth, which counts for their deep networks only."""
LAYERS = {
    "conv2d0": "conv_sc", "conv2d1": "conv1", "conv2d2": "conv2", "linear0": "linear", "bn4": "output_layer.0",
    "conv2d5": "output_layer.2", "conv1x1_theta": "theta", "conv1x1_phi": "phi", "conv1x1_g": "g",
    "conv1x1_attn": "o", "sigma": "gamma",
}  # fmt: skip


def generator(theirs: Arguments, big: bool, spectral: bool) -> biggan.Generator:
    """From the arguments of their Generator; `big` that of big_resnet, `spectral` their apply_g_sn."""
    given, table = _known(theirs, G_ARGUMENTS), BIG_UP if big else UP
    if given["g_cond_mtd"] not in ("W/O", "cBN"):
        raise UserError(f"g_cond_mtd {given['g_cond_mtd']!r} is not supported, only W/O and cBN")
    labelled = given["g_cond_mtd"] == "cBN"
    labels: biggan.Labels = ("shared" if big else "one-hot") if labelled else "none"
    G = biggan.Generator(
        given["z_dim"], given["num_classes"] if labelled else 0, _widths(given, table, "g_conv_dim"), labels=labels,
        shared=given["g_shared_dim"] if labels == "shared" else 0, hier=big, norm=None,
        attention=attended(given, "attn_g_loc"), statistics=studio.RUNNING, last=studio.RUNNING,
    )  # fmt: skip
    if spectral:
        for name, part in G.named_children():
            if name != "shared":
                spectral_norm(part)
    return G


def discriminator(theirs: Arguments) -> studio.Discriminator:
    """From the arguments of their Discriminator, which is the same for resnet and big_resnet."""
    given = _known(theirs, D_ARGUMENTS)
    widths, embed = _widths(given, DOWN, "d_conv_dim"), given["d_embed_dim"]
    return studio.Discriminator(
        widths, 2 if given["img_size"] == 32 else len(widths) - 1, given["num_classes"],
        condition=given["d_cond_mtd"], auxiliary=given["aux_cls_type"], embed=0 if embed == "N/A" else embed,
        unit=given["normalize_d_embed"], attention=attended(given, "attn_d_loc"), spectral=given["apply_d_sn"],
    )  # fmt: skip


def _known(theirs: Arguments, names: Collection[str]) -> Arguments:
    """KeyError for arguments that we don't know, and for missing ones."""
    given = {name: value for name, value in theirs.items() if name not in NO_DIFFERENCE}
    if differing := given.keys() ^ set(names):
        raise KeyError(f"unknown or missing arguments of StudioGAN: {', '.join(sorted(differing))}")
    return given


def _widths(given: Arguments, table: dict[int, tuple[int, ...]], unit: str) -> tuple[int, ...]:
    size = given["img_size"]
    if size not in table:
        raise UserError(f"StudioGAN has no ResNet for {size} pixels, only for {', '.join(map(str, table))}")
    return tuple(given[unit] * multiple for multiple in table[size])


def attended(given: Arguments, places: str) -> set[int]:
    """The blocks that attention follows, from 0; they count from 1."""
    return {place - 1 for place in given[places]} if given["apply_attn"] else set()


def renaming(attention: Collection[int], first: str = "") -> Callable[[str], str]:
    """Our names of entries of a network with attention after those blocks; `first` is bn1's in D's first block.

    Attention is a block of its own in their list, and a part of the block before in ours.
    """

    def name(key: str) -> str:
        if match := re.fullmatch(r"blocks\.(\d+)\.0\.(.+)", key):
            block, part = placed(int(match[1]), attention)
            rest = re.sub(r"^bn1\b", first, match[2]) if first and block == 0 else match[2]
            return f"blocks.{block}.{part}.{ours(rest)}"
        return ours(key)

    return name


def placed(index: int, attention: Collection[int]) -> tuple[int, int]:
    """Block and part of it for a place in their list of blocks and attentions."""
    block = part = 0
    for _ in range(index):
        block, part = (block, 1) if part == 0 and block in attention else (block + 1, 0)
    return block, part


def ours(key: str) -> str:
    """Our name of an entry of a block or of a layer."""
    key = re.sub(r"[^.]+", lambda match: LAYERS.get(match[0], match[0]), key)
    # A plain batch norm of theirs has its statistics beside weight and bias.
    key = re.sub(r"\b(bn\d|output_layer\.0)\.(running_|num_)", r"\1.bn.\2", key)
    return hooked.ours(re.sub(r"\b(bn\d|output_layer\.0)\.weight$", r"\1.gain", key))
