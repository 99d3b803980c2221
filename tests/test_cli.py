"""The command: what it makes, and that each wrong input has its own message, exit code 2 and leaves nothing behind."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import mulligan
from mulligan import job
from mulligan.cli import main
from mulligan.core.trainer import Trainer
from mulligan.zoo import SHELF, find

from . import helpers

TINY = ("--width", "4", "--latent", "4", "--batch", "8", "--device", "cpu")
SHORT = (*TINY, "--images", "32")
Refused = Callable[..., str]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "90")


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs without pictures, which take longer than the runs."""
    monkeypatch.setattr(job, "previewer", lambda *_: None)


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of colour pictures, one subfolder per class."""
    folder, draw = tmp_path_factory.mktemp("data") / "pets", np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for i in range(8):
            Image.fromarray(draw.integers(0, 256, (9, 8, 3), dtype=np.uint8)).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory, pets: Path) -> Path:
    run = tmp_path_factory.mktemp("runs") / "cgan"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "previewer", lambda *_: None)
        main(["train", "cgan", "--data", str(pets), "--size", "8", "--out", str(run), *SHORT])
    return run


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "dcgan"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "previewer", lambda *_: None)
        main(["train", "dcgan", "--data", "digits", "--out", str(run), *SHORT])
    return run


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that must fail with code 2 and change nothing here; gives what it said, frames removed."""

    def run(*words: str, code: int = 2) -> str:
        before = helpers.tree_hash(tmp_path)
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main(words)
        said = capsys.readouterr()
        assert left.value.code == code, said.err
        assert helpers.tree_hash(tmp_path) == before, "something was written"
        assert "Traceback" not in said.err
        return bare(said.err)

    return run


def bare(text: str) -> str:
    """Without frames and line breaks."""
    return " ".join(re.sub(r"[│╭╮╰╯─|+]|-{3,}", " ", text).split())


