"""A game between players: what `play` yields is one optimizer step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor, nn

from .clock import Clock

Batch = dict[str, Tensor]


@dataclass
class Turn:
    """One player improves its own loss.

    `loss` is a scalar. `stats` are tensors worth logging; by convention `real` and `fake` hold the logits of D.
    `gradients` of the loss by the player's parameters, where the game has worked them out; else autograd does.
    """

    player: str
    loss: Tensor
    stats: dict[str, Tensor] = field(default_factory=dict)
    gradients: list[tuple[nn.Parameter, Tensor]] | None = None


class Game(nn.Module):
    """Networks, who owns them, the sampler that is shipped, and one method `play`.

    `players` maps each player to the names of the submodules that it owns. A player's turn changes these and nothing
    else. `sampler` is the part that is averaged, scored, exported and shipped; it owns the generator.
    """

    players: ClassVar[dict[str, tuple[str, ...]]] = {"D": ("critic",), "G": ("sampler",)}
    sampler: nn.Module

    def play(self, data: Iterator[Batch], clock: Clock) -> Iterator[Turn]:
        """One round: a sequence of turns. Local names are free; state that must outlive the round is a buffer."""
        raise NotImplementedError("a game needs a method play(data, clock) that yields turns")

    def turns(self, data: Iterator[Batch], clock: Clock) -> Iterator[Turn]:
        """What the trainer plays: `play`, or a quicker twin of it where a game has one."""
        return self.play(data, clock)

    def readings(self) -> dict[str, float]:
        """Numbers of its own for each line of the log."""
        return {}

    def started(self) -> None:
        """Told before the first round of a run that begins with weights from elsewhere, and whenever it goes on."""

    def owned(self, player: str) -> list[nn.Parameter]:
        """The parameters of one player, each once.

        Raises KeyError for an unknown player.
        """
        modules = (self.get_submodule(name) for name in self.players[player])
        return list({id(p): p for module in modules for p in module.parameters()}.values())

    def check(self) -> None:
        """Raises TypeError where a parameter has no owner or two of them: it would be frozen or pulled both ways."""
        owners: dict[int, list[str]] = {}
        for player in self.players:
            for parameter in self.owned(player):
                owners.setdefault(id(parameter), []).append(player)
        for name, parameter in self.named_parameters():
            found = owners.get(id(parameter), [])
            if len(found) != 1:
                who = " and ".join(found) if found else "no player"
                raise TypeError(
                    f"parameter {name!r} of {type(self).__name__} belongs to {who}: list its module once in `players`"
                )
