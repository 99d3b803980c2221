"""StyleGAN2-ADA: its operations, generator, discriminator and losses; the discriminator of StyleGAN3 is the same."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from mulligan.parts import filters
from mulligan.parts.layers import MinibatchStdDev
from mulligan.parts.modulated import activated, grouped, modulated, unit
from mulligan.parts.objectives import nonsaturating
from mulligan.parts.penalties import slope
from mulligan.weights import stylegan2
from mulligan.zoo.image.stylegan2 import path_length
from tests.parity.compare import Value
from tests.parity.fixture import Fixture, Unusable
from tests.parity.port import Port


def same(key: str) -> str:
    return key


def is_flat(f: Fixture) -> bool:
    """Whether it comes from StyleGAN3's repository, with other defaults."""
    return "stylegan3" in f.project


def generator(f: Fixture) -> Iterator[Value]:
    G = stylegan2.generator(f.config, is_flat(f)).eval()
    Port(G, f, "", same)
    z, c = f["in/z"], f.under("in/").get("c")
    with torch.no_grad():
        for name in f.under("out/"):
            yield f"out/{name}", _generated(G, name, z, c)


def _generated(G: Any, name: str, z: Tensor, c: Tensor | None) -> Tensor:
    """A result by its name: img or ws, psi07 and cut3 for truncation, const or none for the noise."""
    words = name.split("_")
    psi = next((int(word[3:]) / 10 for word in words if word.startswith("psi") and word != "psi1"), 1.0)
    cutoff = next((int(word[3:]) for word in words if word.startswith("cut")), None)
    if words[0] == "ws":
        return G.mapping(z, c, psi, cutoff)
    return G(z, c, psi, cutoff, "const" if "const" in words else "none")


def discriminator(f: Fixture) -> Iterator[Value]:
    D = stylegan2.discriminator(f.config, is_flat(f)).eval()
    d = Port(D, f, "", same)
    x = f["in/img"] if "in/img" in f else f["in/x"]
    c = f.under("in/").get("c")
    logits, slopes = slope(D, x, *(() if c is None else (c,)))
    yield "out/logits", logits[:, None]
    if "out/r1_penalty" not in f:
        return
    real, r1 = softplus(-logits).mean(), slopes.mean() * 10 / 2
    yield "out/r1_penalty", slopes
    yield "loss/real", real
    yield "loss/r1", r1
    yield "loss/total", real + r1
    yield from d.gradients(real + r1, "total")


def operations(f: Fixture) -> Iterator[Value]:
    for name in f.under("out/"):
        yield f"out/{name}", _operation(f, name)


def _operation(f: Fixture, name: str) -> Tensor:
    given = {"f": None, **f.config.get(name, {})}
    op, taps = given.pop("op", name), given.pop("f")
    k = None if taps is None else filters.kernel(taps)
    x, xs = f["in/x"], f["in/xs"]
    if name.startswith("setup_filter"):
        return _set_up(f, name)
    if name.startswith("mbstd"):
        group, features = {"g4_f1": (4, 1), "g4_f2": (4, 2), "all": (None, 3)}[name.removeprefix("mbstd_")]
        return MinibatchStdDev(group, features)(f["in/mbstd"])
    match op:
        case "upfirdn2d":
            flip, gain = given.pop("flip_filter", False), given.pop("gain", 1)
            return filters.filtered(x, k, flip=flip, gain=gain, **given)
        case "upsample2d":
            return filters.upsample(x, k, **given)
        case "downsample2d":
            return filters.downsample(x, k, **given)
        case "filter2d" if k is not None:
            return filters.smooth(x, k, **given)
        case "bias_act":
            slope = given.pop("alpha", None)
            return activated(x, f["in/bias"], slope=slope, **given)
        case "conv2d_resample":
            w = f[f"in/{given.pop('w')}"]
            return filters.resampled(xs, w, k, flip=given.pop("flip_weight", True), **given)
        case "modulated_conv2d":
            return _modulated(f, given, k)
        case "normalize_2nd_moment":
            return unit(f["in/styles"])
    raise Unusable(f"{f.path}: no such operation here: {op!r}")


def _set_up(f: Fixture, name: str) -> Tensor:
    """Three filters that stand in the results alone: f1 is the usual one, f2 the uneven one of the other cases."""
    if name == "setup_filter_f2":
        return filters.kernel(f.setting("flip", "f"))
    taps = [1, 3, 3, 1]
    return filters.kernel(taps, 4 * sum(taps) ** 2 if name.endswith("nonorm_gain4") else 1)


def _modulated(f: Fixture, given: dict[str, Any], k: Tensor | None) -> Tensor:
    fused = given.pop("fused_modconv", True)
    noise = f[f"in/noise{8 * given.get('up', 1)}"] if given.pop("noise", None) else None
    w, style = f[f"in/{given.pop('w')}"], f[f"in/{given.pop('styles')}"]
    flip = given.pop("flip_weight", True)
    convolve = grouped if fused else modulated
    return convolve(f["in/xs"], w, style, noise=noise, f=k, flip=flip, **given)


def losses(f: Fixture) -> Iterator[Value]:
    """The four phases, on one batch; path lengths of its first half."""
    G, D = stylegan2.generator(f.setting("G")).eval(), stylegan2.discriminator(f.setting("D")).eval()
    g, d = Port(G, f, "G.", same), Port(D, f, "D.", same)
    z, inputs = f["in/z"], f.under("in/")
    c, real_c = inputs.get("c"), inputs.get("real_c")
    fake = G(z, c, noise="const")
    logits = D(fake, c)
    yield "out/fake_logits", logits[:, None]
    main = nonsaturating.g(logits, logits)
    yield "loss/Gmain", main
    yield from g.gradients(main, "Gmain")

    half = len(z) // f.setting("pl_batch_shrink")
    w = G.mapping(z[:half], None if c is None else c[:half])
    penalty, mean = path_length(G.synthesis(w, "const"), w, f["in/pl_mean"], f["in/pl_noise"])
    yield "out/pl_penalty", penalty
    yield "out/pl_mean", mean
    charge = f.setting("pl_weight") * penalty.mean()
    yield "loss/Greg", charge
    yield from g.gradients(charge, "Greg")

    real, slopes = slope(D, f["in/real_img"], *(() if real_c is None else (real_c,)))
    yield "out/real_logits", real[:, None]
    yield "out/r1_penalty", slopes
    main = nonsaturating.d(real, D(fake.detach(), c))
    yield "loss/Dmain", main
    yield from d.gradients(main, "Dmain")
    charge = f.setting("r1_gamma") / 2 * slopes.mean()
    yield "loss/Dreg", charge
    yield from d.gradients(charge, "Dreg")