TRAIN = "train dcgan --data digits"
# name of the mistake: what is typed, and a part of the answer
WRONG: dict[str, tuple[str, str]] = {
    "command": ("trian", "unknown command 'trian', did you mean 'train'?"),
    "recipe": ("train dcgn --data digits", "unknown recipe 'dcgn', did you mean 'dcgan'?"),
    "recipe file": ("train my.py --data digits", "a recipe of your own is named like my.py:mygan"),
    "flag": (f"{TRAIN} --widht 8", "Unrecognized options: --widht, 8 Perhaps you meant: --width"),
    "nested flag": (f"{TRAIN} --stabilise.r1 1", "Perhaps you meant: --stabilize.r1"),
    "flag of sample": ("sample . --sede 1", "Perhaps you meant: --seed"),
    "no data": ("train dcgan", "Missing from mulligan train dcgan: --data STR"),
    "no recipe": ("train", "the recipe comes first: mulligan train RECIPE --data SOURCE [options]"),
    "no recipe first": ("train --data digits dcgan", "the recipe comes first"),
    "source": ("train dcgan --data digit", 'no path "digit". Did you mean "digits"?'),
    "path": ("train dcgan --data photos/cats", "There is no photos/cats: the path ends at"),
    "empty folder": ("train dcgan --data empty", "empty is empty. Put pictures into it"),
    "no picture": ("train dcgan --data texts", "There is no picture in texts, only other files (1 .txt)"),
    "size of the network": (
        f"{TRAIN} --size 30",
        "30x30 pixels do not come from a base of 4 to 7 pixels by doubling; resize the images to 28x28",
    ),
    "size": (f"{TRAIN} --size 64by64", "--size '64by64': give one side such as 64, or height x width"),
    "size of nothing": (f"{TRAIN} --size 0", "--size '0'"),
    "size of points": ("train gan --data ring --size 8", "--size and --channels are for pictures"),
    "channels": (f"{TRAIN} --channels 2", "2 channels are impossible"),
    "no labels": ("train cgan --data swissroll", "cgan needs labels and the data has none"),
    "device": (f"{TRAIN} --device tpu", "unknown device 'tpu': take one of auto, cpu, cuda, mps"),
    "missing device": (f"{TRAIN} --device cuda:77", "isn't there"),
    "interval": (f"{TRAIN} --log-every 0", "the log interval is 0 images, but must be at least 1"),
    "negative interval": (f"{TRAIN} --checkpoint-every -5", "the checkpoint interval is -5 images"),
    "batch": (f"{TRAIN} --batch 0", "dcgan: batch is 0, but must be at least 1"),
    "critic turns": ("train wgan --data digits --critic-turns 0", "wgan: critic_turns is 0, but must be at least 1"),
    "budget": (f"{TRAIN} --images -1", "dcgan: images is -1, but must be at least 1"),
    "accumulate": (f"{TRAIN} --batch 9 --accumulate 2", "batch 9 can't be shared by 2 processes"),
    "learning rate": (f"{TRAIN} --lr nan", "the learning rate is nan"),
    "betas": (f"{TRAIN} --betas 0.5 1", "betas are (0.5, 1.0), but must be in [0, 1)"),
    "number": (f"{TRAIN} --lr fast", "could not convert string to float: 'fast'"),
    "choice": (
        f"{TRAIN} --schedule linaer",
        "invalid choice 'linaer' for argument '--schedule'. Expected one of ('constant', 'linear'",
    ),
    "negative penalty": (f"{TRAIN} --stabilize.r1 -1", "stabilize.r1 is -1.0, but can't be negative"),
    "lazy": (f"{TRAIN} --stabilize.lazy 0", "stabilize.lazy is 0, but must be at least 1"),
    "packing": (f"{TRAIN} --stabilize.packing 0", "stabilize.packing is 0"),
    "smoothing": (
        f"{TRAIN} --stabilize.label-smoothing 0.7",
        "stabilize.label_smoothing is 0.7, but must be in [0, 0.5)",
    ),
    "noise": (f"{TRAIN} --stabilize.noise-until 0", "stabilize.noise_until is 0.0, but must be in (0, 1]"),
    "augmentation": (f"{TRAIN} --stabilize.diffaugment colour", "unknown augmentation 'colour': did you mean 'color'?"),
    "smoothing without targets": ("train wgan --data digits --stabilize.label-smoothing 0.1", "no targets to smooth"),
    "packing of a batch": (
        f"{TRAIN} --batch 9 --stabilize.packing 2",
        "packing by 2 needs a batch that is a multiple of it, not 9",
    ),
    "run": ("sample nowhere", "no run at nowhere: there is no such folder"),
    "not a run": ("sample texts", "texts is not a run folder: it has no recipe.json"),
    "info of no run": ("info texts", "texts is not a run folder"),
    "out is a file": (f"{TRAIN} --out note.txt", "--out note.txt is a file: name a folder"),
    "out of other things": (f"{TRAIN} --out texts", "texts is a folder of other things"),
    "trust nothing": ("trust nowhere.py", "nowhere.py isn't there"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_is_told_and_writes_nothing(name: str, refused: Refused):
    Path("empty").mkdir()
    Path("texts").mkdir()
    Path("texts/readme.txt").write_text("no picture")
    Path("note.txt").write_text("a file")
    words, message = WRONG[name]
    assert message in refused(*words.split())


def test_messages_differ():
    messages = [message for _, message in WRONG.values()]
    assert len(set(messages)) == len(messages)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sample", "RUN", "--label", "3"], "was trained without labels (dcgan)"),
        (["sample", "RUN", "-n", "0"], "0 samples asked for: at least 1"),
        (["sample", "RUN", "--out", "x.jpg"], "name a .png for one sheet, or a folder"),
        (["sample", "RUN", "--out", "note.txt/x"], "can't write note.txt/x"),
        (["interpolate", "RUN", "--out", "x.avi"], "a walk is written as .gif, .webp, .mp4 or .webm"),
        (["interpolate", "RUN", "--steps", "0"], "needs at least 1 step"),
        (["interpolate", "RUN", "--fps", "0"], "--fps 0: at least 1"),
        (["sample", "RUN", "--device", "cuda:77"], "isn't there"),
    ],
)
def test_wrong_wishes_of_a_run_are_told(words: list[str], message: str, unlabelled: Path, refused: Refused):
    Path("note.txt").write_text("a file")
    before = helpers.tree_hash(unlabelled)
    assert message in refused(*[str(unlabelled) if word == "RUN" else word for word in words])
    assert helpers.tree_hash(unlabelled) == before


def test_an_unknown_label_names_the_known_ones(labelled: Path, refused: Refused):
    assert "no label 'cow'" in refused("sample", str(labelled), "--label", "cow")
    assert "take one of cat, dog, or a number from 0 to 1" in refused("sample", str(labelled), "--label", "2")


