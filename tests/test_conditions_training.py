"""Runs that are told numbers for each picture, and runs of pictures with any number of channels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import mulligan
from mulligan import UserError
from mulligan.cli import main
from mulligan.core.recipe import Shape
from mulligan.data import Source, open_source
from mulligan.zoo import find
from mulligan.zoo.image.labels import taken

NET: dict[str, Any] = {"latent": 6, "style": 6, "most": 4, "base": 64}
STYLES = {"stylegan2": NET, "stylegan3": {**NET, "depth": 4}}
QUICK: dict[str, Any] = {"stabilize": {"r1": 1.0}}  # nothing to be worked out from the data
HEADER = "file,smiling,age,colour"


@pytest.fixture(autouse=True)
def quick(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULLIGAN_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """24 pictures with two numbers and a word each."""
    folder, draw = tmp_path / "photos", np.random.default_rng(0)
    folder.mkdir()
    lines = [HEADER]
    for i in range(24):
        Image.fromarray(draw.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"{i}.png")
        lines.append(f"{i}.png,{i % 2},{20 + i},{('red', 'blue')[i % 3 == 0]}")
    (folder / "labels.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder


def train(recipe: str, data: Path, out: Path, rounds: int = 3, **more: Any) -> mulligan.Experiment:
    return mulligan.train(
        recipe, data, out=out, net=STYLES[recipe], batch=4, images=4 * rounds, doctor=False, **QUICK, **more
    )


@pytest.mark.parametrize("recipe", STYLES)
def test_trains_with_numbers_and_takes_them_by_name(recipe: str, photos: Path, tmp_path: Path):
    run = train(recipe, photos, tmp_path / "run")
    assert run.columns == ("smiling", "age", "colour=blue", "colour=red")
    assert run.classes == ()
    assert run.rows()[-1]["round"] == 3
    assert (run.samples / "0000000012.png").is_file()
    y = run.some_labels(5, "smiling=1,age=31.5,colour=red")
    assert y is not None
    assert y[0].tolist() == [1, 0, 0, 1]  # 31.5 is the mean age
    assert torch.equal(y, y[:1].expand(5, -1))
    again = mulligan.load(run.path)
    assert torch.equal(again.sample(3, label="age=25"), run.sample(3, label="age=25"))
    assert not torch.equal(run.sample(3, label="age=25"), run.sample(3, label="age=26"))
    assert run.interpolate(2, 2, walks=2, label="age=25").shape == (4, 2, 3, 16, 16)


def test_columns_that_are_not_named_follow_the_examples(photos: Path, tmp_path: Path):
    run, source = train("stylegan2", photos, tmp_path / "run"), open_source(photos)
    plain, told = run.some_labels(30), run.some_labels(30, "smiling=1")
    assert plain is not None
    assert told is not None
    assert torch.equal(plain[:24], source.tensors["y"])
    assert torch.equal(plain[24:], plain[:6])
    assert told[:, 0].tolist() == [1] * 30
    assert torch.equal(told[:, 1:], plain[:, 1:])


def test_what_is_recorded_makes_the_same_networks(photos: Path, tmp_path: Path):
    run, source = train("stylegan2", photos, tmp_path / "run", labels=photos / "labels.csv"), open_source(photos)
    facts = json.loads((run.path / "recipe.json").read_text())["data"]
    assert facts["columns"] == list(source.columns)
    assert facts["labels"] == str(photos / "labels.csv")
    assert torch.equal(torch.tensor(facts["examples"], dtype=torch.float32), source.tensors["y"])
    assert torch.equal(run.sampler.conditions, source.tensors["y"])
    assert not any("conditions" in name for name in run.sampler.state_dict())


def test_a_resumed_run_is_the_same_to_the_bit(photos: Path, tmp_path: Path):
    whole = train("stylegan2", photos, tmp_path / "whole", 6)
    train("stylegan2", photos, tmp_path / "parts", 3)
    parts = train("stylegan2", photos, tmp_path / "parts", 6)
    for (name, a), b in zip(whole.sampler.state_dict().items(), parts.sampler.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_a_run_does_not_go_on_with_other_numbers(photos: Path, tmp_path: Path):
    train("stylegan2", photos, tmp_path / "run")
    table = photos / "labels.csv"
    table.write_text(table.read_text().replace("0.png,0,20", "0.png,1,20"), encoding="utf-8")
    with pytest.raises(UserError, match="data fingerprint"):
        train("stylegan2", photos, tmp_path / "run", 6)
    table.write_text(table.read_text().replace(HEADER, "file,laughing,age,colour"), encoding="utf-8")
    with pytest.raises(UserError, match="data columns"):
        train("stylegan2", photos, tmp_path / "run", 6)


def test_both_networks_see_the_numbers(photos: Path):
    source = open_source(photos)
    torch.manual_seed(0)
    game: Any = find("stylegan2").plan(source, find("stylegan2").arguments({"net": NET, "stabilize": {"r1": 1.0}})).game
    z, y = game.sampler.latents(1), source.tensors["y"][:1]
    x = game.sampler.decode(z, y)
    assert not torch.equal(x, game.sampler.decode(z, 2 * y)), "twice the number is another number"
    assert not torch.equal(game.critic.D(x, y), game.critic.D(x, 2 * y))
    assert game.sampler.labels(7, torch.Generator().manual_seed(0)).shape == (7, 4)


def test_classes_start_as_they_always_did():
    class Data:
        shape, classes = (1, 8, 8), ("a", "b")

        def __len__(self) -> int:
            return 4

    data: Shape = Data()
    assert taken(data).examples is None
    torch.manual_seed(0)
    plan = find("stylegan2").plan(data, find("stylegan2").arguments({"net": NET, "stabilize": {"r1": 1.0}}))
    sampler: Any = plan.game.sampler
    assert (sampler.classes, sampler.conditions) == (2, None)
    assert not sampler.G.mapping.embed.bias.any()
    in_turn = sampler.in_turn(3)
    assert in_turn.tolist() == [0, 1, 0]


@pytest.mark.parametrize("recipe", ["cgan", "acgan", "projection"])
def test_recipes_of_classes_say_which_take_numbers(recipe: str, photos: Path, tmp_path: Path):
    with pytest.raises(UserError, match=rf"{recipe} takes classes, and the data gives 4 numbers .*or stylegan3"):
        mulligan.train(recipe, photos, out=tmp_path / "run", width=8)
    assert not (tmp_path / "run").exists()


def test_recipes_without_labels_leave_numbers_aside(photos: Path, tmp_path: Path):
    run = mulligan.train("dcgan", photos, out=tmp_path / "run", width=8, batch=4, images=8, doctor=False)
    assert run.some_labels(2) is None
    with pytest.raises(UserError, match="trained without labels"):
        run.sample(2, label="age=30")


def test_the_doctor_and_a_score_look_at_a_run_of_numbers(tmp_path: Path):
    draw = torch.Generator().manual_seed(0)
    y = torch.randn(64, 2, generator=draw)
    x = torch.randint(0, 256, (64, 1, 8, 8), generator=draw, dtype=torch.uint8)
    source = Source("s", {"x": x, "y": y}, (), "s", (), ("a", "b"), ((0.0, 1.0), (5.0, 2.0)))
    run = mulligan.train(
        "stylegan2", source, out=tmp_path / "run", net=STYLES["stylegan2"], batch=8, images=64, probe_every=16,
        log_every=16, metrics="fid", extractor="own", score_count=32, cache=tmp_path / "cache",
    )  # fmt: skip
    assert any("moved_D" in row for row in run.rows()), "probes were taken"
    assert all(row["value"] > 0 for row in run.scores())
    assert "as in the real data" in json.dumps(run.scores()[-1])


def test_the_command_takes_a_table_and_values(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    table = (photos / "labels.csv").rename(tmp_path / "faces.csv")
    out = tmp_path / "run"
    net = [word for key, value in NET.items() for word in (f"--net.{key}", str(value))]
    main(["train", "stylegan2", "--data", str(photos), "--labels", str(table), "--out", str(out), *net, "--batch", "4",
          "--images", "8", "--device", "cpu", "--no-doctor", "--stabilize.r1", "1"])  # fmt: skip
    assert "faces.csv: 4 numbers for each picture" in capsys.readouterr().err
    main(["sample", str(out), "-n", "4", "--label", "smiling=1,age=40", "--out", str(tmp_path / "x.png")])
    assert (tmp_path / "x.png").is_file()
    with pytest.raises(SystemExit) as left:
        main(["sample", str(out), "--label", "hat=1"])
    assert left.value.code == 2
    assert "no column hat; there are smiling, age, colour=blue, colour=red" in capsys.readouterr().err
    with pytest.raises(UserError, match="takes numbers, no classes"):
        mulligan.load(out).label("smiling")


@pytest.mark.parametrize("channels", [2, 5])
@pytest.mark.parametrize("recipe", ["dcgan", "stylegan2"])
def test_any_number_of_channels(recipe: str, channels: int, tmp_path: Path):
    x = np.random.default_rng(0).integers(0, 256, (24, 8, 8, channels), dtype=np.uint8)
    np.save(tmp_path / "x.npy", x)
    size: dict[str, Any] = {"net": NET, **QUICK} if recipe == "stylegan2" else {"width": 4}
    run = mulligan.train(recipe, tmp_path / "x.npy", out=tmp_path / "run", batch=4, images=12, **size)
    made = run.sample(4)
    assert made.shape == (4, channels, 8, 8)
    sheets = sorted(run.samples.glob("*.png"))
    assert Image.open(sheets[-1]).mode == "L"
    assert Image.open(sheets[-1]).width > channels * 8 * 8  # 8 pictures of so many channels in a row
    run.media.files(made, tmp_path / "files")
    assert np.load(tmp_path / "files" / "000003.npy").shape == (channels, 8, 8)


def test_two_channels_are_augmented_adaptively(tmp_path: Path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (24, 8, 8, 2), dtype=np.uint8))
    run = mulligan.train(
        "stylegan2",
        tmp_path / "x.npy",
        out=tmp_path / "run",
        net=NET,
        batch=4,
        images=12,
        stabilize={"ada": 0.6, "r1": 1.0},
    )
    assert run.rows()[-1]["round"] == 3
