"""Does a GAN help where one class is rare? `mulligan augment` on MNIST and on PneumoniaMNIST.

    python -m benchmarks.augment [--set mnist] [--seeds 5] [--out runs] [--write docs/augment-mnist.md]

MNIST: of the digit 3 only 50 of 6,131 training pictures are kept. PneumoniaMNIST: 50 of the 1,214 normal X-rays.
The test sets are the official ones. Settings were chosen by looking at the pictures of seed 100, not by test results.
An interrupted benchmark goes on where it stopped, with the same command.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from mulligan.augment.study import augment
from mulligan.core.checkpoints import read_lines
from mulligan.core.errors import UserError

from .common import SHARED, stop

SETS: dict[str, dict[str, Any]] = {
    "mnist": {"data": "mnist", "rare": "3", "data_root": SHARED / "data"},
    "pneumonia": {"data": SHARED / "data" / "medmnist" / "pneumoniamnist.npz", "rare": "0"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=SETS, default="mnist")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="the first seed; 100 is the one for trying things out")
    parser.add_argument("--keep", type=int, default=50)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    parser.add_argument("--write", type=Path, help="also write the report here, without its pictures")
    parser.add_argument(
        "--given", nargs="*", default=[], metavar="NAME=JSON", help="other arguments, to try things out"
    )
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    given = SETS[args.set] | {name: json.loads(value) for name, value in (pair.split("=", 1) for pair in args.given)}
    out = args.out / f"benchmark-augment-{args.set}"
    try:
        report = augment(**given, keep=args.keep, seeds=args.seeds, seed=args.first, device="cpu", out=out)
    except UserError as error:
        stop(str(error))
    text = report.read_text(encoding="utf-8")
    if args.write:
        words = text.partition("## The rare class, real and generated")[0]  # pictures of others aren't passed on
        words = "\n".join(line for line in words.split("\n") if not line.startswith("!["))
        args.write.write_text(words.rstrip() + "\n", encoding="utf-8")
    seconds = [row.get("gan_seconds", 0) for row in read_lines(out / "results.jsonl") if row["arm"] == "gan"]
    print(json.dumps({"benchmark": f"augment-{args.set}", "torch": torch.__version__, "gan_seconds": seconds}))


if __name__ == "__main__":
    main()
