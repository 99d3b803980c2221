"""The discriminator of NVIDIA's .pkl files, to train on from: our recipe's, where that can be it."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .guarded import collect
from .pickled_values import Stub
from .reading import Weights, check

OWN = {
    "channel_base": "base_d", "channel_max": "most_d", "architecture": "discriminator",
    "mbstd_group_size": "group", "num_layers": "layers_d", "conv_clamp": "clamp",
}  # fmt: skip
"""Their arguments, and ours."""
PLAIN: dict[str, Any] = {
    "cmap_dim": None, "activation": "lrelu", "resample_filter": [1, 3, 3, 1], "mbstd_num_channels": 1,
    "embed_features": None, "layer_features": None, "lr_multiplier": 0.01, "w_avg_beta": None,
}  # fmt: skip
"""What our recipe builds; other arguments about speed alone make no difference."""
SPEED = {"num_fp16_res", "use_fp16", "fp16_channels_last", "freeze_layers"}
PARTS = {"block_kwargs", "mapping_kwargs", "epilogue_kwargs"}
DEFAULTS = {
    "channel_base": 32_768,
    "channel_max": 512,
    "architecture": "resnet",
    "mbstd_group_size": 4,
    "num_layers": 8,
}


def critic(weights: Weights, net: dict[str, Any], clamped: float | None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors of D and the arguments of our networks that make it; ({}, {}) where there is none or ours can't be it.

    `net` are the arguments of G's networks, `clamped` is the default bound of their D.
    """
    stub = weights.tree.get("D") if isinstance(weights.tree, dict) else None
    if not isinstance(stub, Stub):
        return {}, {}
    D = collect(stub)
    check(weights.path, weights.size, D.tensors)
    given: dict[str, Any] = {"conv_clamp": clamped, **DEFAULTS}
    for name, value in D.kwargs.items():
        given |= value if name in PARTS and isinstance(value, dict) else {name: value}
    others = {k: v for k, v in given.items() if k not in OWN and k not in SPEED}
    shape = {"c_dim", "img_resolution", "img_channels"}
    if any(v != PLAIN.get(k, v if k in shape else object()) for k, v in others.items()):
        return {}, {}
    if float(given["conv_clamp"] or 0) != float(net["clamp"]):
        return {}, {}
    return D.tensors, {OWN[k]: given[k] for k in OWN if k in given and k != "conv_clamp"}