@pytest.mark.usefixtures("plain")
def test_other_settings_are_named(unlabelled: Path, refused: Refused, pets: Path):
    again = ("train", "dcgan", "--data", "digits", "--out", str(unlabelled))
    before = helpers.tree_hash(unlabelled)
    said = refused(*again, *SHORT, "--lr", "0.1", "--stabilize.r1", "2", "--seed", "5")
    for difference in ("--lr: 0.0002 in the run, 0.1 asked for", "--stabilize.r1: 0.0 in the run, 2.0 asked for"):
        assert difference in said
    assert "seed: 0 in the run, 5 asked for" in said
    assert "batch" not in said
    assert "data count: 1797 in the run, 16 asked for" in refused(
        "train", "dcgan", "--data", str(pets), "--size", "8", "--channels", "1", "--out", str(unlabelled), *SHORT
    )
    assert "recipe: dcgan in the run, lsgan asked for" in refused(
        "train", "lsgan", "--data", "digits", "--out", str(unlabelled), *SHORT
    )
    assert "--images: 32 in the run, 16 asked for" in refused(*again, *TINY, "--images", "16")
    assert helpers.tree_hash(unlabelled) == before


@pytest.mark.usefixtures("plain")
def test_a_larger_budget_goes_on_where_nothing_runs_down_with_it(refused: Refused, capsys: pytest.CaptureFixture[str]):
    words = ("train", "dcgan", "--data", "digits", *TINY)
    main([*words, "--out", "constant", "--images", "16"])
    main([*words, "--out", "constant", "--images", "32"])
    assert "going on from round 2 (16 images)" in capsys.readouterr().err
    main([*words, "--out", "straight", "--images", "32"])
    assert helpers.differences(helpers.newest(Path("constant")), helpers.newest(Path("straight"))) == []
    for name, option in (("linear", ("--schedule", "linear")), ("noisy", ("--stabilize.instance-noise", "0.1"))):
        main([*words, *option, "--out", name, "--images", "16"])
        assert "--images: 16 in the run, 32 asked for" in refused(*words, *option, "--out", name, "--images", "32")


@pytest.mark.usefixtures("plain")
def test_other_micro_batches_go_on_with_a_remark(capsys: pytest.CaptureFixture[str]):
    words = ("train", "dcgan", "--data", "digits", *TINY, "--out", "run")
    main([*words, "--images", "16"])
    main([*words, "--images", "32", "--accumulate", "2"])
    said = capsys.readouterr().err
    assert "made with 1 processes × micro-batches, these are 2" in said
    assert "going on from round 2" in said


FAILURES: list[Callable[[], Exception]] = [
    lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    lambda: RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried …"),
    MemoryError,
]


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("failure", FAILURES)
def test_out_of_memory_says_what_to_lower(
    failure: Callable[[], Exception], capsys: Any, monkeypatch: pytest.MonkeyPatch
):
    words = ("train", "dcgan", "--data", "digits", *SHORT, "--out", "run")
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_round", lambda _: (_ for _ in ()).throw(failure()))
        with pytest.raises(SystemExit) as left:
            main(words)
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert "out of memory with batch 8 at 1×8×8 on cpu: lower --batch, --width or --size, or keep" in said
    assert "--accumulate 4" in said
    assert not Path("run").exists()
    main([*words, "--batch", "4"])
    assert helpers.newest(Path("run"))["round"] == 8


def test_a_network_that_does_not_fit_is_told(refused: Refused):
    said = refused("train", "dcgan", "--data", "digits", "--latent", str(10**13), "--width", "64", "--device", "cpu")
    assert "out of memory with batch 128 at 1×8×8" in said


@pytest.mark.usefixtures("plain")
def test_other_errors_keep_their_traceback(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Trainer, "_round", lambda _: (_ for _ in ()).throw(RuntimeError("a bug")))
    with pytest.raises(RuntimeError, match="a bug"):
        main(["train", "dcgan", "--data", "digits", *SHORT, "--out", "run"])


