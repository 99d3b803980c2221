"""Resident memory that training on 60,000 MNIST pictures takes above `import torch`, recipes gan and dcgan; Linux."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from .common import SHARED, finish, parser, stop

BAR = 150
INSIDE = """
import json, sys, tempfile
import torch
def held(field):
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith(field)) / 1024
torch.set_num_threads(int(sys.argv[3]))
before = held("VmRSS")
import contextlib, io
from pathlib import Path
from mulligan.verbs import train
with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
    root = Path(sys.argv[2]).parent
    train(sys.argv[1], "mnist", data_root=root, out=folder + "/run",
          images=int(sys.argv[4]), cache=Path(tempfile.gettempdir()) / "mulligan-benchmarks", device="cpu")
    print(json.dumps({"before": before, "after": held("VmRSS"), "peak": held("VmHWM")}), file=sys.__stdout__)
"""


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--data", type=Path, default=SHARED / "data" / "mnist", help="folder of the MNIST files")
    given = options.parse_args()
    if not given.data.is_dir():
        stop(f"there is no {given.data}: name the folder of the MNIST files with --data")
    if not Path("/proc/self/status").is_file():
        stop("needs /proc, which only Linux has")
    facts, passed = {}, True
    print(f"{'recipe':<10}{'import torch':>14}{'after':>10}{'peak':>10}{'above, MB':>12}{'bar':>8}")
    for recipe, images in (("gan", 12_800), ("dcgan", 1_024)):
        arguments = [recipe, str(given.data), str(given.threads), str(images)]
        for _ in range(2):  # the first one may pack the data
            done = subprocess.run([sys.executable, "-c", INSIDE, *arguments], capture_output=True, text=True)
            if done.returncode:
                stop(done.stderr)
        row = json.loads(done.stdout)
        above = row["after"] - row["before"]
        print(f"{recipe:<10}{row['before']:>14.0f}{row['after']:>10.0f}{row['peak']:>10.0f}{above:>12.0f}{BAR:>8}")
        facts[recipe] = {name: round(value) for name, value in row.items()} | {"above": round(above)}
        passed = passed and above <= BAR
    finish("memory", passed, **facts, bar=BAR)


if __name__ == "__main__":
    main()
