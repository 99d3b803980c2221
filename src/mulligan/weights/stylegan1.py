"""rosinality/style-based-gan-pytorch (MIT): our StyleGAN from the arguments and entries of theirs, or from a file."""

from __future__ import annotations

import re
from typing import cast

import torch
from torch import Tensor

from mulligan.core.errors import UserError
from mulligan.nets.progressive import FINE, LEAK
from mulligan.nets.stylegan1 import BINOMIAL, Discriminator, Generator, Mapping, Synthesis
from mulligan.parts.filters import kernel

from .found import Found, imported
from .reading import Weights, shown
from .stylegan2 import Arguments, renamed

LAYOUT = "rosinality/style-based-gan-pytorch (.model: g_running, generator, discriminator)"
State = dict[str, Tensor]
RATE = 0.01
"""Of their mapping network, which their optimizer has and ours keeps in the weights."""
MOST, DRAWS = 10, 10_000
"""Sizes, and latents that the average of w is taken of."""
WIDTHS = (512, 512, 512, 512, 256, 128, 64, 32, 16)
"""Of 4 to 1024 pixels, where their arguments name none."""
FUSED = 5
"""Of the generator, where they name none: from 128 pixels on."""
WEIGHT = r"(?:conv\.|linear\.)?(weight|bias)(?:_orig)?"
GENERATOR = (
    (rf"to_rgb\.(\d+)\.{WEIGHT}", r"synthesis.paint.sizes.\1.\2"),
    (r"progression\.(\d+)\.conv1\.input", r"synthesis.blocks.\1.layer1.source.input"),
    (rf"progression\.(\d+)\.conv([12])\.(?:[01]\.)?{WEIGHT}", r"synthesis.blocks.\1.layer\2.source.\3"),
    (r"progression\.(\d+)\.noise([12])\.weight_orig", r"synthesis.blocks.\1.layer\2.noise"),
    (rf"progression\.(\d+)\.adain([12])\.style\.{WEIGHT}", r"synthesis.blocks.\1.layer\2.style.\3"),
)
"""Their entries and ours."""
FILTER = re.compile(r"(generator\.)?progression\.\d+\.(conv1\.[12]|conv2\.0)\.weight(_flip)?")
"""Entries that hold no weights but the binomial filter, once for each channel."""


def generator(theirs: Arguments) -> Generator:
    """From the arguments of their StyledGenerator and its Generator.

    `code_dim` or `style_dim` is the size of z and w. `fused` says whether large pictures grow by fused layers,
    `fused_from` the number of the first block that does.
    """
    given = {"code_dim": 512, "n_mlp": 8, "widths": WIDTHS, "fused": True, "fused_from": FUSED, **theirs}
    style = given.pop("style_dim", given.pop("code_dim"))
    widths, layers = given.pop("widths"), given.pop("n_mlp")
    first, fused = given.pop("fused_from"), given.pop("fused")
    renamed(given, {})
    side = 4 << (len(widths) - 1)
    return Generator(
        Mapping(style, style, layers), Synthesis(style, (3, side, side), widths, first if fused else None)
    )  # fmt: skip


def discriminator(theirs: Arguments) -> Discriminator:
    """From the arguments of their Discriminator. Fused or not, its layers shrink pictures alike."""
    given = {"widths": WIDTHS, **theirs}
    widths, active = given.pop("widths"), given.pop("act", given.pop("from_rgb_activate", False))
    renamed({name: value for name, value in given.items() if name not in ("fused", "fused_upto")}, {})
    side = 4 << (len(widths) - 1)
    return Discriminator((3, side, side), widths, sees=LEAK if active else None)


def generator_key(key: str) -> str:
    """Our name of an entry of their generator; "" for a filter, and one that we don't know stays as it is."""
    if FILTER.fullmatch(key):
        return ""
    if match := re.fullmatch(rf"style\.(\d+)\.{WEIGHT}", key):
        return f"mapping.layers.{(int(match[1]) - 1) // 2}.{match[2]}"  # a norm before all, activations in between
    for theirs, ours in GENERATOR:
        if match := re.fullmatch(rf"generator\.{theirs}", key):
            return match.expand(ours)
    return key


def discriminator_key(key: str, sizes: int) -> str:
    """The same for their discriminator of so many sizes, which it counts from the largest on."""
    if FILTER.fullmatch(key):
        return ""
    if match := re.fullmatch(rf"from_rgb\.(\d+)\.(?:0\.)?{WEIGHT}", key):
        return f"see.{sizes - 1 - int(match[1])}.{match[2]}"
    if match := re.fullmatch(rf"progression\.(\d+)\.conv([12])\.[01]\.{WEIGHT}", key):
        block, layer = sizes - 2 - int(match[1]), int(match[2]) - 1
        return f"{f'blocks.{block}.{layer}' if block >= 0 else ('conv', 'dense')[layer]}.{match[3]}"
    if match := re.fullmatch(rf"linear\.{WEIGHT}", key):
        return f"decide.{match[1]}"
    return key


def recognise(weights: Weights) -> Found | None:
    """The generator in a file, averaged if it is there, or None. Raises UserError for one that ours can't be."""
    first = "generator.progression.0.conv1.input"
    held = next((name for name in ("g_running.", "generator.", "") if name + first in weights.tensors), None)
    if held is None:
        return None
    try:
        return _found(weights, under(weights.tensors, held))
    except (KeyError, IndexError, ValueError, RuntimeError) as error:  # entries that are missing, or of other shapes
        why = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error).split("\n")[0]
        raise UserError(f"{weights.path} holds no whole StyleGAN of style-based-gan-pytorch ({shown(why)})") from error


