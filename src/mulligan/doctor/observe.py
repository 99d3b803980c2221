"""The doctor for a training loop of one's own: hand over what a step has at hand, and read a word."""

from __future__ import annotations

import torch
from torch import Tensor

from mulligan.core.errors import UserError
from mulligan.parts.objectives import OBJECTIVES

from .examine import examine
from .history import Facts, History, Row, joined
from .illness import Verdict
from .known import KNOWN, Known, Tensors
from .measure import of_live, of_logits, of_samples

LEAST, MOST = 256, 512
"""Generated samples that a probe waits for, and keeps at most."""
RECENT = 8
"""Batches of logits that a probe looks at."""


class Doctor:
    """Watches over a loop that isn't Mulligan's.

    `objective`: minimax, nonsaturating, least_squares, hinge, wasserstein, relativistic, …; "" where it isn't known.
    `every`: calls of `observe` from probe to probe. `budget`: images of the whole training, 0 where it has no end.
    `count`: training samples. Raises UserError for an unknown objective.
    """

    def __init__(self, objective: str = "", *, every: int = 100, budget: int = 0, count: int = 0) -> None:
        if objective and objective not in OBJECTIVES:
            raise UserError(f'unknown objective {objective!r}: one of {", ".join(OBJECTIVES)}, or "" for another one')
        self.history = History([], Facts(objective, budget, count))
        self.objective, self.every, self.images, self.calls = objective, every, 0, 0
        self._lines: list[Row] = []
        self._logits: dict[str, list[Tensor]] = {"real": [], "fake": [], "held": []}
        self._samples: dict[str, list[Tensor]] = {"real": [], "fake": []}
        self._known: Known | None = None
        self._mean: Tensor | None = None
        self.verdict = Verdict("too early")

    @property
    def word(self) -> str:
        """healthy, watch, too early, or the name of an illness."""
        return self.verdict.word

    def observe(
        self, real_logits: Tensor, fake_logits: Tensor, *, held_logits: Tensor | None = None,
        real: Tensor | None = None, fake: Tensor | None = None, images: int | None = None, **numbers: float,
    ) -> str:  # fmt: skip
        """Take what one step has at hand; the word for the run so far.

        Logits of real, generated and held-out samples, of any shape; `real` and `fake`, samples (n, …) in the same
        range, tell about diversity and distance; `images` drawn so far, by default counted from the logits. `numbers`:
        loss_D, loss_G, grad_D, grad_G and the like. A probe is taken every so many calls.
        """
        self.calls += 1
        self.images = images if images is not None else self.images + real_logits.numel()
        for name, logits in (("real", real_logits), ("fake", fake_logits), ("held", held_logits)):
            if logits is not None:
                self._logits[name] = [*self._logits[name], logits.detach().flatten().float().cpu()][-RECENT:]
        for name, x, most in (("real", real, KNOWN), ("fake", fake, MOST)):
            if x is not None and not (name == "real" and self._known):
                _keep(self._samples[name], x.detach().float().cpu(), most)
        known = {"real": float(real_logits.detach().mean()), "fake": float(fake_logits.detach().mean())}
        self._lines.append({"images": float(self.images), **known, **{k: float(v) for k, v in numbers.items()}})
        if self.calls % self.every == 0:
            self._probe()
        return self.word

    def _probe(self) -> None:
        real, fake, held = (torch.cat(v) if v else None for v in self._logits.values())
        assert real is not None
        assert fake is not None
        row = of_logits(self.objective, real, fake, held) | self._of_samples()
        self._lines[-1] |= row
        self.history.rows.append(joined(self._lines))
        self._lines = []
        self.verdict = examine(self.history)

    def _of_samples(self) -> Row:
        seen = sum(map(len, self._samples["real"]))
        if self._known is None and seen >= LEAST:
            self._known = Known(Tensors(torch.cat(self._samples["real"])), None, torch.device("cpu"))
            self._samples["real"] = []
        if self._known is None or sum(map(len, self._samples["fake"])) < LEAST:
            return {}
        x = torch.cat(self._samples["fake"])[-MOST:]
        live, self._mean = of_live(self._known, x, self._mean)
        return live | of_samples(self._known, x)


def _keep(batches: list[Tensor], x: Tensor, most: int) -> None:
    """Append, and forget the oldest ones that aren't needed."""
    batches.append(x)
    while sum(map(len, batches)) - len(batches[0]) >= most:
        batches.pop(0)
