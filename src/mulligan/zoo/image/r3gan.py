"""R3GAN: a relativistic loss with both zero-centred penalties, and residual networks without any normalization."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from torch import nn

from mulligan.core.engine import Schedule
from mulligan.core.errors import UserError
from mulligan.core.recipe import REGISTRY, Plan, Recipe, Shape, recipe
from mulligan.nets.r3gan import Body, Discriminator, Generator, Stage
from mulligan.nets.sizes import pyramid
from mulligan.parts import objectives
from mulligan.parts.layers import spectral_norm
from mulligan.parts.samplers import Sampler
from mulligan.parts.stabilize import Stabilize

from .classic import Classic, Family, finish, picture, players, seen_shape
from .classic import discriminator as classic_discriminator
from .classic import generator as classic_generator
from .labels import classes_of

GROUP = 16
"""Channels in a group of the middle convolution of a block."""
LEAST = 8
"""Channels of a stage, at least."""
START = 0.1
"""Of the last layer of a block under a spectral norm, which can't divide by the usual 0."""


@dataclass(frozen=True)
class Networks:
    """How the networks are built. Lists have a number for each size from the smallest pictures on; D is G backwards."""

    family: Literal["r3gan", "dcgan", "resnet"] = "r3gan"
    """Take the networks of another recipe: those of dcgan are three to four times cheaper on a CPU."""
    widths: tuple[int, ...] = ()
    """Channels of each size; none: those of `width`, halved from 32 pixels on."""
    blocks: tuple[int, ...] = (1,)
    """Residual blocks of each size; one number is for all, and the paper has 2."""
    groups: tuple[int, ...] = ()
    """Groups of a block's middle convolution; one number is for all, none: 16 channels in each."""
    expansion: int = 2
    """Inner width of a block in multiples of its own."""
    kernel: int = 3
    """Side of a block's middle kernel."""
    taps: tuple[float, ...] = ()
    """Filter where pictures grow or shrink, 1 2 1 in the paper; none: bilinear and means of four, which is quicker."""
    conditional: bool = False
    """Tell both networks the labels: embedded beside z in G, by projection in D."""
    embed: int = 0
    """Entries of an embedded label in G; 0: as many as z has."""
    embed_d: int = 0
    """Entries of an embedded label in D; 0: as many as its features."""

    def __post_init__(self) -> None:
        if self.expansion < 1 or self.kernel < 1 or self.kernel % 2 == 0:
            raise UserError(
                f"net.expansion is {self.expansion} and net.kernel {self.kernel}: at least 1, and the kernel odd"
            )
        if self.taps and not sum(self.taps):
            raise UserError(f"net.taps are {' '.join(map(str, self.taps))}, a filter without weight: 1 2 1 is usual")
        for name in ("embed", "embed_d"):
            if getattr(self, name) < 0:
                raise UserError(f"net.{name} is {getattr(self, name)}, but must be at least 0")

    def stages(self, width: int, shape: tuple[int, int, int]) -> list[Stage]:
        """The stages of G for pictures of this shape. Raises UserError where a list doesn't fit them."""
        count = pyramid(shape[1], shape[2])[2] + 1
        widths = each("widths", self.widths or tuple(max(width >> max(i - 2, 0), LEAST) for i in range(count)), count)
        blocks = each("blocks", self.blocks if len(self.blocks) != 1 else self.blocks * count, count)
        inner = [self.expansion * w for w in widths]
        usual = tuple(n // GROUP if n % GROUP == 0 else 1 for n in inner)
        groups = each("groups", self.groups * count if len(self.groups) == 1 else self.groups or usual, count)
        for n, g in zip(inner, groups, strict=True):
            if n % g:
                raise UserError(f"net.groups: {g} groups don't divide the {n} inner channels of their stage")
        return [Stage(*stage) for stage in zip(widths, blocks, groups, strict=True)]

    def layers(self) -> dict[str, Any]:
        """What all blocks and resamplings have in common."""
        return {"expansion": self.expansion, "size": self.kernel, "taps": self.taps or None}


def each(name: str, values: tuple[int, ...], count: int) -> tuple[int, ...]:
    """The values themselves. Raises UserError where they aren't `count` numbers from 1 on."""
    if len(values) != count or min(values) < 1:
        given = " ".join(map(str, values)) or "none"
        raise UserError(f"net.{name}: {count} numbers from 1 on are needed, one for each size, not {given}")
    return values


@recipe("Huang, Gokaslan, Kuleshov & Tompkin 2024, arXiv:2501.05441")
def r3gan(
    data: Shape,
    *,
    latent: int = 64,
    width: int = 64,
    net: Networks = Networks(),
    batch: int = 64,
    critic_turns: int = 1,
    lr: float = 2e-4,
    lr_d: float | None = None,
    betas: tuple[float, float] = (0.0, 0.99),
    schedule: Schedule = "cosine",
    ema: int = 20_000,
    images: int = 2_000_000,
    stabilize: Stabilize = Stabilize(r1=1.0, r2=1.0),
) -> Plan:
    """Relativistic pairing GAN with R1 and R2 (gamma 1): stable without tricks, small residual networks.

    `net` builds them as the paper does: `net.blocks` 2, `net.taps` 1 2 1, and a `width` of many hundreds.
    """
    classes = classes_of(data, "r3gan with net.conditional") if net.conditional else 0
    if net.family != "r3gan" or len(data.shape) == 1:
        family: Family = "dcgan" if net.family == "r3gan" else net.family
        G = classic_generator(data, family, latent, width, classes)
        told: Any = "projection" if classes else "none"
        D: nn.Module = classic_discriminator(
            data, family, width, stabilize, classes=classes, conditioning=told, norm="none"
        )
    else:
        shape = picture(data.shape)
        stages = net.stages(width, shape)
        G = Generator(latent, shape, stages, classes, net.embed or latent, **net.layers())
        D = discriminator(shape, stages[::-1], classes, net, stabilize)
    game = Classic(Sampler(G, latent, classes), D, objectives.relativistic, stabilize, critic_turns=critic_turns)
    return Plan(game, players(stabilize, lr, lr_d, betas), batch, images, ema, schedule)


def discriminator(
    shape: tuple[int, ...], stages: list[Stage], classes: int, net: Networks, stabilize: Stabilize
) -> nn.Module:
    """D of these stages. Raises UserError for remedies that leave no room for its labels."""
    last = START if stabilize.spectral_norm else 0.0
    body = Body(seen_shape(shape, stabilize.packing), stages, last=last, **net.layers())
    if not classes:
        return finish(body, stabilize)
    if stabilize.packing > 1 or stabilize.minibatch != "none":
        raise UserError(
            "net.conditional: this D takes one picture with its label at a time: leave out stabilize.packing and "
            "stabilize.minibatch"
        )
    D = Discriminator(body, classes, net.embed_d or body.width)
    if stabilize.spectral_norm:
        spectral_norm(D)
    return D


class FromBefore(Recipe):
    """Also takes `family` beside the others, where runs and programs from before `net` have it."""

    def arguments(self, given: dict[str, Any]) -> dict[str, Any]:
        if "family" in given:
            net = given.get("net", {})
            net = asdict(net) if isinstance(net, Networks) else net
            rest = {name: value for name, value in given.items() if name != "family"}
            given = {**rest, "net": {**net, "family": given["family"]} if isinstance(net, dict) else net}
        return super().arguments(given)


REGISTRY["r3gan"] = FromBefore(**vars(REGISTRY["r3gan"]))
