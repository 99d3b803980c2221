"""Two processes are one process with the joint batch; they stop together, and nobody waits for the dead."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mulligan.core.checkpoints import Checkpoints

from . import games, helpers, ranks

ROOT = Path(__file__).parents[1]
SMALL = [
    "--batch", "8", "--latent", "4", "--mlp.widths", "6", "--ema", "50", "--stabilize.r1", "1", "--stabilize.lazy", "3",
    "--device", "cpu", "--checkpoint-every", "100000000", "--log-every", "8",
]  # fmt: skip
States = dict[str, dict[str, dict[str, Tensor]]]


def torchrun(*words: str, **options: Any) -> subprocess.Popen[str]:
    program = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--master-port",
        str(free_port()),
    ]
    return subprocess.Popen([*program, *words], cwd=ROOT, text=True, stderr=subprocess.PIPE, **options)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[States]:
    """What the two processes of one torchrun computed."""
    folder = tmp_path_factory.mktemp("ranks")
    launched = torchrun("-m", "tests.ranks", str(folder))
    said = launched.communicate(timeout=200)[1]
    assert launched.returncode == 0, said
    return [torch.load(folder / f"rank-{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize("penalty", games.PENALTIES)
def test_two_processes_are_one_with_the_joint_batch(penalty: games.Penalty, both: list[States], tmp_path: Path):
    made = partial(games.trainer, tmp_path, images=games.NEVER, ema=100)
    alone = ranks.played(made(games.duel(penalty), batch=ranks.BATCH))
    assert helpers.largest_difference(alone, both[0]["deterministic"][penalty]) < 1e-10
    half = ranks.played(made(games.duel(penalty), batch=ranks.BATCH // 2))
    assert helpers.largest_difference(alone, half) > 1e-6, "the measure can't tell batches apart"


@pytest.mark.parametrize("name", ranks.RECIPES)
def test_two_processes_are_two_micro_batches(name: str, both: list[States], tmp_path: Path):
    """With the draws of the real recipes: a process and a micro-batch have a random stream each, by the same number."""
    alone = ranks.played(ranks.recipe_trainer(tmp_path, name, accumulate=2))
    assert helpers.largest_difference(alone, both[0]["recipes"][name]) < 1e-10
    other = ranks.played(ranks.recipe_trainer(tmp_path, name, accumulate=1))
    assert helpers.largest_difference(alone, other) > 1e-6, "the measure can't tell draws apart"


def test_all_processes_hold_the_same_weights(both: list[States]):
    assert helpers.differences(both[0], both[1]) == []


def as_rank(rank: int, port: int) -> None:
    """What torchrun tells a process of two."""
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in told.items()})


def pair(folder: Path, words: list[str], *before: helpers.Before, only: int | None = None) -> list[helpers.Child]:
    """Two processes of one run; `before` happens in both of them or in one `only`."""
    port = free_port()
    return [
        helpers.start(
            folder / str(rank), helpers.command, *words,
            before=[partial(as_rank, rank, port), helpers.no_pictures, *(before if only in (None, rank) else ())],
        )
        for rank in (0, 1)
    ]  # fmt: skip


def words(data: Path, run: Path, images: int) -> list[str]:
    return ["train", "gan", "--data", str(data), "--out", str(run), "--images", str(images), *SMALL]


def test_sigterm_to_torchrun_stops_both_in_the_same_round(tmp_path: Path, pictures: Path):
    run = tmp_path / "run"
    launched = torchrun("-m", "mulligan", *words(pictures, run, 10**9), env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        end = time.monotonic() + 120
        while not helpers.trains(run) and launched.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        launched.send_signal(signal.SIGTERM)
        said = launched.communicate(timeout=60)[1]
    finally:
        launched.kill()
    told = re.findall(r"mulligan: stopped by a signal at round ([\d,]+) ", said)
    assert len(told) == 2, said
    assert told[0] == told[1], said
    stopped = int(told[0].replace(",", ""))
    assert helpers.newest(run)["round"] == stopped

    # the same two shards in one process go on from there
    alone = helpers.start(
        tmp_path, helpers.command, *words(pictures, run, 10**9), "--accumulate", "2",
        before=[helpers.no_pictures, partial(helpers.stop_after, stopped + 3)],
    )  # fmt: skip
    assert alone.wait() == 143, alone.said()
    assert f"going on from round {stopped:,} " in alone.said()
    assert helpers.newest(run)["round"] == stopped + 3


def test_a_run_of_two_processes_resumes_bit_for_bit(tmp_path: Path, pictures: Path):
    images = 8 * 12
    straight = pair(tmp_path, words(pictures, tmp_path / "straight", images))
    stopped = pair(tmp_path, words(pictures, tmp_path / "run", images), partial(helpers.stop_after, 7), only=1)
    assert [child.wait() for child in stopped] == [143, 143], "a signal to one process stops both"
    assert helpers.newest(tmp_path / "run")["round"] == 7
    resumed = pair(tmp_path, words(pictures, tmp_path / "run", images))
    for child in (*straight, *resumed):
        assert child.wait() == 0, child.said()
    assert "going on from round 7 " in resumed[0].said()
    a, b = helpers.newest(tmp_path / "straight"), helpers.newest(tmp_path / "run")
    assert helpers.differences(a, b) == []


def press_ctrl_c() -> None:
    """The terminal's signal, and the copy of it that torchrun sends a moment later."""
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)


