"""The generator and discriminator of rosinality/style-based-gan-pytorch at several steps of their growing."""

import re
from collections.abc import Iterator

import torch
from torch import Tensor

from mulligan.nets.stylegan1 import BINOMIAL, Generator
from mulligan.parts.filters import kernel
from mulligan.weights import stylegan1
from tests.parity.compare import Value
from tests.parity.fixture import Fixture, Unusable
from tests.parity.port import Port

BASE = 4  # pixels of a side at step 0


def _check_filters(f: Fixture) -> None:
    """Their filters are entries of the state, and ours are none."""
    for key, value in f.under("state/").items():
        if stylegan1.FILTER.fullmatch(key) and not torch.allclose(value, kernel(BINOMIAL).expand_as(value)):
            raise Unusable(f"{f.path}: state/{key} is another filter than ours")


def _grown(f: Fixture, name: str) -> tuple[int, float]:
    """Step and alpha by the name of a result; theirs outside of [0, 1) says that all has faded in."""
    match = re.search(r"_step(\d+)_alpha(-?[\d.]+)$", name)
    if match is None:
        raise Unusable(f"{f.path}: no step and alpha in the name of the result {name!r}")
    alpha = float(match[2])
    return int(match[1]), alpha if 0 <= alpha < 1 else 1.0


def _explained(f: Fixture, pattern: str) -> tuple[str, ...]:
    """What the explanation of the results says in words only."""
    match = re.search(pattern, f.meta.get("doc", ""))
    if match is None:
        raise Unusable(f"{f.path}: broken, its explanation lacks {pattern!r}")
    return match.groups()


def generator(f: Fixture) -> Iterator[Value]:
    G = stylegan1.generator(f.config).eval()
    Port(G, f, "", stylegan1.generator_key)
    _check_filters(f)
    # theirs takes one noise for both layers of a size
    noise = [f[f"in/noise{i}"] for i in range(G.synthesis.ups + 1) for _ in range(2)]
    with torch.no_grad():
        for name in f.under("out/"):
            yield f"out/{name}", _generated(G, f, name, noise)


def _generated(G: Generator, f: Fixture, name: str, noise: list[Tensor]) -> Tensor:
    match name:
        case "style":
            return G.mapping(f["in/z"])
        case "img_truncated":
            (psi,) = _explained(f, r"style_weight (\d+(?:\.\d+)?)")
            return G(f["in/z"], noise=noise, psi=float(psi), mean=f["in/mean_style"])
        case "img_mixing":
            first, last = map(int, _explained(f, r"mixing_range=\((\d+), ?(\d+)\)"))
            ws = G.mapping(f["in/z"])[:, None].repeat(1, G.synthesis.count, 1)
            ws[:, 2 * first : 2 * last + 2] = G.mapping(f["in/z2"])[:, None]
            return G.synthesis(ws, noise=noise)
    step, alpha = _grown(f, name)
    return G(f["in/z"], step, alpha, noise)


def discriminator(f: Fixture) -> Iterator[Value]:
    D = stylegan1.discriminator(f.config).eval()
    Port(D, f, "", lambda key: stylegan1.discriminator_key(key, D.ups + 1))
    _check_filters(f)
    pictures = {x.shape[-1]: x for x in f.under("in/").values()}
    with torch.no_grad():
        for name in f.under("out/"):
            step, alpha = _grown(f, name)
            if BASE << step not in pictures:
                raise Unusable(f"{f.path}: no picture of {BASE << step} pixels for the result {name!r}")
            yield f"out/{name}", D(pictures[BASE << step], step, alpha)[:, None]
