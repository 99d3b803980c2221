"""R3GAN: both networks, the relativistic losses with R1 and R2, and all gradients."""

from collections.abc import Iterator

import torch
from torch.nn.functional import softplus

from mulligan.parts.objectives import relativistic
from mulligan.parts.penalties import slope
from mulligan.weights import r3gan
from tests.parity.compare import Value
from tests.parity.fixture import Fixture, Unusable
from tests.parity.port import Port


def _check_filters(f: Fixture, side: str, taps: torch.Tensor | None) -> None:
    """Their filter is in the state, ours follows from the configuration."""
    taps = torch.outer(taps, taps) if taps is not None and taps.dim() == 1 else taps
    for key, value in f.under(f"state/{side}.").items():
        if r3gan.KERNEL.fullmatch(key) and (taps is None or not torch.allclose(value, taps)):
            raise Unusable(f"{f.path}: state/{side}.{key} is another filter than ours")


def run(f: Fixture) -> Iterator[Value]:
    G, D = r3gan.generator(f.setting("G")).eval(), r3gan.discriminator(f.setting("D")).eval()
    g, d = Port(G, f, "G.", r3gan.generator_key), Port(D, f, "D.", r3gan.discriminator_key)
    _check_filters(f, "G", G.resampling.taps)
    _check_filters(f, "D", D.body.resampling.taps)
    given, gamma = f.under("in/"), f.setting("Gamma")
    c = (given["c"],) if "c" in given else ()
    fake = G(given["z"], *c)
    (real_logits, r1), (fake_logits, r2) = slope(D, given["real"], *c), slope(D, fake, *c)
    difference = real_logits - fake_logits
    yield "out/fake", fake
    yield "out/real_logits", real_logits
    yield "out/fake_logits", fake_logits
    yield "out/D_rel", difference
    yield "out/D_adv", softplus(-difference)
    yield "out/R1", r1
    yield "out/R2", r2
    loss = relativistic.d(real_logits, fake_logits) + gamma / 2 * (r1 + r2).mean()
    yield "loss/D", loss
    yield from d.gradients(loss, "D")
    real_logits, fake_logits = D(given["real"], *c), D(fake, *c)
    difference = fake_logits - real_logits
    yield "out/G_rel", difference
    yield "out/G_adv", softplus(-difference)
    loss = relativistic.g(real_logits, fake_logits)
    yield "loss/G", loss
    yield from g.gradients(loss, "G")
