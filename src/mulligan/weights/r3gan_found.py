"""R3GAN's files (.pkl with G, D and G_ema, which are plain modules; or state dicts of them) as our recipe."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mulligan.core.errors import UserError
from mulligan.nets.r3gan import boxed
from mulligan.parts.filters import kernel

from . import r3gan
from .found import Found, imported
from .guarded import collect
from .pickled_values import Stub
from .reading import Weights, check, shape

State = dict[str, Tensor]
LAYOUT = "R3GAN (.pkl with G, D, G_ema, or a state_dict: Model.MainLayers.…)"
PACKAGES = ("training", "R3GAN")
"""Where its pickled networks come from."""
GENERATES, JUDGES = "Model.AggregationLayer.Layer.weight", "Model.ExtractionLayer.Layer.weight"
MIDDLE = re.compile(r"stages\.(\d{1,6})\.(\d{1,6})\.linear2\.weight")
BIAS = re.compile(r"\.bias\d$")
MOST = 16
"""Stages, which are far beyond the largest pictures."""
CLOSE = 1e-4
"""How far a filter's numbers may be from those of whole taps."""


def recognise(weights: Weights) -> Found | None:
    """The generator in a file, the averaged one where it is there, and D. Raises UserError for what ours can't be."""
    theirs = next((state for name in ("G_ema", "G", "") if GENERATES in (state := entries(weights, name))), None)
    if theirs is None:
        if any(JUDGES in entries(weights, name) for name in ("D", "")):
            raise UserError(f"{weights.path} is a discriminator of R3GAN: name the file with its generator, G_ema")
        return None
    G = renamed(theirs, r3gan.generator_key)
    embed, labels = _sides(G, "embedding.weight", 2, weights) if "embedding.weight" in G else (0, 0)
    net = networks(G, weights) | {"taps": taps(theirs, weights)}
    channels, base = _sides(G, "paint.weight", 4, weights)[0], _sides(G, "basis", 3, weights)
    picture = pictured(channels, base[1:], len(net["widths"]), weights)
    critic = discriminator(entries(weights, "D"), {**net, "labels": labels, "shape": picture}, weights)
    net |= {"conditional": labels > 0, "embed": embed}
    if labels and critic:
        net["embed_d"] = len(critic["head.weight"])
    return Found(
        network="R3GAN generator",
        layout="brownvc/R3GAN",
        recipe="r3gan",
        arguments={"latent": _sides(G, "linear.weight", 2, weights)[1] - embed}
        | {f"net.{name}": value for name, value in net.items()},
        data={**imported("unknown", picture), "classes": [str(i) for i in range(labels)]},
        tensors={f"G.{name}": tensor for name, tensor in G.items()},
        critic=critic,
    )


def entries(weights: Weights, name: str) -> State:
    """Those of the network of that name, a pickled module or a state dict; "" for those of the file itself."""
    tree = weights.tree
    part = tree.get(name) if isinstance(tree, dict) else tree if name == "" else None
    if isinstance(part, Stub) and part.module.split(".")[0] in PACKAGES:
        tensors = collect(part).tensors
        check(weights.path, weights.size, tensors)
        return tensors
    inside = f"{name}." if name else ""
    return {key.removeprefix(inside): tensor for key, tensor in weights.tensors.items() if key.startswith(inside)}


def renamed(state: State, rename: Callable[[str], str]) -> State:
    """Entries under our names, without the filters; biases (C,) as (C, 1, 1)."""
    named = {name: tensor for key, tensor in state.items() if (name := rename(key))}
    return {name: t[:, None, None] if BIAS.search(name) and t.dim() == 1 else t for name, t in named.items()}


def networks(state: State, weights: Weights) -> dict[str, Any]:
    """Arguments of `Networks` that the stages of a network have, in their order."""
    blocks = Counter(int(match[1]) for name in state if (match := MIDDLE.fullmatch(name)))
    count = range(max(len(blocks), 1))
    middles = [_sides(state, f"stages.{i}.0.linear2.weight", 4, weights) for i in count]
    widths = [_sides(state, f"stages.{i}.0.linear3.weight", 4, weights)[0] for i in count]
    return {
        "widths": widths, "blocks": [blocks[i] for i in count], "groups": [m[0] // m[1] for m in middles],
        "expansion": middles[0][0] // widths[0], "kernel": middles[0][2],
    }  # fmt: skip


def discriminator(theirs: State, asked: dict[str, Any], weights: Weights) -> State:
    """Entries of D under our names, where it is the generator backwards, as our recipe builds it; else none."""
    if JUDGES not in theirs:
        return {}
    D = renamed(theirs, r3gan.discriminator_key)
    body = {name.removeprefix("body."): tensor for name, tensor in D.items()}
    labels = _sides(D, "embedding.weight", 2, weights)[1] if "embedding.weight" in D else 0
    net = networks(body, weights)
    net |= {name: net[name][::-1] for name in ("widths", "blocks", "groups")} | {"taps": taps(theirs, weights)}
    channels, base = _sides(body, "extract.weight", 4, weights)[1], _sides(body, "basis.weight", 4, weights)
    picture = pictured(channels, base[2:], len(net["widths"]), weights)
    if {**net, "labels": labels, "shape": picture} != asked or _sides(D, "head.weight", 2, weights)[1] != base[0]:
        return {}
    # ours has a bias where there are no labels, which a relativistic loss never moves
    return D if labels else {**D, "head.bias": torch.zeros(1)}


def pictured(channels: int, base: tuple[int, ...], stages: int, weights: Weights) -> tuple[int, int, int]:
    """The shape of a picture. Raises UserError where ours would begin with another size."""
    if not 4 <= min(base) <= 7 or stages > MOST:
        raise UserError(
            f"{weights.path} doubles {base[0]}×{base[1]} pixels {stages - 1} times: ours begin with 4 to 7 of the "
            f"smaller side, and double them {MOST - 1} times at most"
        )
    return channels, base[0] << (stages - 1), base[1] << (stages - 1)


def taps(theirs: State, weights: Weights) -> list[float]:
    """The filter beside repeated pixels, which every Kernel of a network holds. Raises UserError for other ones."""
    kernels = [tensor.float() for key, tensor in theirs.items() if r3gan.KERNEL.fullmatch(key)]
    if not kernels:
        return []
    found, side = list[float](), kernels[0].shape[-1] if kernels[0].dim() else 0
    if all(k.shape == (side, side) for k in kernels):
        for value in kernels[0].sum(0).tolist()[:-1]:
            found.append(value - (found[-1] if found else 0.0))
        found = [_whole(value / (found[0] or 1.0)) for value in found]
    if not any(found) or not all(torch.allclose(k, _filter(found), atol=CLOSE) for k in kernels):
        raise UserError(f"{weights.path}: its filters aren't one and the same of both axes, ours are")
    return found


def _filter(taps: list[float]) -> Tensor:
    """What our networks apply, of both axes."""
    made = kernel(boxed(taps))
    return torch.outer(made, made) if made.dim() == 1 else made


def _whole(value: float) -> float:
    return float(round(value)) if abs(value - round(value)) < CLOSE else value


def _sides(state: State, name: str, dims: int, weights: Weights) -> tuple[int, ...]:
    """The shape of an entry. Raises UserError where it is missing, or can't be one of R3GAN's."""
    if name not in state:
        raise UserError(f"{weights.path} is no whole R3GAN: {name} is missing")
    if state[name].dim() != dims or not state[name].numel():
        raise UserError(f"{weights.path} is no R3GAN: {name} is {shape(state[name])}, not of {dims} sides")
    return tuple(state[name].shape)
