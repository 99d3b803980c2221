"""The augmentations of StyleGAN2-ADA, with every draw at a quantile."""

from collections.abc import Iterator

import torch
from torch import Tensor

from mulligan.parts.ada import Augment, Draws
from tests.parity.compare import Value
from tests.parity.fixture import Fixture


class Quantile(Draws):
    """Uniform numbers at a quantile, normal ones without the factor √2, as the official test mode has them."""

    def __init__(self, at: float) -> None:
        self.at = torch.tensor(at)

    def uniform(self, n: int, *shape: int) -> Tensor:
        return self.at.expand(n, *shape)

    def normal(self, n: int, *shape: int) -> Tensor:
        return (2 * self.at - 1).erfinv().expand(n, *shape)

    def size(self, n: int) -> Tensor:
        return self.at.erfinv().expand(n)

    def happens(self, n: int, p: Tensor | float) -> Tensor:
        return torch.ones(n, dtype=torch.bool)


class Once(Augment):
    """Turned before the stretching only: the official test mode leaves out the second turn."""

    turns = 0

    def geometry(self, shape: torch.Size, draws: Draws) -> Tensor | None:
        self.turns = 0
        return super().geometry(shape, draws)

    def _half_turn(self, n: int, draws: Draws) -> Tensor:
        self.turns += 1
        return super()._half_turn(n, draws) if self.turns == 1 else torch.eye(3).expand(n, 3, 3)


def run(f: Fixture) -> Iterator[Value]:
    x = f["in/images"]
    for pipe, changes in f.setting("pipes").items():
        augment = Once(changes, f.setting("p"))
        for name, value in f.under("state/").items():  # buffers, which follow from nothing
            assert torch.allclose(getattr(augment, name), value, atol=1e-6), name
        for at in f.setting("percentiles"):
            draws, key = Quantile(at), f"{pipe}@{at}"
            if f"mid/{key}/G_inv" in f:
                inverse = augment.geometry(x.shape, draws)
                yield f"mid/{key}/G_inv", torch.empty(0) if inverse is None else inverse
            if f"mid/{key}/C" in f:
                colours = augment.colours(len(x), draws)
                yield f"mid/{key}/C", torch.empty(0) if colours is None else colours
            yield f"out/{key}", augment(x, draws)
