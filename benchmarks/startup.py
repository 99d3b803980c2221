"""CPU seconds of `import mulligan`, of having its verbs ready, and of `mulligan --help`."""

from __future__ import annotations

import os
import subprocess
import sys
from statistics import median

from .common import finish, parser

CASES = {
    "import mulligan": (["-c", "import mulligan"], 2.5, 2.5),
    "import mulligan; mulligan.train": (["-c", "import mulligan; mulligan.train"], None, None),
    "import torch, for comparison": (["-c", "import torch"], None, None),
    "mulligan --help": (["-c", "from mulligan.cli import main; main(['--help'])"], 0.7, 0.4),
}


def cpu_seconds(arguments: list[str]) -> float:
    """User and system time of one fresh interpreter."""
    before = os.times()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--times", type=int, default=5)
    given = options.parse_args()
    facts, passed = {}, True
    print(f"{'command':<36}{'median s':>10}{'best s':>10}{'bar':>8}{'aim':>8}")
    for name, (arguments, bar, aim) in CASES.items():
        cpu_seconds(arguments)
        found = [cpu_seconds(arguments) for _ in range(given.times)]
        print(f"{name:<36}{median(found):>10.2f}{min(found):>10.2f}{bar or '–':>8}{aim or '–':>8}")
        facts[name] = {"best": round(min(found), 3), "median": round(median(found), 3), "bar": bar, "aim": aim}
        passed = passed and (bar is None or min(found) <= bar)
    finish("startup", passed, **facts)


if __name__ == "__main__":
    main()
