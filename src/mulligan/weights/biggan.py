"""ajbrock's BigGAN-PyTorch: our networks from the arguments of its Generator and Discriminator, deep ones too.

Entries of their state have the same names as ours. Where an argument is missing, their default stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mulligan.core.errors import UserError
from mulligan.nets import biggan, biggan_deep
from mulligan.parts.conditional_norm import Kind, Statistics
from mulligan.parts.spectral import Spectral

Arguments = dict[str, Any]
UP = {
    32: (4, 4, 4, 4), 64: (16, 16, 8, 4, 2), 128: (16, 16, 8, 4, 2, 1), 256: (16, 16, 8, 8, 4, 2, 1),
    512: (16, 16, 8, 8, 4, 2, 1, 1),
}  # fmt: skip
"""Channels from the base to the last block of G, in multiples of G_ch."""
DOWN = {
    32: (4, 4, 4, 4), 64: (1, 2, 4, 8, 16), 128: (1, 2, 4, 8, 16, 16), 256: (1, 2, 4, 8, 8, 16, 16),
}  # fmt: skip
"""Channels behind the blocks of D, in multiples of D_ch; of the deep D, from its first convolution on."""
SEES = {32: (16, 16, 16, 16), 64: (32, 16, 8, 4, 4), 128: (64, 32, 16, 8, 4, 4), 256: (128, 64, 32, 16, 8, 4, 4)}
"""The size that counts for attention behind each block of D. At 32 pixels their table says 16 for all of them."""
DOWNS = {32: 2, 64: 4, 128: 5, 256: 6}
"""How many blocks of D halve the size."""
RELU = {"relu", "inplace_relu", "ir"}
BOTH = {"resolution": 128, "n_classes": 1000, "SN_eps": 1e-12}
G_DEFAULTS = BOTH | {
    "G_ch": 64, "dim_z": 128, "bottom_width": 4, "G_attn": "64", "num_G_SVs": 1, "num_G_SV_itrs": 1, "G_shared": True,
    "shared_dim": 0, "hier": False, "cross_replica": False, "mybn": False, "G_activation": "relu", "BN_eps": 1e-5,
    "G_param": "SN", "norm_style": "bn",
}  # fmt: skip
D_DEFAULTS = BOTH | {
    "D_ch": 64, "D_wide": True, "D_attn": "64", "num_D_SVs": 1, "num_D_SV_itrs": 1, "D_activation": "relu",
    "output_dim": 1, "D_param": "SN",
}  # fmt: skip
STYLES: dict[str, Kind] = {"bn": "stored", "in": "instance", "nonorm": "none"}
NO_DIFFERENCE = {"kernel_size", "lr", "B1", "B2", "mixed_precision", "fp16", "init"}
"""Arguments about training, after G_ or D_; and the size of kernels, which is 3 whatever they are told."""


def generator(theirs: Arguments) -> biggan.Generator:
    """From the arguments of BigGAN.Generator."""
    given = read(theirs, "G", G_DEFAULTS)
    shared, hier, latent = given["G_shared"], given["hier"], given["dim_z"]
    if hier and not shared:
        raise UserError("hier needs G_shared: numbers of classes can't be joined to parts of z")
    widths = _widths(given, UP, "G")
    latent -= latent % len(widths) if hier else 0
    kept, last = _statistics(given)
    return biggan.Generator(
        latent, given["n_classes"], widths, labels="shared" if shared else "embedding", hier=hier,
        shared=given["shared_dim"] or given["dim_z"], attention=_rising(given, widths), base=given["bottom_width"],
        norm=_norm(given, "G"), statistics=kept, last=last,
    )  # fmt: skip


def deep_generator(theirs: Arguments) -> biggan_deep.Generator:
    """From the arguments of BigGANdeep.Generator, which runs with shared labels and hierarchical latents only."""
    given = read(theirs, "G", G_DEFAULTS | {"G_depth": 2})
    if given["resolution"] == 512 or not (given["G_shared"] and given["hier"]):
        raise UserError("a deep generator of theirs needs G_shared, hier and at most 256 pixels")
    widths, latent = _widths(given, UP, "G"), given["dim_z"]
    kept, last = _statistics(given)
    return biggan_deep.Generator(
        latent, given["n_classes"], widths, depth=given["G_depth"], shared=given["shared_dim"] or latent,
        attention=_rising(given, widths), base=given["bottom_width"], norm=_norm(given, "G"), statistics=kept,
        last=last,
    )  # fmt: skip


def discriminator(theirs: Arguments) -> biggan.Discriminator:
    """From the arguments of BigGAN.Discriminator."""
    given = read(theirs, "D", D_DEFAULTS)
    return biggan.Discriminator(
        _widths(given, DOWN, "D"), DOWNS[given["resolution"]], given["n_classes"], wide=given["D_wide"],
        attention=_falling(given), outputs=given["output_dim"], norm=_norm(given, "D"),
    )  # fmt: skip


def deep_discriminator(theirs: Arguments) -> biggan_deep.Discriminator:
    """From the arguments of BigGANdeep.Discriminator, where D_wide makes no difference."""
    given = read(theirs, "D", D_DEFAULTS | {"D_depth": 2})
    return biggan_deep.Discriminator(
        _widths(given, DOWN, "D"), DOWNS[given["resolution"]], given["n_classes"], depth=given["D_depth"],
        attention=_falling(given), outputs=given["output_dim"], norm=_norm(given, "D"),
    )  # fmt: skip


def read(theirs: Arguments, player: str, defaults: Arguments) -> Arguments:
    """Their arguments over their defaults. KeyError for names that we don't know, UserError for values."""
    silent = {f"{player}_{name}" for name in NO_DIFFERENCE} | {"adam_eps", "skip_init", "no_optim"}
    given = defaults | {name: value for name, value in theirs.items() if name not in silent}
    if unknown := given.keys() - defaults.keys():
        raise KeyError(f"unknown arguments of BigGAN-PyTorch: {', '.join(sorted(unknown))}")
    if given[f"{player}_activation"] not in RELU:
        raise UserError(f"{player}_activation {given[f'{player}_activation']!r} is not supported, only ReLU")
    if player == "D" and given["D_param"] != "SN":
        raise UserError(f"D_param {given['D_param']!r} is not supported, only SN")
    return given


