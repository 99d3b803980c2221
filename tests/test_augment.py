"""augment: the arms, going on after a stop, the recipes, and the command."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mulligan import UserError, job, verbs
from mulligan.augment import arms, study
from mulligan.augment.arms import ARMS, WITH, WITHOUT, Pictures
from mulligan.cli import main
from mulligan.core.checkpoints import read_lines
from mulligan.core.errors import Interrupted
from mulligan.core.recipe import Recipe, flatten
from mulligan.core.trainer import Trainer
from mulligan.experiment import Described
from mulligan.zoo import find, shelf

from . import helpers
from .test_augment_parts import opened, pixels

KEEP, ADD = 12, 30
TINY: dict[str, Any] = {
    "recipe": "cgan", "images": 64, "width": 4, "latent": 4, "batch": 8, "steps": 6, "seeds": 2, "add": ADD,
    "device": "cpu",
}  # fmt: skip
WORDS = [
    "--recipe", "cgan", "--images", "64", "--width", "4", "--latent", "4", "--batch", "8", "--steps", "6",
    "--device", "cpu",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "previewer", lambda *_: None)
    monkeypatch.setenv("COLUMNS", "90")


def small(out: Path, **other: Any) -> Path:
    return study.augment("digits", 3, KEEP, out=out, **{**TINY, **other})


def lines(out: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k not in ("time", "gan_seconds")} for row in read_lines(out)]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that was never stopped."""
    out = tmp_path_factory.mktemp("study") / "straight"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "previewer", lambda *_: None)
        small(out)
    return out


# ---- a study


def test_a_study_writes_a_line_for_each_seed_and_arm_and_a_report(straight: Path):
    rows = lines(straight / "results.jsonl")
    assert [(row["seed"], row["arm"]) for row in rows] == [(seed, arm) for seed in (0, 1) for arm in ARMS]
    for row in rows:
        assert row["trained_on_rare"] == (KEEP + ADD if row["arm"] in WITH else KEEP)
        assert all(0 <= row[name] <= 1 for name in ("balanced_accuracy", "recall", "accuracy"))
    text = (straight / "report.md").read_text()
    assert "Do generated samples of class 3 help a classifier?" in text
    assert "crop and mixup, without flip" in text, "a mirrored digit is no digit"
    assert f"only {KEEP} training pictures are kept" in text
    assert "optimistic for the baselines" in text
    assert "Recall can be bought with false alarms" in text
    for arm in ARMS.values():
        assert f"| {arm.title} " in text
    for name in re.findall(r"\]\((.*?)\)", text):
        assert (straight / name).is_file(), name
    assert len(re.findall("^- GAN", text, re.M)) == 5, "four verdicts and the setting of the GAN"
    assert not list(straight.rglob("*.tmp"))


def test_the_arms_differ_in_what_they_say(monkeypatch: pytest.MonkeyPatch):
    asked: list[dict[str, Any]] = []

    def fit(x: Any, y: Any, classes: int, **options: Any) -> None:
        asked.append({**options, "count": len(y)})

    monkeypatch.setattr(arms, "fit", fit)
    monkeypatch.setattr(arms, "predict", lambda _, x: torch.zeros(len(x), 2))
    some = Pictures(torch.zeros(10, 1, 8, 8, dtype=torch.uint8), torch.tensor([0] * 8 + [1] * 2))
    for arm in ARMS.values():
        for flip in (True, False):
            arms.run_arm(arm, some, some, 2, 1, seed=7, steps=9, flip=flip)
    assert {(options["seed"], options["steps"]) for options in asked} == {(7, 9)}
    said = dict(zip(ARMS, asked[::2], strict=True))
    assert {name for name, o in said.items() if o["augment"]} == {"ordinary", "oversampling+ordinary", "gan+ordinary"}
    assert {name for name, o in said.items() if o["sampling"] == "balanced"} == {
        "oversampling",
        "oversampling+ordinary",
    }
    assert {name for name, o in said.items() if o["class_weights"] is not None} == {"weights"}
    assert set(said["ordinary"]["augment"]) == {"flip", "crop", "mixup"}
    assert all("flip" not in options["augment"] for options in asked[1::2])


