"""A full disk is a warning, not the end; a place that can't be written or is in use is told at once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mulligan import verbs
from mulligan.core.checkpoints import read_lines
from mulligan.core.errors import UserError
from mulligan.core.run import Run

from . import helpers

BATCH, ROUNDS, FULL, FREE = 8, 50, 20, 45  # full for longer than the last page of the log has room
SMALL: dict[str, Any] = {"mlp": {"widths": (6,)}, "latent": 4, "batch": BATCH, "images": ROUNDS * BATCH}
EVERY = {"checkpoint_every": 1, "log_every": 1, "sample_every": 8}
State = dict[str, Any]
WHAT = ("checkpoint", "log.jsonl", "sample")


def sheet_only() -> None:
    """Previews without the curves, which take longer than these runs."""
    from mulligan.media import curves

    curves.draw_apart = lambda *_: None  # type: ignore[assignment]


def run_child(tmp_path: Path, data: Path, run: Path, *before: helpers.Before) -> helpers.Child:
    job = partial(helpers.train, "gan", data, run, **SMALL, **EVERY)
    return helpers.start(tmp_path, job, before=[sheet_only, *before])


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> State:
    folder = tmp_path_factory.mktemp("straight")
    child = run_child(folder, pictures, folder / "run")
    assert child.wait() == 0, child.said()
    return helpers.newest(folder / "run")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB, where this machine lets us make one."""
    place = tmp_path / "disk"
    place.mkdir()
    made = _mount("-o", "size=1m", str(place))
    if made:
        pytest.skip(f"no file system can be mounted here: {made}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def _mount(*words: str) -> str:
    try:
        found = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", *words], capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return found.stderr.strip() or f"mount gave {found.returncode}" if found.returncode else ""


def fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while file.write(b"\0" * size):
                    pass
            except OSError:
                continue


def limit_files(size: int | None) -> None:
    """No file may grow beyond so many bytes: the kernel refuses writes as a full disk does."""
    import resource

    resource.setrlimit(
        resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY if size is None else size, resource.RLIM_INFINITY)
    )


def warned(said: str, run: Path, what: str, reason: str) -> bool:
    numbers = r"[\d,.]+ MiB free of [\d,]+ MiB"
    pattern = f"warning: {what} could not be written to {run} \\({reason}; {numbers}\\): the run goes on"
    return re.search(pattern, said) is not None


def test_a_full_disk_is_a_warning_until_there_is_space_again(
    small_disk: Path, tmp_path: Path, pictures: Path, straight: State
):
    run, ballast = small_disk / "run", small_disk / "ballast"
    full = partial(helpers.after_round, FULL, partial(fill, ballast))
    free = partial(helpers.after_round, FREE, ballast.unlink)
    child = run_child(tmp_path, pictures, run, full, free)
    assert child.wait() == 0, child.said()
    for what in WHAT:
        assert warned(child.said(), run, what, "No space left on device"), child.said()
        assert child.said().count(f"warning: {what} could not be written") == 1, "once, not every round"
        assert f"warning: {what} could be written again" in child.said()
    assert helpers.differences(helpers.newest(run), straight) == []
    assert not list(run.rglob("*tmp*"))
    logged = [row["round"] for row in read_lines(run / "log.jsonl") if "event" not in row]
    assert logged[:FULL] == list(range(1, FULL + 1))
    assert set(range(FREE, ROUNDS + 1)) <= set(logged), "a line that the full disk tore swallows no other"


def test_a_disk_that_stays_full_keeps_the_old_checkpoint(
    small_disk: Path, tmp_path: Path, pictures: Path, straight: State
):
    run, ballast = small_disk / "run", small_disk / "ballast"
    child = run_child(tmp_path, pictures, run, partial(helpers.after_round, FULL, partial(fill, ballast)))
    assert child.wait() == 0, child.said()
    assert helpers.newest(run)["round"] == FULL - 1
    ballast.unlink()
    again = run_child(tmp_path, pictures, run)
    assert again.wait() == 0, again.said()
    assert f"going on from round {FULL - 1} " in again.said()
    assert helpers.differences(helpers.newest(run), straight) == []


