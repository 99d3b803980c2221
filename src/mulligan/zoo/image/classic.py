"""What the classic GANs share: Algorithm 1 of Goodfellow et al. 2014 with another objective, penalty or network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from mulligan.core.clock import Clock
from mulligan.core.engine import Optim, Schedule
from mulligan.core.errors import UserError
from mulligan.core.game import Batch, Game, Turn
from mulligan.core.recipe import Plan, Shape
from mulligan.nets import dcgan, mlp, resnet
from mulligan.nets.heads import Conditioning, Discriminator, concat_shape
from mulligan.parts import objectives
from mulligan.parts.critic import Critic
from mulligan.parts.history import HistoricalAverage
from mulligan.parts.layers import spectral_norm
from mulligan.parts.samplers import Sampler, conditional
from mulligan.parts.stabilize import NO_SIGN, Stabilize

from .dense import Written, written

Family = Literal["dcgan", "resnet"]


class Classic(Game):
    """D and G in alternation: `critic_turns` of D, then one of G (Goodfellow et al. 2014, Algorithm 1).

    With labels in the data and a sampler of classes, both players see them (Mirza & Osindero 2014).
    """

    def __init__(
        self,
        sampler: nn.Module,
        D: nn.Module,
        objective: objectives.Objective,
        stabilize: Stabilize,
        *,
        critic_turns: int = 1,
        shared_fake: bool = False,
    ) -> None:
        super().__init__()
        self.sampler, self.critic, self.stabilize = sampler, Critic(D, stabilize), stabilize
        if stabilize.loss:
            objective = objectives.OBJECTIVES[stabilize.loss]
            if objective.needs_real and type(self).play is not Classic.play:
                raise UserError(
                    f"stabilize.loss {stabilize.loss} needs the real logits in G's turn, which {type(self).__name__} "
                    "hasn't: take nonsaturating, least_squares, hinge or wasserstein"
                )
        if stabilize.ada and objective.name in NO_SIGN:
            raise UserError(
                f"stabilize.ada needs logits with a zero, and those of {objective.name} have none: leave it out"
            )
        self.objective = (
            objectives.smoothed(objective, real=1 - stabilize.label_smoothing)
            if stabilize.label_smoothing
            else objective
        )
        self.critic_turns, self.shared_fake = critic_turns, shared_fake
        self.history = HistoricalAverage(sampler) if stabilize.historical_averaging else None
        self._written: Written | Literal["unknown"] | None = "unknown"

    def turns(self, data: Iterator[Batch], clock: Clock) -> Iterator[Turn]:
        """`play`, for fully connected networks written out."""
        if self._written == "unknown":
            self._written = written(self) if type(self).play is Classic.play else None
        yield from self._written.play(data) if self._written and self._written.holds() else self.play(data, clock)

    def play(self, data: Iterator[Batch], clock: Clock) -> Iterator[Turn]:
        D, G, objective = self.critic.at(clock), self.sampler, self.objective
        x, y, fake = torch.empty(0), None, torch.empty(0)

        for _ in range(self.critic_turns):
            x, y = self.draw(data)
            with torch.set_grad_enabled(self.shared_fake):
                fake = G(len(x), y)
            real_logits, fake_logits, charge = D.judge(x, fake.detach(), y, y)
            yield Turn("D", objective.d(real_logits, fake_logits) + charge, {"real": real_logits, "fake": fake_logits})

        if not self.shared_fake:
            fake = G(len(x), y)
        fake_logits = D(fake, y)
        with torch.no_grad():
            real_logits = D(x, y) if objective.needs_real else fake_logits
        yield Turn("G", objective.g(real_logits, fake_logits) + (D.matching(x, fake, y, y) + self.past()))

    def draw(self, data: Iterator[Batch]) -> tuple[Tensor, Tensor | None]:
        """The next real batch, with its labels where the game uses them."""
        batch = next(data)
        return batch["x"], batch["y"] if conditional(self.sampler) else None

    def readings(self) -> dict[str, float]:
        ada = self.critic.ada
        return {} if ada is None else {"ada_p": float(ada.pipe.p), "ada_r": float(ada.sure)}

    def past(self) -> Tensor | float:
        """Historical averaging of G."""
        return self.stabilize.historical_averaging * self.history(self.sampler) if self.history is not None else 0.0


def generator(data: Shape, family: Family, latent: int, width: int, classes: int = 0, **options: Any) -> nn.Module:
    """The generator of a family for images, an MLP for points."""
    if len(data.shape) == 1:
        return mlp.Generator(
            latent, data.shape, widths=(2 * width,) * 3, activation="relu", norm=False, output="none", classes=classes
        )
    net = {"dcgan": dcgan.Generator, "resnet": resnet.Generator}[family]
    return net(latent, picture(data.shape), width=width, classes=classes, **options)


def discriminator(
    data: Shape,
    family: Family,
    width: int,
    stabilize: Stabilize,
    *,
    classes: int = 0,
    conditioning: Conditioning = "none",
    norm: str = "batch",
) -> Discriminator:
    """The discriminator of a family for images, an MLP for points, with what `stabilize` builds into it."""
    shape = seen_shape(data.shape, stabilize.packing, classes if conditioning == "concat" else 0)
    if len(data.shape) == 1:
        body: nn.Module = mlp.Body(shape, widths=(2 * width,) * 3, dropout=0.0)
    elif family == "dcgan":
        body = dcgan.Body(picture(shape), width=width, norm=cast(dcgan.Norm, norm))
    else:
        body = resnet.Body(picture(shape), width=width)
    return finish(body, stabilize, classes=classes, conditioning=conditioning)


def picture(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(C, H, W). Raises UserError for data that is no picture."""
    if len(shape) != 3:
        raise UserError(f"this network makes pictures, and the data has shape {shape}")
    return shape[0], shape[1], shape[2]


