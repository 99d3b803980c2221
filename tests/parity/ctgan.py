"""CTGAN: packing, its discriminator and penalty by our parts; its generator is a private network here."""

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mulligan.nets import mlp
from mulligan.nets.heads import Discriminator
from mulligan.parts import objectives as o
from mulligan.parts.layers import pack
from mulligan.parts.penalties import gradient_penalty
from tests.parity.compare import Value
from tests.parity.fixture import Fixture
from tests.parity.port import Port


class Residual(nn.Module):
    """ReLU(norm(fc(x))) with x appended (Xu et al. 2019, section 4.4)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.fc, self.bn = nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([F.relu(self.bn(self.fc(x))), x], 1)


def _generator(f: Fixture) -> nn.ModuleDict:
    width = f.setting("embedding_dim") + f.setting("cond_dim")
    layers: list[nn.Module] = []
    for units in f.setting("generator_dim"):
        layers.append(Residual(width, units))
        width += units
    return nn.ModuleDict({"seq": nn.Sequential(*layers, nn.Linear(width, f.setting("data_dim")))})


def _spans(f: Fixture) -> list[tuple[int, int, str, bool]]:
    """(start, end, kind, whether a whole discrete column) of each output span."""
    spans, start = [], 0
    for column in f.setting("output_info"):
        for size, kind in column:
            spans.append((start, start + size, kind, len(column) == 1 and kind == "softmax"))
            start += size
    return spans


def _activated(f: Fixture, raw: Tensor) -> Tensor:
    parts, softmaxes = [], 0
    for start, end, kind, _ in _spans(f):
        if kind == "tanh":
            parts.append(raw[:, start:end].tanh())
        else:
            parts.append(((raw[:, start:end] + f[f"in/gumbel_{softmaxes}"]) / 0.2).softmax(1))
            softmaxes += 1
    return torch.cat(parts, 1)


def _conditional(f: Fixture, raw: Tensor) -> Tensor:
    """Cross-entropy of the chosen column's logits with its condition, over the batch size."""
    cond, mask, total, at = f["in/cond"], f["in/mask"], raw.new_zeros(()), 0
    discrete = [(start, end) for start, end, _, whole in _spans(f) if whole]
    for column, (start, end) in enumerate(discrete):
        target = cond[:, at : at + end - start].argmax(1)
        total = total + (F.cross_entropy(raw[:, start:end], target, reduction="none") * mask[:, column]).sum()
        at += end - start
    return total / len(raw)


def run(f: Fixture) -> Iterator[Value]:
    G, pac = _generator(f), f.setting("pac")
    generate = cast(nn.Sequential, G["seq"])
    body = mlp.Body((f["in/real"].shape[1] * pac,), widths=tuple(f.setting("discriminator_dim")), dropout=0.5)
    D = Discriminator(body).eval()
    g = Port(G, f, "G.", lambda key: key)
    last = f"seq.{3 * len(f.setting('discriminator_dim'))}."
    d = Port(D, f, "D.", lambda key: key.replace(last, "head.") if key.startswith(last) else f"body.layers{key[3:]}")
    with torch.no_grad():
        yield "out/G_eval", generate.eval()(f["in/z"])
        yield "out/G_train", generate.train()(f["in/z"])
    yield from g.after()
    real, fake = pack(f["in/real"], pac), pack(f["in/fake"], pac)
    real_logits, fake_logits = D(real)[:, None], D(fake)[:, None]
    yield "out/D_real", real_logits
    yield "out/D_fake", fake_logits
    yield "loss/D", o.wasserstein.d(real_logits, fake_logits)
    yield "loss/G_adv", o.wasserstein.g(real_logits, fake_logits)
    # CTGAN measures one slope per pack, so its penalty is the ordinary one on packed samples.
    penalty = f.setting("lambda_") * gradient_penalty(D, real, fake, alpha=f["in/alpha"])
    yield "loss/gp", penalty
    yield from d.gradients(penalty, "gp")
    yield "out/activated", _activated(f, f["in/G_raw"])
    yield "loss/cond", _conditional(f, f["in/G_raw"])
