"""A GAN of one's own in one file trains, samples and resumes; a file that nobody here has trained with never runs."""

from __future__ import annotations

import hashlib
import json
import os
import py_compile
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mulligan import Sampler, job, load, verbs
from mulligan.cli import main
from mulligan.core.errors import UserError
from mulligan.core.recipe import REGISTRY
from mulligan.zoo import find

from . import helpers

MINE = '''
import os, pathlib, torch
from torch import nn
from torch.nn.functional import softplus
from mulligan import Game, Optim, Plan, Sampler, Turn, recipe

if "MULLIGAN_TEST_FLAG" in os.environ:
    pathlib.Path(os.environ["MULLIGAN_TEST_FLAG"]).touch()

class Mine(Game):
    def __init__(self, G, D, latent):
        super().__init__()
        self.sampler, self.critic = Sampler(G, latent), D

    def play(self, data, clock):
        x = next(data)["x"]
        with torch.no_grad():
            fake = self.sampler(len(x))
        yield Turn("D", softplus(-self.critic(x)).mean() + softplus(self.critic(fake)).mean())
        yield Turn("G", softplus(-self.critic(self.sampler(len(x)))).mean())

@recipe("the author, in person")
def mygan(data, *, latent: int = 4, batch: int = 8, images: int = 64):
    """A GAN of my own."""
    G = nn.Sequential(nn.Linear(latent, 16), nn.ReLU(), nn.Linear(16, 2))
    D = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 1))
    return Plan(Mine(G, D, latent), {"D": Optim(1e-3), "G": Optim(1e-3)}, batch, images, ema=20)
'''


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "my.py"
    path.write_text(MINE, encoding="utf-8")
    return path


@pytest.fixture
def flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that the recipe file makes when it is run."""
    monkeypatch.setenv("MULLIGAN_TEST_FLAG", str(tmp_path / "it-ran"))
    return tmp_path / "it-ran"


@pytest.fixture
def run(mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run of the file, trained by this user."""
    monkeypatch.setattr(job, "previewer", lambda *_: None)
    verbs.train(f"{mine}:mygan", "ring", out=tmp_path / "run", device="cpu", images=32)
    return tmp_path / "run"


