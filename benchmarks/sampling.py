"""Sampling DCGAN at 32 pixels, 1 and 64 at a time: a run's sample() against the textbook module under no_grad."""

from __future__ import annotations

import tempfile

import torch

from mulligan.experiment import Experiment
from mulligan.settings import describe
from mulligan.zoo import find

from .common import compared, finish, interleaved, parser, pictures, timed
from .textbook import LATENT, generator

BARS = {1: (1.5, 2.0), 64: (1.25, 1.5)}


def experiment(folder: str, side: int = 32) -> Experiment:
    """A run folder with fresh weights."""
    recipe, source = find("dcgan"), pictures(side)
    arguments = recipe.arguments({})
    run = Experiment(folder, "cpu")
    run.create(describe(recipe, arguments, "noise", source, 0, "fp32"))
    run.write_sampler(recipe.plan(source, arguments).game.sampler, run.settings())
    return Experiment(folder, "cpu")


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--slices", type=int, default=20)
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    facts, passed = {}, True
    with tempfile.TemporaryDirectory() as folder:
        run, eager = experiment(folder), generator(32).eval()

        @torch.no_grad()
        def textbook(n: int) -> torch.Tensor:
            return eager(torch.randn(n, LATENT, 1, 1))

        for n, (bar, aim) in BARS.items():
            calls = 50 if n == 1 else 4
            works = {
                "mulligan": timed(lambda n=n: run.sample(n), calls),
                "textbook": timed(lambda n=n: textbook(n), calls),
            }
            ratios = compared(f"DCGAN-32, {n} at a time", interleaved(works, given.slices), "mulligan", "textbook")
            facts[f"batch {n}"] = {**ratios, "bar": bar, "aim": aim}
            passed = passed and ratios["ratio_of_bests"] >= bar
    finish("sampling", passed, **facts)


if __name__ == "__main__":
    main()
