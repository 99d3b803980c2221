"""How often to augment: as often as keeps D from knowing the training data by heart (Karras et al. 2020, section 3)."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mulligan.core.clock import Clock

from .ada import AUGMENTATIONS, Augment, Draws

EVERY = 4
"""Rounds from one change of p to the next."""
SPEED = 500_000
"""Images in which p could go from 0 to 1, in a long run; a tenth of the budget in a shorter one."""
SHARE = 0.1


class Adaptive(nn.Module):
    """Augmentations of which each is made with probability p, so that r_t = E[sign D(real)] stays near `target`.

    p rises while D is sure of the training data, and falls otherwise. p and what was counted are buffers: a run that
    goes on has them, and every process the same ones.
    """

    counted: Tensor
    since: Tensor
    sure: Tensor

    def __init__(self, target: float, kind: str = "bgc") -> None:
        super().__init__()
        self.target, self.pipe = target, Augment(dict.fromkeys(AUGMENTATIONS[kind], 1.0))
        self.register_buffer("counted", torch.zeros(2, dtype=torch.float64))  # sum of signs, and how many
        self.register_buffer("since", torch.zeros((), dtype=torch.int64))
        self.register_buffer("sure", torch.zeros(()))  # r_t when p was last changed

    def forward(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        return self.pipe(x, draws) if float(self.pipe.p) > 0 else x

    @torch.no_grad()
    def see(self, real_logits: Tensor) -> None:
        """Count the signs of D at real samples, augmented as it saw them."""
        signs = real_logits.detach().sign()
        self.counted += torch.stack([signs.sum(), signs.new_tensor(signs.numel())]).to(self.counted)

    @torch.no_grad()
    def at(self, clock: Clock) -> None:
        """Change p where it is time to; called in every round before D sees anything."""
        if not clock.every(EVERY) or clock.images <= int(self.since):
            return
        counted = self.counted.clone()
        if dist.is_initialized():
            dist.all_reduce(counted)
        if counted[1] > 0:
            speed = min(SPEED, SHARE * clock.budget) if clock.budget else SPEED
            step = float((counted[0] / counted[1] - self.target).sign()) * (clock.images - int(self.since)) / speed
            self.pipe.p.copy_((self.pipe.p + step).clamp_(0, 1))
            self.sure.copy_(counted[0] / counted[1])
        self.counted.zero_()
        self.since.fill_(clock.images)
