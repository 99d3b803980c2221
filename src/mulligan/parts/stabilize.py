"""What any recipe can switch on: one field each, all off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mulligan.core.errors import UserError

from .augment import parse

if TYPE_CHECKING:
    Gamma = float  # whatever computes with it sees a number: no plan is made while it is "auto"
else:
    Gamma = float | Literal["auto"]

BY_DATA: Any = "auto"
"""A gamma for recipes whose own one follows from the data."""
NO_SIGN = ("relativistic", "wasserstein")
"""Losses under which the sign of a logit says nothing."""


@dataclass(frozen=True)
class Stabilize:
    """Remedies against collapse, instability and overfitting; every field is off at its default."""

    loss: Literal["", "nonsaturating", "least_squares", "hinge", "wasserstein", "relativistic"] = ""
    """Play by another objective than the recipe's; relativistic (RpGAN, Jolicoeur-Martineau 2019) pairs both sides."""
    label_smoothing: float = 0.0
    """One-sided: real labels are 1 minus this (Salimans et al. 2016)."""
    instance_noise: float = 0.0
    """Standard deviation of Gaussian noise on D's input, falling linearly to 0 (Sønderby et al. 2017)."""
    noise_until: float = 1.0
    """Share of the budget after which the instance noise is gone."""
    minibatch: Literal["none", "discrimination", "stddev"] = "none"
    """Let D compare samples of a batch (Salimans et al. 2016; Karras et al. 2018)."""
    packing: int = 1
    """D judges so many samples together (PacGAN, Lin et al. 2018)."""
    feature_matching: float = 0.0
    """Weight of the distance between mean features of D in G's loss (Salimans et al. 2016)."""
    historical_averaging: float = 0.0
    """Weight of each player's distance to the mean of its past weights (Salimans et al. 2016)."""
    r1: Gamma = 0.0
    """gamma of gamma/2 * squared gradient norm of D at real data (Mescheder et al. 2018); auto: chosen by the data."""
    r2: Gamma = 0.0
    """The same at generated data."""
    gp: float = 0.0
    """Weight of the gradient penalty between real and generated data (Gulrajani et al. 2017)."""
    dragan: float = 0.0
    """Weight of the gradient penalty around real data (Kodali et al. 2017)."""
    lecam: float = 0.0
    """Weight of the LeCam regularizer (Tseng et al. 2021)."""
    lazy: int = 1
    """Charge r1, r2, gp and dragan only every so many rounds, times as much (Karras et al. 2020)."""
    spectral_norm: bool = False
    """Divide each weight of D by its largest singular value (Miyato et al. 2018)."""
    clip_weights: float = 0.0
    """Clamp D's weights to plus and minus this after each step (Arjovsky et al. 2017)."""
    diffaugment: str = ""
    """Augment what D sees: color,translation,cutout or some of them (Zhao et al. 2020)."""
    ada: float = 0.0
    """Augment what D sees as often as keeps the mean sign of D at real data near this; 0.6 is usual (ADA)."""
    ada_kind: Literal["blit", "bg", "bgc", "bgcf"] = "bgc"
    """What ADA changes: flips and turns by 90 degrees; any geometry; colours too; frequencies too."""

    def __post_init__(self) -> None:
        for name in (
            "instance_noise",
            "feature_matching",
            "historical_averaging",
            "r1",
            "r2",
            "gp",
            "dragan",
            "lecam",
            "clip_weights",
        ):
            if getattr(self, name) != "auto" and getattr(self, name) < 0:
                raise UserError(f"stabilize.{name} is {getattr(self, name)}, but can't be negative")
        for name in ("packing", "lazy"):
            if getattr(self, name) < 1:
                raise UserError(
                    f"stabilize.{name} is {getattr(self, name)}, but must be at least 1 (1 switches it off)"
                )
        if not 0 <= self.label_smoothing < 0.5:
            raise UserError(
                f"stabilize.label_smoothing is {self.label_smoothing}, but must be in [0, 0.5): 0.1 is usual"
            )
        if not 0 <= self.ada < 1:
            raise UserError(f"stabilize.ada is {self.ada}, but must be in [0, 1): 0.6 is usual, 0 switches it off")
        if self.ada and self.loss in NO_SIGN:
            raise UserError(f"stabilize.ada needs logits with a zero, which the loss {self.loss} hasn't: leave one out")
        parse(self.diffaugment)  # an unknown word is refused here, not in the first round
        if not 0 < self.noise_until <= 1:
            raise UserError(f"stabilize.noise_until is {self.noise_until}, but must be in (0, 1]")
