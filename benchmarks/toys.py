"""Ring of 8 and grid of 25: modes, high-quality share and reverse KL of the objectives, several seeds each.

    python -m benchmarks.toys [--only r3gan …] [--sets ring grid] [--seeds 5] [--images 1000000] [--write docs/toys.md]

The sets are PacGAN's (ring radius 1, sigma 0.01; grid {-4, -2, 0, 2, 4}², sigma 0.05; 2,500 samples are judged; a point
is good within 3 sigma). Every method has networks of three layers of 128, batch 128, learning rate 1e-3 with a cosine
and the same budget of generator images; see `trials`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PUBLISHED = {
    ("ring", "gan"): "PacGAN: 6.3 / 98.2 % / .45; VEEGAN: 1 / 99.3 %",
    ("grid", "gan"): "PacGAN: 17.3 / 94.8 % / .70; VEEGAN: 3.3 / 0.5 %",
    ("ring", "pac2"): "PacGAN2: 7.9 / 95.6 % / .07",
    ("grid", "pac2"): "PacGAN2: 23.8 / 91.3 % / .13",
    ("ring", "pac4"): "PacGAN4: 7.8 / 95.9 % / .07",
    ("grid", "pac4"): "PacGAN4: 24.8 / 93.6 % / .04",
    ("ring", "unrolled"): "VEEGAN: 7.6 / 35.6 %",
    ("grid", "unrolled"): "VEEGAN: 23.6 / 16 %",
}


def trials() -> dict[str, tuple[str, dict[str, Any]]]:
    """name -> (recipe, arguments)."""
    from mulligan import Stabilize
    from mulligan.zoo.image.gan import MLP
    from mulligan.zoo.image.unrolled import Unroll

    plain: dict[str, Any] = {"latent": 2, "batch": 128, "lr": 1e-3, "ema": 5_000, "schedule": "cosine"}
    mlp = MLP(widths=(128, 128, 128), norm=False, activation="relu", dropout=0.0)
    return {
        "gan": ("gan", {**plain, "mlp": mlp}),
        "pac2": ("gan", {**plain, "mlp": mlp, "stabilize": Stabilize(packing=2)}),
        "pac4": ("gan", {**plain, "mlp": mlp, "stabilize": Stabilize(packing=4)}),
        "unrolled": ("unrolled", {**plain, "lr_d": 1e-4, "betas": (0.5, 0.9), "unroll": Unroll(5, 0.02)}),
        "wgan_gp": ("wgan_gp", {**plain, "stabilize": Stabilize(gp=0.1), "critic_turns": 3}),
        "r3gan": ("r3gan", {**plain, "stabilize": Stabilize(r1=0.1, r2=0.1)}),
    }


def one(job: tuple[str, str, int, int, dict[str, Any]]) -> dict[str, Any]:
    """Train one method on one set with one seed, and judge it."""
    name, data, seed, images, extra = job
    import torch

    torch.set_num_threads(1)
    import mulligan
    from mulligan.metrics import modes

    recipe, arguments = trials()[name]
    arguments = {**arguments, **extra}
    turns = arguments.get("critic_turns", 1)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run = mulligan.train(
            recipe,
            data,
            out=Path(folder) / "run",
            seed=seed,
            images=images * turns,
            sample_every=10**12,
            checkpoint_every=10**12,
            device="cpu",
            **arguments,
        )
        centres, sigma = modes.ring() if data == "ring" else modes.grid()
        found = modes.modes(run.sample(2_500, seed=seed), centres, sigma)
    return {
        "method": name,
        "data": data,
        "seed": seed,
        "seconds": round(time.perf_counter() - started, 1),
        **dataclasses.asdict(found),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Mean and worst over the seeds, beside the published numbers."""
    lines = [
        "| set | method | modes (each seed) | high quality, mean (worst) | reverse KL, mean (worst) | s per "
        "run | published: modes / HQ / KL |",
        "|---|---|---|---|---|---|---|",
    ]
    for data, name in dict.fromkeys((row["data"], row["method"]) for row in rows):
        of = sorted((row for row in rows if (row["data"], row["method"]) == (data, name)), key=lambda row: row["seed"])
        good, kl = [row["good"] for row in of], [row["kl"] for row in of]
        lines.append(
            f"| {data} | {name} | {' '.join(str(row['found']) for row in of)} of {of[0]['total']} | "
            f"{sum(good) / len(of):.1%} ({min(good):.1%}) "
            f"| {sum(kl) / len(of):.3f} ({max(kl):.3f}) | {sum(row['seconds'] for row in of) / len(of):.0f} | "
            f"{PUBLISHED.get((data, name), '–')} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--sets", nargs="+", default=["ring", "grid"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--images",
        type=int,
        default=1_000_000,
        help="budget of generator images; critics see critic_turns times as many",
    )
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="NAME=VALUE", help="other arguments, for trying things out"
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--write", type=Path)
    args = parser.parse_args()
    extra = {name: json.loads(value) for name, value in (pair.split("=", 1) for pair in args.set)}
    names = args.only or list(trials())
    jobs = [
        (name, data, seed, args.images, extra) for seed in range(args.seeds) for data in args.sets for name in names
    ]
    rows: list[dict[str, Any]] = []
    with multiprocessing.get_context("spawn").Pool(args.processes, maxtasksperchild=1) as pool:
        for row in pool.imap_unordered(one, jobs):
            rows.append(row)
            print(json.dumps(row), flush=True)
    text = table(sorted(rows, key=lambda row: (args.sets.index(row["data"]), names.index(row["method"]))))
    print(text)
    if args.write:
        args.write.write_text(text + "\n", encoding="utf-8")
    bad = [row for row in rows if row["method"] == "r3gan" and row["found"] < row["total"]]
    if bad:
        print(f"below the bar: r3gan missed modes in {len(bad)} runs", file=sys.stderr)
        raise SystemExit(1)


if __name__ == "__main__":
    main()
