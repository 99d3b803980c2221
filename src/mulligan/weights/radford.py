"""DCGAN's authors (github.com/Newmu/dcgan_code, MIT): Theano's parameters as a state dict, kernels flipped for PyTorch.

Names: fc, bn1, up1, bn2, …, out, as in `zoo/image/radford.py`, which also says how the geometry was settled.
"""

from __future__ import annotations

import re
from typing import Any

from mulligan.core.errors import UserError

from .found import Found, imported
from .reading import Weights

LAYOUT = "the generator of Newmu/dcgan_code (fc, bn1, up1, …, out)"
BASE = 4  # pixels of a side that the first layer makes
SVHN = "4878b7666967ec7eea6ffcc7c05077cdfafdb7892ff200e6265f71e221ab2308"
KNOWN: dict[str, dict[str, Any]] = {
    SVHN: {
        "data": "svhn",
        "source": "svhn_unsup_all_conv_dcgan_100z_gaussian_lr_0.0005_64mb, epoch 200, of Newmu/dcgan_code",
        "licence": "MIT, Copyright (c) 2015 Alec Radford",
        "arguments": {"lr": 5e-4, "batch": 64},
    }
}
"""Files by their SHA-256: what can't be read off the tensors."""


def recognise(weights: Weights) -> Found | None:
    """The generator in a file, or None. Raises UserError where it is the discriminator."""
    tensors = weights.tensors
    if {"conv1.weight", "bn2.weight", "fc.weight"} <= tensors.keys() and tensors["conv1.weight"].shape[2:] == (5, 5):
        raise UserError(f"{weights.path} is the discriminator of Newmu/dcgan_code: name the file of the generator")
    if not {"fc.weight", "bn1.running_mean", "out.weight"} <= tensors.keys():
        return None
    fc, out = tensors["fc.weight"], tensors["out.weight"]
    if fc.dim() != 2 or out.dim() != 4:
        return None
    doublings = 1 + sum(re.fullmatch(r"up\d+\.weight", name) is not None for name in tensors)
    side, known = BASE * 2**doublings, KNOWN.get(weights.sha256, {})
    return Found(
        network="DCGAN generator of its authors, 5×5 kernels",
        layout="Newmu/dcgan_code",
        recipe="radford",
        arguments={"latent": fc.shape[1], "width": out.shape[0], **known.get("arguments", {})},
        data=imported(known.get("data", "unknown"), (out.shape[1], side, side)),
        tensors={f"G.{name}": tensor for name, tensor in tensors.items()},
        source=known.get("source", ""),
        licence=known.get("licence", ""),
    )
