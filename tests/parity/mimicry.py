"""SNGAN, projection cGAN and WGAN-GP of mimicry, every image size."""

import re
from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn

from mulligan.nets import resnet
from mulligan.nets.heads import Discriminator
from mulligan.parts import objectives as o
from mulligan.parts.layers import SpectralNorm, spectral_norm
from tests.parity.compare import Value
from tests.parity.fixture import Fixture, Unusable
from tests.parity.port import Port

# How many of D's blocks halve; the shapes of the weights do not tell.
DOWNS = {32: 2, 48: 4, 64: 5, 128: 5}
LAYERS = {"c1": "conv1", "c2": "conv2", "c_sc": "shortcut", "b1": "norm1", "b2": "norm2"}


def run(f: Fixture) -> Iterator[Value]:
    # A layer has either torch's hooks (weight_orig, weight_u, weight_v) or mimicry's own norm (weight, sn_u, sn_sigma).
    own = {key.removesuffix(".sn_u") for key in f.under("state/D.") if key.endswith(".sn_u")}
    G, D = _generator(f), _discriminator(f)
    g = Port(G, f, "G.", _generator_key)
    names = {key: _discriminator_key(key, own) for key in f.under("state/D.")}
    missing = tuple(f"{_module(layer)}.parametrizations.weight.0.v" for layer in own)
    d = Port(D, f, "D.", names.__getitem__, absent=missing)
    norms = {layer: _norm(D, _module(layer)) for layer in sorted(own)}
    y = f.under("in/").get("y")
    z, x = f["in/z"], f["in/x"]
    with torch.no_grad():
        yield "out/G_eval", G.eval()(z, y)
        yield "out/D_eval", _logits_in_eval(D, norms, x, y)
    fake = G.train()(z, y)
    real_logits, fake_logits = D.train()(x, y)[:, None], D(fake.detach(), y)[:, None]
    yield "out/G_train", fake
    yield "out/D_real", real_logits
    yield "out/D_fake", fake_logits
    yield from _losses(real_logits, fake_logits)
    yield from d.gradients(o.hinge.d(real_logits, fake_logits), "D_hinge")
    yield from g.after()
    yield from d.after()
    for layer, (norm, weight) in norms.items():
        yield f"after/D.{layer}.sn_sigma", norm.sigma(weight)[None]


def _losses(real: Tensor, fake: Tensor) -> Iterator[Value]:
    yield "loss/D_hinge", o.hinge.d(real, fake)
    yield "loss/G_hinge", o.hinge.g(real, fake)
    yield "loss/minimax_D", o.nonsaturating.d(real, fake)
    yield "loss/minimax_G", o.nonsaturating.g(real, fake)
    # mimicry's other form of the same loss adds 1e-8 to the probability.
    yield "loss/ns_G", -(fake.sigmoid() + 1e-8).log().mean()
    yield "loss/w_D", o.wasserstein.d(real, fake)
    yield "loss/w_G", o.wasserstein.g(real, fake)


def _blocks(f: Fixture, side: str) -> list[tuple[int, int]]:
    """(outputs, inputs) of each block: those of the second and the first convolution."""
    state = f.under(f"state/{side}.")
    numbers = sorted({int(match[1]) for key in state if (match := re.match(r"block(\d+)\.", key))})
    ends = [
        next(w for k, w in state.items() if re.match(rf"block{i}\.c2\.weight(_orig)?$", k)).shape[0] for i in numbers
    ]
    starts = [
        next(w for k, w in state.items() if re.match(rf"block{i}\.c1\.weight(_orig)?$", k)).shape[1] for i in numbers
    ]
    return list(zip(ends, starts, strict=True))


def _generator(f: Fixture) -> resnet.Generator:
    blocks = _blocks(f, "G")
    widths = (blocks[0][1], *(outputs for outputs, _ in blocks))
    images = f["out/G_eval"].shape
    return resnet.Generator(
        f.setting("G", "nz"),
        (images[1], images[2], images[3]),
        classes=f.config["G"].get("num_classes", 0),
        upsample="bilinear",
        widths=widths,
        ups=len(blocks),
    )


def _discriminator(f: Fixture) -> Discriminator:
    match = re.search(r"Discriminator(\d+)", f.cls)
    if match is None or int(match[1]) not in DOWNS:
        raise Unusable(f"{f.path}: no image size of mimicry in the class {f.cls!r}")
    images = f["in/x"].shape
    body = resnet.Body(
        (images[1], images[2], images[3]),
        pool="mean" if "WGANGP" in f.cls else "sum",
        widths=tuple(outputs for outputs, _ in _blocks(f, "D")),
        downs=DOWNS[int(match[1])],
        activated_shortcut=True,
    )
    classes = f.config["D"].get("num_classes", 0)
    D = Discriminator(body, classes=classes, conditioning="projection" if classes else "none")
    if any(key.endswith(("weight_u", "sn_u")) for key in f.under("state/D.")):
        spectral_norm(D)
    return D


def _generator_key(key: str) -> str:
    if match := re.fullmatch(r"block(\d+)\.(\w+)\.(.+)", key):
        return f"blocks.{int(match[1]) - 2}.{LAYERS[match[2]]}.{match[3]}"
    kind, entry = re.fullmatch(r"([a-z])\d+\.(.+)", key).groups()  # type: ignore[union-attr]
    return {"l": "project", "b": "norm", "c": "paint"}[kind] + f".{entry}"


def _module(layer: str) -> str:
    """Our module for an official layer of D, such as block1.c2, l5 or l_y."""
    if match := re.fullmatch(r"block(\d+)\.(\w+)", layer):
        return f"body.blocks.{int(match[1]) - 1}.{LAYERS[match[2]]}"
    return "embedding" if layer == "l_y" else "head"


def _discriminator_key(key: str, own: set[str]) -> str:
    """Our name of an entry; "" for the stored sigma, which only informs."""
    layer, entry = key.rsplit(".", 1)
    if layer in own and entry == "weight":
        entry = "weight_orig"
    ours = {
        "weight_orig": "parametrizations.weight.original",
        "weight_u": "parametrizations.weight.0.u",
        "weight_v": "parametrizations.weight.0.v",
        "sn_u": "parametrizations.weight.0.u",
        "sn_sigma": "",
    }.get(entry, entry)
    return f"{_module(layer)}.{ours}" if ours else ""


def _norm(D: nn.Module, module: str) -> tuple[SpectralNorm, Tensor]:
    weights = cast(nn.Module, D.get_submodule(f"{module}.parametrizations.weight"))
    return cast(SpectralNorm, weights.get_submodule("0")), cast(Tensor, weights.original)


def _logits_in_eval(D: nn.Module, norms: dict[str, tuple[SpectralNorm, Tensor]], x: Tensor, y: Tensor | None) -> Tensor:
    """mimicry's own norm takes one step from its stored u in eval mode too, and does not keep it."""
    stored = {layer: norm.u.clone() for layer, (norm, _) in norms.items()}
    for norm, weight in norms.values():
        norm.iterate(weight)
    logits = D.eval()(x, y)[:, None]
    for layer, (norm, _) in norms.items():
        norm.u.copy_(stored[layer])
    return logits
