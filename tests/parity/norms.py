"""Layers by themselves: conditional batch norms, self-attention and spectral norm of three BigGAN projects."""

import re
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from mulligan.parts import spectral
from mulligan.parts.attention import SelfAttention
from mulligan.parts.conditional_norm import ConditionalNorm, Standing, Statistics, TableNorm
from mulligan.parts.layers import spectral_norm
from mulligan.weights import biggan_hf, studiogan
from tests.parity.compare import Value
from tests.parity.fixture import Fixture, Unusable
from tests.parity.port import Port


def run(f: Fixture) -> Iterator[Value]:
    for case in sorted({key.split("/")[0] for key in f.under("state/")}):
        yield from _case(f, case)


def _case(f: Fixture, case: str) -> Iterator[Value]:
    match case.split("_"):
        case ["ccbn", *_]:
            return _conditional(f, case)
        case ["studio", "cbn"]:
            return _studio(f, case)
        case ["hf", "bn", *_]:
            return _table(f, case)
        case ["attention", *_]:
            return _attention(f, case)
        case ["sn", *_]:
            return _spectral(f, case)
    raise Unusable(f"{f.path}: not supported yet: {case}")


def same(key: str) -> str:
    return key


def _looks(f: Fixture) -> tuple[nn.Linear, nn.Linear]:
    width, channels = f.setting("cond"), f.setting("channels")
    return nn.Linear(width, channels, bias=False), nn.Linear(width, channels, bias=False)


def _conditional(f: Fixture, case: str) -> Iterator[Value]:
    own = "bn.stored_mean" in f.under(f"state/{case}/")
    statistics = Statistics("standing" if own else "stored", f.setting("biggan_eps"))
    norm = ConditionalNorm(f.setting("channels"), *_looks(f), statistics)
    port = Port(norm, f, f"{case}/", same)
    x, y = f["in/x"], f["in/y"]
    with torch.no_grad():
        yield f"out/{case}_eval", norm.eval()(x, y)
        yield f"out/{case}_train", norm.train()(x, y)
        yield from port.after()
        name = f"out/{case}_standing_eval_after_train"
        if name in f and isinstance(norm.bn, Standing):
            norm.bn.accumulate_standing = True
            norm.bn.accumulation_counter.fill_(_count(f))
            yield name, norm.eval()(x, y)


def _count(f: Fixture) -> int:
    if found := re.search(r"accumulation_counter (\d+)", f.meta.get("doc", "")):
        return int(found[1])
    raise Unusable(f"{f.path}: its doc doesn't tell the accumulation_counter")


def _studio(f: Fixture, case: str) -> Iterator[Value]:
    statistics = Statistics("running", f.setting("studiogan_eps"))
    norm = spectral_norm(ConditionalNorm(f.setting("channels"), *_looks(f), statistics))
    Port(norm, f, f"{case}/", studiogan.ours)
    with torch.no_grad():
        yield f"out/{case}_eval", norm.eval()(f["in/x"], f["in/y"])


def _table(f: Fixture, case: str) -> Iterator[Value]:
    conditional = case.endswith("cond")
    looks = _looks(f) if conditional else (None, None)
    norm = spectral_norm(TableNorm(f.setting("channels"), f.setting("n_stats"), f.setting("hf_eps"), *looks))
    Port(norm, f, f"{case}/", biggan_hf.ours)
    y = f["in/y"] if conditional else None
    with torch.no_grad():
        for name in f.under(f"out/{case}_t"):
            yield f"out/{case}_t{name}", norm.eval()(f["in/x"], float(name), y)


def _attention(f: Fixture, case: str) -> Iterator[Value]:
    x = f["in/xa"]
    if case.endswith("biggan"):
        layer, names = SelfAttention(x.shape[1], spectral.ONE), same
    else:
        layer, names = spectral_norm(SelfAttention(x.shape[1])), studiogan.ours
    Port(layer, f, f"{case}/", names)
    with torch.no_grad():
        yield f"out/{case}", layer.eval()(x)


def _spectral(f: Fixture, case: str) -> Iterator[Value]:
    layer, x = _layer(f, case)
    port = Port(layer, f, f"{case}/", same)
    with torch.no_grad():
        yield f"out/{case}_eval", layer.eval()(x)
    y = layer.train()(x)
    yield f"out/{case}_train", y
    weights = torch.linspace(-1, 1, y.numel()).view_as(y)
    yield f"grad/{case}/weight", torch.autograd.grad((y * weights).sum(), layer.weight)[0]
    yield from port.after()


def _layer(f: Fixture, case: str) -> tuple[spectral.Normalized, Tensor]:
    """The layer by the shapes of its state, and its input."""
    state, told = f.under(f"state/{case}/"), f.meta.get("sn_cases", {}).get(case, "")
    steps = re.search(r"num_itrs (\d+)", told)
    norm = spectral.Spectral(sum(key.startswith("sv") for key in state), int(steps[1]) if steps else 1)
    outputs, inputs, *sizes = state["weight"].shape
    if "conv" in case:
        x = f["in/xs"]
        stride = x.shape[2] // f[f"out/{case}_eval"].shape[2]
        return spectral.Conv2d(inputs, outputs, sizes[0], norm, bias="bias" in state, stride=stride), x
    if "linear" in case:
        return spectral.Linear(inputs, outputs, norm, bias="bias" in state), f["in/xl"]
    return spectral.Embedding(outputs, inputs, norm), f["in/xe"]
