"""Batch norms whose gain and bias depend on a condition, with every way of keeping statistics that BigGANs use."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mulligan.core.errors import UserError

Kind = Literal["stored", "standing", "synchronized", "running", "instance", "none"]
MOMENTUM = 0.1


@dataclass(frozen=True)
class Statistics:
    """Where a batch norm keeps its statistics, and what is added to a variance before its root.

    stored: running averages in the norm itself. standing: see `Standing`. running: in an nn.BatchNorm2d inside.
    synchronized: there too, but the gain is added, which is what the synchronized norm of BigGAN-PyTorch does wherever
    it doesn't synchronize. instance: stored, over each sample by itself while training. none: nothing is normalized.
    """

    kind: Kind = "stored"
    eps: float = 1e-5


STORED = Statistics()


class Standing(nn.Module):
    """x (N, C, H, W) with mean 0 and variance 1 over the batch, by statistics that can also be standing ones.

    In training mode stored_mean and stored_var follow the batches. With `accumulate_standing` they are sums over
    `accumulation_counter` batches instead, and eval mode takes their mean (Brock et al. 2019, appendix C, "standing
    statistics"); call `reset` before. The stored variance is the biased one.
    """

    stored_mean: Tensor
    stored_var: Tensor
    accumulation_counter: Tensor

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps, self.accumulate_standing = eps, False
        self.register_buffer("stored_mean", torch.zeros(channels))
        self.register_buffer("stored_var", torch.ones(channels))
        self.register_buffer("accumulation_counter", torch.zeros(1))

    def reset(self) -> None:
        """Forgets all statistics, so that sums start at 0."""
        for buffer in self.buffers():
            buffer.zero_()

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            count = self.accumulation_counter if self.accumulate_standing else 1
            return normalized(x, self.stored_mean / count, self.stored_var / count, self.eps)
        variance, mean = torch.var_mean(x.float(), (0, 2, 3), correction=0)
        self._keep(mean.detach(), variance.detach())
        return normalized(x, mean.to(x.dtype), variance.to(x.dtype), self.eps)

    def _keep(self, mean: Tensor, variance: Tensor) -> None:
        if self.accumulate_standing:
            self.stored_mean.add_(mean)
            self.stored_var.add_(variance)
            self.accumulation_counter.add_(1)
        else:
            self.stored_mean.lerp_(mean, MOMENTUM)
            self.stored_var.lerp_(variance, MOMENTUM)


def normalized(x: Tensor, mean: Tensor, variance: Tensor, eps: float) -> Tensor:
    """x (N, C, H, W) less the mean (C,), over the root of variance (C,) plus eps."""
    scale = (variance + eps).rsqrt()
    return torch.addcmul((-mean * scale)[:, None, None], x, scale[:, None, None])


def stand(module: nn.Module, accumulate: bool = True) -> None:
    """Switches every `Standing` inside to standing statistics and forgets the running ones, or switches back."""
    for layer in module.modules():
        if isinstance(layer, Standing):
            layer.accumulate_standing = accumulate
            if accumulate:
                layer.reset()


class Norm(nn.Module):
    """What the norms below share: `scaled` is the normalized x (N, C, H, W) times a gain plus a bias.

    Gain and bias are (N, C, 1, 1) or (1, C, 1, 1). UserError for unknown statistics.
    """

    def __init__(self, channels: int, statistics: Statistics) -> None:
        super().__init__()
        self.statistics = statistics
        match statistics.kind:
            case "stored" | "instance":
                self.register_buffer("stored_mean", torch.zeros(channels))
                self.register_buffer("stored_var", torch.ones(channels))
            case "standing":
                self.bn = Standing(channels, statistics.eps)
            case "synchronized" | "running":
                self.bn = nn.BatchNorm2d(channels, statistics.eps, affine=False)
            case "none":
                pass
            case _:
                raise UserError(f"unknown statistics {statistics.kind!r}: {', '.join(get_args(Kind))}")

    def scaled(self, x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
        match self.statistics.kind:
            case "none":
                return torch.addcmul(bias, gain, x)
            case "synchronized":
                # Not bn(x): their code doesn't count the batches.
                bn = cast(nn.BatchNorm2d, self.bn)
                return self._over(F.batch_norm, x, bn.running_mean, bn.running_var) + gain + bias
            case "standing" | "running":
                return torch.addcmul(bias, gain, self.bn(x))
        over = F.batch_norm if self.statistics.kind == "stored" else F.instance_norm
        mean, variance = self.get_buffer("stored_mean"), self.get_buffer("stored_var")
        return torch.addcmul(bias, gain, self._over(over, x, mean, variance))

    def _over(self, over: Callable[..., Tensor], x: Tensor, mean: Tensor | None, variance: Tensor | None) -> Tensor:
        return over(x, mean, variance, None, None, self.training, MOMENTUM, self.statistics.eps)


class AffineNorm(Norm):
    """A batch norm with a learned gain and bias for each channel: (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int, statistics: Statistics = STORED) -> None:
        super().__init__(channels, statistics)
        self.gain, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.scaled(x, self.gain.view(1, -1, 1, 1), self.bias.view(1, -1, 1, 1))


class ConditionalNorm(Norm):
    """A batch norm with the gain 1 + gain(y) and the bias bias(y) (Brock et al. 2019, appendix B).

    forward(x (N, C, H, W), y) -> like x. `gain` and `bias` are modules that make (N, C) of y: linear layers for vectors
    y, embeddings for labels y (N,).
    """

    def __init__(self, channels: int, gain: nn.Module, bias: nn.Module, statistics: Statistics = STORED) -> None:
        super().__init__(channels, statistics)
        self.gain, self.bias = gain, bias

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.scaled(x, 1 + self.gain(y)[:, :, None, None], self.bias(y)[:, :, None, None])


class TableNorm(nn.Module):
    """A batch norm with statistics in a table, a row for each truncation from 0 to 1, as in DeepMind's BigGAN modules.

    forward(x (N, C, H, W), truncation, y) -> like x. `scale` and `offset` are modules that make (N, C) of y, and the
    gain is 1 + scale(y); without them gain and bias are learned. No mode changes the statistics.
    """

    running_means: Tensor
    running_vars: Tensor

    def __init__(
        self, channels: int, rows: int = 51, eps: float = 1e-4, scale: nn.Module | None = None,
        offset: nn.Module | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.eps, self.rows = eps, rows
        self.register_buffer("running_means", torch.zeros(rows, channels))
        self.register_buffer("running_vars", torch.ones(rows, channels))
        self.conditional = scale is not None and offset is not None
        if self.conditional:
            self.scale, self.offset = scale, offset
        else:
            self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def row(self, table: Tensor, truncation: float) -> Tensor:
        """The table's (rows, C) statistics (C,) at a truncation.

        Between two rows the nearer one counts less. That is the wrong way round, but the published pictures came so;
        a quotient just below a whole number is taken for the row below, as theirs is.
        """
        share, below = math.modf(truncation / (1 / (self.rows - 1)))
        first = table[int(below)]
        return first if share == 0 else table[int(below) + 1].lerp(first, share)

    def forward(self, x: Tensor, truncation: float, y: Tensor | None = None) -> Tensor:
        mean, variance = self.row(self.running_means, truncation), self.row(self.running_vars, truncation)
        x = normalized(x, mean, variance, self.eps)
        if not self.conditional:
            return torch.addcmul(self.bias[:, None, None], self.weight[:, None, None], x)
        gain, bias = self.scale(y), self.offset(y)  # pyright: ignore[reportOptionalCall]
        return torch.addcmul(bias[:, :, None, None], 1 + gain[:, :, None, None], x)
