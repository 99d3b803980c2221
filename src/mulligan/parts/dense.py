"""Fully connected networks written out: their passes forward and backward, which keep no graph.

For networks so small, autograd's bookkeeping takes a tenth of a round: its code is out of the caches again each time
that a product has run.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from .layers import Dropout, Linear, paired
from .product import Then, multiply, slopes

Tape = list[tuple[Tensor, ...]]
Gradients = list[tuple[nn.Parameter, Tensor]]


class Step(Protocol):
    """One layer: what it keeps going forward is what it needs going back."""

    def forward(self, x: Tensor, batches: int) -> tuple[Tensor, tuple[Tensor, ...]]: ...

    def backward(self, slope: Tensor, kept: tuple[Tensor, ...], of_x: bool, of_weights: bool) -> Back: ...


Back = tuple[Tensor | None, Gradients]  # the slope of x and those of the weights, as far as asked for


class Dense:
    """A chain of Linear, activation, BatchNorm1d and Dropout in training mode. Call it where nothing keeps a graph."""

    def __init__(self, steps: list[Step]) -> None:
        self.steps = steps

    def forward(self, x: Tensor, batches: int = 1) -> tuple[Tensor, Tape]:
        """y (N, outputs) of x (N, inputs), and the tape for the way back.

        x may be several equal batches one behind the other: each is normalized by itself, and the tape is that of the
        last one.
        """
        tape: Tape = []
        for step in self.steps:
            x, kept = step.forward(x, batches)
            tape.append(kept)
        return x, tape

    def backward(self, tape: Tape, slope: Tensor) -> Gradients:
        """The gradient of each weight, from the slope of y (N, outputs)."""
        return self._back(tape, slope, of_x=False, of_weights=True)[1]

    def through(self, tape: Tape, slope: Tensor) -> Tensor:
        """The slope of x (N, inputs), from that of y (N, outputs)."""
        of_x, _ = self._back(tape, slope, of_x=True, of_weights=False)
        assert of_x is not None
        return of_x

    def _back(self, tape: Tape, slope: Tensor, of_x: bool, of_weights: bool) -> Back:
        gradients: Gradients = []
        here: Tensor | None = slope
        for step, kept in zip(reversed(self.steps), reversed(tape), strict=True):
            assert here is not None
            here, found = step.backward(here, kept, of_x or step is not self.steps[0], of_weights)
            gradients += found
        return here, gradients


def dense(layers: Iterable[nn.Module]) -> Dense | None:
    """The layers written out; None where one is of another kind, or of these with an option that isn't written here."""
    steps: list[Step] = []
    for layer, then in paired(tuple(layers)):
        match layer:
            case nn.Linear() if type(layer) in (nn.Linear, Linear) and layer.bias is not None:
                steps.append(_Linear(layer, *then))
            case nn.BatchNorm1d() if type(layer) is nn.BatchNorm1d and _usual(layer):
                steps.append(_Norm(layer))
            case Dropout() if layer.masks:
                steps.append(_Dropout(layer, steps[-1] if steps else None))
            case nn.Identity():
                pass
            case _:
                return None
    return Dense(steps)


def _usual(norm: nn.BatchNorm1d) -> bool:
    return norm.affine and norm.track_running_stats and norm.momentum is not None


def _last(x: Tensor, batches: int) -> Tensor:
    return x if batches == 1 else x[-(len(x) // batches) :]


class _Linear:
    then: Then

    def __init__(self, layer: nn.Linear, then: Then = "none") -> None:
        self.weight, self.bias, self.then = cast(nn.Parameter, layer.weight), layer.bias, then

    def forward(self, x: Tensor, batches: int) -> tuple[Tensor, tuple[Tensor, ...]]:
        y = multiply(x, self.weight, self.bias, self.then)
        return y, (_last(x, batches), _last(y, batches))

    def backward(self, slope: Tensor, kept: tuple[Tensor, ...], of_x: bool, of_weights: bool) -> Back:
        x, y = kept
        found = slopes(slope, x, self.weight, y, self.then, (of_x, of_weights, of_weights))
        return found[0], _named((self.weight, self.bias), found[1:])


class _Norm:
    def __init__(self, layer: nn.BatchNorm1d) -> None:
        self.weight, self.bias = layer.weight, layer.bias
        self.eps, self.momentum = layer.eps, cast(float, layer.momentum)
        self.buffers = cast(dict[str, Tensor], layer._buffers)  # looked up each time: loading a state may replace them

    def forward(self, x: Tensor, batches: int) -> tuple[Tensor, tuple[Tensor, ...]]:
        if len(x) == batches:
            raise ValueError(f"batch norm needs more than one sample in a batch, not {batches} batches of {len(x)}")
        mean, variance, count = (self.buffers[name] for name in ("running_mean", "running_var", "num_batches_tracked"))
        y, kept = torch.empty_like(x), ()
        for before, after in zip(x.chunk(batches), y.chunk(batches), strict=True):
            kept = (before, torch.empty_like(self.weight), torch.empty_like(self.weight))
            torch.native_batch_norm(
                before, self.weight, self.bias, mean, variance, True, self.momentum, self.eps, out=(after, *kept[1:])
            )  # type: ignore[call-overload]
            count.add_(1)
        return y, kept

    def backward(self, slope: Tensor, kept: tuple[Tensor, ...], of_x: bool, of_weights: bool) -> Back:
        x, mean, scale = kept
        found = torch.ops.aten.native_batch_norm_backward.default(
            slope, x, self.weight, None, None, mean, scale, True, self.eps, (of_x, of_weights, of_weights)
        )
        return found[0], _named((self.weight, self.bias), found[1:])


class _Dropout:
    def __init__(self, layer: Dropout, before: Step | None) -> None:
        self.layer = layer
        # in place where nobody needs what was there: rectifiers read only the sign, and what is dropped has no slope
        self.in_place = before is not None and not (isinstance(before, _Linear) and before.then == "tanh")

    def forward(self, x: Tensor, batches: int) -> tuple[Tensor, tuple[Tensor, ...]]:
        mask = self.layer.mask(x)
        return x.mul_(mask) if self.in_place else x * mask, (_last(mask, batches),)

    def backward(self, slope: Tensor, kept: tuple[Tensor, ...], of_x: bool, of_weights: bool) -> Back:
        return slope * kept[0], []


def _named(weights: tuple[nn.Parameter, ...], found: tuple[Tensor | None, ...]) -> Gradients:
    return [(weight, slope) for weight, slope in zip(weights, found, strict=True) if slope is not None]
