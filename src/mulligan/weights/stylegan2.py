"""NVIDIA's StyleGAN2-ADA, and the StyleGAN2 of its StyleGAN3: our networks from the arguments of theirs.

Entries of their state have the same names as ours.
"""

from __future__ import annotations

from typing import Any

from mulligan.nets.stylegan2 import Discriminator, Generator, Mapping, Synthesis

Arguments = dict[str, Any]
LAYER = {
    "kernel_size": "size", "use_noise": "noise", "activation": "act", "resample_filter": "taps", "conv_clamp": "clamp",
    "architecture": "architecture", "channel_base": "base", "channel_max": "most",
}  # fmt: skip
MAPPING = {"num_layers": "layers", "embed_features": "embed", "layer_features": "hidden", "activation": "act",
           "lr_multiplier": "rate", "w_avg_beta": "tracked"}  # fmt: skip
NO_DIFFERENCE = {"num_fp16_res", "use_fp16", "fp16_channels_last", "channels_last", "fused_modconv_default",
                 "freeze_layers"}  # fmt: skip
"""Arguments about speed and training, which change no weight and, in float32, no result."""


def renamed(theirs: Arguments, names: dict[str, str]) -> Arguments:
    """Their arguments under our names. KeyError for one that we don't know: it could change what the network does."""
    return {names[name]: value for name, value in theirs.items() if name not in NO_DIFFERENCE}


def mapping(theirs: Arguments, latent: int, labels: int, width: int, tracked: float | None = 0.995) -> Mapping:
    given = {"tracked": tracked, **renamed(theirs, MAPPING)}
    return Mapping(latent, labels, width, **{**given, "tracked": given["tracked"] or 0.0})


def generator(theirs: Arguments, flat: bool = False) -> Generator:
    """From the arguments of their Generator; `flat` those of StyleGAN3's repository, with its defaults."""
    named = {"z_dim", "c_dim", "w_dim", "img_resolution", "img_channels", "mapping_kwargs", "synthesis_kwargs"}
    inner = {name: value for name, value in theirs.items() if name not in named} | theirs.get("synthesis_kwargs", {})
    style, size = theirs["w_dim"], theirs["img_resolution"]
    tracked, clamp = (0.998, 256) if flat else (0.995, None)
    synthesis = Synthesis(style, (theirs["img_channels"], size, size), **{"clamp": clamp, **renamed(inner, LAYER)})
    return Generator(
        mapping(theirs.get("mapping_kwargs", {}), theirs["z_dim"], theirs["c_dim"], style, tracked), synthesis
    )


def discriminator(theirs: Arguments, flat: bool = False) -> Discriminator:
    """From the arguments of their Discriminator."""
    size, labels = theirs["img_resolution"], theirs["c_dim"]
    named = {"c_dim", "img_resolution", "img_channels", "cmap_dim", "block_kwargs", "mapping_kwargs", "epilogue_kwargs"}
    outer = {name: value for name, value in theirs.items() if name not in named}
    epilogue = {"mbstd_group_size": 4, "mbstd_num_channels": 1, **theirs.get("epilogue_kwargs", {})}
    D = Discriminator(
        (theirs["img_channels"], size, size), labels, mapped=theirs.get("cmap_dim"),
        group=epilogue.pop("mbstd_group_size"), features=epilogue.pop("mbstd_num_channels"),
        ending=epilogue.pop("activation", "lrelu"), mapping=renamed(theirs.get("mapping_kwargs", {}), MAPPING),
        **{"clamp": 256 if flat else None, **renamed(outer | theirs.get("block_kwargs", {}), LAYER)},
    )  # fmt: skip
    renamed(epilogue, {})
    return D
