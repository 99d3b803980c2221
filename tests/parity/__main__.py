"""python -m tests.parity FILE.npz ...: our networks against the results of the official ones.

Exit code 0: all within tolerance; 1: something is not; 2: a file is missing, broken or not supported yet.
"""

import sys
from pathlib import Path

import torch

from mulligan.core.errors import UserError
from tests.parity.adapters import adapter
from tests.parity.compare import check
from tests.parity.fixture import Fixture, Unusable


def examine(path: Path) -> int:
    """Prints one line per array of the file and the worst; returns the exit code."""
    try:
        fixture = Fixture(path)
        lines = check(fixture, adapter(fixture)(fixture))
    except Unusable as error:
        print(f"cannot check {error}", file=sys.stderr)
        return 2
    except (RuntimeError, ValueError, IndexError, KeyError, TypeError, UserError) as error:
        # Arrays that contradict the configuration surface wherever shapes first meet; KeyError: an unknown argument.
        print(f"cannot check {path}: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    print(f"{path.name}: {fixture.project}, {fixture.cls}")
    for line in lines:
        print(line)
    worst = max(lines, key=lambda line: line.error / max(line.tolerance, 1e-30), default=None)
    if worst is None:
        print(f"cannot check {path}: it holds no results", file=sys.stderr)
        return 2
    failed = sum(not line.passed for line in lines)
    verdict = f"{failed} of {len(lines)} FAILED" if failed else f"all {len(lines)} within tolerance"
    print(f"{path.name}: {verdict}; worst {worst.key} {worst.error:.2e} (at most {worst.tolerance:.0e})\n")
    return int(failed > 0)


def main(arguments: list[str]) -> int:
    """Examines every file; 1 outweighs 2, which outweighs 0."""
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    torch.manual_seed(0)
    codes = {examine(Path(argument)) for argument in arguments}
    return next(code for code in (1, 2, 0) if code in codes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
