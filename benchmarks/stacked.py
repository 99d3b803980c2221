"""Stacked MNIST: how many of 1,000 modes are found, with a small budget.

    python -m benchmarks.stacked [--images 100000] [--seeds 1] [--only dcgan pac2 r3gan] [--write docs/stacked.md]

Three random digits as red, green and blue; 26,000 samples; the LeNet of `../shared/weights` names each channel, and the
three names are the mode. KL is that of the found histogram to uniform, in nats. One thread per run.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Any

from .instruments import SHARED

SAMPLES = 26_000
PUBLISHED = {
    "dcgan": "99.0 / 3.40 (VEEGAN), 78.9 / 4.50 (PacGAN)",
    "pac2": "1000 / 0.06 (PacGAN2)",
    "r3gan": "1000 / 0.029 (R3GAN, unverified)",
}


def trials() -> dict[str, tuple[str, dict[str, Any]]]:
    """name -> (recipe, arguments)."""
    from mulligan import Stabilize

    return {
        "dcgan": ("dcgan", {"width": 32, "batch": 64}),
        "pac2": ("dcgan", {"width": 32, "batch": 64, "stabilize": Stabilize(packing=2)}),
        "r3gan": (
            "r3gan",
            {"family": "dcgan", "width": 32, "batch": 64, "stabilize": Stabilize(r1=0.1, r2=0.1, lazy=4)},
        ),
    }


def one(job: tuple[str, int, int]) -> dict[str, Any]:
    name, seed, images = job
    import torch

    torch.set_num_threads(1)
    import mulligan
    from mulligan.metrics.distances import kl_to_uniform

    from .instruments import LeNet

    recipe, arguments = trials()[name]
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        run = mulligan.train(
            recipe, "stacked_mnist", data_root=SHARED / "data", out=Path(folder) / "run", seed=seed, images=images,
            device="cpu", sample_every=10**12, checkpoint_every=10**12, **arguments,
        )  # fmt: skip
        spent, net = time.process_time() - started, LeNet()
        named = []
        for start in range(0, SAMPLES, 2_000):
            x = run.sample(2_000, seed=seed * 1_000 + start // 2_000)
            digit = net(x.reshape(-1, 1, 28, 28))[1].argmax(1).view(-1, 3)
            named.append(digit[:, 0] * 100 + digit[:, 1] * 10 + digit[:, 2])
    modes = torch.cat(named)
    found = {"modes": len(modes.unique()), "kl": kl_to_uniform(modes, 1_000)}
    return {"method": name, "seed": seed, "images": images, "cpu_seconds": round(spent), **found}


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| method | seed | images | CPU s | modes of 1000 | KL | published, 50 epochs |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['method']} | {row['seed']} | {row['images']:,} | {row['cpu_seconds']} | {row['modes']} "
        f"| {row['kl']:.3f} | {PUBLISHED[row['method']]} |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="+", default=list(PUBLISHED), choices=list(PUBLISHED))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--write", type=Path)
    args = parser.parse_args()
    rows = []
    with multiprocessing.get_context("spawn").Pool(args.processes, maxtasksperchild=1) as pool:
        for row in pool.imap_unordered(
            one, [(name, seed, args.images) for seed in range(args.seeds) for name in args.only]
        ):
            rows.append(row)
            print(json.dumps(row), flush=True)
    text = table(sorted(rows, key=lambda row: (args.only.index(row["method"]), row["seed"])))
    print(text)
    if args.write:
        args.write.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
