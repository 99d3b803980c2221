"""A killed run goes on by the same call and loses at most one interval, whenever it is killed."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mulligan import job
from mulligan.core.checkpoints import Checkpoints, read_lines

from . import faults, helpers

KILLS, ROUNDS, BATCH = 40, 8, 8
SMALL = {"mlp": {"widths": (6,)}, "latent": 4, "batch": BATCH, "ema": 100, "stabilize": {"r1": 1.0, "lazy": 4}}
EVERY = {"checkpoint_every": 1, "log_every": 1, "sample_every": 10**9}
AT_THE_END = {"checkpoint_every": 10**9}


def run_child(
    tmp_path: Path, data: Path, run: Path, images: int, *before: helpers.Before, **every: int
) -> helpers.Child:
    job = partial(helpers.train, "gan", data, run, images=images, **SMALL, **(EVERY | every))
    return helpers.start(tmp_path, job, before=[helpers.no_pictures, *before])


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> dict[str, Any]:
    """The final state of the run of 8 rounds that nothing happened to."""
    folder = tmp_path_factory.mktemp("straight")
    child = run_child(folder, pictures, folder / "run", ROUNDS * BATCH)
    assert child.wait() == 0, child.said()
    return helpers.newest(folder / "run")


@pytest.mark.usefixtures("straight")  # which has the server of child processes running before a life is measured
def test_forty_kills_cost_nothing(tmp_path: Path, pictures: Path):
    """SIGKILL at any moment of a life, from before the imports to the middle of a save, forty lives long."""
    seed = int.from_bytes(os.urandom(4), "little")
    draw, run, saved = random.Random(seed), tmp_path / "run", 0
    checkpoints = Checkpoints(run / "checkpoints")

    def live() -> helpers.Child:
        return run_child(tmp_path, pictures, run, 10**9, probe_every=BATCH)

    begun = time.monotonic()
    first = live()
    first.until(lambda: len(checkpoints.newest_first()) > 1)
    life = 2 * (time.monotonic() - begun)
    first.process.kill()
    first.wait()
    for kill in range(KILLS):
        child = live()
        time.sleep(draw.uniform(0, life))
        child.process.kill()
        assert child.wait() == -9, f"seed {seed}, kill {kill}: {child.said()}"
        assert "damaged" not in child.said()
        state, notes = checkpoints.load()
        assert state is not None
        assert not notes, notes
        assert state["round"] >= saved, "a kill cost more than the round under way"
        logged = max(row["round"] for row in read_lines(run / "log.jsonl"))
        assert logged <= state["round"] + 1, "more than one round was lost"
        # other work on the machine makes starts longer and shorter: about every second kill shall find a round played
        life *= 0.9 if state["round"] > saved else 1.2
        saved = state["round"]
    assert saved > KILLS / 4, f"seed {seed}: most kills hit nothing but the start"
    last = live()
    last.until(
        lambda: "going on from round" in last.said() and checkpoints.newest_first()[0].name > f"round-{saved:09d}.pt"
    )
    last.process.terminate()
    assert last.wait() == 143, last.said()
    assert not [path for path in run.rglob("*") if "tmp" in path.name]
    state = helpers.newest(run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "previewer", lambda *_: None)
        # how often a probe is taken follows from the budget, which is another one here
        often = {"log_every": 1, "probe_every": BATCH, "checkpoint_every": 10**9}
        helpers.train("gan", pictures, tmp_path / "never", images=state["position"], **SMALL, **often)
    assert helpers.differences(helpers.newest(tmp_path / "never"), state) == []
    numbers = [row["round"] for row in read_lines(run / "log.jsonl") if "event" not in row]
    assert numbers == list(range(1, state["round"] + 1)), "each round is logged once"


@pytest.mark.parametrize("stage", faults.STAGES)
def test_killed_inside_a_save(stage: str, tmp_path: Path, pictures: Path, straight: dict[str, Any]):
    run = tmp_path / "run"
    killed = run_child(tmp_path, pictures, run, ROUNDS * BATCH, partial(faults.break_save, stage, 4, "kill"))
    assert killed.wait() == -9, killed.said()
    newest = helpers.newest(run)["round"]
    assert newest in (3, 4)
    # saving only once more, so that nothing half written is overwritten by chance
    again = run_child(tmp_path, pictures, run, ROUNDS * BATCH, **AT_THE_END)
    assert again.wait() == 0, again.said()
    assert f"going on from round {newest} " in again.said()
    assert "damaged" not in again.said()
    assert helpers.differences(helpers.newest(run), straight) == []
    assert len(Checkpoints(run / "checkpoints").newest_first()) == 2
    assert not list(run.rglob("*.tmp"))


@pytest.mark.parametrize("stage", ["index synced", "renamed"])
def test_killed_while_saving_a_finished_run_again(stage: str, tmp_path: Path, pictures: Path, straight: dict[str, Any]):
    """The same round is written twice; between note and rename the older file of that name is still the good one."""
    run = tmp_path / "run"
    assert run_child(tmp_path, pictures, run, ROUNDS * BATCH).wait() == 0
    other_bytes = partial(faults.break_save, stage, ROUNDS, "kill")
    killed = run_child(tmp_path, pictures, run, ROUNDS * BATCH, stamp_states, other_bytes)
    assert killed.wait() == -9, killed.said()
    again = run_child(tmp_path, pictures, run, ROUNDS * BATCH)
    assert again.wait() == 0, again.said()
    assert f"going on from round {ROUNDS} " in again.said()
    assert "damaged" not in again.said()
    assert helpers.differences(helpers.newest(run), straight) == []


def stamp_states() -> None:
    """The same state in other bytes, as another version of torch would write it."""
    from mulligan.core.trainer import Trainer

    state = Trainer.state

    def stamped(self: Trainer) -> dict[str, Any]:
        return state(self) | {"note": "written anew"}

    Trainer.state = stamped  # type: ignore[method-assign]


@pytest.mark.parametrize("stage", [name for name, (_, _, when) in faults.STAGES.items() if when == "before"])
def test_a_disk_that_is_full_at_any_stage_of_a_save(
    stage: str, tmp_path: Path, pictures: Path, straight: dict[str, Any]
):
    run = tmp_path / "run"
    child = run_child(tmp_path, pictures, run, ROUNDS * BATCH, partial(faults.break_save, stage, 4, "full"))
    assert child.wait() == 0, child.said()
    what = "sampler.safetensors" if stage.startswith("weights") else "checkpoint"
    assert f"warning: {what} could not be written to {run} (No space left on device; " in child.said()
    assert " MiB free of " in child.said()
    assert f"warning: {what} could be written again" in child.said()
    assert helpers.differences(helpers.newest(run), straight) == []
    assert not list(run.rglob("*.tmp"))


@pytest.mark.parametrize("left", [[".lock"], [".lock", "recipe.json.tmp"]])
def test_killed_before_the_run_has_a_recipe(left: list[str], tmp_path: Path, pictures: Path, straight: dict[str, Any]):
    run = tmp_path / "run"
    run.mkdir()
    for name in left:
        (run / name).write_text("half")
    child = run_child(tmp_path, pictures, run, ROUNDS * BATCH)
    assert child.wait() == 0, child.said()
    assert helpers.differences(helpers.newest(run), straight) == []
    assert not list(run.rglob("*.tmp"))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc to tell what is synced")
def test_nothing_is_renamed_before_it_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A lost page cache can't be had in a test: the order of the calls is what keeps a power cut harmless."""
    checkpoints, calls = Checkpoints(tmp_path), list[str]()
    for number in (1, 2):
        checkpoints.save({"round": number}, number)

    def noted(name: str, function: Callable[..., Any], argument: int) -> Callable[..., Any]:
        def patched(*args: Any, **options: Any) -> Any:
            what = args[argument]
            path = Path(os.readlink(f"/proc/self/fd/{what}")) if isinstance(what, int) else Path(what)
            calls.append(f"{name} {'folder' if path == tmp_path else path.name}")
            return function(*args, **options)

        return patched

    monkeypatch.setattr(os, "fsync", noted("sync", os.fsync, 0))
    monkeypatch.setattr(os, "replace", noted("rename to", os.replace, 1))
    monkeypatch.setattr(Path, "unlink", noted("remove", Path.unlink, 0))
    checkpoints.save({"round": 3}, 3)
    assert calls == [
        "sync round-000000003.pt.tmp",
        "sync index.jsonl",
        "rename to round-000000003.pt",
        "sync folder",
        "remove round-000000001.pt",
    ]