def test_files_that_may_not_grow_are_a_full_disk_too(tmp_path: Path, pictures: Path, straight: State):
    run = tmp_path / "run"
    # below a checkpoint, a sheet and the log of 20 rounds, above what stderr holds by then
    full = partial(helpers.after_round, FULL, partial(limit_files, 4096))
    free = partial(helpers.after_round, FREE, partial(limit_files, None))
    child = run_child(tmp_path, pictures, run, full, free)
    assert child.wait() == 0, child.said()
    for what in WHAT:
        assert warned(child.said(), run, what, "File too large"), child.said()
        assert f"warning: {what} could be written again" in child.said()
    assert helpers.differences(helpers.newest(run), straight) == []
    assert not list(run.rglob("*tmp*"))


def under_a_file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "run"


def dangling(tmp_path: Path) -> Path:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere" / "else")
    return tmp_path / "link"


def name_too_long(tmp_path: Path) -> Path:
    return tmp_path / ("x" * 300)


@pytest.mark.parametrize("place", [under_a_file, dangling, name_too_long])
def test_a_place_that_cannot_be_written_is_told(place: Any, tmp_path: Path, pictures: Path):
    out = place(tmp_path)
    before = helpers.tree_hash(tmp_path)
    with pytest.raises(UserError, match=r"can't write to .*: name another folder with --out"):
        verbs.train("gan", pictures, out=out, device="cpu", **SMALL)
    assert helpers.tree_hash(tmp_path) == before


def test_a_read_only_file_system_is_told(tmp_path: Path, pictures: Path):
    place = tmp_path / "place"
    place.mkdir()
    refused = _mount("-o", "ro", str(place))
    if refused:
        pytest.skip(f"no file system can be mounted here: {refused}")
    try:
        with pytest.raises(UserError, match=r"can't write to .* \(Read-only file system\)"):
            verbs.train("gan", pictures, out=place / "run", device="cpu", **SMALL)
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions mean nothing to root")
def test_a_folder_without_permission_is_told(tmp_path: Path, pictures: Path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(UserError, match=r"can't write to .* \(Permission denied\)"):
            verbs.train("gan", pictures, out=tmp_path / "run", device="cpu", **SMALL)
    finally:
        tmp_path.chmod(0o700)


def test_two_processes_never_share_a_run(tmp_path: Path, pictures: Path):
    run = tmp_path / "run"
    holder = run_child(tmp_path, pictures, run, partial(helpers.after_round, 10, sleep_long))
    holder.until(lambda: "asleep" in holder.said())
    before = helpers.tree_hash(run)
    second = run_child(tmp_path, pictures, run)
    assert second.wait() == 2
    assert f"{run} is in use by process {holder.pid} on " in second.said()
    assert helpers.tree_hash(run) == before
    holder.process.kill()
    assert holder.wait() == -9
    third = run_child(tmp_path, pictures, run)
    assert third.wait() == 0, "the lock went with its holder"
    assert "going on from round 9 " in third.said()


def test_a_lock_file_that_its_holder_removes_is_no_lock(tmp_path: Path):
    """Who waits at the door of a folder that is taken away must not hold a key to nothing."""
    run, lock = Run(tmp_path / "run"), tmp_path / "run" / ".lock"
    opened = Path.open
    with pytest.MonkeyPatch.context() as patch:

        def removed_once(self: Path, *args: Any, **options: Any) -> Any:
            file = opened(self, *args, **options)
            patch.undo()
            lock.unlink()
            return file

        patch.setattr(Path, "open", removed_once)
        with run.locked():
            assert lock.read_text().startswith(f"process {os.getpid()} on ")
            with pytest.raises(UserError, match="is in use by process"), Run(run.path).locked():
                pass
    assert not run.path.exists(), "an empty folder is taken away again"


def sleep_long() -> None:
    import time

    print("asleep", file=sys.stderr, flush=True)
    time.sleep(60)
