"""The BigGAN-deep of Hugging Face's pytorch-pretrained-BigGAN: our network from its configuration, and its names."""

from __future__ import annotations

import re
from typing import Any

from mulligan.core.errors import UserError
from mulligan.nets.biggan_hub import Generator, Step

from . import hooked

KNOWN = {"output_dim", "z_dim", "class_embed_dim", "channel_width", "num_classes", "layers", "attention_layer_position",
         "eps", "n_stats"}  # fmt: skip
"""Of these, output_dim changes nothing: the size follows from the layers."""
NAMES = {"snconv1x1_theta": "theta", "snconv1x1_phi": "phi", "snconv1x1_g": "g", "snconv1x1_o_conv": "o"}
FIRST = 16
"""Their first block has so many times the channel width, whatever the layers say."""


def generator(theirs: dict[str, Any]) -> Generator:
    """From the entries of their BigGANConfig. KeyError for others and for missing ones."""
    if unknown := theirs.keys() - KNOWN:
        raise KeyError(f"unknown entries of a BigGANConfig: {', '.join(sorted(unknown))}")
    latent, width = theirs["z_dim"], theirs["channel_width"]
    if theirs.get("class_embed_dim", latent) != latent:
        raise UserError(f"class_embed_dim {theirs['class_embed_dim']} is not supported, only z_dim, which is {latent}")
    steps = [Step(bool(up), width * inputs, width * outputs) for up, inputs, outputs in theirs["layers"]]
    if steps[0].inputs != FIRST * width:
        raise UserError(f"the first layer must have {FIRST} times the channel width, not {theirs['layers'][0][1]}")
    return Generator(
        latent, theirs["num_classes"], steps, attention=theirs["attention_layer_position"], rows=theirs["n_stats"],
        eps=theirs["eps"],
    )  # fmt: skip


def ours(key: str) -> str:
    """Our name of an entry of their state."""
    key = re.sub(
        r"\.(bn|conv)_(\d)\.", lambda match: f".{match[1]}{int(match[2]) + 1}.", key.removeprefix("generator.")
    )
    for name, short in NAMES.items():
        key = key.replace(f".{name}.", f".{short}.")
    return hooked.ours(key)
