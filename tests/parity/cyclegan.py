"""GANLoss and the gradient penalty of pytorch-CycleGAN-and-pix2pix."""

from collections.abc import Iterator

from torch import nn

from mulligan.parts import objectives as o
from mulligan.parts.penalties import gradient_penalty
from tests.parity.compare import Value
from tests.parity.fixture import Fixture, Unusable
from tests.parity.port import Port


def patch_discriminator(f: Fixture, prefix: str) -> nn.Sequential:
    """The n_layers PatchGAN whose convolutions have the shapes of the state, instance norm between them."""
    settings = f.meta.get("D", {})
    if (settings.get("netD"), settings.get("norm")) not in (("n_layers", "instance"), ("basic", "instance")):
        raise Unusable(f"{f.path}: a penalty on the discriminator {settings} is not supported yet")
    weights = [w.shape for key, w in f.under(f"state/{prefix}").items() if key.endswith("weight")]
    layers: list[nn.Module] = []
    for i, (outputs, inputs, kernel, _) in enumerate(weights):
        # Stride 1 in the last two layers; the first and the last have no norm, the last no activation.
        layers.append(nn.Conv2d(inputs, outputs, kernel, 2 if i < len(weights) - 2 else 1, 1))
        if 0 < i < len(weights) - 1:
            layers.append(nn.InstanceNorm2d(outputs))
        if i < len(weights) - 1:
            layers.append(nn.LeakyReLU(0.2))
    return nn.Sequential(*layers)


def gan_loss(f: Fixture) -> Iterator[Value]:
    x = f["in/prediction"]
    hard = (f.setting("target_real_label"), f.setting("target_fake_label"))
    soft = (f.setting("soft_real"), f.setting("soft_fake"))
    for ending, (real, fake) in {"": hard, "_soft": soft}.items():
        for side, target in (("real", real), ("fake", fake)):
            yield f"loss/lsgan_{side}{ending}", 2 * o.squared(x, target)
            yield f"loss/vanilla_{side}{ending}", o.bce(x, target)
    yield "loss/wgangp_real", o.wasserstein.d(x, 0 * x)
    yield "loss/wgangp_fake", o.wasserstein.d(0 * x, x)
    D = patch_discriminator(f, "D.model.")
    port = Port(D, f, "D.model.", lambda key: key)
    real, fake, weight = f["in/real"], f["in/fake"], f.setting("gp", "lambda_gp")
    # The penalty at real (fake) samples alone is the one between them and themselves.
    for name, a, b in (("gp_mixed", real, fake), ("gp_real", real, real), ("gp_fake", fake, fake)):
        value = weight * gradient_penalty(D, a, b, alpha=f["in/alpha"], target=f.setting("gp", "constant"))
        yield f"loss/{name}", value
        yield from port.gradients(value, name)
