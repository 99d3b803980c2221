"""Which adapter answers which fixture: the first whose pattern occurs in "project class"."""

import re
from collections.abc import Callable, Iterable

from tests.parity import (
    ada,
    biggan,
    ctgan,
    cyclegan,
    dcgan_examples,
    diffaugment,
    losses,
    metrics,
    mimicry,
    norms,
    penalties,
    progressive,
    r3gan,
    studiogan,
    stylegan1,
    stylegan2,
    stylegan3,
)
from tests.parity.compare import Value
from tests.parity.fixture import Fixture, Unusable

Adapter = Callable[[Fixture], Iterable[Value]]

ADAPTERS: dict[str, Adapter] = {
    r"adversarial losses on fixed logits": losses.formulas,
    r"lecam-gan .*lecam_reg": losses.lecam,
    r"BasicSR .*GANLoss": losses.super_resolution,
    r"gradient penalties on a fixed net": penalties.fixed_net,
    r"networks\.GANLoss": cyclegan.gan_loss,
    r"data-efficient-gans .*DiffAugment": diffaugment.run,
    r"pytorch/examples .*Generator, Discriminator": dcgan_examples.run,
    r"mimicry .*\b(SNGAN|CGANPD|WGANGP)Generator": mimicry.run,
    r"sdv-dev/CTGAN .*ctgan": ctgan.run,
    r"NVlabs/stylegan\S+ .*networks(_stylegan2)?\.Generator$": stylegan2.generator,
    r"NVlabs/stylegan\S+ .*networks(_stylegan2)?\.Discriminator": stylegan2.discriminator,
    r"stylegan2-ada.* torch_utils\.ops\.": stylegan2.operations,
    r"NVlabs/stylegan2\S+ training\.loss\.StyleGAN2Loss": stylegan2.losses,
    r"NVlabs/stylegan3 .*networks_stylegan3\.Generator\b": stylegan3.generator,
    r"NVlabs/stylegan3 .*\bfiltered_lrelu\b": stylegan3.operations,
    r"pytorch_GAN_zoo .*progressive_conv_net\.GNet": progressive.generator,
    r"pytorch_GAN_zoo .*progressive_conv_net\.DNet": progressive.discriminator,
    r"style-based-gan-pytorch .*StyledGenerator": stylegan1.generator,
    r"style-based-gan-pytorch .*Discriminator": stylegan1.discriminator,
    r"BigGAN-PyTorch BigGAN(deep)?\.Generator": biggan.generator,
    r"BigGAN-PyTorch BigGAN(deep)?\.Discriminator": biggan.discriminator,
    r"pytorch-pretrained-BigGAN .*BigGAN\(": biggan.hub,
    r"conditional batch norms and spectral-norm": norms.run,
    r"PyTorch-StudioGAN models\.(big_)?resnet\.": studiogan.run,
    r"brownvc/R3GAN .*Generator/Discriminator": r3gan.run,
    r"stylegan2-ada.* training\.augment\.AugmentPipe": ada.run,
    r"frechet distance, KID": metrics.features,
    r"inception score from logits": metrics.inception_score,
    r"slerp, PPLSampler": metrics.path_length,
}


def adapter(fixture: Fixture) -> Adapter:
    """The adapter of a fixture; Unusable, naming project and class, where there is none yet."""
    title = f"{fixture.project} {fixture.cls}"
    for pattern, run in ADAPTERS.items():
        if re.search(pattern, title, re.DOTALL):
            return run
    raise Unusable(f"{fixture.path}: not supported yet: class {fixture.cls!r} of project {fixture.project!r}")
