"""StudioGAN's resnet and big_resnet, every condition of D."""

from collections.abc import Iterator

import torch
from torch import Tensor

from mulligan.weights import studiogan
from tests.parity.compare import Value
from tests.parity.fixture import Fixture, Unusable
from tests.parity.port import Port

KNOWN = {"G", "D", "apply_g_sn", "apply_d_sn"}


def run(f: Fixture) -> Iterator[Value]:
    if unknown := f.config.keys() - KNOWN:
        raise Unusable(f"{f.path}: not supported yet: {', '.join(sorted(unknown))}")
    g, d = f.setting("G"), f.setting("D")
    G = studiogan.generator(g, "big_resnet" in f.cls, f.setting("apply_g_sn"))
    D = studiogan.discriminator(d)
    bodies = studiogan.attended(g, "attn_g_loc"), studiogan.attended(d, "attn_d_loc")
    ports = (
        Port(G, f, "G.", studiogan.renaming(bodies[0])),
        Port(D, f, "D.", studiogan.renaming(bodies[1], first="bn2")),
    )
    z, x, y = f["in/z"], f["in/x"], f["in/y"]
    with torch.no_grad():
        yield "out/G_eval", G.eval()(z, y)
        yield from _said(f, "eval", D.eval().judged(x, y))
        yield "out/G_train", G.train()(z, y)
        yield from _said(f, "train", D.train().judged(x, y))
    for port in ports:
        yield from port.after()


def _said(f: Fixture, mode: str, said: dict[str, Tensor]) -> Iterator[Value]:
    for name, value in said.items():
        if f"out/D_{mode}_{name}" in f:
            yield f"out/D_{mode}_{name}", value