def test_ctrl_c_reaches_each_process_twice_and_is_one_request(tmp_path: Path, pictures: Path):
    run = tmp_path / "run"
    ranked = pair(tmp_path, words(pictures, run, 800), partial(helpers.after_round, 4, press_ctrl_c))
    assert [child.wait() for child in ranked] == [130, 130], ranked[0].said()
    assert helpers.newest(run)["round"] == 4


def signal_late() -> None:
    """Own signal comes while this process, told by the other, is already leaving; its last words take a while."""
    from mulligan.core.trainer import StopRequest

    leave = StopRequest.__exit__

    def patched(self: StopRequest, *error: object) -> None:
        assert not self.number
        threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGTERM]).start()
        leave(self, *error)
        time.sleep(0.6)

    StopRequest.__exit__ = patched  # type: ignore[method-assign]


def test_a_signal_that_comes_after_the_agreement_kills_nobody(tmp_path: Path, pictures: Path):
    run = tmp_path / "run"
    late = pair(tmp_path, words(pictures, run, 10**9), signal_late, only=1)
    late[0].until(lambda: helpers.trains(run))
    os.kill(late[0].pid, signal.SIGTERM)
    assert [child.wait() for child in late] == [143, 143], late[1].said()
    assert "stopped by a signal at round" in late[1].said()


def sicken() -> None:
    """The gradient of one weight is no number from round 5 on."""
    from mulligan.core.trainer import Trainer

    advance = Trainer._advance

    def patched(self: Trainer, play: Any) -> Any:
        turn = advance(self, play)
        if turn is not None and turn.player == "G" and self.clock.round == 5:
            turn.loss = turn.loss * float("nan")
        return turn

    Trainer._advance = patched  # type: ignore[method-assign]


@pytest.mark.parametrize("rank", [0, 1])
def test_nan_in_one_process_stops_both(rank: int, tmp_path: Path, pictures: Path):
    run = tmp_path / "run"
    ranked = pair(tmp_path, [*words(pictures, run, 800), "--checkpoint-every", "16"], sicken, only=rank)
    assert [child.wait(60) for child in ranked] == [3, 3], ranked[0].said() + ranked[1].said()
    for child in ranked:
        assert "round 5 (40 images): player G: loss nan" in child.said()
    assert helpers.newest(run)["round"] == 4


def test_a_killed_process_leaves_nobody_waiting(tmp_path: Path, pictures: Path):
    run = tmp_path / "run"
    ranked = pair(tmp_path, [*words(pictures, run, 10**9), "--checkpoint-every", "8"])
    ranked[0].until(lambda: len(Checkpoints(run / "checkpoints").newest_first()) > 1)
    ranked[1].process.kill()
    assert ranked[0].wait(60) not in (0, None)
    saved = helpers.newest(run)["round"]
    again = pair(tmp_path, [*words(pictures, run, 10**9)], partial(helpers.stop_after, saved + 2))
    assert [child.wait() for child in again] == [143, 143]
    assert f"going on from round {saved} " in again[0].said()


def test_one_process_at_a_time_prints_and_writes(tmp_path: Path, pictures: Path):
    run = tmp_path / "run"
    ranked = pair(tmp_path, words(pictures, run, 64))
    assert [child.wait() for child in ranked] == [0, 0]
    assert ranked[0].printed().startswith("done: 64 images in 8 rounds")
    assert ranked[1].printed() == ""
    assert "gan on" not in ranked[1].said()


def test_a_batch_that_two_processes_cannot_share_is_refused_by_both(tmp_path: Path, pictures: Path):
    ranked = pair(tmp_path, [*words(pictures, tmp_path / "run", 64), "--batch", "7"])
    assert [child.wait() for child in ranked] == [2, 2]
    assert "batch 7 can't be shared by 2 processes × micro-batches" in ranked[0].said()
    assert not (tmp_path / "run").exists()