def test_generated_pictures_carry_the_rare_label_and_no_arm_sees_a_test_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    marked, test = torch.full((ADD, 1, 8, 8), 77, dtype=torch.uint8), pixels(opened().test.x)
    seen: dict[str, Pictures] = {}

    def run_arm(arm: arms.Arm, training: Pictures, *_: Any, **__: Any) -> dict[str, Any]:
        seen[arm.title] = training
        return {"balanced_accuracy": 0.5, "recall": 0.5, "precision": 0.5, "accuracy": 0.5}

    monkeypatch.setattr(study, "run_arm", run_arm)
    monkeypatch.setattr(study, "generated", lambda *_: (marked, {}))
    small(tmp_path / "out")
    for arm in ARMS.values():
        training = seen[arm.title]
        made = (training.x == 77).flatten(1).all(1)
        assert int(made.sum()) == (ADD if arm.generated else 0)
        assert (training.y[made] == 3).all()
        assert not pixels(training.x) & test


def test_generated_pictures_are_of_the_rare_class(straight: Path, tmp_path: Path):
    run = verbs.load(straight / "gan-seed-1", "cpu")
    assert run.settings()["data"]["fingerprint"] == opened().for_gan(1).fingerprint
    given = {name: TINY[name] for name in ("images", "width", "latent", "batch")}
    chosen = find("cgan").arguments(study.usual(find("cgan")) | given)
    setting = study.Setting(opened(), find("cgan"), "cgan", chosen, ADD, 6, False, torch.device("cpu"))
    (tmp_path / "gan-seed-1").symlink_to(straight / "gan-seed-1")
    made, cost = study.generated(setting, tmp_path, 1)
    assert torch.equal(made, study.to_uint8(run.sample(ADD, seed=1, label="3")))
    assert not torch.equal(made, study.to_uint8(run.sample(ADD, seed=1, label="4")))
    assert cost["added"] == ADD


def test_a_study_goes_on_between_two_arms(straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any):
    out, count, real = tmp_path / "out", 0, study.run_arm

    def stops(*given: Any, **options: Any) -> dict[str, Any]:
        nonlocal count
        count += 1
        if count == 7:
            raise KeyboardInterrupt
        return real(*given, **options)

    monkeypatch.setattr(study, "run_arm", stops)
    with pytest.raises(KeyboardInterrupt):
        small(out)
    before = lines(out / "results.jsonl")
    assert len(before) == 6, "the GAN of seed 0 is trained, one of its two arms is done"
    assert not (out / "report.md").exists()
    small(out)
    assert count == 7 + 8, "finished arms are not done again"
    said = capsys.readouterr()
    assert "8 classifiers and 2 GANs to go" in said.err
    assert "already finished: 64 images" in said.err, "the GAN isn't trained twice"
    assert lines(out / "results.jsonl") == lines(straight / "results.jsonl")
    small(out)
    assert count == 15
    assert "nothing to go" in capsys.readouterr().err


def test_a_study_goes_on_within_a_gan(straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any):
    out, play = tmp_path / "out", Trainer._round

    def stops(trainer: Trainer) -> None:
        play(trainer)
        if trainer.clock.round == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_round", stops)
        with pytest.raises(Interrupted, match="the same command goes on"):
            small(out)
    small(out)
    assert "going on from round 3" in capsys.readouterr().err
    assert lines(out / "results.jsonl") == lines(straight / "results.jsonl")
    runs = [path / "gan-seed-0" for path in (out, straight)]
    assert helpers.differences(*(helpers.newest(run) for run in runs)) == []


