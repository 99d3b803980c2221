"""The generator and discriminator of facebookresearch/pytorch_GAN_zoo, with and without a size fading in."""

import re
from collections.abc import Iterator

import torch

from mulligan.weights import progressive
from tests.parity.compare import Value
from tests.parity.fixture import Fixture, Unusable
from tests.parity.port import Port


def _old(f: Fixture, name: str) -> float:
    """Their alpha: the part of the picture that the size before still has."""
    if match := re.fullmatch(r"\w+_alpha([\d.]+)", name):
        return float(match[1])
    raise Unusable(f"{f.path}: no alpha in the name of the result {name!r}")


def generator(f: Fixture) -> Iterator[Value]:
    G = progressive.generator(f.config).eval()
    Port(G, f, "", progressive.rename)
    with torch.no_grad():
        for name in f.under("out/"):
            yield f"out/{name}", G(f["in/z"], alpha=1 - _old(f, name))


def discriminator(f: Fixture) -> Iterator[Value]:
    D = progressive.discriminator(f.config).eval()
    Port(D, f, "", progressive.rename)
    # theirs fades in only when it has grown twice at least
    fades = D.ups > 1
    with torch.no_grad():
        for name in f.under("out/"):
            logits = D(f["in/x"], alpha=1 - _old(f, name) if fades else 1.0)
            yield f"out/{name}", logits[:, None] if D.outputs == 1 else logits
