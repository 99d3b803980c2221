"""Official state entries into our modules, and our gradients and buffers back under the official names."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from tests.parity.compare import Value
from tests.parity.fixture import Fixture, Unusable


class Port:
    """A module filled from the entries state/<prefix>*.

    names: official key -> ours. Shapes may differ by a reshape; entries in `swapped` also swap their first axis with
    the rest, as (in, out, 4, 4) -> (out * 16, in), and those in `last` put channels last, as (1, C, 4, 4) ->
    (1, 16 * C). ours that no official entry fills must be in `absent`.
    """

    def __init__(
        self,
        module: nn.Module,
        fixture: Fixture,
        prefix: str,
        rename: Callable[[str], str],
        *,
        swapped: tuple[str, ...] = (),
        last: tuple[str, ...] = (),
        absent: tuple[str, ...] = (),
    ) -> None:
        self.module, self.fixture, self.prefix = module, fixture, prefix
        self.swapped, self.last = swapped, last
        official = fixture.under(f"state/{prefix}")
        self.names = {key: ours for key in official if (ours := rename(key))}
        state = module.state_dict()
        for key, name in self.names.items():
            if name not in state:
                raise Unusable(f"{fixture.path}: state/{prefix}{key} has no place in our network (as {name})")
            state[name].copy_(self._inward(key, official[key], state[name], f"{fixture.path}: state/{prefix}{key}"))
        if left := set(state) - set(self.names.values()) - set(absent):
            raise Unusable(f"{fixture.path}: lacks state for our {', '.join(sorted(left))}")

    def _inward(self, key: str, value: Tensor, like: Tensor, where: str) -> Tensor:
        if value.numel() != like.numel():
            raise Unusable(f"{where} has shape {tuple(value.shape)}, our network needs {tuple(like.shape)}")
        if key in self.swapped:
            value = value.flatten(1).t()
        if key in self.last:
            value = value.permute(0, 2, 3, 1)
        return value.reshape(like.shape)

    def _outward(self, key: str, value: Tensor, official: str) -> Tensor:
        if key in self.swapped:
            value = value.t()
        shape = self.fixture.arrays[official].shape
        if key in self.last:
            value = value.view(shape[0], *shape[2:], shape[1]).permute(0, 3, 1, 2)
        return value.reshape(shape) if value.numel() == self.fixture[official].numel() else value

    def gradients(self, loss: Tensor, name: str) -> Iterator[Value]:
        """Gradients of the loss for every grad/<name>/<prefix><key> of the fixture."""
        parameters = dict(self.module.named_parameters())
        keys = [k for k in self.names if f"grad/{name}/{self.prefix}{k}" in self.fixture]
        wanted = [parameters[self.names[k]] for k in keys]
        found = torch.autograd.grad(loss, wanted, retain_graph=True, materialize_grads=True) if wanted else ()
        for key, gradient in zip(keys, found, strict=True):
            official = f"grad/{name}/{self.prefix}{key}"
            yield official, self._outward(key, gradient, official)

    def after(self) -> Iterator[Value]:
        """Our buffers now, for every after/<prefix><key> of the fixture."""
        state = self.module.state_dict()
        for key, name in self.names.items():
            if (official := f"after/{self.prefix}{key}") in self.fixture:
                yield official, self._outward(key, state[name].clone(), official)
