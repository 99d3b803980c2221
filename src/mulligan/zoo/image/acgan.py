"""AC-GAN: D also names the class, and G is paid for samples that it can name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch.nn import functional as F

from mulligan.core.clock import Clock
from mulligan.core.engine import Schedule
from mulligan.core.game import Batch, Turn
from mulligan.core.recipe import Plan, Shape, recipe
from mulligan.nets.heads import Discriminator
from mulligan.parts import objectives
from mulligan.parts.samplers import Sampler
from mulligan.parts.stabilize import Stabilize

from .classic import Classic, discriminator, generator, norm_for, players
from .labels import classes_of


class ACGAN(Classic):
    """D maximizes L_S + L_C and G maximizes L_C − L_S (Odena et al. 2017, equations 2 and 3)."""

    def play(self, data: Iterator[Batch], clock: Clock) -> Iterator[Turn]:
        D, G, objective = self.critic.at(clock), cast(Sampler, self.sampler), self.objective
        classify = cast(Discriminator, self.critic.D).classify
        x = torch.empty(0)

        for _ in range(self.critic_turns):
            batch = next(data)
            x, y = batch["x"], batch["y"]
            c = G.labels(len(x))
            with torch.no_grad():
                fake = G(len(x), c)
            (real_logits, real_features), (fake_logits, fake_features) = D.see(x), D.see(fake)
            named = F.cross_entropy(classify(real_features), y) + F.cross_entropy(classify(fake_features), c)
            charge = D.charge(x, fake, (real_logits, fake_logits))
            yield Turn(
                "D", objective.d(real_logits, fake_logits) + named + charge, {"real": real_logits, "fake": fake_logits}
            )

        c = G.labels(len(x))
        fake = G(len(x), c)
        fake_logits, fake_features = D.see(fake)
        named = F.cross_entropy(classify(fake_features), c)
        yield Turn("G", objective.g(fake_logits, fake_logits) + named + (D.matching(x, fake) + self.past()))


@recipe("Odena, Olah & Shlens 2017, arXiv:1610.09585")
def acgan(
    data: Shape,
    *,
    latent: int = 100,
    width: int = 64,
    batch: int = 100,
    critic_turns: int = 1,
    lr: float = 2e-4,
    lr_d: float | None = None,
    betas: tuple[float, float] = (0.5, 0.999),
    schedule: Schedule = "constant",
    ema: int = 10_000,
    images: int = 1_000_000,
    stabilize: Stabilize = Stabilize(),
) -> Plan:
    """Auxiliary-classifier GAN: D tells real from generated and names the class."""
    classes = classes_of(data, "acgan")
    G = generator(data, "dcgan", latent, width, classes)
    D = discriminator(
        data, "dcgan", width, stabilize, classes=classes, conditioning="auxiliary", norm=norm_for(stabilize)
    )
    game = ACGAN(Sampler(G, latent, classes), D, objectives.nonsaturating, stabilize, critic_turns=critic_turns)
    return Plan(game, players(stabilize, lr, lr_d, betas), batch, images, ema, schedule)
