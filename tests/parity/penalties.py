"""Gradient penalties on a fixed convolutional net."""

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mulligan.parts import penalties as p
from tests.parity.compare import Value
from tests.parity.fixture import Fixture
from tests.parity.port import Port


class Net(nn.Module):
    """fc(flatten(tanh(conv2(softplus(conv1(x)))))), as the fixture describes it."""

    def __init__(self, f: Fixture) -> None:
        super().__init__()
        for name in ("conv1", "conv2"):
            outputs, inputs, kernel, _ = f[f"state/{name}.weight"].shape
            setattr(self, name, nn.Conv2d(inputs, outputs, kernel, stride=2, padding=1))
        outputs, inputs = f["state/fc.weight"].shape
        self.fc = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        conv1, conv2 = cast(nn.Conv2d, self.conv1), cast(nn.Conv2d, self.conv2)
        return self.fc(torch.tanh(conv2(F.softplus(conv1(x)))).flatten(1))


def fixed_net(f: Fixture) -> Iterator[Value]:
    D = Net(f)
    port = Port(D, f, "", lambda key: key)
    real, fake, alpha = f["in/real"], f["in/fake"], f["in/alpha"]
    between = p.slope(D, p.interpolate(real, fake, alpha))[1]
    towards_fake = p.slope(D, p.interpolate(fake, real, alpha))[1]
    yield "out/grad_norms_fake_weighted", towards_fake.sqrt()
    values = {
        "wgan_gp_real_weighted": p.gradient_penalty(D, real, fake, alpha=alpha),
        "wgan_gp_fake_weighted": p.gradient_penalty(D, fake, real, alpha=alpha),
        "lp_one_sided": p.gradient_penalty(D, fake, real, alpha=alpha, one_sided=True),
        "tfgan_eps": ((towards_fake + 1e-10).sqrt() - 1).square().mean(),
        "r1": p.r1(D, real),
        "r2": p.r1(D, fake),
        "dragan": p.dragan(D, real, alpha=alpha, u=f["in/u"]),
        "max_gp": between.max(),
        "zero_centered_interp": between.mean(),
        "torchgan_batchnorm_sic": (between.sum().sqrt() - 1).square(),
    }
    for name, value in values.items():
        yield f"loss/{name}", value
        yield from port.gradients(value, name)
