"""What the tests of the core's promises share: quick child processes, states and their differences."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from mulligan.core.checkpoints import Checkpoints

# A fork of a server that has everything imported starts in a tenth of a second, a fresh interpreter in five.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "pytest", "torch._dynamo", "torch.distributed", "mulligan.verbs", "mulligan.cli", "mulligan.zoo.image.classic",
        "sklearn.datasets", "matplotlib.figure", "matplotlib.backends.backend_agg", "safetensors.torch", "tqdm",
    ]
)  # fmt: skip

Before = Callable[[], Any]
LIVING: list[BaseProcess] = []


@dataclass
class Child:
    """A process that is running a function, with what it says in files."""

    process: BaseProcess
    out: Path
    err: Path

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def wait(self, seconds: float = 120) -> int:
        """The exit code; minus the signal's number after a kill."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.process.kill()
            raise AssertionError(f"still running after {seconds} s:\n{self.said()}")
        return self.process.exitcode

    def said(self) -> str:
        """Everything on stderr so far."""
        return self.err.read_text(encoding="utf-8", errors="replace") if self.err.exists() else ""

    def printed(self) -> str:
        return self.out.read_text(encoding="utf-8", errors="replace") if self.out.exists() else ""

    def until(self, condition: Callable[[], Any], seconds: float = 60) -> None:
        """Wait until the condition holds; fail when it never does or the process ends before."""
        end = time.monotonic() + seconds
        while not condition():
            assert self.process.exitcode is None, f"ended with {self.process.exitcode}:\n{self.said()}"
            assert time.monotonic() < end, f"not within {seconds} s:\n{self.said()}"
            time.sleep(0.003)


def start(folder: Path, function: Callable[..., Any], *args: Any, before: Sequence[Before] = ()) -> Child:
    """Run `before` and then `function(*args)` in a new process; its words go to files in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    stamp = f"child-{time.monotonic_ns()}"
    out, err = folder / f"{stamp}.out", folder / f"{stamp}.err"
    environment = {name: os.environ[name] for name in ("MULLIGAN_CACHE", "XDG_CONFIG_HOME")}
    process = FORKS.Process(target=_child, args=(function, args, tuple(before), str(out), str(err), environment))
    process.start()
    LIVING.append(process)
    return Child(process, out, err)


def kill_all() -> None:
    """End what a failed test has left running."""
    for process in LIVING:
        if process.exitcode is None:
            process.kill()
            process.join()
    LIVING.clear()


def _child(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    before: tuple[Before, ...],
    out: str,
    err: str,
    env: dict[str, str],
) -> None:
    for path, number in ((out, 1), (err, 2)):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.update(env)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background of a shell are born deaf to it
    torch.set_num_threads(1)
    for prepare in before:
        prepare()
    function(*args)


def command(*argv: str) -> None:
    """The command `mulligan` with these words; leaves with its exit code."""
    from mulligan.cli import main

    main(argv)


def train(recipe: str, data: Path | str, out: Path, **arguments: Any) -> None:
    """`mulligan.train`, leaving with the exit code that the command would have."""
    from mulligan import UserError, verbs

    try:
        verbs.train(recipe, data, out=out, device="cpu", **arguments)
    except UserError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.code) from None


def no_pictures() -> None:
    """Leave previews and curves out, which take longer than these runs."""
    from mulligan import job

    job.previewer = lambda *_: None  # type: ignore[assignment]


def after_round(number: int, action: Before) -> None:
    """Do something when so many rounds have been played."""
    from mulligan.core.trainer import Trainer

    play = Trainer._round

    def patched(self: Trainer) -> None:
        play(self)
        if self.clock.round == number:
            action()

    Trainer._round = patched  # type: ignore[method-assign]


def slowly() -> None:
    """Rounds that take a while, so that a moment in the middle of a short run can be hit."""
    from mulligan.core.trainer import Trainer

    play = Trainer._round

    def patched(self: Trainer) -> None:
        time.sleep(0.004)
        play(self)

    Trainer._round = patched  # type: ignore[method-assign]


def stop_after(number: int) -> None:
    """Ask the run to stop after this round, as a user would."""
    after_round(number, lambda: os.kill(os.getpid(), signal.SIGTERM))


def trains(run: Path) -> bool:
    """Whether a run has played rounds; what the doctor says of the data stands in its log before that."""
    log = run / "log.jsonl"
    return log.is_file() and "loss_D" in log.read_text()


def newest(run: Path) -> dict[str, Any]:
    """The newest state of a run folder, which must be whole."""
    state, notes = Checkpoints(run / "checkpoints").load()
    assert state is not None, f"no checkpoint in {run}"
    assert not notes, notes
    return state


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested dictionaries and lists with where they are."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from leaves(value, f"{path}/{key}")
    elif isinstance(tree, (list, tuple)):
        for i, value in enumerate(tree):
            yield from leaves(value, f"{path}/{i}")
    else:
        yield path, tree


def differences(a: Any, b: Any) -> list[str]:
    """Where two states are not the same, bit for bit."""
    left, right = dict(leaves(a)), dict(leaves(b))
    return sorted(left.keys() ^ right.keys()) + [
        name for name in left.keys() & right.keys() if not _same(left[name], right[name])
    ]


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    return type(a) is type(b) and a == b


def largest_difference(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    """Over all numbers of two state dictionaries of the same names."""
    assert a.keys() == b.keys()
    return max(float((a[name].double() - b[name].double()).abs().max()) for name in a)


def tree_hash(folder: Path) -> dict[str, str]:
    """What is in a folder, without the lock, which names whoever holds it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.name != ".lock":
            kind = "link" if path.is_symlink() else "folder" if path.is_dir() else "file"
            content = hashlib.sha256(path.read_bytes()).hexdigest() if kind == "file" else ""
            found[str(path.relative_to(folder))] = f"{kind} {content}"
    return found
