"""A DCGAN step, 32 pixels by 32 and 64 pixels by 16: recipe dcgan against the loop of PyTorch's tutorial.

The bar is for the recipe as it is, which draws a generated batch for each turn. The loop shows D and G the same one,
and so does `--shared-fake`, which is one pass of G less and is shown beside it. The loop has a process of its own.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable

import torch

from mulligan.core.stream import Stream
from mulligan.zoo import find

from .common import Apart, compared, finish, interleaved, parser, pictures, timed, trainer
from .textbook import Loop

BAR, AIM = 1.2, 1.5
SIZES = ((32, 32), (64, 16))


def textbook(side: int, batch: int, steps: int) -> Callable[[], float]:
    """The tutorial's loop on one batch, so many steps a slice."""
    return timed(Loop(next(Stream(pictures(side), batch))["x"]), steps)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--slices", type=int, default=12)
    options.add_argument("--steps", type=int, default=4, help="per slice")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    recipe, facts, worst = find("dcgan"), {}, float("inf")
    for side, batch in SIZES:
        source, works = pictures(side), {}
        with tempfile.TemporaryDirectory() as folder:
            for name, one_fake in (("mulligan", False), ("mulligan, shared fake", True)):
                torch.manual_seed(0)
                plan = recipe.plan(source, recipe.arguments({"batch": batch, "shared_fake": one_fake}))
                works[name] = timed(trainer(plan, source, folder)._round, given.steps)
            works["tutorial"] = Apart(textbook, side, batch, given.steps)
            found = interleaved(works, given.slices)
        ratios = compared(f"DCGAN step, {side} px, batch {batch}", found, "mulligan", "tutorial")
        shared = min(found["tutorial"]) / min(found["mulligan, shared fake"])
        print(f"with one generated batch for both turns {shared:.2f} times as fast (bests)")
        facts[f"{side}px"] = {**ratios, "shared_fake": round(shared, 3)}
        worst = min(worst, ratios["ratio_of_bests"])
    finish("dcgan_step", worst >= BAR, **facts, bar=BAR, aim=AIM)


if __name__ == "__main__":
    main()
