"""The DCGAN of pytorch/examples, 64 pixels."""

import re
from collections.abc import Iterator

import torch

from mulligan.nets import dcgan
from mulligan.nets.heads import Discriminator
from mulligan.parts import objectives as o
from tests.parity.compare import Value
from tests.parity.fixture import Fixture
from tests.parity.port import Port


def _generator_key(key: str) -> str:
    match = re.fullmatch(r"main\.(\d+)\.(\w+)", key)
    if match is None:
        return key
    number, entry = int(match[1]), match[2]
    if number == 0:
        return f"project.{entry}"
    return f"norms.{number // 3}.{entry}" if number % 3 == 1 else f"ups.{number // 3 - 1}.{entry}"


def _discriminator_key(key: str) -> str:
    match = re.fullmatch(r"main\.(\d+)\.(\w+)", key)
    if match is None:
        return key
    number, entry = int(match[1]), match[2]
    if number == 11:
        return f"head.{entry}"
    return (
        f"body.norms.{number // 3}.{entry}" if number % 3 == 0 and number else f"body.downs.{(number + 1) // 3}.{entry}"
    )


def run(f: Fixture) -> Iterator[Value]:
    shape = (f.setting("nc"), 64, 64)
    G = dcgan.Generator(f.setting("nz"), shape, width=f.setting("ngf"))
    D = Discriminator(dcgan.Body(shape, width=f.setting("ndf")))
    g = Port(G, f, "G.", _generator_key, swapped=("main.0.weight",))
    # The example's last convolution has no bias.
    torch.nn.init.zeros_(D.head.bias)
    d = Port(D, f, "D.", _discriminator_key, last=("main.11.weight",), absent=("head.bias",))
    z, x = f["in/z"].flatten(1), f["in/x"]
    with torch.no_grad():
        yield "out/G_eval", G.eval()(z)
        yield "out/D_eval", D.eval()(x).sigmoid()
    fake = G.train()(z)
    real_logits, fake_logits, logits = D.train()(x), D(fake.detach()), D(fake)
    yield "out/G_train", fake
    for name, values in (("real", real_logits), ("fake", fake_logits), ("fake2", logits)):
        yield f"out/D_{name}", values.sigmoid()
    yield "loss/D_real", o.bce(real_logits, 1)
    yield "loss/D_fake", o.bce(fake_logits, 0)
    loss = o.nonsaturating.g(real_logits, logits)
    yield "loss/G", loss
    yield from d.gradients(o.nonsaturating.d(real_logits, fake_logits), "D")
    yield from g.gradients(loss, "G")
    yield from g.after()
    yield from d.after()
