"""rosinality/style-based-gan-pytorch: our StyleGAN from the arguments and entries of theirs."""

from __future__ import annotations

import re

from mulligan.nets.progressive import LEAK
from mulligan.nets.stylegan1 import Discriminator, Generator, Mapping, Synthesis

from .stylegan2 import Arguments, renamed

WIDTHS = (512, 512, 512, 512, 256, 128, 64, 32, 16)
"""Of 4 to 1024 pixels, where their arguments name none."""
FUSED = 5
"""Of the generator, where they name none: from 128 pixels on."""
WEIGHT = r"(?:conv\.|linear\.)?(weight|bias)(?:_orig)?"
GENERATOR = (
    (rf"to_rgb\.(\d+)\.{WEIGHT}", r"synthesis.paint.sizes.\1.\2"),
    (r"progression\.(\d+)\.conv1\.input", r"synthesis.blocks.\1.layer1.source.input"),
    (rf"progression\.(\d+)\.conv([12])\.(?:[01]\.)?{WEIGHT}", r"synthesis.blocks.\1.layer\2.source.\3"),
    (r"progression\.(\d+)\.noise([12])\.weight_orig", r"synthesis.blocks.\1.layer\2.noise"),
    (rf"progression\.(\d+)\.adain([12])\.style\.{WEIGHT}", r"synthesis.blocks.\1.layer\2.style.\3"),
)
"""Their entries and ours."""
FILTER = re.compile(r"(generator\.)?progression\.\d+\.(conv1\.[12]|conv2\.0)\.weight(_flip)?")
"""Entries that hold no weights but the binomial filter, once for each channel."""


def generator(theirs: Arguments) -> Generator:
    """From the arguments of their StyledGenerator and its Generator.

    `code_dim` or `style_dim` is the size of z and w. `fused` says whether large pictures grow by fused layers,
    `fused_from` the number of the first block that does.
    """
    given = {"code_dim": 512, "n_mlp": 8, "widths": WIDTHS, "fused": True, "fused_from": FUSED, **theirs}
    style = given.pop("style_dim", given.pop("code_dim"))
    widths, layers = given.pop("widths"), given.pop("n_mlp")
    first, fused = given.pop("fused_from"), given.pop("fused")
    renamed(given, {})
    side = 4 << (len(widths) - 1)
    return Generator(
        Mapping(style, style, layers), Synthesis(style, (3, side, side), widths, first if fused else None)
    )  # fmt: skip


def discriminator(theirs: Arguments) -> Discriminator:
    """From the arguments of their Discriminator. Fused or not, its layers shrink pictures alike."""
    given = {"widths": WIDTHS, **theirs}
    widths, active = given.pop("widths"), given.pop("act", given.pop("from_rgb_activate", False))
    renamed({name: value for name, value in given.items() if name not in ("fused", "fused_upto")}, {})
    side = 4 << (len(widths) - 1)
    return Discriminator((3, side, side), widths, sees=LEAK if active else None)


def generator_key(key: str) -> str:
    """Our name of an entry of their generator; "" for a filter, and one that we don't know stays as it is."""
    if FILTER.fullmatch(key):
        return ""
    if match := re.fullmatch(rf"style\.(\d+)\.{WEIGHT}", key):
        return f"mapping.layers.{(int(match[1]) - 1) // 2}.{match[2]}"  # a norm before all, activations in between
    for theirs, ours in GENERATOR:
        if match := re.fullmatch(rf"generator\.{theirs}", key):
            return match.expand(ours)
    return key


def discriminator_key(key: str, sizes: int) -> str:
    """The same for their discriminator of so many sizes, which it counts from the largest on."""
    if FILTER.fullmatch(key):
        return ""
    if match := re.fullmatch(rf"from_rgb\.(\d+)\.(?:0\.)?{WEIGHT}", key):
        return f"see.{sizes - 1 - int(match[1])}.{match[2]}"
    if match := re.fullmatch(rf"progression\.(\d+)\.conv([12])\.[01]\.{WEIGHT}", key):
        block, layer = sizes - 2 - int(match[1]), int(match[2]) - 1
        return f"{f'blocks.{block}.{layer}' if block >= 0 else ('conv', 'dense')[layer]}.{match[3]}"
    if match := re.fullmatch(rf"linear\.{WEIGHT}", key):
        return f"decide.{match[1]}"
    return key
