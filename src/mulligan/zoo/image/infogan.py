"""InfoGAN: part of the latent is a code that can be read back from the sample."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mulligan.core.clock import Clock
from mulligan.core.engine import Schedule
from mulligan.core.game import Batch, Turn
from mulligan.core.recipe import Plan, Shape, recipe
from mulligan.parts import objectives
from mulligan.parts.auxiliary import gaussian_nll
from mulligan.parts.samplers import Sampler
from mulligan.parts.stabilize import Stabilize

from .classic import Classic, discriminator, generator, norm_for, players


@dataclass(frozen=True)
class Codes:
    """The codes of InfoGAN and what they weigh (lambda of equation 6)."""

    categories: int = 10
    """Values of the one-hot code."""
    continuous: int = 2
    """Codes uniform on [-1, 1]."""
    weight: float = 1.0
    """Of the category's information."""
    weight_continuous: float = 0.1
    """Of the continuous codes' information."""


class CodeSampler(Sampler):
    """z = noise, a one-hot code of `categories`, and `continuous` codes uniform on [-1, 1].

    The label of `decode` and `forward` is the category, so `sample --label 3` shows one code.
    """

    def __init__(self, G: nn.Module, noise: int, categories: int, continuous: int) -> None:
        super().__init__(G, noise + continuous, categories)
        self.noise, self.continuous = noise, continuous

    def latents(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        z = super().latents(n, generator)
        device = z.device if generator is None else torch.device("cpu")
        codes = torch.rand(n, self.continuous, generator=generator, device=device, dtype=z.dtype) * 2 - 1
        return torch.cat([z[:, : self.noise], codes.to(z.device)], 1)

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        if y is None:
            y = torch.zeros(len(z), dtype=torch.int64, device=z.device)
        return self.G(torch.cat([z, F.one_hot(y, self.classes).to(z.dtype)], 1))


class Reader(nn.Module):
    """Q: from D's features to the codes; the category as logits, the continuous codes as mean and log variance.

    With packing the features of one pack give the codes of each of its samples.
    """

    def __init__(self, features: int, categories: int, continuous: int, packs: int = 1, hidden: int = 128) -> None:
        super().__init__()
        self.sizes, self.packs = [categories, continuous, continuous], packs
        self.net = nn.Sequential(
            nn.Linear(features, hidden), nn.LeakyReLU(0.1), nn.Linear(hidden, packs * sum(self.sizes))
        )

    def information(self, features: Tensor, category: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """The two parts of −L_I up to a constant: cross-entropy, and Gaussian negative log likelihood."""
        out = self.net(features).view(len(features) * self.packs, -1)
        logits, mean, log_variance = out.split(self.sizes, 1)
        return F.cross_entropy(logits, category), gaussian_nll(codes, mean, log_variance.exp())


class InfoGAN(Classic):
    """min over G and Q, max over D of V(D, G) − λ L_I(G, Q) (Chen et al. 2016, equation 6); Q reads from D's body."""

    players: ClassVar[dict[str, tuple[str, ...]]] = {"D": ("critic", "Q"), "G": ("sampler",)}

    def __init__(
        self,
        sampler: CodeSampler,
        D: nn.Module,
        Q: Reader,
        stabilize: Stabilize,
        *,
        codes: Codes,
        critic_turns: int,
    ) -> None:
        super().__init__(sampler, D, objectives.nonsaturating, stabilize, critic_turns=critic_turns)
        self.Q, self.codes = Q, codes

    def play(self, data: Iterator[Batch], clock: Clock) -> Iterator[Turn]:
        D, objective = self.critic.at(clock), self.objective
        x = torch.empty(0)

        for _ in range(self.critic_turns):
            x = next(data)["x"]
            with torch.no_grad():
                fake, category, codes = self.imagine(len(x))
            real_logits, (fake_logits, features) = D(x), D.see(fake)
            charge = D.charge(x, fake, (real_logits, fake_logits)) + self.unread(features, category, codes)
            yield Turn("D", objective.d(real_logits, fake_logits) + charge, {"real": real_logits, "fake": fake_logits})

        fake, category, codes = self.imagine(len(x))
        fake_logits, features = D.see(fake)
        charge = self.unread(features, category, codes) + (D.matching(x, fake) + self.past())
        yield Turn("G", objective.g(fake_logits, fake_logits) + charge)

    def imagine(self, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """Samples with the codes that they were made from."""
        G: CodeSampler = self.sampler  # type: ignore[assignment]
        z, category = G.latents(n), G.labels(n)
        return G.decode(z, category), category, z[:, G.noise :]

    def unread(self, features: Tensor, category: Tensor, codes: Tensor) -> Tensor:
        """−λ L_I: what Q could not read back."""
        named, measured = self.Q.information(features, category, codes)
        return self.codes.weight * named + self.codes.weight_continuous * measured


@recipe("Chen, Duan, Houthooft, Schulman, Sutskever & Abbeel 2016, arXiv:1606.03657")
def infogan(
    data: Shape,
    *,
    latent: int = 62,
    codes: Codes = Codes(),
    width: int = 64,
    batch: int = 128,
    critic_turns: int = 1,
    lr: float = 1e-3,
    lr_d: float | None = 2e-4,
    betas: tuple[float, float] = (0.5, 0.999),
    schedule: Schedule = "constant",
    ema: int = 10_000,
    images: int = 1_000_000,
    stabilize: Stabilize = Stabilize(),
) -> Plan:
    """Information-maximizing GAN: unsupervised codes (10 categories, 2 continuous) that D can read back."""
    G = generator(data, "dcgan", latent + codes.continuous + codes.categories, width)
    D = discriminator(data, "dcgan", width, stabilize, norm=norm_for(stabilize))
    Q = Reader(D.width, codes.categories, codes.continuous, stabilize.packing)
    sampler = CodeSampler(G, latent, codes.categories, codes.continuous)
    game = InfoGAN(sampler, D, Q, stabilize, codes=codes, critic_turns=critic_turns)
    return Plan(game, players(stabilize, lr, lr_d, betas), batch, images, ema, schedule)
