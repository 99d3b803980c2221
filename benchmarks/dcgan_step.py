"""A DCGAN step, 32 pixels by 32 and 64 pixels by 16: recipe dcgan, all defaults but the batch, against the tutorial's loop."""

from __future__ import annotations

import tempfile

import torch

from mulligan.core.stream import Stream
from mulligan.zoo import find

from .common import compared, finish, interleaved, parser, pictures, timed, trainer
from .textbook import Loop

BAR, AIM = 1.2, 1.5
SIZES = ((32, 32), (64, 16))


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--slices", type=int, default=12)
    options.add_argument("--steps", type=int, default=4, help="per slice")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    recipe, facts, worst = find("dcgan"), {}, float("inf")
    for side, batch in SIZES:
        source = pictures(side)
        with tempfile.TemporaryDirectory() as folder:
            torch.manual_seed(0)
            ours = trainer(recipe.plan(source, recipe.arguments({"batch": batch})), source, folder)
            theirs = Loop(next(Stream(source, batch))["x"])
            works = {"mulligan": timed(ours._round, given.steps), "tutorial": timed(theirs, given.steps)}
            found = interleaved(works, given.slices)
        ratios = compared(f"DCGAN step, {side} px, batch {batch}", found, "mulligan", "tutorial")
        facts[f"{side}px"] = ratios
        worst = min(worst, ratios["ratio_of_bests"])
    finish("dcgan_step", worst >= BAR, **facts, bar=BAR, aim=AIM)


if __name__ == "__main__":
    main()
