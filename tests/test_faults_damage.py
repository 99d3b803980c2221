"""Damaged checkpoints: every one is found, the one before is used, and where none is left nothing is touched."""

from __future__ import annotations

import json
import os
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mulligan import job, load, verbs
from mulligan.core.checkpoints import Checkpoints, read_state
from mulligan.core.errors import UserError

from . import helpers

ROUNDS, TRIALS = 6, 30
NEWEST, BEFORE = "round-000000006.pt", "round-000000005.pt"
SMALL: dict[str, Any] = {"mlp": {"widths": (6,)}, "latent": 4, "batch": 8, "device": "cpu", "images": ROUNDS * 8}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    run = tmp_path_factory.mktemp("finished") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "previewer", lambda *_: None)
        verbs.train("gan", pictures, out=run, checkpoint_every=1, **SMALL)
    return run


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to spoil, whose last two checkpoints are those of rounds 5 and 6."""
    monkeypatch.setattr(job, "previewer", lambda *_: None)
    return Path(shutil.copytree(finished, tmp_path / "run"))


def flip(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    changed[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def cut(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data))]


@pytest.mark.parametrize("damage", [flip, cut])
def test_every_flipped_bit_and_every_cut_is_found(damage: Callable[[bytes, random.Random], bytes], run: Path):
    seed = int.from_bytes(os.urandom(4), "little")
    draw, folder = random.Random(seed), run / "checkpoints"
    whole = (folder / NEWEST).read_bytes()
    for trial in range(TRIALS):
        (folder / NEWEST).write_bytes(damage(whole, draw))
        state, notes = Checkpoints(folder).load()
        assert state is not None, f"seed {seed}, trial {trial}"
        assert state["round"] == ROUNDS - 1, f"seed {seed}, trial {trial}: the damaged one was taken"
        assert len(notes) == 1
        assert notes[0].startswith(f"checkpoint {NEWEST} is damaged (SHA-256 ")
        assert notes[0].endswith(f"): kept as {NEWEST}.damaged, going on from {BEFORE}")
        os.replace(folder / f"{NEWEST}.damaged", folder / NEWEST)


def test_without_an_index_a_flipped_bit_never_gets_into_the_state(run: Path):
    """Then the CRC of each part is what there is, and the table of contents, which it doesn't cover, isn't believed."""
    seed = int.from_bytes(os.urandom(4), "little")
    draw, folder = random.Random(seed), run / "checkpoints"
    whole, good = (folder / NEWEST).read_bytes(), helpers.newest(run)
    (folder / "index.jsonl").unlink()
    found = 0
    for _ in range(TRIALS):
        (folder / NEWEST).write_bytes(flip(whole, draw))
        state, notes = Checkpoints(folder).load()
        assert state is not None
        found += len(notes)
        if not notes:
            assert helpers.differences(state, good) == [], f"seed {seed}"
        (folder / f"{NEWEST}.damaged").unlink(missing_ok=True)
    assert found > 0


def test_a_part_that_is_marked_as_a_folder_is_read_all_the_same(run: Path):
    """One bit in the table of contents, at which torch alone returns what happens to lie in memory."""
    path, good = run / "checkpoints" / NEWEST, helpers.newest(run)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        entry = archive.start_dir
    while data[entry : entry + 4] == b"PK\x01\x02":
        data[entry + 38] |= 0x10
        entry += 46 + sum(int.from_bytes(data[entry + i : entry + i + 2], "little") for i in (28, 30, 32))
    path.write_bytes(bytes(data))
    assert helpers.differences(read_state(path, ()), good) == []


def test_going_on_after_damage_gives_the_same_run(
    run: Path, finished: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
):
    path = run / "checkpoints" / NEWEST
    path.write_bytes(flip(path.read_bytes(), random.Random(0)))
    verbs.train("gan", pictures, out=run, **SMALL)
    said = capsys.readouterr().err
    assert f"warning: checkpoint {NEWEST} is damaged" in said
    assert "going on from round 5 " in said
    assert helpers.differences(helpers.newest(run), helpers.newest(finished)) == []
    assert (run / "checkpoints" / f"{NEWEST}.damaged").exists(), "kept, for whoever wants to look at it"


def text(path: Path) -> None:
    path.unlink()
    path.write_text("not a checkpoint")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "data.pkl").write_text("")


def dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.parent / "nowhere.pt")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def foreign(path: Path) -> None:
    """A whole checkpoint of something else, under this name."""
    shutil.copy(path.with_name(BEFORE), path)


# without an index nothing tells a whole checkpoint from another
PLACED = [(spoil, indexed) for spoil in (text, folder, dangling, empty) for indexed in (True, False)] + [
    (foreign, True)
]


@pytest.mark.parametrize(("spoil", "indexed"), PLACED)
def test_something_else_in_place_of_the_newest(spoil: Callable[[Path], None], indexed: bool, run: Path):
    spoil(run / "checkpoints" / NEWEST)
    if not indexed:
        (run / "checkpoints" / "index.jsonl").unlink()
    state, notes = Checkpoints(run / "checkpoints").load()
    assert state is not None
    assert state["round"] == ROUNDS - 1
    assert f"{NEWEST} is damaged" in notes[0]


INDICES: dict[str, Callable[[str], bytes]] = {
    "gone": lambda _: b"",
    "torn last line": lambda lines: lines[:-40].encode(),
    "binary": lambda _: bytes(range(256)) * 4,
    "other json": lambda _: b'[1, 2]\n"text"\n{"file": 3}\n{"file": "' + NEWEST.encode() + b'", "sha256": 7}\nnull\n',
    "foreign line before": lambda lines: (json.dumps({"file": NEWEST, "sha256": "0" * 64}) + "\n" + lines).encode(),
}


@pytest.mark.parametrize("name", INDICES)
def test_a_damaged_index_costs_nothing(name: str, run: Path, pictures: Path, capsys: pytest.CaptureFixture[str]):
    index = run / "checkpoints" / "index.jsonl"
    index.write_bytes(INDICES[name](index.read_text(encoding="utf-8")))
    assert helpers.newest(run)["round"] == ROUNDS
    verbs.train("gan", pictures, out=run, **SMALL | {"images": (ROUNDS + 1) * 8})
    assert f"going on from round {ROUNDS} " in capsys.readouterr().err
    assert "round-000000007.pt" in Checkpoints(run / "checkpoints").digests(), "the next line is whole"


def test_a_wrong_digest_in_the_index_is_taken_for_damage(run: Path):
    """Which of the two is wrong can't be told, so the one before is used."""
    index = run / "checkpoints" / "index.jsonl"
    index.write_text(json.dumps({"file": NEWEST, "sha256": "0" * 64}) + "\n", encoding="utf-8")
    state, notes = Checkpoints(run / "checkpoints").load()
    assert state is not None
    assert state["round"] == ROUNDS - 1
    assert len(notes) == 1


