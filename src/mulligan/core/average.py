"""The moving average of the sampler: what is shown, scored and shipped."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn


class Average:
    """Exponential moving average of a module, its half-life given in images.

    The half-life is never longer than `ramp` of the images seen so far, so that the start is forgotten (Karras et al.
    2020, StyleGAN2-ADA: ramp 0.05). Buffers such as running statistics are averaged like weights; whole numbers are
    copied. `half_life` 0 keeps no average: `module` is then a copy of the live module at the last `update`.
    """

    def __init__(self, live: nn.Module, half_life: float, ramp: float = 0.05) -> None:
        self.half_life, self.ramp = half_life, ramp
        self.module = deepcopy(live).eval().requires_grad_(False)
        self._live = live
        pairs = list(zip(self.module.state_dict().values(), live.state_dict().values(), strict=True))
        self._floats = [pair for pair in pairs if pair[0].is_floating_point()]
        self._others = [pair for pair in pairs if not pair[0].is_floating_point()]

    def update(self, batch: int, images: int) -> None:
        """After a round that drew `batch` images, `images` in all."""
        if self.half_life > 0:
            half_life = min(self.half_life, max(images * self.ramp, 1e-8))
            self._pull(1 - 0.5 ** (batch / half_life))

    def refresh(self) -> nn.Module:
        """The module to sample from, brought up to date where no average is kept."""
        if self.half_life <= 0:
            self._pull(1.0)
        return self.module

    @torch.no_grad()
    def _pull(self, weight: float) -> None:
        ours: list[Tensor] = [pair[0] for pair in self._floats]
        if ours:
            torch._foreach_lerp_(ours, [pair[1].detach() for pair in self._floats], weight)
        for kept, live in self._others:
            kept.copy_(live)
