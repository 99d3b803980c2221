"""Many samples as files: the same ones whatever the processes, and gone on with where they were stopped."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import mulligan
from mulligan import UserError
from mulligan.assess.supply import Generated
from mulligan.cli import main
from mulligan.core.blocks import BLOCK
from mulligan.data import open_source
from mulligan.edit import bulk as bulk_module
from mulligan.edit.bulk import bulk
from mulligan.edit.keeping import Keeping
from mulligan.edit.wish import Wish, Words
from mulligan.experiment import Experiment

from . import helpers

COUNT = BLOCK + 20


def trained(folder: Path, name: str) -> Experiment:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mulligan.job.previewer", lambda *_: None)
        mulligan.train(name, "digits", images=8, batch=4, width=4, latent=4, doctor=False, device="cpu", out=folder)
    return mulligan.load(folder, "cpu")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return trained(tmp_path_factory.mktemp("runs") / "dcgan", "dcgan")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return trained(tmp_path_factory.mktemp("runs") / "cgan", "cgan")


@pytest.fixture(scope="module")
def whole(labelled: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """COUNT samples with labels, made by this process alone."""
    return bulk(labelled, COUNT, tmp_path_factory.mktemp("bulk") / "whole")


def test_the_files_are_numbered_and_labelled(whole: Path, labelled: Experiment):
    names = sorted(path.name for path in whole.iterdir())
    assert names == [*(f"{i:06d}.png" for i in range(COUNT)), "labels.csv", "samples.json"]
    lines = (whole / "labels.csv").read_text().splitlines()
    assert lines[0] == "file,label"
    assert len(lines) == COUNT + 1
    labels = [line.split(",")[1] for line in lines[1:]]
    assert set(labels) == set(map(str, labelled.classes))
    assert lines[1].startswith("000000.png,")
    assert labels[:10] != sorted(labels[:10]), "drawn, not in turn"


def test_the_folder_is_data_with_its_labels(whole: Path):
    source = open_source(whole)
    assert len(source) == COUNT
    assert len(source.classes) == 10


@pytest.mark.parametrize(("workers", "batch"), [(1, 7), (1, 300), (2, 64)])
def test_neither_workers_nor_the_batch_matter(
    workers: int, batch: int, whole: Path, labelled: Experiment, tmp_path: Path
):
    again = bulk(labelled, COUNT, tmp_path / "again", workers=workers, batch=batch)
    assert helpers.tree_hash(again) == helpers.tree_hash(whole)


def test_samples_are_those_that_are_scored(plain: Experiment, tmp_path: Path):
    made = bulk(plain, 20, tmp_path / "few", seed=3)
    block = Generated(plain.sampler, 20, 3).block(0)
    for i in (0, 7, 19):
        apart = pixels(made / f"{i:06d}.png") - block.x[i].float()
        assert float(apart.abs().max()) <= 1  # norms folded away round otherwise
    assert not (made / "labels.csv").exists()


def pixels(path: Path) -> torch.Tensor:
    with Image.open(path) as picture:
        return torch.from_numpy(np.array(picture, dtype=np.float32))[None]


def test_a_zip_holds_the_same_files_stored(whole: Path, labelled: Experiment, tmp_path: Path):
    path = bulk(labelled, COUNT, tmp_path / "faces.zip")
    assert [p.name for p in tmp_path.iterdir()] == ["faces.zip"]
    with zipfile.ZipFile(path) as made:
        assert made.namelist() == [*(f"{i:06d}.png" for i in range(COUNT)), "labels.csv"]
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in made.infolist())
        for name in ("000000.png", f"{COUNT - 1:06d}.png", "labels.csv"):
            assert made.read(name) == (whole / name).read_bytes()
    with pytest.raises(UserError, match="is there already"):
        bulk(labelled, COUNT, path)


@pytest.mark.parametrize("name", ["folder", "faces.zip"])
def test_what_was_stopped_goes_on(name: str, whole: Path, labelled: Experiment, tmp_path: Path, monkeypatch: Any):
    out, real, calls = tmp_path / name, Experiment.decode, []

    def stops_in_the_second_block(self: Experiment, *args: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return real(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Experiment, "decode", stops_in_the_second_block)
        with pytest.raises(KeyboardInterrupt):
            bulk(labelled, COUNT, out)
    assert not (tmp_path / "faces.zip").exists()
    first = out if name == "folder" else tmp_path / ".faces.zip.parts"
    (first / ".000300.png.123.tmp").write_bytes(b"half")
    kept = {path.name: path.stat().st_mtime_ns for path in first.iterdir() if path.suffix in (".png", ".zip")}
    assert len(kept) == (BLOCK if name == "folder" else 1)
    calls.clear()
    monkeypatch.setattr(Experiment, "decode", lambda self, *args: calls.append(1) or real(self, *args))
    bulk(labelled, COUNT, out)
    assert len(calls) == 1, "the block that was there isn't made again"
    if name == "folder":
        assert all((out / file).stat().st_mtime_ns == at for file, at in kept.items())
        assert helpers.tree_hash(out) == helpers.tree_hash(whole)
    else:
        with zipfile.ZipFile(out) as made:
            assert len(made.namelist()) == COUNT + 1
            assert made.read("000270.png") == (whole / "000270.png").read_bytes()


def test_a_larger_count_adds(whole: Path, labelled: Experiment, tmp_path: Path):
    bulk(labelled, 10, tmp_path / "more")
    bulk(labelled, COUNT, tmp_path / "more")
    assert helpers.tree_hash(tmp_path / "more") == helpers.tree_hash(whole)


def test_a_folder_of_other_samples_is_left_alone(labelled: Experiment, plain: Experiment, tmp_path: Path):
    out = bulk(labelled, 10, tmp_path / "some")
    before = helpers.tree_hash(out)
    for run, count, more, message in (
        (labelled, 10, {"seed": 1}, "seed: 0 there, 1 asked for"),
        (labelled, 10, {"label": "3"}, "label: None there, 3 asked for"),
        (plain, 10, {}, "weights: "),
        (labelled, 9, {}, "a folder of 10 samples, and --count is 9"),
    ):
        with pytest.raises(UserError, match=message):
            bulk(run, count, out, **more)
    assert helpers.tree_hash(out) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="mine is a folder of other things"):
        bulk(labelled, 10, tmp_path / "mine")
    (tmp_path / "mine" / "samples.json").write_text(json.dumps({"count": "many"}))
    with pytest.raises(UserError, match="mine is a folder of other things"):
        bulk(labelled, 10, tmp_path / "mine")


def test_truncation_is_part_of_it(plain: Experiment, tmp_path: Path):
    bulk(plain, 4, tmp_path / "a")
    try:
        with pytest.raises(UserError, match=r"psi: 1\.0 there, 0\.5 asked for"):
            bulk(plain.truncate(0.5), 4, tmp_path / "a")
        bulk(plain, 4, tmp_path / "b")
    finally:
        plain.truncate(1)
    assert (tmp_path / "a" / "000000.png").read_bytes() != (tmp_path / "b" / "000000.png").read_bytes()


def test_named_labels_come_in_turn(labelled: Experiment, tmp_path: Path):
    made = bulk(labelled, 5, tmp_path / "two", label="3,8")
    assert [line[-1] for line in (made / "labels.csv").read_text().splitlines()[1:]] == ["3", "8", "3", "8", "3"]


def test_numbers_that_are_broken_stop_it(plain: Experiment, tmp_path: Path, monkeypatch: Any):
    monkeypatch.setattr(Experiment, "decode", lambda self, z, *_: torch.full((len(z), 1, 8, 8), torch.nan))
    with pytest.raises(UserError, match="samples 0 to 9 have values that are NaN or infinite"):
        bulk(plain, 10, tmp_path / "none")


def test_weights_that_change_meanwhile_are_seen_by_workers(plain: Experiment, tmp_path: Path):
    wish = Wish.of(plain, 0, None, 4)
    worker = bulk_module.Worker(str(plain.path), "cpu", ("newest", False), Keeping(tmp_path, wish, 4), 64, 1)
    assert torch.equal(worker.open(0).sample(2), plain.sample(2))
    other = replace(worker, keeping=Keeping(tmp_path, replace(wish, weights="other"), 4))
    with pytest.raises(UserError, match="have changed meanwhile"):
        other.open(0)


def test_numbers_stand_in_the_table_as_in_the_data():
    table = Words(("age", "colour=red", "colour=blue"), ((40.0, 10.0), (0.0, 1.0), (0.0, 1.0)))
    assert table.names == ["age", "colour"]
    assert table.row([-1.5, 0.0, 1.0]) == ["25", "blue"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--count 5", "name a folder or a .zip"),
        ("--count 5 -o x.png", "name a folder or a .zip"),
        ("--count 5 -o x.tar", "--out x.tar: name a folder, or a .zip"),
        ("--count 0 -o x", "--count 0: at least 1"),
        ("--count 5 --workers 0 -o x", "--workers 0: at least 1"),
        ("--count 5 --label 1 -o x", "was trained without labels"),
        ("-n 5 -o x.zip", "a zip takes --count, such as --count 5"),
    ],
)
def test_wrong_wishes_write_nothing(
    words: str, message: str, plain: Experiment, tmp_path: Path, monkeypatch: Any, capsys: Any
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(["sample", str(plain.path), "--device", "cpu", *words.split()])
    assert left.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
