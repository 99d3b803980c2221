"""pytorch/examples' DCGAN (netG_epoch_N.pth, BSD-3-Clause): a state dict of main.0, main.1, … as our recipe `dcgan`."""

from __future__ import annotations

import re

from torch import Tensor

from mulligan.core.errors import UserError

from .found import Found, imported
from .reading import Weights

LAYOUT = "the generator of pytorch/examples' dcgan (main.0.weight, main.1.weight, …)"
ENTRY = re.compile(r"main\.(\d{1,4})\.(\w+)")
SIDE = 4
"""Pixels of what the first layer makes, and of every kernel."""


def recognise(weights: Weights) -> Found | None:
    """The generator in a file, or None. Raises UserError where it is the discriminator."""
    tensors = weights.tensors
    first = tensors.get("main.0.weight")
    if first is None or first.dim() != 4 or first.shape[2:] != (SIDE, SIDE):
        return None
    if "main.1.running_mean" not in tensors:
        if "main.2.weight" in tensors and "main.3.running_mean" in tensors:
            raise UserError(
                f"{weights.path} is the discriminator of pytorch/examples' dcgan: name the file of the generator, "
                "netG_epoch_…"
            )
        return None
    layers = sorted(int(match[1]) for name in tensors if (match := ENTRY.fullmatch(name)) and match[2] == "weight")
    last = tensors[f"main.{layers[-1]}.weight"]
    doublings = layers[-1] // 3
    if last.dim() != 4 or not 1 <= doublings <= 16:
        return None
    side = SIDE << doublings
    return Found(
        network="DCGAN generator, 4×4 kernels",
        layout="pytorch/examples",
        recipe="dcgan",
        arguments={"latent": first.shape[0], "width": last.shape[0]},
        data=imported("unknown", (last.shape[1], side, side)),
        tensors={f"G.{ours(name)}": inward(name, tensor) for name, tensor in tensors.items()},
    )


def ours(name: str) -> str:
    """Our name of an entry; one that we don't know stays as it is, and finds no place.

    Theirs count every layer of a sequence: a transposed convolution, its norm and its ReLU.
    """
    if not (match := ENTRY.fullmatch(name)):
        return name
    number, kind, entry = int(match[1]) // 3, int(match[1]) % 3, match[2]
    if kind == 1:
        return f"norms.{number}.{entry}"
    return name if kind else f"ups.{number - 1}.{entry}" if number else f"project.{entry}"


def inward(name: str, tensor: Tensor) -> Tensor:
    """(latent, C, 4, 4) -> (C * 16, latent): of a single pixel, a transposed convolution is a matrix product."""
    return tensor.flatten(1).t().contiguous() if name == "main.0.weight" else tensor
