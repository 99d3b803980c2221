"""Adversarial objectives: pairs of functions (d, g), both given (real_logits, fake_logits)."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from mulligan.core.errors import UserError
from mulligan.parts.auxiliary import feature_matching as feature_matching

Loss = Callable[[Tensor, Tensor], Tensor]


class Slopes(NamedTuple):
    """The derivatives of both losses, written out: of d by (real, fake) logits, of g by the fake ones."""

    d: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    g: Callable[[Tensor], Tensor]


class Objective(NamedTuple):
    """The losses of both players.

    d, g: functions of (real_logits, fake_logits), each a tensor of any shape, mostly (N,) or (N, 1); they return
    the scalar mean that the player minimises. Relativistic objectives pair the entries of both, so these need
    equally many. needs_real: g looks at the real logits too. slopes: their derivatives where these are written out.
    """

    d: Loss
    g: Loss
    name: str
    needs_real: bool = False
    slopes: Slopes | None = None


def bce(logits: Tensor, target: float) -> Tensor:
    """Mean cross-entropy between sigmoid(logits) and one constant target in [0, 1], stable for every logit."""
    if target == 1:
        return softplus(-logits).mean()
    if target == 0:
        return softplus(logits).mean()
    return target * softplus(-logits).mean() + (1 - target) * softplus(logits).mean()


def bce_slope(logits: Tensor, target: float) -> Tensor:
    """The derivative of `bce` by each logit."""
    slope = torch.sigmoid(logits)
    return (slope.sub_(target) if target else slope).div_(logits.numel())


def squared(logits: Tensor, target: float) -> Tensor:
    """Half the mean squared distance to one constant target (Mao et al. 2017, eq. 2)."""
    return 0.5 * (logits - target).square().mean()


def squared_slope(logits: Tensor, target: float) -> Tensor:
    """The derivative of `squared` by each logit."""
    return (logits - target).div_(logits.numel())


def margin(logits: Tensor) -> Tensor:
    """Mean hinge max(0, 1 - logits)."""
    return relu(1 - logits).mean()


def margin_slope(logits: Tensor) -> Tensor:
    """The derivative of `margin` by each logit."""
    return (logits < 1).to(logits).div_(-logits.numel())


def _level(logits: Tensor, sign: int) -> Tensor:
    """The derivative of the mean logit, or of minus it."""
    return torch.full_like(logits, sign / logits.numel())


def _pairs(real: Tensor, fake: Tensor) -> Tensor:
    # Flattened first: (N,) minus (N, 1) would silently become (N, N).
    real, fake = real.flatten(), fake.flatten()
    if len(real) != len(fake):
        raise ValueError(f"a relativistic objective pairs logits: {len(real)} real, {len(fake)} fake ones do not pair")
    return real - fake


def _averaged(positive: Callable[[Tensor], Tensor], negative: Callable[[Tensor], Tensor]) -> tuple[Loss, Loss]:
    """d and g of Jolicoeur-Martineau 2019, eq. 9-10: each side against the mean of the other, both terms summed."""

    def d(real: Tensor, fake: Tensor) -> Tensor:
        return positive(real - fake.mean()) + negative(fake - real.mean())

    def g(real: Tensor, fake: Tensor) -> Tensor:
        return positive(fake - real.mean()) + negative(real - fake.mean())

    return d, g


def _cross_entropy_d(real_target: float, fake_target: float) -> Loss:
    return lambda real, fake: bce(real, real_target) + bce(fake, fake_target)


def _cross_entropy_slopes(real_target: float, fake_target: float, g: Callable[[Tensor], Tensor]) -> Slopes:
    return Slopes(lambda real, fake: (bce_slope(real, real_target), bce_slope(fake, fake_target)), g)


def least_squares_coded(a: float, b: float, c: float) -> Objective:
    """LSGAN with targets a (fake for D), b (real for D) and c (fake for G), each with factor 1/2 (Mao 2017, eq. 2).

    a=-1, b=1, c=0 minimises the Pearson chi-squared divergence (their eq. 8), a=0, b=c=1 is their eq. 9.
    """
    return Objective(
        lambda real, fake: squared(real, b) + squared(fake, a),
        lambda _, fake: squared(fake, c),
        "least_squares",
        slopes=Slopes(
            lambda real, fake: (squared_slope(real, b), squared_slope(fake, a)), lambda fake: squared_slope(fake, c)
        ),
    )


minimax = Objective(
    _cross_entropy_d(1, 0),
    lambda _, fake: -softplus(fake).mean(),
    "minimax",
    slopes=_cross_entropy_slopes(1, 0, lambda fake: -bce_slope(fake, 0)),
)
"""The zero-sum game of Goodfellow et al. 2014, eq. 1: G minimises E log(1 - sigmoid(fake))."""

nonsaturating = Objective(
    _cross_entropy_d(1, 0),
    lambda _, fake: softplus(-fake).mean(),
    "nonsaturating",
    slopes=_cross_entropy_slopes(1, 0, lambda fake: bce_slope(fake, 1)),
)
"""Goodfellow et al. 2014, section 3: G minimises -E log sigmoid(fake)."""

least_squares = least_squares_coded(0, 1, 1)
"""LSGAN, Mao et al. 2017, eq. 9."""

hinge = Objective(
    lambda real, fake: margin(real) + margin(-fake),
    lambda _, fake: -fake.mean(),
    "hinge",
    slopes=Slopes(lambda real, fake: (margin_slope(real), -margin_slope(-fake)), lambda fake: _level(fake, -1)),
)
"""Lim & Ye 2017; Miyato et al. 2018, eq. 16-17."""

wasserstein = Objective(
    lambda real, fake: fake.mean() - real.mean(),
    lambda _, fake: -fake.mean(),
    "wasserstein",
    slopes=Slopes(lambda real, fake: (_level(real, -1), _level(fake, 1)), lambda fake: _level(fake, -1)),
)
"""Arjovsky et al. 2017, eq. 2: needs a critic held near Lipschitz 1 by clipping, a penalty or a norm."""

relativistic = Objective(
    lambda real, fake: softplus(-_pairs(real, fake)).mean(),
    lambda real, fake: softplus(_pairs(real, fake)).mean(),
    "relativistic",
    needs_real=True,
)
"""RpGAN, Jolicoeur-Martineau 2019, eq. 7-8: the k-th real sample against the k-th fake one."""

relativistic_average = Objective(
    *_averaged(lambda x: bce(x, 1), lambda x: bce(x, 0)), "relativistic_average", needs_real=True
)
"""RaGAN, Jolicoeur-Martineau 2019, eq. 9-10; the sum of both terms, some code halves it."""

relativistic_average_hinge = Objective(
    *_averaged(margin, lambda x: margin(-x)), "relativistic_average_hinge", needs_real=True
)
"""RaHingeGAN, Jolicoeur-Martineau 2019, appendix; the sum of both terms."""

relativistic_average_least_squares = Objective(
    *_averaged(lambda x: 2 * squared(x, 1), lambda x: 2 * squared(x, -1)),
    "relativistic_average_least_squares",
    needs_real=True,
)
"""RaLSGAN, Jolicoeur-Martineau 2019, appendix: targets 1 and -1, no factor 1/2; the sum of both terms."""

OBJECTIVES: dict[str, Objective] = {
    o.name: o
    for o in (
        minimax,
        nonsaturating,
        least_squares,
        hinge,
        wasserstein,
        relativistic,
        relativistic_average,
        relativistic_average_hinge,
        relativistic_average_least_squares,
    )
}


def smoothed(objective: Objective, real: float = 0.9, fake: float = 0.0) -> Objective:
    """The objective with softened targets for D; G stays as it is (Salimans et al. 2016, section 3.4).

    real, fake: D's targets in [0, 1]. fake above 0 is two-sided smoothing, from which the paper advises against.
    Raises UserError for objectives without targets, and for targets out of range or in the wrong order.
    """
    if not 0 <= fake < real <= 1:
        raise UserError(f"smoothed labels need 0 <= fake < real <= 1, not real={real} and fake={fake}")
    if objective.name in ("minimax", "nonsaturating"):
        slopes = _cross_entropy_slopes(real, fake, objective.slopes.g) if objective.slopes else None
        return objective._replace(d=_cross_entropy_d(real, fake), slopes=slopes)
    if objective.name == "least_squares":
        softened = least_squares_coded(fake, real, 1)
        return objective._replace(d=softened.d, slopes=softened.slopes)
    raise UserError(
        f"the objective {objective.name!r} has no targets to smooth; label smoothing works with minimax, "
        "nonsaturating and least_squares"
    )
