"""Weights of official implementations: what comes in is what they made, and what is refused leaves nothing behind."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

import mulligan
from mulligan.auto import resolve
from mulligan.cli import main
from mulligan.core.run import Run
from mulligan.parts.samplers import Sampler
from mulligan.settings import describe
from mulligan.weights.bring import bring
from mulligan.zoo import SHELF, find

from . import helpers
from .test_hostile import Bomb, Evaluated, Nested
from .test_recipes import small

RADFORD = Path(__file__).resolve().parents[2] / "shared" / "weights" / "svhn_dcgan_radford"
GENERATOR = RADFORD / "svhn_dcgan_generator_state_dict.pt"
official = pytest.mark.skipif(
    not GENERATOR.is_file(), reason="the official weights lie beside the checkout in ../shared"
)
State = dict[str, Tensor]
Refused = Callable[..., str]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def state(width: int = 4, latent: int = 6, ups: int = 2, colours: int = 3) -> State:
    """Tensors of the official layout: three doublings from 4×4 where ups is 2."""
    torch.manual_seed(0)
    counts = [width * 2**i for i in range(ups, -1, -1)]
    made = {"fc.weight": torch.randn(16 * counts[0], latent)}
    for i, channels in enumerate([16 * counts[0], *counts[1:]], 1):
        made |= {f"bn{i}.weight": torch.rand(channels) + 0.5, f"bn{i}.bias": torch.randn(channels) / 4}
        made |= {f"bn{i}.running_mean": torch.randn(channels) / 4, f"bn{i}.running_var": torch.rand(channels) + 0.5}
    for i in range(1, ups + 1):
        made[f"up{i}.weight"] = torch.randn(counts[i - 1], counts[i], 5, 5) / 8
    return made | {"out.weight": torch.randn(counts[-1], colours, 5, 5) / 8}


def window(x: Tensor, weight: Tensor, start: int = 2) -> Tensor:
    """2h of the 2h + 3 pixels each way of a whole transposed convolution of stride 2."""
    size = 2 * x.shape[2]
    return F.conv_transpose2d(x, weight, stride=2)[:, :, start : start + size, start : start + size]


def written_out(s: State, z: Tensor, start: int = 2) -> Tensor:
    """The authors' network, layer by layer."""

    def norm(x: Tensor, i: int) -> Tensor:
        mean, variance, weight, bias = (s[f"bn{i}.{k}"] for k in ("running_mean", "running_var", "weight", "bias"))
        return F.relu(F.batch_norm(x, mean, variance, weight, bias, eps=1e-8))

    h = norm(z @ s["fc.weight"].t(), 1).view(len(z), -1, 4, 4)
    for i in range(1, 1 + sum(name.startswith("up") for name in s)):
        h = norm(window(h, s[f"up{i}.weight"], start), i + 1)
    return torch.tanh(window(h, s["out.weight"], start))


