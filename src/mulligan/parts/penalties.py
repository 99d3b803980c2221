"""Gradient penalties and LeCam, all without their weight: the caller multiplies by lambda or gamma."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

Critic = Callable[..., Tensor]


def slope(D: Critic, x: Tensor, *args: Any) -> tuple[Tensor, Tensor]:
    """Logits of D(x, *args) and the per-sample squared norm of their gradient with respect to x.

    x: (N, ...), detached here. Returns (logits, squared norms (N,)), both differentiable with respect to D's weights.
    The norms are per sample only where D treats samples independently (no batch norm in training mode).
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        logits = D(x, *args)
        (gradient,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    return logits, gradient.flatten(1).square().sum(1)


def interpolate(real: Tensor, fake: Tensor, alpha: Tensor | None = None) -> Tensor:
    """alpha * real + (1 - alpha) * fake with one alpha per sample: (N,) or (N, 1, ...), uniform where none is given."""
    if real.shape != fake.shape:
        raise ValueError(f"cannot interpolate between real {tuple(real.shape)} and fake {tuple(fake.shape)}")
    real, fake = real.detach(), fake.detach().to(real.dtype)
    return torch.lerp(fake, real, _per_sample(alpha, real))


def gradient_penalty(
    D: Critic,
    real: Tensor,
    fake: Tensor,
    *,
    alpha: Tensor | None = None,
    target: float = 1.0,
    one_sided: bool = False,
    args: tuple[Any, ...] = (),
) -> Tensor:
    """mean (||grad D(x)|| - target)^2 between real and fake samples (Gulrajani et al. 2017, eq. 3).

    real, fake: (N, ...). alpha weights real. one_sided penalises only norms above the target (WGAN-LP, Petzka et al.
    2018, eq. 8). Without lambda, a scalar.
    """
    return _distance(slope(D, interpolate(real, fake, alpha), *args)[1], target, one_sided)


def dragan(
    D: Critic, real: Tensor, *, alpha: Tensor | None = None, u: Tensor | None = None, args: tuple[Any, ...] = ()
) -> Tensor:
    """mean (||grad D(x)|| - 1)^2 around real samples, x = real + alpha * std(real) / 2 * u (Kodali et al. 2017).

    u: uniform in [0, 1) like real; alpha: one per sample; std over the whole batch. Without lambda, a scalar.
    """
    real = real.detach()
    noise = torch.rand_like(real) if u is None else u
    x = real + _per_sample(alpha, real) * (0.5 * real.std()) * noise
    return _distance(slope(D, x, *args)[1])


def r1(D: Critic, real: Tensor, *args: Any) -> Tensor:
    """0.5 * mean ||grad D(real)||^2 (Mescheder et al. 2018, eq. 9); on fake samples the same function is R2."""
    return 0.5 * slope(D, real, *args)[1].mean()


def _per_sample(alpha: Tensor | None, like: Tensor) -> Tensor:
    shape = (len(like),) + (1,) * (like.dim() - 1)
    if alpha is None:
        return torch.rand(shape, dtype=like.dtype, device=like.device)
    return alpha.to(like).reshape(shape)


def _distance(squared_norms: Tensor, target: float = 1.0, one_sided: bool = False) -> Tensor:
    # The tiny term keeps the derivative of the root finite where D is flat; it is far below float32 resolution.
    excess = (squared_norms + 1e-20).sqrt() - target
    return (relu(excess) if one_sided else excess).square().mean()


class LeCam(nn.Module):
    """LeCam regulariser (Tseng et al. 2021, eq. 6): logits should not run away from the other side's moving average.

    forward(real_logits, fake_logits) -> scalar without lambda. In training mode it first updates the averages with
    the batch means; during the first `start` calls they simply equal the batch means.
    """

    ema_real: Tensor
    ema_fake: Tensor
    steps: Tensor

    def __init__(self, decay: float = 0.99, start: int = 1000, initial: float = 1000.0) -> None:
        super().__init__()
        self.decay, self.start = decay, start
        self.register_buffer("ema_real", torch.tensor(initial))
        self.register_buffer("ema_fake", torch.tensor(initial))
        self.register_buffer("steps", torch.tensor(0))

    @torch.no_grad()
    def _update(self, real: Tensor, fake: Tensor) -> None:
        # Without a branch on the step counter, which would make a GPU wait.
        weight = torch.where(self.steps < self.start, 1.0, 1.0 - self.decay).to(self.ema_real)
        self.ema_real.lerp_(real.mean().to(self.ema_real), weight)
        self.ema_fake.lerp_(fake.mean().to(self.ema_fake), weight)
        self.steps += 1

    def forward(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        if self.training:
            self._update(real_logits, fake_logits)
        return relu(real_logits - self.ema_fake).square().mean() + relu(self.ema_real - fake_logits).square().mean()
