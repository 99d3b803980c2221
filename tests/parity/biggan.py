"""BigGAN and BigGAN-deep of ajbrock's BigGAN-PyTorch, and the BigGAN-deep that Hugging Face took over from DeepMind."""

import re
from collections.abc import Iterator

import torch

from mulligan.parts import objectives as o
from mulligan.weights import biggan, biggan_hf
from tests.parity.compare import Value
from tests.parity.fixture import Fixture, Unusable
from tests.parity.port import Port


def same(key: str) -> str:
    return key


def is_deep(f: Fixture) -> bool:
    """Whether the class is the deep one. Unusable for an activation in its title that isn't ReLU."""
    if (told := re.search(r"Generator \((.*?)\)|Discriminator \((.*?)\)", f.cls)) and "ReLU" not in told.groups():
        raise Unusable(f"{f.path}: not supported yet: {f.cls}")
    return "BigGANdeep" in f.cls


def generator(f: Fixture) -> Iterator[Value]:
    G = (biggan.deep_generator if is_deep(f) else biggan.generator)(f.config)
    port = Port(G, f, "", same)
    z, y = f["in/z"], f["in/y"]
    with torch.no_grad():
        yield "out/eval", G.eval()(z, y)
        if "out/train" in f:
            yield "out/train", G.train()(z, y)
            yield from port.after()


def discriminator(f: Fixture) -> Iterator[Value]:
    D = (biggan.deep_discriminator if is_deep(f) else biggan.discriminator)(f.config)
    port = Port(D, f, "", same)
    x, y = f["in/x"], f["in/y"]
    outputs = f.config.get("output_dim", 1)
    with torch.no_grad():
        yield "out/eval", D.eval()(x, y).view(-1, outputs)
        if "out/eval_no_batch_dependence" in f:
            yield "out/eval_no_batch_dependence", D(x[:1], y[:1]).view(-1, outputs)
    if "out/train" not in f:
        return
    fake, labels = f["in/x_fake"], f["in/y_fake"]
    logits = D.train()(torch.cat([fake, x]), torch.cat([labels, y])).view(-1, outputs)
    yield "out/train", logits
    fake_logits, real_logits = logits[: len(fake)], logits[len(fake) :]
    real, generated = o.margin(real_logits), o.margin(-fake_logits)
    yield "loss/D_real", real
    yield "loss/D_fake", generated
    yield "loss/G_hinge", o.hinge.g(real_logits, fake_logits)
    yield "loss/dcgan_D_real", o.bce(real_logits, 1)
    yield "loss/dcgan_D_fake", o.bce(fake_logits, 0)
    yield "loss/dcgan_G", o.nonsaturating.g(real_logits, fake_logits)
    yield from port.gradients(real + generated, "D_hinge")
    yield from port.after()


def hub(f: Fixture) -> Iterator[Value]:
    """Hugging Face's, which has no training mode: its statistics are given."""
    G = biggan_hf.generator(f.config).eval()
    Port(G, f, "", biggan_hf.ours)
    with torch.no_grad():
        for name in f.under("out/"):
            yield f"out/{name}", G(f["in/z"], f["in/class_label"], float(name.removeprefix("img_t")))