def test_one_file_trains_saves_samples_and_resumes(mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    words = ("train", "my.py:mygan", "--data", "ring", "--latent", "3", "--device", "cpu")
    main([*words, "--out", "run", "--images", "32"])
    main([*words, "--out", "run", "--images", "64"])
    main([*words, "--out", "straight", "--images", "64"])
    resumed, straight = helpers.newest(tmp_path / "run"), helpers.newest(tmp_path / "straight")
    assert helpers.differences(resumed, straight) == []
    assert load("run").sample(5).shape == (5, 2)
    main(["sample", "run", "-n", "9", "--out", "points"])
    assert len((tmp_path / "points" / "000000.csv").read_text().splitlines()) == 9
    facts = json.loads((tmp_path / "run" / "recipe.json").read_text(encoding="utf-8"))
    assert facts["arguments"] == {"latent": 3, "batch": 8, "images": 64}
    assert facts["sha256"] == hashlib.sha256(MINE.encode()).hexdigest()
    assert facts["paper"] == "the author, in person"


def test_a_run_stopped_by_the_user_may_be_sampled(mine: Path, tmp_path: Path):
    """The file is trusted from its first round on, not only after the last."""
    stop = helpers.start(
        tmp_path, helpers.train, f"{mine}:mygan", "ring", tmp_path / "run", before=[helpers.no_pictures, stop_at_three]
    )
    assert stop.wait() == 143, stop.said()
    assert load(tmp_path / "run").sample(2).shape == (2, 2)


def stop_at_three() -> None:
    helpers.stop_after(3)


def change(run: Path, mine: Path) -> None:
    mine.write_text(MINE + "\n# a small improvement\n", encoding="utf-8")


def forget(run: Path, mine: Path) -> None:
    Path(os.environ["XDG_CONFIG_HOME"], "mulligan", "trusted-recipes.json").unlink()


def replace_both(run: Path, mine: Path) -> None:
    """A run folder from elsewhere, whose recipe.json names its own file with the right digest."""
    mine.write_text(MINE.replace("A GAN of my own", "Not yours"), encoding="utf-8")
    facts = json.loads((run / "recipe.json").read_text(encoding="utf-8"))
    facts["sha256"] = hashlib.sha256(mine.read_bytes()).hexdigest()
    (run / "recipe.json").write_text(json.dumps(facts), encoding="utf-8")


def remove(run: Path, mine: Path) -> None:
    mine.unlink()


REFUSALS: list[tuple[Callable[[Path, Path], None], str]] = [
    (change, "has changed since the run was trained"),
    (forget, "mulligan trust"),
    (replace_both, "never trained with by this user"),
    (remove, "isn't there: put the file back"),
]


@pytest.mark.parametrize(("spoil", "message"), REFUSALS)
def test_a_foreign_or_changed_file_is_refused_and_never_run(
    spoil: Callable[[Path, Path], None], message: str, run: Path, mine: Path, flag: Path
):
    spoil(run, mine)
    for use in (
        lambda: load(run).sample(1),
        lambda: load(run).plan,
        lambda: main(["sample", str(run)]),
        lambda: main(["interpolate", str(run)]),
    ):
        with pytest.raises((UserError, SystemExit)) as refused:
            use()
        if isinstance(refused.value, UserError):
            assert message in str(refused.value)
        else:
            assert refused.value.code == 2
    main(["info", str(run)])
    assert not flag.exists(), "the file was run"


def test_a_trusted_file_runs_and_the_flag_works(run: Path, flag: Path):
    """The test of the test above."""
    load(run).sample(1)
    assert flag.exists()


def test_trust_lets_a_file_run_as_it_is_now(run: Path, mine: Path):
    replace_both(run, mine)
    main(["trust", str(mine)])
    assert load(run).sample(3).shape == (3, 2)
    mine.write_text(MINE, encoding="utf-8")
    with pytest.raises(UserError, match="has changed"):
        load(run).sample(3)


def test_compiled_code_beside_a_trusted_file_is_never_used(run: Path, mine: Path, flag: Path, tmp_path: Path):
    """Python would take __pycache__/my.….pyc for the file when size and time fit; the digest says nothing about it."""
    evil, stat = tmp_path / "evil" / "my.py", mine.stat()
    evil.parent.mkdir()
    evil.write_text(f"open({str(tmp_path / 'evil-ran')!r}, 'w')\n" + MINE, encoding="utf-8")
    cached = Path(py_compile.compile(str(evil), doraise=True) or "")
    data = bytearray(cached.read_bytes())
    data[8:16] = int(stat.st_mtime).to_bytes(4, "little") + (stat.st_size & 0xFFFFFFFF).to_bytes(4, "little")
    (mine.parent / "__pycache__").mkdir(exist_ok=True)
    (mine.parent / "__pycache__" / cached.name).write_bytes(bytes(data))
    load(run).sample(1)
    assert flag.exists()
    assert not (tmp_path / "evil-ran").exists()


def test_training_with_a_changed_file_names_the_difference(run: Path, mine: Path):
    change(run, mine)
    with pytest.raises(UserError, match=r"other settings \(sha256: "):
        verbs.train(f"{mine}:mygan", "ring", out=run, device="cpu", images=32)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("my.py:mygam", "has no recipe 'mygam', did you mean 'mygan'"),
        ("your.py:mygan", "isn't there"),
        ("my.txt:mygan", "must end in .py"),
    ],
)
def test_a_wrong_name_is_told(spec: str, message: str, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(mine, "my.txt")
    with pytest.raises(UserError, match=message):
        verbs.train(spec, "ring", out="run")
    assert not Path("run").exists()


def test_a_file_may_use_recipes_of_the_house_and_takes_none_away(tmp_path: Path):
    path = tmp_path / "mine.py"
    path.write_text(
        "import sys\nsys.modules.pop('mulligan.zoo.image.lsgan', None)\n"
        "from mulligan.zoo.image.lsgan import lsgan\nfrom mulligan import recipe\n"
        "@recipe('me')\ndef gan(data, *, images: int = 8):\n    return lsgan(data, images=images, width=4)\n",
        encoding="utf-8",
    )
    REGISTRY.pop("lsgan", None)
    house = find("gan")
    assert find(f"{path}:gan").paper == "me"
    assert find("gan") is house
    assert find("lsgan").paper.startswith("Mao")


def test_a_sampler_may_follow_gradients(tmp_path: Path):
    """Samples that are improved by a gradient on their way, as in latent sampling driven by a discriminator."""

    class Climbing(Sampler):
        def decode(self, z: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
            with torch.enable_grad():
                z = z.detach().requires_grad_()
                (slope,) = torch.autograd.grad(super().decode(z, y).square().sum(), z)
            return super().decode(z - 0.1 * slope, y)

    run = verbs.train("dcgan", "digits", out=tmp_path / "run", images=16, batch=8, device="cpu", width=4)
    plain = run.sample(3)
    run.sampler.__class__ = Climbing
    run._folded = (None, [], [], None)
    assert not torch.equal(run.sample(3), plain)