def saved(tensors: Any, name: str = "weights.pt") -> Path:
    torch.save(tensors, name)
    return Path(name)


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that must fail with code 2 and change nothing here; gives what it said."""

    def run(*words: str | Path) -> str:
        before = helpers.tree_hash(tmp_path)
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(word) for word in words])
        said = capsys.readouterr()
        assert left.value.code == 2, said.err
        assert helpers.tree_hash(tmp_path) == before, "something was written"
        assert "Traceback" not in said.err
        return said.err

    return run


@pytest.mark.parametrize(("ups", "colours"), [(1, 1), (2, 3), (3, 3)])
def test_makes_the_pictures_of_the_layout(ups: int, colours: int):
    tensors = state(ups=ups, colours=colours)
    run = bring(saved(tensors), "run")
    z = run.latents(5, seed=1)
    assert run.sample(5, seed=1).shape == (5, colours, 2 ** (ups + 3), 2 ** (ups + 3))
    assert torch.allclose(run.decode(z), written_out(tensors, z), atol=1e-5)
    assert not torch.allclose(run.decode(z), written_out(tensors, z, start=1), atol=1e-1)


def test_the_command_says_what_it_found_and_the_run_works(capsys: pytest.CaptureFixture[str]):
    file = saved(state())
    main(["import", str(file), "-o", "runs/official"])
    *lines, last = capsys.readouterr().out.splitlines()
    said = dict(line.split(maxsplit=1) for line in lines)
    assert last == "runs/official"
    assert said["latent"] == "6, normal"
    assert said["size"] == "3×32×32"
    assert said["parameters"] == f"{sum(t.numel() for n, t in state().items() if 'running' not in n):,}"
    assert said["SHA-256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert said["licence"].startswith("unknown")
    assert sorted(os.listdir("runs")) == ["official"]
    assert sorted(os.listdir(last)) == ["recipe.json", "sampler.safetensors", "samples"]

    main(["sample", last, "-n", "4", "--out", "four.png"])
    main(["interpolate", last, "--steps", "1", "--through", "2", "--walks", "1", "--out", "walk.gif"])
    main(["info", last])
    assert "3×32×32" in capsys.readouterr().out
    with Image.open("four.png") as sheet:
        assert min(sheet.size) >= 64
    assert mulligan.load(last).sample(2).equal(bring(file, "again").sample(2))


def test_its_place_is_named_after_recipe_and_data(capsys: pytest.CaptureFixture[str]):
    main(["import", str(saved(state()))])
    assert capsys.readouterr().out.splitlines()[-1] == "runs/radford-unknown"


def test_a_name_in_a_header_leads_nowhere_else():
    from safetensors.torch import save_file

    facts = {**OWN, "data": {**FACTS, "name": "../../../there"}}
    tensors = {f"G.{name}": tensor for name, tensor in state().items()}
    save_file(tensors, "weights.safetensors", {"mulligan": json.dumps(facts)})
    assert bring("weights.safetensors").path == Path("runs/radford-..-..-..-there")


def test_safetensors_and_halves_come_in_too():
    from safetensors.torch import save_file

    tensors = state()
    first = bring(saved(tensors), "first").sample(3)
    save_file({name: tensor.half() for name, tensor in tensors.items()}, "weights.bin")
    second = bring("weights.bin", Path("second")).sample(3)
    assert second.dtype == torch.float32
    assert torch.allclose(first, second, atol=0.1)
    torch.save(tensors, "old.pth", _use_new_zipfile_serialization=False)
    assert first.equal(bring("old.pth", "third").sample(3))


def shipped(recipe: str, folder: Path) -> tuple[Sampler, Path]:
    """A sampler of a recipe, with its file as a run writes it."""
    torch.manual_seed(0)
    made, source = find(recipe), mulligan.open_source("digits")
    arguments, _ = resolve(made, made.arguments(small(recipe)), source)
    sampler: Any = made.plan(source, arguments).game.sampler
    folder.mkdir()
    facts = {"round": 1, **describe(made, arguments, "digits", source, 0, "fp32")}
    Run(folder).write_sampler(sampler, facts)
    return sampler.eval(), folder / "sampler.safetensors"


@pytest.mark.parametrize("recipe", SHELF)
def test_a_sampler_of_our_own_comes_back(recipe: str, tmp_path: Path):
    sampler, file = shipped(recipe, tmp_path / "there")
    run = bring(file, "run")
    with torch.no_grad():
        wanted = sampler.decode(run.latents(4), run.some_labels(4))
    assert torch.allclose(run.sample(4), wanted, atol=1e-5)
    assert run.settings()["imported"]["from"] == "Mulligan"


def spoiled(change: Callable[[State], Any]) -> Callable[[], Path]:
    def make() -> Path:
        tensors = state()
        change(tensors)
        return saved(tensors)

    return make


def cut() -> Path:
    whole = saved(state()).read_bytes()
    Path("weights.pt").write_bytes(whole[: len(whole) // 2])
    return Path("weights.pt")


def flipped() -> Path:
    """One bit in the middle of the numbers, which only the archive's checksum shows."""
    bits = bytearray(saved(state()).read_bytes())
    bits[len(bits) // 2] ^= 1
    Path("weights.pt").write_bytes(bits)
    return Path("weights.pt")


def text() -> Path:
    Path("weights.pt").write_text("these are no weights\n" * 9)
    return Path("weights.pt")


def cut_safetensors() -> Path:
    from safetensors.torch import save

    Path("weights.safetensors").write_bytes(save(state())[:-9])
    return Path("weights.safetensors")


def headed(header: str) -> Callable[[], Path]:
    def make() -> Path:
        from safetensors.torch import save_file

        save_file(state(), "weights.safetensors", {"mulligan": header})
        return Path("weights.safetensors")

    return make


def holding_itself() -> Path:
    tensors: dict[str, Any] = {"epoch": 3, "name": "x"}
    return saved(tensors | {"all": tensors})


def discriminator() -> State:
    layers = {"conv1.weight": (4, 3, 5, 5), "conv2.weight": (8, 4, 5, 5), "bn2.weight": (8,), "fc.weight": (1, 128)}
    return {name: torch.zeros(shape) for name, shape in layers.items()}


def deep(doublings: int) -> State:
    """So many doublings of one channel: a small file, and pictures that no memory holds."""
    tensors = state(width=1, ups=1)
    for i in range(1, doublings):
        tensors[f"up{i}.weight"] = torch.zeros(1, 1, 5, 5)
    return tensors


FACTS = {"source": "x", "name": "x", "shape": [3, 32, 32], "classes": [], "count": 1, "fingerprint": ""}
OWN: dict[str, Any] = {"recipe": "radford", "sha256": "", "arguments": {"width": 4, "latent": 6}, "data": FACTS}
# what is wrong with the file: how it is made, and a part of the answer
WRONG: dict[str, tuple[Callable[[], Path], str]] = {
    "missing": (lambda: Path("nowhere.pt"), "nowhere.pt isn't there"),
    "folder": (lambda: Path("."), "is a folder: name the file"),
    "empty": (lambda: Path(os.devnull), "isn't there"),
    "cut": (cut, "weights.pt is damaged, or no file of weights"),
    "flipped bit": (flipped, "Bad CRC-32"),
    "cut safetensors": (cut_safetensors, "weights.safetensors is damaged"),
    "text": (text, "it must be what torch.save or safetensors wrote"),
    "no tensors": (holding_itself, "holds no tensors"),
    "list": (lambda: saved([torch.zeros(2)]), "holds no tensors"),
    "unknown": (lambda: saved({"a": torch.zeros(2, 3), "b\n\x1b[1m": torch.tensor(1)}), "a (2×3), 'b\\n\\x1b[1m' (one"),
    "formats": (lambda: saved({"a": torch.zeros(2)}), "Known: sampler.safetensors of a Mulligan run; the generator of"),
    "discriminator": (lambda: saved(discriminator()), "is the discriminator of Newmu/dcgan_code: name the file of the"),
    "missing tensor": (spoiled(lambda s: s.pop("bn2.bias")), "doesn't fit its network: G.bn2.bias is missing"),
    "extra tensor": (spoiled(lambda s: s.update(extra=torch.zeros(1))), "G.extra is left over"),
    "shape": (
        spoiled(lambda s: s.update({"up1.weight": torch.zeros(16, 8, 3, 3)})),
        "G.up1.weight is 16×8×3×3 instead of 16×8×5×5",
    ),
    "not finite": (spoiled(lambda s: s["bn1.bias"].fill_(torch.nan)), "bn1.bias has numbers that are not finite"),
    "no variance": (spoiled(lambda s: s["bn1.running_var"].fill_(-9)), "its pictures are not finite numbers"),
    "sparse": (spoiled(lambda s: s.update(x=torch.eye(3).to_sparse())), "x is no plain tensor of numbers"),
    "claims": (spoiled(lambda s: s.update(x=torch.zeros(1).expand(10**12))), "in a file of"),
    "claims width": (
        spoiled(lambda s: s.update({"out.weight": torch.zeros(5000, 1, 1, 1)})), "asks for networks of 50,012,"
    ),
    "no size": (spoiled(lambda s: s.update({"out.weight": torch.zeros(0, 3, 5, 5)})), "width is 0, but must be"),
    "doublings": (lambda: saved(deep(12)), "is to make 3×16384×16384 pictures: 2048 is the largest side"),
    "header": (headed("[1]"), "a header that no run of Mulligan writes"),
    "header's data": (headed(json.dumps(OWN | {"data": {**FACTS, "shape": [3, "x"]}})), "a header that no run of Mul"),
    "header's letters": (headed(json.dumps(OWN | {"data": {**FACTS, "source": "\x1b[2J"}})), "a header that no run of"),
    "header's recipe": (headed(json.dumps(OWN | {"recipe": "dcgn"})), "unknown recipe 'dcgn', did you mean 'dcgan'?"),
    "header's arguments": (headed(json.dumps(OWN | {"arguments": {"width": "4"}})), "width is '4' (str), but must"),
    "header's program": (headed(json.dumps(OWN | {"recipe": "evil.py:evil"})), "was trained with evil.py:evil, which"),
    "header of another network": (headed(json.dumps(OWN)), "G.fc.weight is missing"),
    "header of a huge network": (
        headed(json.dumps(OWN | {"arguments": {"width": 10**6, "latent": 10**9}})), "asks for networks of"
    ),
    "header of an impossible network": (
        headed(json.dumps(OWN | {"arguments": {"width": 10**15, "latent": 10**15}})), "network that can't be built"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_told_and_writes_nothing(name: str, refused: Refused):
    make, message = WRONG[name]
    assert message in refused("import", make(), "-o", "new/run")


@pytest.mark.parametrize("bomb", [Bomb, Evaluated, Nested])
@pytest.mark.parametrize("pack", ["bare", "inside", "old", "pickle", "safetensors"])
def test_a_file_that_would_run_code_is_refused(pack: str, bomb: type[Bomb], refused: Refused):
    flag, file = Path("it-ran").absolute(), Path("weights.pt")
    content = {"bare": bomb(flag)}.get(pack, {**state(), "extra": bomb(flag)})
    if pack in ("pickle", "safetensors"):
        file = file.with_suffix(".safetensors") if pack == "safetensors" else file
        file.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=pack != "old")
    assert "no code in a file is ever executed" in refused("import", file, "-o", "run")
    assert not flag.exists(), "the file ran code"


def test_a_recipe_file_in_a_header_is_not_run(refused: Refused):
    Path("evil.py").write_text("open('it-ran', 'w')\ndef evil(data): ...\n")
    digest = hashlib.sha256(Path("evil.py").read_bytes()).hexdigest()
    file = headed(json.dumps(OWN | {"recipe": "evil.py:evil", "sha256": digest}))()
    assert "was never trained with by this user" in refused("import", file, "-o", "run")
    assert not Path("it-ran").exists()


PLACES: dict[str, tuple[str, str]] = {
    "file": ("note.txt", "--out note.txt is a file: name a folder"),
    "below a file": ("note.txt/run", "can't write to note.txt/run"),
    "taken": ("taken", "--out taken is no new or empty folder"),
    "here": (".", "--out . is no new or empty folder"),
    "too long": ("x" * 300, "File name too long"),
}


@pytest.mark.parametrize("name", PLACES)
def test_a_wrong_place_is_told_and_left_alone(name: str, refused: Refused):
    file, (place, message) = saved(state()), PLACES[name]
    Path("note.txt").write_text("a file")
    Path("taken").mkdir()
    Path("taken/note.txt").write_text("a file")
    assert message in refused("import", file, "-o", place)


def test_an_empty_folder_is_taken():
    Path("empty").mkdir()
    assert bring(saved(state()), "empty").sample(1).shape == (1, 3, 32, 32)


@pytest.mark.parametrize("where", ["safetensors.torch.save", "mulligan.weights.bring.os.replace"])
def test_a_full_disk_leaves_nothing(where: str, refused: Refused, monkeypatch: pytest.MonkeyPatch):
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    file = saved(state())
    monkeypatch.setattr(where, full)
    said = refused("import", file, "-o", "deep/down/run")
    assert "can't write to deep/down/run" in said
    assert "No space left on device" in said


def test_training_does_not_start_anew_on_it(refused: Refused):
    bring(saved(state()), "run")
    words = ("train", "radford", "--data", "digits", "--size", "32", "--channels", "3", "--images", "8", "--batch", "4")
    assert "run holds imported weights" in refused(*words, "--width", "4", "--latent", "6", "--out", "run")


def test_a_single_sample_has_no_variance(refused: Refused):
    words = ("train", "radford", "--data", "digits", "--width", "4", "--images", "8", "--batch", "2")
    assert "needs 2 samples at a time" in refused(*words, "--accumulate", "2", "--out", "run")


class Window(nn.Module):
    """A transposed convolution that keeps another window than the official one."""

    def __init__(self, layer: nn.ConvTranspose2d, start: int, flip: bool) -> None:
        super().__init__()
        self.weight, self.start = layer.weight.flip(2, 3) if flip else layer.weight, start

    def forward(self, x: Tensor) -> Tensor:
        return window(x, self.weight, self.start)


def told(G: Any, z: Tensor) -> tuple[float, float]:
    """How the border varies beside the picture, and how far variances are from the running ones (logarithms)."""
    off: list[Tensor] = []

    def watch(layer: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        ratio = inputs[0].transpose(0, 1).flatten(1).var(1) / layer.get_buffer("running_var")
        off.append(ratio.log().abs())

    handles = [layer.register_forward_hook(watch) for layer in (G.bn2, G.bn3)]
    with torch.no_grad():
        x = G(z)
    for handle in handles:
        handle.remove()
    borders = (x[:, :, 0], x[:, :, -1], x[..., 0], x[..., -1])
    return min(float(border.std()) for border in borders) / float(x.std()), float(torch.cat(off).mean())


@official
def test_the_official_svhn_generator_makes_house_numbers(capsys: pytest.CaptureFixture[str]):
    main(["import", str(GENERATOR), "-o", "runs/svhn"])
    said = capsys.readouterr().out
    for part in ("Newmu/dcgan_code", "MIT", "100, normal", "3×32×32", "1,446,976", "4878b7666967ec7e", "200"):
        assert part in said
    run = mulligan.load("runs/svhn", "cpu")
    x = run.sample(1024, seed=1)
    assert x.shape == (1024, 3, 32, 32)
    for channel in x.transpose(0, 1):  # SVHN itself: means from -0.13 to -0.05, deviations 0.39 to 0.41
        assert -0.15 < float(channel.mean()) < 0
        assert 0.2 < float(channel.std()) < 0.45
    for a, b in ((x[..., 1:], x[..., :-1]), (x[:, :, 1:], x[:, :, :-1])):
        assert np.corrcoef(a.flatten().numpy(), b.flatten().numpy())[0, 1] > 0.9
    assert float(torch.pdist(x[:64].flatten(1)).min()) > 1, "two of them are the same"
    wanted = written_out(torch.load(GENERATOR, weights_only=True), run.latents(8, seed=1))
    assert torch.allclose(x[:8], wanted, atol=1e-4)


@official
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("start", [0, 1, 2, 3])
def test_only_one_geometry_is_that_of_the_weights(start: int, flip: bool):
    """The evidence of `zoo/image/radford.py`: grey frames, and variances that the weights don't come with."""
    run = bring(GENERATOR, "run")
    G, z = run.sampler.G, run.latents(256, seed=1)
    right = told(G, z)
    for name in ("up1", "up2", "out"):
        setattr(G, name, Window(getattr(G, name), start, flip))
    border, off = told(G, z)
    if start == 2 and not flip:
        assert (border, off) == pytest.approx(right, rel=1e-2)
        assert border > 0.9
        assert off < 0.08
    else:
        assert off > 0.11
        assert flip or border < 0.2


@official
def test_the_official_discriminator_is_not_taken_for_it(refused: Refused):
    said = refused("import", RADFORD / "svhn_dcgan_discriminator_state_dict.pt", "-o", "run")
    assert "is the discriminator of Newmu/dcgan_code: name the file of the generator" in said
