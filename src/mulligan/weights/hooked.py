"""Names that torch.nn.utils.spectral_norm gives to entries of a state, and ours."""

from __future__ import annotations

OURS = {"weight_orig": "original", "weight_u": "0.u", "weight_v": "0.v"}


def ours(key: str) -> str:
    """Our name of an entry, where `mulligan.parts.layers.spectral_norm` is on the same layer."""
    layer, _, entry = key.rpartition(".")
    return f"{layer}.parametrizations.weight.{OURS[entry]}" if entry in OURS else key