def finish(
    body: nn.Module, stabilize: Stabilize, *, classes: int = 0, conditioning: Conditioning = "none"
) -> Discriminator:
    """Body and head as one discriminator, spectral norm applied where it is asked for."""
    minibatch = None if stabilize.minibatch == "none" else stabilize.minibatch
    D = Discriminator(body, classes=classes, conditioning=conditioning, minibatch=minibatch, packing=stabilize.packing)
    if stabilize.spectral_norm:
        spectral_norm(D)
    return D


def seen_shape(shape: tuple[int, ...], packing: int, classes: int = 0) -> tuple[int, ...]:
    """Shape of what D's body sees: labels as extra channels, then `packing` samples one behind the other."""
    first, *rest = concat_shape(shape, classes) if classes else shape
    return (first * packing, *rest)


def norm_for(stabilize: Stabilize, default: str = "batch") -> str:
    """Batch norm couples the samples of a batch, which a penalty must not see (Gulrajani et al. 2017, section 4)."""
    penalized = stabilize.gp or stabilize.dragan or stabilize.r1 or stabilize.r2
    return "none" if default == "batch" and (penalized or stabilize.spectral_norm) else default


def players(
    stabilize: Stabilize,
    lr: float,
    lr_d: float | None,
    betas: tuple[float, float],
    kind: Literal["adam", "rmsprop", "sgd"] = "adam",
) -> dict[str, Optim]:
    """One optimizer each; `lr_d` None means D learns as fast as G (two time scales: Heusel et al. 2017)."""
    G = Optim(lr, betas, kind)
    return {"D": replace(G, lr=lr if lr_d is None else lr_d, clip_weights=stabilize.clip_weights), "G": G}


def classic(
    data: Shape,
    objective: objectives.Objective,
    *,
    family: Family,
    latent: int,
    width: int,
    batch: int,
    critic_turns: int,
    optims: dict[str, Optim],
    schedule: Schedule,
    ema: float,
    images: int,
    stabilize: Stabilize,
    shared_fake: bool = False,
    classes: int = 0,
    conditioning: Conditioning = "none",
    norm: str = "batch",
    width_d: int | None = None,
) -> Plan:
    """The plan of a recipe that differs from the others only in these."""
    G = generator(data, family, latent, width, classes)
    D = discriminator(
        data,
        family,
        width_d or width,
        stabilize,
        classes=classes,
        conditioning=conditioning,
        norm=norm_for(stabilize, norm),
    )
    game = Classic(
        Sampler(G, latent, classes), D, objective, stabilize, critic_turns=critic_turns, shared_fake=shared_fake
    )
    return Plan(game, optims, batch, images, ema, schedule)
