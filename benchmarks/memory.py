"""Memory that training on 60,000 MNIST pictures takes at its peak above `import torch`, recipes gan and dcgan; Linux.

The bar is for all that is resident, the pages of the mapped pictures included, which the system takes back when it
needs them. `without data` leaves these out; `own` are pages that the process holds alone, the rest are libraries.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from .common import SHARED, finish, parser, stop

BAR = 150
INSIDE = """
import json, sys, tempfile, threading, time
import torch
torch.set_num_threads(int(sys.argv[3]))
def mapped():
    "Of the packed pictures, MB."
    found, size = False, 0.0
    for l in open("/proc/self/smaps"):
        if "-" in l.split()[0]:
            found = l.rstrip().endswith("data.pack")
        elif found and l.startswith("Rss:"):
            size += int(l.split()[1]) / 1024
    return size
def held():
    with open("/proc/self/status") as file:
        size = {l.split(":")[0]: int(l.split()[1]) / 1024 for l in file if l.startswith(("RssAnon", "VmRSS"))}
    return {"own": size["RssAnon"], "resident": size["VmRSS"], "without data": size["VmRSS"] - mapped()}
before = held()
peak = dict(before)
def watch():
    while True:
        for name, size in held().items():
            peak[name] = max(peak[name], size)
        time.sleep(0.005)
import contextlib, io
from pathlib import Path
from mulligan.verbs import train
threading.Thread(target=watch, daemon=True).start()
with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
    root = Path(sys.argv[2]).parent
    train(sys.argv[1], "mnist", data_root=root, out=folder + "/run",
          images=int(sys.argv[4]), cache=Path(tempfile.gettempdir()) / "mulligan-benchmarks", device="cpu")
    print(json.dumps({name: peak[name] - before[name] for name in peak}), file=sys.__stdout__)
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
    print(f"{'recipe':<10}{'resident, MB':>16}{'bar':>8}{'without data, MB':>18}{'own, MB':>12}")
    for recipe, images in (("gan", 12_800), ("dcgan", 4_096)):
        arguments = [recipe, str(given.data), str(given.threads), str(images)]
        for _ in range(2):  # the first one may pack the data
            done = subprocess.run([sys.executable, "-c", INSIDE, *arguments], capture_output=True, text=True)
            if done.returncode:
                stop(done.stderr)
        row = json.loads(done.stdout)
        print(f"{recipe:<10}{row['resident']:>16.0f}{BAR:>8}{row['without data']:>18.0f}{row['own']:>12.0f}")
        facts[recipe] = {name: round(value) for name, value in row.items()}
        passed = passed and row["resident"] <= BAR
    finish("memory", passed, **facts, bar=BAR)


if __name__ == "__main__":
    main()
