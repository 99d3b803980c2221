"""D as a game sees it: what it looks at, and what it is charged beyond the objective."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from mulligan.core.clock import Clock
from mulligan.core.errors import UserError

from .adaptive import Adaptive
from .augment import diffaugment
from .auxiliary import feature_matching
from .history import HistoricalAverage
from .layers import batch_norms, side_by_side
from .penalties import LeCam, dragan, gradient_penalty, slope
from .stabilize import Stabilize

FULL = 64
"""Pictures of a batch that fill a processor: sharing a pass with the other batch is no quicker, and takes memory."""


class Critic(nn.Module):
    """A discriminator `D` behind its augmentation, noise and packing.

    `D(x, y)` gives logits (N,), `D.features(x, y)` a vector per sample, and `D.separable` says whether real and
    generated samples may share one pass.
    """

    def __init__(self, D: nn.Module, stabilize: Stabilize) -> None:
        super().__init__()
        self.D, self.stabilize, self.norms = D, stabilize, batch_norms(D)
        self.noise, self.due = 0.0, True
        self.lecam = LeCam() if stabilize.lecam else None
        self.history = HistoricalAverage(D) if stabilize.historical_averaging else None
        self.ada = Adaptive(stabilize.ada, stabilize.ada_kind) if stabilize.ada else None

    def at(self, clock: Clock) -> Critic:
        """The critic of this round: noise annealed, lazy penalties due or not."""
        s = self.stabilize
        self.noise = clock.ramp(s.instance_noise, 0.0, s.noise_until) if s.instance_noise else 0.0
        self.due = clock.every(s.lazy)
        if self.ada is not None:
            self.ada.at(clock)
        return self

    def look(self, x: Tensor) -> Tensor:
        """What D sees of x (N, …)."""
        for name in ("diffaugment", "ada"):
            if getattr(self.stabilize, name) and x.dim() != 4:
                raise UserError(f"stabilize.{name} works on images only: leave it out for points")
        if self.stabilize.diffaugment:
            x = diffaugment(x, self.stabilize.diffaugment)
        if self.ada is not None:
            x = self.ada(x)
        if self.noise:
            x = x + self.noise * torch.randn_like(x)
        return x

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.D(self.look(x), y)

    def judge(
        self, real: Tensor, fake: Tensor, y: Tensor | None = None, y_fake: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor | float]:
        """Logits of both batches and the charge for D's turn: penalties and historical averaging, a scalar or 0.0.

        Where r1 or r2 is due, the pass that gives the slope gives the logits too.
        """
        s, labels = self.stabilize, (y,) if y is not None else ()
        fake_labels = (y_fake,) if y_fake is not None else ()
        charge: Tensor | float = 0.0
        r1, r2 = (s.lazy * s.r1, s.lazy * s.r2) if self.due else (0.0, 0.0)
        if self.one_pass and bool(r1) == bool(r2) and (real.dim() < 4 or len(real) <= FULL):
            x, both = torch.cat([real, fake]), (torch.cat([y, y_fake]),) if y is not None and y_fake is not None else ()
            with side_by_side(self.norms, 2):
                logits, slopes = slope(self, x, *both) if r1 else (self(x, *both), None)
            if slopes is not None:
                charge = charge + _halves(slopes, r1, r2)
            real_logits, fake_logits = logits.chunk(2)
        else:
            real_logits, real_slope = slope(self, real, *labels) if r1 else (self(real, *labels), None)
            fake_logits, fake_slope = slope(self, fake, *fake_labels) if r2 else (self(fake, *fake_labels), None)
            for gamma, slopes in ((r1, real_slope), (r2, fake_slope)):
                if slopes is not None:
                    charge = charge + gamma / 2 * slopes.mean()
        if self.ada is not None:
            self.ada.see(real_logits)
        return real_logits, fake_logits, charge + self._charges(real, fake, labels, real_logits, fake_logits)

    def see(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits and features in one pass, for games with a second head."""
        return self.D.logits_and_features(self.look(x), y)  # type: ignore[operator]

    def charge(
        self,
        real: Tensor,
        fake: Tensor,
        logits: tuple[Tensor, Tensor],
        y: Tensor | None = None,
        y_fake: Tensor | None = None,
    ) -> Tensor | float:
        """What `judge` charges, for a game that has its logits already; each slope takes a pass of its own."""
        s, labels = self.stabilize, (y,) if y is not None else ()
        if self.ada is not None:
            self.ada.see(logits[0])
        charge = self._charges(real, fake, labels, *logits)
        if self.due and s.r1:
            charge = charge + s.lazy * s.r1 / 2 * slope(self, real, *labels)[1].mean()
        if self.due and s.r2:
            charge = (
                charge + s.lazy * s.r2 / 2 * slope(self, fake, *((y_fake,) if y_fake is not None else ()))[1].mean()
            )
        return charge

    @property
    def one_pass(self) -> bool:
        """Whether real and generated samples may share a pass, side by side."""
        return cast(bool, self.D.separable)

    def _charges(
        self, real: Tensor, fake: Tensor, labels: tuple[Tensor, ...], real_logits: Tensor, fake_logits: Tensor
    ) -> Tensor | float:
        s, charge = self.stabilize, 0.0
        if self.due and s.gp:
            charge = charge + s.lazy * s.gp * gradient_penalty(self, real, fake, args=labels)
        if self.due and s.dragan:
            charge = charge + s.lazy * s.dragan * dragan(self, real, args=labels)
        if self.lecam is not None:
            charge = charge + s.lecam * self.lecam(real_logits, fake_logits)
        if self.history is not None:
            charge = charge + s.historical_averaging * self.history(self.D)
        return charge

    def matching(
        self, real: Tensor, fake: Tensor, y: Tensor | None = None, y_fake: Tensor | None = None
    ) -> Tensor | float:
        """Feature matching for G's turn, weighted; 0.0 where it is off."""
        if not self.stabilize.feature_matching:
            return 0.0
        with torch.no_grad():
            target = self.D.features(self.look(real), y)  # type: ignore[operator]
        return self.stabilize.feature_matching * feature_matching(target, self.D.features(self.look(fake), y_fake))  # type: ignore[operator]


def _halves(slopes: Tensor, r1: float, r2: float) -> Tensor:
    real, fake = slopes.chunk(2)
    return r1 / 2 * real.mean() + r2 / 2 * fake.mean()