def _found(weights: Weights, theirs: State) -> Found:
    sizes = trained(theirs)
    _check_filters(weights, theirs)
    widths = [theirs[f"generator.progression.{i}.noise1.weight_orig"].shape[1] for i in range(sizes)]
    G = kept({generator_key(key): tensor for key, tensor in theirs.items()}, sizes)
    mapping, draw = _mapping(G), torch.Generator().manual_seed(0)
    style, side = cast(Tensor, mapping.layers[0].weight).shape[1], 4 << (sizes - 1)
    G |= {f"mapping.{name}": tensor for name, tensor in mapping.state_dict().items()}
    with torch.no_grad():
        own = {"w_avg": mapping(torch.randn(DRAWS, style, generator=draw)).mean(0)}
    own["stage"] = torch.tensor((sizes - 1) * FINE)
    own |= {f"noise_const{i}": torch.randn(1, 1, 4 << i // 2, 4 << i // 2, generator=draw) for i in range(2 * sizes)}
    D = _critic(under(weights.tensors, "discriminator."), sizes, widths)
    net = {
        "latent": style, "style": style, "layers": len(mapping.layers), "rate": RATE, "group": 0, "maps": widths,
        "activated": "discriminator.from_rgb.0.conv.weight_orig" not in weights.tensors, "fused": fused(theirs, sizes),
    }  # fmt: skip
    return Found(
        network="StyleGAN generator",
        layout="rosinality/style-based-gan-pytorch",
        recipe="stylegan",
        arguments={f"net.{name}": value for name, value in net.items()},
        data=imported("unknown", (len(theirs["generator.to_rgb.0.conv.bias"]), side, side)),
        tensors={f"G.net.{name}": tensor for name, tensor in G.items()} | {f"G.{name}": own[name] for name in own},
        critic={f"net.{name}": tensor for name, tensor in D.items()} | {"stage": own["stage"]} if D else {},
    )


def under(tensors: State, prefix: str) -> State:
    """Entries whose name begins so, under the rest of it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def trained(theirs: State) -> int:
    """How many sizes have learned anything: a file holds those to come as well, whose noise and biases are still 0."""
    count = sum(re.fullmatch(r"generator\.to_rgb\.\d+\.conv\.bias", key) is not None for key in theirs)
    if count > MOST:
        raise ValueError(f"{count} sizes")
    zeros = ("generator.progression.{}.noise2.weight_orig", "generator.to_rgb.{}.conv.bias")
    moved = [i for i in range(count) if any(bool(theirs[name.format(i)].any()) for name in zeros)]
    return moved[-1] + 1 if moved else count


def fused(theirs: State, sizes: int) -> int:
    """The first size that grows by a fused layer, 0 for none."""
    found = [i for i in range(1, sizes) if f"generator.progression.{i}.conv1.0.weight" in theirs]
    if found and found != list(range(found[0], sizes)):
        raise ValueError("fused layers before others")
    return found[0] if found else 0


def kept(ours: State, sizes: int, fewer: int = 0) -> State:
    """Entries of so many sizes under our names, and `fewer` blocks; filters have none and are left out."""
    most = {"sizes": sizes, "see": sizes, "blocks": sizes - fewer}
    places = {name: re.search(r"\b(sizes|see|blocks)\.(\d+)\.", name) for name in ours if name}
    return {name: ours[name] for name, at in places.items() if at is None or int(at[2]) < most[at[1]]}


def _check_filters(weights: Weights, theirs: State) -> None:
    """Raises UserError where pictures grow otherwise than in ours."""
    filters = {key: tensor for key, tensor in theirs.items() if FILTER.fullmatch(key)}
    blocks = {key.split(".")[2] for key in filters}
    grown = sum(key.startswith("generator.to_rgb.") and key.endswith(".bias") for key in theirs) - 1
    ours = kernel(BINOMIAL)
    if len(blocks) != grown or not all(torch.allclose(f.float(), ours.expand_as(f)) for f in filters.values()):
        raise UserError(
            f"{weights.path}: its pictures don't grow by the filter 1 2 1, as those of older versions of "
            "style-based-gan-pytorch: ours can't. Take weights of its present version"
        )


def _mapping(G: State) -> Mapping:
    """Theirs, whose slow rate is the optimizer's business, as ours, which has it in the weights."""
    given = {name: tensor.float() / RATE for name, tensor in under(G, "mapping.").items()}
    with torch.device("meta"):  # shapes without memory: what a file claims costs nothing
        style = given["layers.0.weight"].shape[1]
        mapping = Mapping(style, style, sum(name.endswith("weight") for name in given), RATE)
    mapping.load_state_dict(given, assign=True)
    return mapping


def _critic(theirs: State, sizes: int, widths: list[int]) -> State:
    """Their discriminator, where there is one as wide as the generator."""
    count = sum(re.fullmatch(r"from_rgb\.\d+\.(0\.)?conv\.bias", key) is not None for key in theirs)
    D = kept({discriminator_key(key, count): tensor for key, tensor in theirs.items()}, sizes, fewer=1)
    if not count or [len(D[f"see.{i}.bias"]) for i in range(sizes)] != widths:
        return {}
    return {**D, "dense.weight": D["dense.weight"].flatten(1)}  # theirs is a convolution of all there is
