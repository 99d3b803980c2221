"""The BigGAN-deep of Hugging Face's pytorch-pretrained-BigGAN (pytorch_model.bin, MIT) as our recipe `biggan`.

Its config.json says which blocks double the size, and is read where it lies beside the file: tensors don't tell.
Without it, every second block does, as in the published ones of 128, 256 and 512 pixels.
"""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from mulligan.core.errors import UserError

from . import biggan_hf
from .biggan_found import State, sides, square
from .found import Found, imported
from .reading import Weights, shown

LAYOUT = "pytorch-pretrained-BigGAN (pytorch_model.bin: embeddings.weight, generator.gen_z.weight_orig, …)"
MODEL, CONFIG = "pytorch_model.bin", "config.json"
LAYER = re.compile(r"generator\.layers\.(\d{1,4})\.(conv_0|snconv1x1_theta)\.weight_orig")
LONGEST = 1 << 16
"""Bytes of a configuration, which has a few hundred."""
MOST = 32
"""Blocks, which are far beyond the largest pictures."""
EPS = 1e-4
"""Beside a variance, in all published configurations."""


def recognise(weights: Weights) -> Found | None:
    """The generator in a file, or None. Raises UserError for what ours can't be, or a config.json of another."""
    G = weights.tensors
    if not G.keys() >= {"embeddings.weight", "generator.gen_z.weight_orig", "generator.layers.0.conv_0.weight_orig"}:
        return None
    blocks, attention = layers(G, weights)
    config = configuration(weights)
    widths = channels(G, blocks, weights)
    doubles = told(config, widths, weights) if config else [i % 2 for i in range(len(blocks))]
    latent, classes = sides(G, "embeddings.weight", 2, weights)
    start = square(sides(G, "generator.gen_z.weight_orig", 2, weights)[0], widths[0], weights)
    side = start << sum(doubles)
    net: dict[str, Any] = {
        "kind": "hub", "latent": latent, "base": start, "width": max(widths[0] // biggan_hf.FIRST, 4),
        "widths": widths, "attention": [] if attention >= 0 else [0], "eps": float(config.get("eps", EPS)),
        "init": "normal", "hub.doubles": doubles, "hub.attention": attention,
        "hub.rows": sides(G, "generator.bn.running_means", 2, weights)[0],
    }  # fmt: skip
    return Found(
        network="BigGAN-deep generator",
        layout="huggingface/pytorch-pretrained-BigGAN",
        recipe="biggan",
        arguments={f"net.{name}": value for name, value in net.items()},
        data={**imported("unknown", (3, side, side)), "classes": [str(i) for i in range(classes)]},
        tensors={f"G.{biggan_hf.ours(name)}": tensor for name, tensor in whole(G).items()},
    )


def layers(G: State, weights: Weights) -> tuple[list[int], int]:
    """Numbers of the blocks in their list of layers, and how many there are before self-attention, -1 without one."""
    found = {int(match[1]): match[2] for name in G if (match := LAYER.fullmatch(name))}
    blocks = sorted(i for i, kind in found.items() if kind == "conv_0")
    between = [i for i, kind in found.items() if kind != "conv_0"]
    if sorted(found) != list(range(len(found))) or len(between) > 1 or not 0 < len(blocks) <= MOST:
        raise UserError(f"{weights.path}: its layers aren't those of one generator with one self-attention at most")
    return blocks, between[0] if between else -1


def channels(G: State, blocks: list[int], weights: Weights) -> list[int]:
    """Those before the first block, and behind each."""
    first = sides(G, f"generator.layers.{blocks[0]}.conv_0.weight_orig", 4, weights)[1]
    return [first, *(sides(G, f"generator.layers.{i}.conv_3.weight_orig", 4, weights)[0] for i in blocks)]


def configuration(weights: Weights) -> dict[str, Any]:
    """What config.json beside the file says, or NAME-config.json beside NAME-pytorch_model.bin; {} without one.

    Raises UserError for one that is no configuration.
    """
    own = weights.path.name.removesuffix(MODEL) + CONFIG
    path = next((p for p in map(weights.path.with_name, (own, CONFIG)) if p.is_file()), None)
    if path is None:
        return {}
    try:
        if path.stat().st_size > LONGEST:
            raise ValueError("it is too long")
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} can't be read ({error}), and says how {weights.path.name} is built") from error
    if not isinstance(found, dict) or not _layers(found.get("layers")):
        raise UserError(f"{path} has no layers such as [true, 16, 8]: it must be what came with {weights.path.name}")
    eps = found.get("eps", EPS)
    if not isinstance(eps, int | float) or not 0 < eps < 1:
        raise UserError(f"{path}: eps is {shown(repr(eps))}, but must be a small number such as 0.0001")
    return found


def _layers(value: Any) -> bool:
    """Whether it is a list of a bool and two numbers each."""
    return isinstance(value, list) and all(
        isinstance(row, list) and [type(entry) for entry in row] == [bool, int, int] for row in value
    )


def told(config: dict[str, Any], widths: list[int], weights: Weights) -> list[int]:
    """1 for each block that doubles the size, 0 for the others. Raises UserError for layers of other channels."""
    unit, rows = config.get("channel_width", widths[0] // biggan_hf.FIRST), config["layers"]
    theirs = [(unit * a, unit * b) for _, a, b in rows] if isinstance(unit, int) else []
    if theirs != list(pairwise(widths)):
        raise UserError(
            f"the config.json beside {weights.path} is of another network: its layers have other channels than the file"
        )
    return [int(up) for up, _, _ in rows]


def whole(G: State) -> State:
    """Every entry that our network has; right singular vectors are made where an older PyTorch left them out."""
    made: State = {}
    for name, tensor in G.items():
        layer, _, entry = name.rpartition(".")
        u = G.get(f"{layer}.weight_u")
        if entry == "weight" and f"{layer}.weight_orig" in G:
            continue
        made[name] = tensor.reshape(()) if entry == "gamma" and tensor.numel() == 1 else tensor
        if entry == "weight_orig" and u is not None and f"{layer}.weight_v" not in G and u.shape == tensor.shape[:1]:
            made[f"{layer}.weight_v"] = right(tensor, u, G.get(f"{layer}.weight"))
    return made


def right(original: Tensor, u: Tensor, divided: Tensor | None) -> Tensor:
    """v (inputs,) for which u W v is what the weight was divided by, or else the norm of u W; `divided` is the result.

    W is the original weight, a row for each output, and u (outputs,).
    """
    matrix = original.float().flatten(1)
    v = F.normalize(u.float() @ matrix, dim=0)
    if divided is None or not divided.any():
        return v
    return v * (original.float().norm() / divided.float().norm() / (u.float() @ matrix @ v))