def _widths(given: Arguments, multiples: dict[int, tuple[int, ...]], player: str) -> tuple[int, ...]:
    if given["resolution"] not in multiples:
        raise UserError(
            f"{player} of BigGAN-PyTorch has no {given['resolution']} pixels, only {', '.join(map(str, multiples))}"
        )
    return tuple(given[f"{player}_ch"] * multiple for multiple in multiples[given["resolution"]])


def _norm(given: Arguments, player: str) -> Spectral | None:
    if given[f"{player}_param"] != "SN":
        return None
    return Spectral(given[f"num_{player}_SVs"], given[f"num_{player}_SV_itrs"], given["SN_eps"])


def _statistics(given: Arguments) -> tuple[Statistics, Statistics]:
    """Of the norms in the blocks, and of the last one, which hears neither of BN_eps nor of norm_style."""
    if given["cross_replica"] or given["mybn"]:
        kind: Kind = "synchronized" if given["cross_replica"] else "standing"
        return Statistics(kind, given["BN_eps"]), Statistics(kind)
    if given["norm_style"] not in STYLES:
        raise UserError(f"norm_style {given['norm_style']!r} is not supported, only {', '.join(STYLES)}")
    return Statistics(STYLES[given["norm_style"]], given["BN_eps"]), Statistics()


def _rising(given: Arguments, widths: Sequence[int]) -> set[int]:
    """The blocks of G behind which attention comes; the sizes count from 8, whatever bottom_width is."""
    wanted = _sizes(given["G_attn"])
    return {i for i in range(len(widths) - 1) if 8 << i in wanted}


def _falling(given: Arguments) -> set[int]:
    wanted = _sizes(given["D_attn"])
    return {i for i, size in enumerate(SEES[given["resolution"]]) if size in wanted}


def _sizes(attention: str) -> set[int]:
    """From text such as 32_64; 0 is none."""
    return {int(size) for size in str(attention).split("_")}
