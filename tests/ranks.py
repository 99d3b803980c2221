"""What each process computes under torchrun in test_distributed: `-m tests.ranks FOLDER` writes one file per rank."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mulligan.core.game import Batch
from mulligan.core.trainer import Trainer
from mulligan.zoo import find

from . import games

ROUNDS, BATCH = 7, 16

# without batch norm and running averages, which know only the samples of their own process
RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    "gan: dropout, lazy r1": ("gan", {"mlp": {"widths": (6, 8), "norm": False}, "stabilize": {"r1": 1.0, "lazy": 3}}),
    "gan: written out": ("gan", {"mlp": {"widths": (6, 8), "norm": False}, "critic_turns": 2}),
    "r3gan: r1 and r2": ("r3gan", {"width": 8}),
    "wgan_gp: drawn alphas": ("wgan_gp", {"width": 4, "critic_turns": 2}),
    "gan: instance noise, diffaugment": (
        "gan",
        {"mlp": {"widths": (6,), "norm": False, "dropout": 0.0}}
        | {"stabilize": {"instance_noise": 0.1, "diffaugment": "color,translation"}},
    ),
}
SAME = {"dcgan: batch norm, lecam": ("dcgan", {"width": 4, "stabilize": {"lecam": 0.1}})}  # only on both ranks alike
POINTS = {"wgan_gp: drawn alphas"}  # its D has layer norm, its G batch norm where there are pictures


class Doubles:
    """Seeded pictures or points in float64."""

    classes: tuple[str, ...] = ()

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.x = torch.randn(90, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).tanh()

    def __len__(self) -> int:
        return len(self.x)

    def gather(self, indices: Tensor) -> Batch:
        return {"x": self.x[indices]}


def recipe_trainer(folder: Path, name: str, accumulate: int) -> Trainer:
    """A recipe of the house in float64."""
    recipe, arguments = (RECIPES | SAME)[name]
    made, source = find(recipe), Doubles((2,) if name in POINTS else (1, 8, 8))
    torch.manual_seed(0)
    plan = made.plan(source, made.arguments({"batch": BATCH, "latent": 4, "lr": 1e-3} | arguments))
    game = plan.game.double()
    options = {"optims": plan.optims, "ema": 100, "schedule": plan.schedule}
    return games.trainer(folder, game, batch=BATCH, images=games.NEVER, accumulate=accumulate, source=source, **options)


def played(trainer: Trainer) -> dict[str, Tensor]:
    """The weights and their average after some rounds."""
    for _ in range(ROUNDS):
        trainer._round()
    averages = {f"average.{name}": value for name, value in trainer.average.module.state_dict().items()}
    return {**trainer.game.state_dict(), **averages}


def deterministic(folder: Path) -> dict[str, dict[str, Tensor]]:
    """Games that draw nothing, one batch per process."""
    return {
        penalty: played(games.trainer(folder, games.duel(penalty), batch=BATCH, images=games.NEVER, ema=100))
        for penalty in games.PENALTIES
    }


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    found = {
        "deterministic": deterministic(folder),
        "recipes": {n: played(recipe_trainer(folder, n, 1)) for n in RECIPES | SAME},
    }
    torch.save(found, folder / f"rank-{os.environ['RANK']}.pt")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
