"""StyleGAN3: its generator, configurations T and R, and its operations; the discriminator is that of StyleGAN2."""

from collections.abc import Iterator

import torch
from torch import Tensor

from mulligan.nets.stylegan3 import Generator
from mulligan.parts.alias_free import filtered_lrelu, lowpass, styled
from mulligan.weights import stylegan3
from tests.parity.compare import Value, compare
from tests.parity.fixture import Fixture, Unusable
from tests.parity.port import Port

DESIGNED = ("up_filter", "down_filter")
"""Entries of the state that follow from the configuration alone: ours must be right before theirs come in."""


def generator(f: Fixture) -> Iterator[Value]:
    G = stylegan3.generator(f.config).eval()
    _check_designs(G, f)
    g = Port(G, f, "", lambda key: key)
    z, c = f["in/z"], f.under("in/").get("c")
    with torch.no_grad():
        # The averages move last: whatever comes behind would see others.
        for name in sorted(f.under("out/"), key=lambda name: "update_emas" in name):
            yield f"out/{name}", _generated(G, name, z, c)
        yield from g.after()


def _check_designs(G: Generator, f: Fixture) -> None:
    """Unusable where a filter that we design is not the one of the file, which would hide it."""
    for key, ours in G.state_dict().items():
        if key.endswith(DESIGNED) and f"state/{key}" in f:
            line = compare(key, ours, f.arrays[f"state/{key}"], f.rtol)
            if not line.passed:
                raise Unusable(f"{f.path}: {key} follows from the configuration, but not to this value: {line}")


def _generated(G: Generator, name: str, z: Tensor, c: Tensor | None) -> Tensor:
    """A result by its name: img, ws or input features, psi07 and cut3 for truncation, update_emas for the averages."""
    kind, *words = name.split("_")
    psi, cutoff, track = 1.0, None, False
    for word in words:
        if word.startswith("psi"):
            psi = 1.0 if word == "psi1" else int(word[3:]) / 10
        elif word.startswith("cut"):
            cutoff = int(word[3:])
        elif word in ("update", "emas"):
            track = True
        elif word != "features":
            raise Unusable(f"no such result here: out/{name}")
    if kind == "img":
        return G(z, c, psi, cutoff, track)
    ws = G.mapping(z, c, psi, cutoff, track)
    return ws if kind == "ws" else G.synthesis.input(ws[:, 0])


def operations(f: Fixture) -> Iterator[Value]:
    for name in f.under("out/"):
        kind = name.rstrip("0123456789").partition("_")[0].rstrip("0123456789")
        given = dict(f.config.get(name, {}))
        match kind:
            case "lowpass":
                yield f"out/{name}", _designed(f, name)
            case "flrelu":
                flip, after = given.pop("flip_filter", False), f["in/fd_radial" if name.endswith("radial") else "in/fd"]
                yield f"out/{name}", filtered_lrelu(f["in/x"], f["in/fu"], after, f["in/b"], flip=flip, **given)
            case "mod":
                yield f"out/{name}", _modulated(f, name)
            case _:
                raise Unusable(f"{f.path}: no such operation here: {name!r}")


def _designed(f: Fixture, name: str) -> Tensor:
    taps, cutoff, width, rate, radial = (f.setting(name, key) for key in ("numtaps", "cutoff", "width", "fs", "radial"))
    found = lowpass(taps, cutoff, width, rate, radial)
    if found is None:
        raise Unusable(f"{f.path}: {name} has a single tap, which is no filter")
    return found


def _modulated(f: Fixture, name: str) -> Tensor:
    """The file says it in words alone: all of it with demodulation; without, the same size and no gain."""
    x, w, s = f["in/x"], f["in/w"], f["in/s"]
    if name == "mod_demod":
        return styled(x, w, s, padding=2, gain=f["in/input_gain"])
    return styled(x, w, s, padding=w.shape[-1] // 2, demodulate=False)
