"""The folder of one experiment, and the only thing that touches the disk."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import torch

from .checkpoints import Checkpoints, append_line, free_space, read_lines, write_whole
from .errors import UserError

FORMAT = 1


class Run:
    """`recipe.json`, `log.jsonl`, `checkpoints/`, `samples/`, `curves.png`, `sampler.safetensors`, `scores.jsonl`."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.recipe_file, self.log_file = self.path / "recipe.json", self.path / "log.jsonl"
        self.samples, self.curves = self.path / "samples", self.path / "curves.png"
        self.sampler_file, self.scores_file = self.path / "sampler.safetensors", self.path / "scores.jsonl"
        self.critic_file = self.path / "critic.safetensors"  # of imported weights: D, to train on from
        self.checkpoints = Checkpoints(self.path / "checkpoints")
        self._lock: Any = None
        self._complaints: set[str] = set()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    @property
    def exists(self) -> bool:
        return self.recipe_file.is_file()

    def settings(self) -> dict[str, Any]:
        """What `recipe.json` says. Raises UserError where the folder is no run."""
        if not self.path.exists():
            raise UserError(f"no run at {self.path}: there is no such folder")
        if not self.exists:
            raise UserError(f"{self.path} is not a run folder: it has no recipe.json")
        try:
            found = json.loads(self.recipe_file.read_text(encoding="utf-8"))
            if not isinstance(found, dict) or not isinstance(found.get("arguments"), dict):
                raise ValueError("not the object that a run writes")
        except (OSError, ValueError) as error:
            raise UserError(f"{self.recipe_file} can't be read ({error}): put a good copy back") from error
        if found.get("format", 0) > FORMAT:
            raise UserError(
                f"{self.path} was written by a newer Mulligan (format {found['format']}, known {FORMAT}): upgrade"
            )
        return found

    def create(self, settings: dict[str, Any]) -> None:
        """Make the folder and note the settings. Raises UserError where the place can't be written."""
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"--out {self.path} is a file: name a folder")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_whole(self.recipe_file, json.dumps({"format": FORMAT, **settings}, indent=2) + "\n")
            self.samples.mkdir(exist_ok=True)
        except OSError as error:
            raise UserError(self.refused(error)) from error

    def refused(self, error: OSError) -> str:
        """What to say when the folder can't be written."""
        return f"can't write to {self.path} ({error.strerror or error}): name another folder with --out"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process. Raises UserError where another one holds it.

        The operating system drops the lock with the process, however it ends, so no stale lock is ever in the way. A
        folder that is still empty at the end is removed.
        """
        lock, made = self.path / ".lock", [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        with self._opened(lock) as file:
            file.seek(0)
            file.truncate()
            file.write(f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}")
            file.flush()
            try:
                yield
            finally:
                if made and self.path.is_dir() and list(self.path.iterdir()) == [lock]:
                    with contextlib.suppress(OSError):
                        lock.unlink()
                        for folder in made:
                            folder.rmdir()

    def _opened(self, lock: Path) -> TextIO:
        while True:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                file = lock.open("a+", encoding="utf-8")
            except OSError as error:
                raise UserError(self.refused(error)) from error
            if not _hold(file):
                with file:
                    file.seek(0)
                    holder = file.read().strip() or "another process"
                raise UserError(f"{self.path} is in use by {holder}: wait for it, or name another --out")
            with contextlib.suppress(OSError):
                if os.path.samestat(lock.stat(), os.fstat(file.fileno())):
                    return file
            file.close()  # its last holder has just removed it with the empty folder: take the next one

    def discard(self) -> None:
        """Take back what `create` made, where nothing else has been written since."""
        with contextlib.suppress(OSError):
            made = {self.recipe_file, self.samples, self.path / ".lock"}
            if made.issuperset(self.path.iterdir()) and not any(self.samples.iterdir()):
                self.recipe_file.unlink()
                self.samples.rmdir()

    def log(self, row: dict[str, Any]) -> None:
        """Append one line to `log.jsonl`."""
        with self.tolerant("log.jsonl"):
            append_line(self.log_file, row)

    def rows(self) -> list[dict[str, Any]]:
        """The lines of `log.jsonl`."""
        return list(read_lines(self.log_file))

    def add_score(self, row: dict[str, Any]) -> None:
        """Append one line to `scores.jsonl`."""
        with self.tolerant("scores.jsonl"):
            append_line(self.scores_file, row)

    def scores(self) -> list[dict[str, Any]]:
        """The lines of `scores.jsonl`."""
        return list(read_lines(self.scores_file))

    def rewind(self, number: int) -> None:
        """Drop log lines, and scores taken while training, of rounds that will be played again."""
        self._keep(self.log_file, lambda row: row.get("round", 0) <= number)
        self._keep(self.scores_file, lambda row: not row.get("training") or row.get("round", 0) <= number)

    def _keep(self, file: Path, wanted: Callable[[dict[str, Any]], bool]) -> None:
        rows = list(read_lines(file))
        kept = [row for row in rows if wanted(row)]
        if len(kept) < len(rows) or (file.is_file() and not file.read_bytes().endswith(b"\n")):
            with self.tolerant(file.name):
                write_whole(file, "".join(json.dumps(row) + "\n" for row in kept))

    def save(self, state: dict[str, Any], number: int, **facts: Any) -> bool:
        """A checkpoint; False, with a warning, where the disk refuses: the run goes on with the older one."""
        with self.tolerant("checkpoint"):
            self.checkpoints.save(state, number, **facts)
            return True
        return False

    def write(self, what: str, make: Callable[[], Any]) -> None:
        """Run `make`, which writes a picture or a weight file; a full disk is a warning, not the end."""
        with self.tolerant(what):
            make()

    @contextlib.contextmanager
    def tolerant(self, what: str) -> Iterator[None]:
        """Turn a refusing disk into one warning with numbers until the same thing works again."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            yield
        except OSError as error:
            if what not in self._complaints:
                self._complaints.add(what)
                with contextlib.suppress(OSError):
                    where = free_space(self.path if self.path.exists() else self.path.absolute().parent)
                    warn(
                        f"{what} could not be written to {self.path} ({error.strerror or error}; {where}): "
                        "the run goes on"
                    )
        else:
            if what in self._complaints:
                self._complaints.discard(what)
                warn(f"{what} could be written again")

    def write_sampler(self, module: torch.nn.Module, facts: dict[str, Any]) -> None:
        """`sampler.safetensors`: the weights that are shipped, with the recipe as header."""
        self._write_weights(self.sampler_file, module, facts)

    def write_critic(self, module: torch.nn.Module, facts: dict[str, Any]) -> None:
        """`critic.safetensors`: D beside it, where weights were imported."""
        self._write_weights(self.critic_file, module, facts)

    def _write_weights(self, path: Path, module: torch.nn.Module, facts: dict[str, Any]) -> None:
        from safetensors.torch import save

        tensors = {name: value.detach().cpu().contiguous().clone() for name, value in module.state_dict().items()}
        header = {"mulligan": json.dumps(facts)}
        temporary = path.with_name(path.name + ".tmp")
        with self.tolerant(path.name):
            with temporary.open("wb") as file:
                file.write(save(tensors, header))
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)


def warn(text: str) -> None:
    """A line to the user that does not tear a progress bar."""
    from tqdm import tqdm

    tqdm.write(f"warning: {text}", file=sys.stderr)


def _hold(file: Any) -> bool:
    try:
        import fcntl
    except ImportError:  # no POSIX: msvcrt locks a byte the same way
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
