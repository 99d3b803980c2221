"""The round of the classic GANs written out for fully connected networks: `Classic.play` without a graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from mulligan.core.game import Batch, Turn
from mulligan.nets import mlp
from mulligan.nets.heads import Discriminator
from mulligan.parts.dense import Dense, dense
from mulligan.parts.layers import Dropout
from mulligan.parts.objectives import Slopes
from mulligan.parts.samplers import Sampler
from mulligan.parts.stabilize import Stabilize

if TYPE_CHECKING:
    from .classic import Classic


class Written:
    """Both networks of a game as chains of dense layers."""

    def __init__(self, game: Classic, G: Dense, D: Dense) -> None:
        self.game, self.G, self.D = game, G, D
        layers = list(game.modules())
        self.modes = [layer for layer in layers if isinstance(layer, nn.BatchNorm1d | Dropout)]
        self.hooks = [
            hooks
            for layer in layers
            for hooks in (
                layer._forward_hooks,
                layer._forward_pre_hooks,
                layer._backward_hooks,
                layer._backward_pre_hooks,
            )
        ]

    def holds(self) -> bool:
        """Whether a round now comes to what is written here: fp32, nothing in eval mode, nobody listening in."""
        training = all(layer.training for layer in self.modes)
        return training and not any(self.hooks) and not torch.is_autocast_enabled("cpu")

    def play(self, data: Iterator[Batch]) -> Iterator[Turn]:
        """One round, as in `Classic.play`: the same law, numbers and gradients up to rounding."""
        game, G, D, objective = self.game, self.G, self.D, self.game.objective
        sampler, slopes, turns = cast(Sampler, game.sampler), cast(Slopes, objective.slopes), game.critic_turns
        n, fakes, seen = 0, torch.empty(0), []

        for turn in range(1, turns + 1):
            x, _ = game.draw(data)
            n, batches = len(x), 2 if turn == turns else 1
            with torch.inference_mode():
                # G stays as it is until its own turn: D's last batch and that of G's turn come from one pass
                fakes, seen = G.forward(sampler.latents(batches * n), batches)
                logits, tape = D.forward(torch.cat([x.flatten(1), fakes[:n]]))
                real, fake = logits.squeeze(1).chunk(2)
                loss, slope = objective.d(real, fake), torch.cat(slopes.d(real, fake))
                gradients = D.backward(tape, slope.unsqueeze(1))
            yield Turn("D", loss, {"real": real, "fake": fake}, gradients)

        with torch.inference_mode():
            logits, tape = D.forward(fakes[n:])
            fake = logits.squeeze(1)
            loss, slope = objective.g(fake, fake), slopes.g(fake)  # none with slopes looks at the real logits
            gradients = G.backward(seen, D.through(tape, slope.unsqueeze(1)))
        yield Turn("G", loss, gradients=gradients)


def written(game: Classic) -> Written | None:
    """The game written out; None where it has anything that isn't: other layers, labels, penalties, a shared batch."""
    G, D = getattr(game.sampler, "G", None), game.critic.D
    plain = replace(game.stabilize, loss="", label_smoothing=0, clip_weights=0, lazy=1, noise_until=1) == Stabilize()
    if not (
        plain
        and not game.shared_fake
        and game.objective.slopes is not None
        and type(game.sampler) is Sampler
        and type(G) is mlp.Generator
        and not G.classes
        and type(D) is Discriminator
        and type(D.body) is mlp.Body
        and D.separable
        and D.conditioning == "none"
        and all(_usual(p) for p in game.parameters())
    ):
        return None
    chain_of_G, chain_of_D = dense(G.layers), dense([*D.body.layers, D.head])
    return Written(game, chain_of_G, chain_of_D) if chain_of_G and chain_of_D else None


def _usual(p: nn.Parameter) -> bool:
    """On the CPU, trained, and with nobody who wants to see its gradient first."""
    hooks = p._backward_hooks or getattr(p, "_post_accumulate_grad_hooks", None)
    return p.device.type == "cpu" and p.requires_grad and not hooks
