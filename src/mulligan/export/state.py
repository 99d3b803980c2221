"""The generator of a StyleGAN under NVIDIA's names, for the official code of StyleGAN2-ADA and StyleGAN3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mulligan.core.errors import UserError
from mulligan.experiment import Experiment
from mulligan.nets import stylegan2, stylegan3

from .facts import tensors

Arguments = dict[str, Any]
CLASSES = {"stylegan2": "training.networks.Generator", "stylegan3": "training.networks_stylegan3.Generator"}
"""Where the official repositories (stylegan2-ada-pytorch, stylegan3) have the class that takes the state."""


def write(run: Experiment, path: Path, header: dict[str, Any]) -> str:
    """`{"class_name", "init_kwargs", "G_ema"}` by torch.save: plain tensors, read with weights_only=True.

    class_name(**init_kwargs).load_state_dict(G_ema) is the generator. Raises UserError for other recipes, and for
    pictures that the official networks can't make.
    """
    recipe = header["recipe"]
    if recipe not in CLASSES:
        raise UserError(f"{run.path} is {recipe}: --to stylegan2-ada-state is for {' and '.join(CLASSES)}")
    given = init_kwargs(run, header["arguments"])
    state = {name.removeprefix("G."): value for name, value in tensors(run).items()}
    torch.save({"class_name": CLASSES[recipe], "init_kwargs": given, "G_ema": state}, path)
    return f"for {CLASSES[recipe]}(**init_kwargs), state_dict G_ema"


def init_kwargs(run: Experiment, arguments: Arguments) -> Arguments:
    """The official arguments of a run's generator."""
    G, (channels, height, width) = run.sampler.G, run.described.shape
    if height != width:
        raise UserError(f"{run.path} makes {height}×{width} pictures: the official networks make square ones")
    net = {name.removeprefix("net."): value for name, value in arguments.items() if name.startswith("net.")}
    inner = alias_free(net) if isinstance(G, stylegan3.Generator) else growing(run, G, net, height)
    mapping: stylegan2.Mapping = G.mapping
    return {
        "z_dim": mapping.latent, "c_dim": mapping.labels, "w_dim": mapping.width, "img_resolution": height,
        "img_channels": channels, "mapping_kwargs": {"num_layers": mapping.layers}, **inner,
    }  # fmt: skip


def growing(run: Experiment, G: stylegan2.Generator, net: Arguments, side: int) -> Arguments:
    """Of StyleGAN2-ADA, whose constant is 4×4."""
    if G.synthesis.side != 4:
        raise UserError(
            f"{run.path} makes pictures of {side} pixels from {G.synthesis.side}×{G.synthesis.side}: the official "
            "networks start at 4×4, so that sides are powers of 2"
        )
    synthesis = {
        "channel_base": net["base"], "channel_max": net["most"], "architecture": net["generator"],
        "conv_clamp": net["clamp"] or None, "num_fp16_res": 0,
    }  # fmt: skip
    return {"synthesis_kwargs": synthesis}


def alias_free(net: Arguments) -> Arguments:
    """Of StyleGAN3, where the feature maps of R are told doubled."""
    turns = net["kind"] == "R"
    wide = 2 if turns else 1
    return {
        "channel_base": 2 * wide * net["base"], "channel_max": wide * net["most"], "num_layers": net["depth"],
        "num_critical": net["critical"], "conv_kernel": 1 if turns else 3, "use_radial_filters": turns,
        "conv_clamp": net["clamp"] or None, "num_fp16_res": 0,
    }  # fmt: skip