@pytest.mark.parametrize("recipe", SHELF)
def test_help_shows_every_argument_with_its_default(recipe: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as left:
        main(["train", recipe, "--help"])
    assert left.value.code == 0
    text, made = bare(capsys.readouterr().out), find(recipe)
    assert made.summary.split(":")[0] in text
    assert made.paper.split("arXiv")[0].strip(" ,") in text
    for name, default in [*made.defaults().items(), ("seed", 0), ("device", "auto"), ("size", None)]:
        flag = name.replace("_", "-")
        if hasattr(default, "__dataclass_fields__"):
            assert f"{flag} options" in text
            continue
        shown = " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
        found = re.search(rf"--{flag}(, --no-{flag}| [\[{{A-Z])[^)]*?(\([^)]*\)[^)]*?)*?\(default: ([^)]*)\)", text)
        assert found, f"--{flag} is not in the help"
        assert found[3] == shown


def test_recipes_lists_each_with_its_paper(capsys: pytest.CaptureFixture[str]):
    main(["recipes"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[::2]] == list(SHELF)
    assert all(re.search(r"(19|20)\d\d", line) for line in lines[1::2]), "each names a year"
    assert all(len(line.split(maxsplit=1)) == 2 for line in lines[::2])


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_help_names_every_command(words: list[str], capsys: pytest.CaptureFixture[str]):
    from mulligan.cli import COMMANDS

    main(words)
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in COMMANDS)


@pytest.mark.usefixtures("drawn")
def test_a_run_from_the_first_word_to_the_last_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    main(["train", "dcgan", "--data", "digits", *TINY, "--images", "64", "--sample-every", "32"])
    said = capsys.readouterr()
    run = tmp_path / "runs" / "dcgan-digits"
    assert said.out.startswith("done: 64 images in 8 rounds")
    named = [Path(line.split()[1]) for line in said.out.splitlines()[1:]]
    assert [path.name for path in named] == ["0000000064.png", "curves.png", "log.jsonl", "sampler.safetensors"]
    assert all(path.is_file() for path in named)
    with Image.open(named[0]) as sheet:
        assert min(sheet.size) >= 8 * 8, "64 digits on one sheet"
    assert sorted(path.name for path in (run / "samples").iterdir()) == ["0000000032.png", "0000000064.png"]

    main(["info", str(run)])
    text = capsys.readouterr().out
    for part in (
        "dcgan  (Radford",
        "width 4",
        "digits: 1,797 × 1×8×8, 10 classes",
        "64 of 64 images",
        "round-000000008.pt",
    ):
        assert part in text
    main(["sample", str(run), "-n", "10", "--out", "ten.png"])
    main(["sample", str(run), "-n", "3", "--out", "three"])
    main(["sample", str(run), "-n", "3"])
    main(["interpolate", str(run), "--steps", "2", "--through", "3", "--walks", "4", "--out", "walk.gif"])
    said = capsys.readouterr().out.split()
    assert said == ["ten.png", "three", str(run / "sample-seed-0.png"), "walk.gif"]
    assert sorted(path.name for path in Path("three").iterdir()) == ["000000.png", "000001.png", "000002.png"]
    with Image.open("three/000000.png") as picture:
        assert picture.size == (8, 8)
    with Image.open("walk.gif") as walk:
        assert getattr(walk, "n_frames", 1) == 6
    main(["train", "dcgan", "--data", "digits", *TINY, "--images", "64"])
    assert "already finished: 64 images; a larger --images goes on" in capsys.readouterr().err


def test_a_label_by_number_and_by_name(labelled: Path):
    for label in ("1", "dog"):
        main(["sample", str(labelled), "-n", "4", "--label", label, "--out", f"{label}.png"])
    main(["sample", str(labelled), "-n", "4", "--label", "cat", "--out", "cat.png"])
    assert Path("1.png").read_bytes() == Path("dog.png").read_bytes() != Path("cat.png").read_bytes()
    main(["sample", str(labelled), "-n", "2", "--label", "cat"])
    assert (labelled / "sample-seed-0-label-cat.png").is_file()
    main(["interpolate", str(labelled), "--label", "cat", "--steps", "1", "--through", "2", "--out", "cat.gif"])
    assert Path("cat.gif").is_file()


def test_three_lines_of_python():
    run = mulligan.train("dcgan", data="digits", images=32, width=4, latent=4, batch=8, device="cpu")
    images = run.sample(16, seed=0)
    assert (images.dtype, images.shape) == (torch.float32, (16, 1, 8, 8))
    assert float(images.min()) >= -1
    assert float(images.max()) <= 1
    assert images.std() > 0
    again = mulligan.load("runs/dcgan-digits").sample(16, seed=0)
    assert images.equal(again)
    assert not images.equal(run.sample(16, seed=1))


def test_the_installed_command_and_the_module_are_the_same():
    words = ["--version"]
    by_module = subprocess.run([sys.executable, "-m", "mulligan", *words], capture_output=True, text=True, check=True)
    assert by_module.stdout == f"mulligan {mulligan.__version__}\n"
    script = Path(sys.executable).with_name("mulligan")
    if script.exists():
        by_name = subprocess.run([script, *words], capture_output=True, text=True, check=True)
        assert by_name.stdout == by_module.stdout


def test_help_of_train_without_a_recipe(capsys: pytest.CaptureFixture[str]):
    main(["train", "--help"])
    assert capsys.readouterr().out.startswith("usage: mulligan train RECIPE --data SOURCE")
