"""SIGINT and SIGTERM: the round is finished and saved, and the same command goes on as if nothing had happened."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mulligan import job, verbs
from mulligan.core.errors import Interrupted

from . import helpers

ROUNDS = 300


def words(data: Path, run: Path, images: int = 8 * ROUNDS) -> list[str]:
    return [
        "train", "gan", "--data", str(data), "--out", str(run), "--images", str(images), "--batch", "8",
        "--latent", "4", "--mlp.widths", "6", "--ema", "100", "--schedule", "linear", "--stabilize.r1", "1",
        "--stabilize.lazy", "4", "--device", "cpu", "--log-every", "8", "--checkpoint-every", "100000000",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    """The run that nobody interrupted."""
    folder = tmp_path_factory.mktemp("straight")
    child = helpers.start(folder, helpers.command, *words(pictures, folder / "run"), before=[helpers.no_pictures])
    assert child.wait() == 0, child.said()
    return folder / "run"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_any_moment_will_do_and_the_same_command_goes_on(
    number: int, code: int, tmp_path: Path, pictures: Path, straight: Path
):
    seed = int.from_bytes(os.urandom(4), "little")
    draw, run, before = random.Random(seed), tmp_path / "run", 0
    for attempt in range(4):
        child = helpers.start(
            tmp_path, helpers.command, *words(pictures, run), before=[helpers.no_pictures, helpers.slowly]
        )
        child.until(lambda child=child, run=run: " to 2,400 images" in child.said() and helpers.trains(run))
        time.sleep(draw.uniform(0, 0.2))
        os.kill(child.pid, number)
        assert child.wait() == code, f"seed {seed}: {child.said()}"
        found = re.search(r"stopped by a signal at round ([\d,]+) \(([\d,]+) images\), state saved", child.said())
        assert found, child.said()
        told, images = (int(text.replace(",", "")) for text in found.groups())
        state = helpers.newest(run)
        assert (state["round"], state["position"]) == (told, images) == (told, 8 * told)
        assert told >= before
        if attempt:
            assert f"going on from round {before:,} " in child.said()
        before = told
    assert before < ROUNDS, "the run was over before the last signal"
    last = helpers.start(tmp_path, helpers.command, *words(pictures, run), before=[helpers.no_pictures])
    assert last.wait() == 0, last.said()
    assert helpers.differences(helpers.newest(straight), helpers.newest(run)) == []


def test_a_second_signal_leaves_at_once(tmp_path: Path, pictures: Path):
    run = tmp_path / "run"
    first = helpers.start(
        tmp_path, helpers.command, *words(pictures, run), before=[helpers.no_pictures, partial(helpers.stop_after, 3)]
    )
    assert first.wait() == 143, first.said()
    stuck = partial(helpers.after_round, 5, sleep_long)
    child = helpers.start(tmp_path, helpers.command, *words(pictures, run), before=[helpers.no_pictures, stuck])
    child.until(lambda: "asleep" in child.said())
    os.kill(child.pid, signal.SIGTERM)
    child.until(lambda: "finishing this round and saving; once more leaves at once" in child.said())
    child.process.join(0.3)
    assert child.process.exitcode is None, "the first signal must wait for the round"
    os.kill(child.pid, signal.SIGINT)
    assert child.wait(5) == 130
    assert helpers.newest(run)["round"] == 3


def sleep_long() -> None:
    print("asleep", file=sys.stderr, flush=True)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        time.sleep(1)


def test_a_signal_while_saving_lets_the_save_finish(tmp_path: Path, pictures: Path):
    run = tmp_path / "run"
    arguments = [*words(pictures, run), "--checkpoint-every", "32"]
    child = helpers.start(tmp_path, helpers.command, *arguments, before=[helpers.no_pictures, signal_in_save])
    assert child.wait() == 143, child.said()
    assert helpers.newest(run)["round"] == 5, "saved in round 4, stopped after the one under way"
    assert not list(run.rglob("*.tmp"))


def signal_in_save() -> None:
    from mulligan.core import checkpoints

    write = checkpoints._write

    def interrupted(state: dict[str, Any], path: Path) -> tuple[int, str]:
        if state["round"] == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return write(state, path)

    checkpoints._write = interrupted


def test_before_the_first_round_nothing_is_left_behind(tmp_path: Path, pictures: Path):
    run = tmp_path / "run"
    child = helpers.start(tmp_path, helpers.command, *words(pictures, run), before=[signal_while_reading])
    assert child.wait() == 130, child.said()
    assert child.said().endswith("mulligan: interrupted\n")
    assert not run.exists()


def signal_while_reading() -> None:
    verbs.open_source = lambda *_, **__: os.kill(os.getpid(), signal.SIGINT)  # type: ignore[assignment]


def test_a_signal_before_the_first_round_is_over_saves_the_start(tmp_path: Path, pictures: Path, straight: Path):
    run = tmp_path / "run"
    child = helpers.start(
        tmp_path, helpers.command, *words(pictures, run), before=[helpers.no_pictures, signal_at_start]
    )
    assert child.wait() == 143, child.said()
    assert helpers.newest(run)["round"] == 0
    again = helpers.start(tmp_path, helpers.command, *words(pictures, run), before=[helpers.no_pictures])
    assert again.wait() == 0, again.said()
    assert helpers.differences(helpers.newest(straight), helpers.newest(run)) == []


def signal_at_start() -> None:
    from mulligan.core.trainer import StopRequest

    enter = StopRequest.__enter__

    def patched(self: StopRequest) -> StopRequest:
        entered = enter(self)
        os.kill(os.getpid(), signal.SIGTERM)
        return entered

    StopRequest.__enter__ = patched  # type: ignore[method-assign]


def test_python_gets_an_exception_and_its_handlers_back(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
):
    from mulligan.core.trainer import Trainer

    monkeypatch.setattr(Trainer, "_round", Trainer._round)  # undone at the end, whatever stop_after puts there
    monkeypatch.setattr(job, "previewer", lambda *_: None)
    helpers.stop_after(2)
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(Interrupted, match="stopped by a signal at round 2") as stopped:
        verbs.train("gan", pictures, out=tmp_path / "run", device="cpu", images=80, batch=8, mlp={"widths": (6,)})
    assert stopped.value.code == 143
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_the_installed_command_stops_and_goes_on(tmp_path: Path, pictures: Path):
    """A fresh interpreter, as a shell starts it."""
    run = tmp_path / "run"
    program = [sys.executable, "-c", "from mulligan.cli import main; main()"]
    with (tmp_path / "err").open("w") as err:
        process = subprocess.Popen([*program, *words(pictures, run, 8 * 10**6)], stderr=err, cwd=tmp_path)
        end = time.monotonic() + 120
        while not helpers.trains(run) and process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130, (tmp_path / "err").read_text()
    assert f"at round {helpers.newest(run)['round']:,} " in (tmp_path / "err").read_text()