@pytest.mark.parametrize("images", [ROUNDS * 8, ROUNDS * 16])
def test_where_all_are_damaged_nothing_is_touched(images: int, run: Path, pictures: Path):
    for path in (run / "checkpoints").glob("*.pt"):
        path.write_bytes(flip(path.read_bytes(), random.Random(1)))
    (run / "checkpoints" / "round-000000007.pt.tmp").write_bytes(b"left by a kill")
    before = helpers.tree_hash(run)
    with pytest.raises(UserError, match=f"all 2 checkpoints in .* are damaged \\({NEWEST}: .*; {BEFORE}: ") as refused:
        verbs.train("gan", pictures, out=run, **SMALL | {"images": images})
    assert "Nothing was changed" in str(refused.value)
    assert refused.value.code == 2
    (run / "sampler.safetensors").rename(run / "aside")
    with pytest.raises(UserError, match="all 2 checkpoints"):
        load(run).sample(1)
    (run / "aside").rename(run / "sampler.safetensors")
    assert helpers.tree_hash(run) == before


def test_damaged_weights_are_told_from_a_missing_file(run: Path):
    """The shipped weights are a copy: without them the newest checkpoint is used, and it holds the same."""
    wanted = load(run).sample(4)
    (run / "sampler.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0not json")
    with pytest.raises(UserError, match=r"sampler.safetensors is damaged .* delete it"):
        load(run).sample(4)
    (run / "sampler.safetensors").unlink()
    assert load(run).sample(4).equal(wanted)


def test_the_best_and_the_last_two_are_kept(tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(job, "previewer", lambda *_: None)
    scores = iter([5.0, 1.0, 4.0, 3.0, 2.0, 6.0])
    verbs.train("gan", pictures, out=tmp_path / "run", score=lambda _: next(scores), checkpoint_every=1, **SMALL)
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints")
    assert [path.name for path in checkpoints.newest_first()] == [NEWEST, BEFORE, "round-000000002.pt"]
    assert checkpoints.best() == "round-000000002.pt"
