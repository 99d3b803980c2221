"""NVIDIA's .pkl files of StyleGAN2-ADA and StyleGAN3 (of PyTorch): the averaged generator as one of our recipes."""

from __future__ import annotations

from typing import Any

from mulligan.core.errors import UserError

from .found import Found, imported
from .guarded import Module, collect
from .nvidia_critic import critic
from .pickled_values import Stub, shown
from .reading import Weights, check

LAYOUT = "NVIDIA's StyleGAN2-ADA and StyleGAN3 (.pkl of PyTorch: G, D, G_ema)"
NETWORKS = {"z_dim", "c_dim", "w_dim", "img_resolution", "img_channels", "mapping_kwargs", "synthesis_kwargs"}
GAMMA = 2e-4 / 32
"""Of R1 per pixel in batches of 32, for those who train on: a plan is made of numbers (Karras et al. 2020)."""
USUAL: dict[str, Any] = {
    "embed_features": None, "layer_features": None, "activation": "lrelu", "lr_multiplier": 0.01,
    "w_avg_beta": None, "resample_filter": [1, 3, 3, 1], "kernel_size": 3, "use_noise": True, "output_scale": 0.25,
    "first_cutoff": 2, "first_stopband": 2**2.1, "last_stopband_rel": 2**0.3, "margin_size": 10, "filter_size": 6,
    "lrelu_upsampling": 2, "magnitude_ema_beta": None, "num_fp16_res": None, "use_fp16": None,
    "fp16_channels_last": None, "channels_last": None, "fused_modconv_default": None,
}  # fmt: skip
"""What our recipe builds. None: it makes no difference to the pictures, or the shapes of the tensors tell."""


def recognise(weights: Weights) -> Found | None:
    """The generator in a file, or None. Raises UserError for one that our networks can't be built as."""
    tree = weights.tree
    if not isinstance(tree, dict):
        return None
    stub = next((tree[name] for name in ("G_ema", "G") if isinstance(tree.get(name), Stub)), None)
    if stub is None or stub.module != "torch_utils.persistence":
        return None
    G = collect(stub)
    check(weights.path, weights.size, G.tensors)
    if not {"mapping.fc0.weight", "mapping.w_avg"} <= G.tensors.keys():
        return None
    alias_free = "synthesis.input.freqs" in G.tensors
    given = arguments(G, weights)
    net = stylegan3(given, weights) if alias_free else stylegan2(given, weights)
    clamped = 256 if alias_free or "synthesis_kwargs" not in G.kwargs else None
    tensors, of_d = critic(weights, net, clamped)
    net |= of_d
    size, classes = given["img_resolution"], given["c_dim"]
    data = imported("unknown", (given["img_channels"], size, size))
    return Found(
        network=f"{'StyleGAN3' if alias_free else 'StyleGAN2'} generator",
        layout="NVlabs/stylegan3" if alias_free else "NVlabs/stylegan2-ada-pytorch",
        recipe="stylegan3" if alias_free else "stylegan2",
        arguments={f"net.{name}": value for name, value in net.items()} | {"stabilize.r1": GAMMA * size**2},
        data={**data, "classes": [str(i) for i in range(classes)]},
        tensors={f"G.{name}": tensor for name, tensor in G.tensors.items()},
        critic=tensors,
        licence="see the terms of the weights: NVIDIA's own are for non-commercial use",
    )


def arguments(G: Module, weights: Weights) -> dict[str, Any]:
    """What the generator was made with, those of its synthesis network among them."""
    given: dict[str, Any] = dict(G.kwargs)
    inner = given.pop("synthesis_kwargs", None) or {}
    mapping = given.pop("mapping_kwargs", None) or {}
    missing = NETWORKS - {"mapping_kwargs", "synthesis_kwargs"} - given.keys()
    if missing or not all(isinstance(part, dict) for part in (inner, mapping)):
        raise UserError(f"{weights.path}: its generator doesn't say {', '.join(sorted(missing)) or 'how it is built'}")
    return {**inner, **given, "mapping_kwargs": mapping}


def stylegan2(given: dict[str, Any], weights: Weights) -> dict[str, Any]:
    """Arguments of our recipe's networks."""
    own = {"channel_base": "base", "channel_max": "most", "architecture": "generator", "conv_clamp": "clamp"}
    usual = {"base": 32_768, "most": 512, "generator": "skip", "clamp": 0.0}
    net = {**usual, **{own[name]: value for name, value in given.items() if name in own}}
    net["clamp"] = float(net["clamp"] or 0)
    _refuse(given, own.keys(), weights)
    return {**net, **_mapped(given, 8, weights)}


def stylegan3(given: dict[str, Any], weights: Weights) -> dict[str, Any]:
    """Arguments of our recipe's networks."""
    turns = bool(given.get("use_radial_filters", False))
    wide = 2 if turns else 1
    if given.get("conv_kernel", 3) != (1 if turns else 3):
        raise UserError(f"{weights.path}: StyleGAN3 with kernels of {given['conv_kernel']} is neither T nor R")
    base, most = given.get("channel_base", 32_768), given.get("channel_max", 512)
    if base % (2 * wide) or most % wide:
        raise UserError(f"{weights.path}: {base} and {most} feature maps aren't those of a StyleGAN3 that turns")
    own = {"channel_base", "channel_max", "conv_clamp", "num_layers", "num_critical", "use_radial_filters"}
    _refuse(given, own | {"conv_kernel"}, weights)
    return {
        "kind": "R" if turns else "T", "base": base // (2 * wide), "most": most // wide,
        "clamp": float(given.get("conv_clamp", 256) or 0), "depth": given.get("num_layers", 14),
        "critical": given.get("num_critical", 2), **_mapped(given, 2, weights),
    }  # fmt: skip


def _mapped(given: dict[str, Any], layers: int, weights: Weights) -> dict[str, Any]:
    mapping = given["mapping_kwargs"]
    _refuse(mapping, {"num_layers"}, weights)
    return {"latent": given["z_dim"], "style": given["w_dim"], "layers": mapping.get("num_layers", layers)}


def _refuse(given: dict[str, Any], own: Any, weights: Weights) -> None:
    """Raises UserError for arguments that our recipe can't say."""
    for name, value in given.items():
        if name in own or name in NETWORKS:
            continue
        if name not in USUAL or (USUAL[name] is not None and value != USUAL[name]):
            raise UserError(f"{weights.path}: its generator has {shown(str(name))} {shown(repr(value))}, ours can't")