def test_more_seeds_are_added_to_what_is_there(straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import shutil

    out = tmp_path / "out"
    shutil.copytree(straight, out)
    small(out, seeds=3)
    rows = lines(out / "results.jsonl")
    assert len(rows) == 3 * len(ARMS)
    assert rows[: 2 * len(ARMS)] == lines(straight / "results.jsonl")
    assert "mean over 3 seeds" in (out / "report.md").read_text()


def test_other_settings_are_named_and_nothing_changes(straight: Path):
    before = helpers.tree_hash(straight)
    with pytest.raises(UserError, match=r"--keep: 12 in the study, 13 asked for.*--lr: 0.002 in the study, 0.1"):
        study.augment("digits", 3, 13, out=straight, **{**TINY, "lr": 0.1})
    with pytest.raises(UserError, match=r"--rare: 3 in the study, 4 asked for"):
        study.augment("digits", 4, KEEP, out=straight, **TINY)
    assert helpers.tree_hash(straight) == before


def test_a_torn_line_is_done_again(straight: Path, tmp_path: Path):
    import shutil

    out = tmp_path / "out"
    shutil.copytree(straight, out)
    file = out / "results.jsonl"
    file.write_bytes(file.read_bytes()[:-30])
    small(out)
    assert lines(file) == lines(straight / "results.jsonl")


def test_a_damaged_setting_is_told(tmp_path: Path):
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(UserError, match="put a good copy back"):
        small(tmp_path)


# ---- the recipes


def test_the_labelled_recipes_are_those_that_learn_the_labels():
    found = []
    for recipe in shelf():
        with pytest.MonkeyPatch.context():
            try:
                study.check_conditional(recipe, opened(), recipe.arguments({"width": 4} if _wide(recipe) else {}))
            except UserError:
                continue
            found.append(recipe.name)
    assert sorted(found) == sorted(study.LABELLED), "infogan's codes are not the labels"


def _wide(recipe: Recipe) -> bool:
    return any(parameter.name == "width" for parameter in recipe.parameters())


def test_usual_arguments_are_small_for_the_house_and_leave_others_alone():
    for name in study.LABELLED:
        made = flatten(find(name).arguments(study.usual(find(name))))
        width = made["net.width" if name == "biggan" else "width"]
        rates = made["lr"], made["lr_d"]  # SAGAN's own D learns faster than its G, which has four times the rate here
        assert (width, made["images"], made["stabilize.r1"], *rates) == (16, 200_000, 0.3, 2e-3, None)
    mixed = study.usual(find("cgan"), {"stabilize": {"r1": 1.0}, "width": 8})
    assert (mixed["stabilize"], mixed["width"], mixed["batch"]) == ({"r1": 1.0, "lazy": 4}, 8, 32)
    own = Recipe("mine", find("cgan").build, "", "mine.py:mine")
    assert study.usual(own) == {"images": 200_000}
    plan = find("cgan").plan(Described((1, 28, 28), tuple("0123456789"), 100), find("cgan").arguments({"width": 4}))
    assert plan.game.sampler.classes == 10


# ---- the command


Refused = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Run `mulligan augment` with words that must end with code 2 and change nothing here; gives what it said."""
    monkeypatch.chdir(tmp_path)

    def run(words: str) -> str:
        before = helpers.tree_hash(tmp_path)
        with pytest.raises(SystemExit) as left:
            main(["augment", *words.split()])
        said = capsys.readouterr().err
        assert left.value.code == 2, said
        assert helpers.tree_hash(tmp_path) == before, "something was written"
        assert "Traceback" not in said
        return " ".join(re.sub(r"[│╭╮╰╯─|]", " ", said).split())

    return run


GOOD = "--data digits --rare 3 --recipe cgan --width 4 --images 64 --device cpu"
WRONG = {
    "no class": ("--data digits", "Missing from mulligan augment: --rare"),
    "unknown class": ("--data digits --rare 12", "--rare 12: digits has no such class; take one of 0, 1, 2"),
    "class by a wrong name": ("--data digits --rare three", "--rare three: digits has no such class"),
    "too many kept": (f"{GOOD} --keep 500", "--keep 500: there are only 147 training pictures of class 3"),
    "too few kept": (f"{GOOD} --keep 1", "--keep 1: at least 2 pictures"),
    "not rare": (f"{GOOD} --keep 146", "is as frequent as the others (144 pictures): keep fewer, or say how many to"),
    "one seed": (f"{GOOD} --seeds 1", "--seeds 1: one seed has no interval, take at least 2"),
    "nothing added": (f"{GOOD} --add 0", "--add 0: at least 1"),
    "no steps": (f"{GOOD} --steps 0", "--steps 0: at least 1"),
    "unconditional": (
        "--data digits --rare 3 --recipe dcgan",
        "dcgan can't be told which class to make: take a recipe that learns the labels, such as cgan, acgan",
    ),
    "codes that are not labels": ("--data digits --rare 3 --recipe infogan", "infogan can't be told which class"),
    "recipe": ("--data digits --rare 3 --recipe cgna", "unknown recipe 'cgna', did you mean 'cgan'?"),
    "points": ("--data ring --rare 0", "ring holds points"),
    "no labels": ("--data plain.npz --rare 0", "plain has no labels"),
    "one class": ("--data one.npz --rare 0", "one has one class only: nothing to tell apart"),
    "a class of one": ("--data lonely.npz --rare 0", "lonely: class 1 has 1 pictures, which is too few"),
    "source": ("--data digit --rare 0", 'Did you mean "digits"?'),
    "test": (f"{GOOD} --test nowhere.npz", "There is no nowhere.npz"),
    "test without labels": (f"{GOOD} --test plain.npz", "plain (the test set) has no labels"),
    "option": (f"{GOOD} --kep 3", "Perhaps you meant: --keep"),
    "option of the recipe": (f"{GOOD} --stabilise.r1 3", "Perhaps you meant: --stabilize.r1"),
    "value of the recipe": (f"{GOOD} --batch 0", "cgan: batch is 0, but must be at least 1"),
    "size": (f"{GOOD} --size 30", "30x30 pixels do not come from a base of 4 to 7 pixels"),
    "device": (f"{GOOD} --device tpu", "unknown device 'tpu'"),
    "out is a file": (f"{GOOD} --out note.txt", "--out note.txt is a file"),
    "out of other things": (f"{GOOD} --out texts", "texts is a folder of other things (it has no study.json)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_is_told_and_writes_nothing(name: str, refused: Refused, tmp_path: Path):
    (tmp_path / "note.txt").write_text("a file")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "readme.txt").write_text("a file")
    x = np.zeros((9, 8, 8), dtype=np.uint8) + 9
    np.savez(tmp_path / "plain.npz", x=x)
    np.savez(tmp_path / "one.npz", x=x, y=np.zeros(9, int))
    np.savez(tmp_path / "lonely.npz", x=x, y=np.array([0] * 8 + [1]))
    words, message = WRONG[name]
    assert message in refused(words)


def test_the_command_prints_the_table_and_the_way_to_the_report(tmp_path: Path, capsys: Any):
    out = tmp_path / "out"
    words = ["--data", "digits", "--rare", "3", "--keep", "12", "--add", str(ADD), "--seeds", "2", "--flip", "yes"]
    main(["augment", *words, *WORDS, "--stabilize.r1", "0.5", "--out", str(out)])
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == str(out / "report.md")
    assert "| GAN + ordinary" in said.out
    assert "done: 64 images" not in said.out, "what the GAN says goes to stderr"
    assert re.search(r"seed 1, GAN: .*; 1 classifier to go, \d:\d\d left", said.err)
    noted = json.loads((out / "study.json").read_text())
    assert (noted["--stabilize.r1"], noted["--width"], noted["--flip"], noted["--keep"]) == (0.5, 4, True, 12)
    assert "flip, crop and mixup" in (out / "report.md").read_text()


def test_help_does_not_wait_for_torch_and_that_of_a_recipe_tells_its_arguments(capsys: Any):
    check = (
        "import sys\nfrom mulligan.cli import main\ntry:\n    main(['augment', '--help'])\nexcept SystemExit as left:\n"
        "    print(left.code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 False"
    assert "--rare" in done.stdout
    assert "mulligan augment --recipe RECIPE --help" in " ".join(done.stdout.split())
    with pytest.raises(SystemExit) as left:
        main(["augment", "--recipe", "cgan", "--help"])
    said = capsys.readouterr().out
    assert left.value.code == 0
    assert "--stabilize.r1" in said
    assert re.search(r"--width INT\s+\(default: 16\)", said)


def test_every_baseline_of_a_sceptic_is_there():
    assert set(WITHOUT) == {"plain", "weights", "oversampling", "ordinary", "oversampling+ordinary"}
    assert set(WITH) == {"gan", "gan+ordinary"}
