"""Inversion finds what a generator was given, and writes all of it or nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import mulligan
from mulligan import UserError
from mulligan.cli import main
from mulligan.core.recipe import flatten
from mulligan.core.run import Run
from mulligan.edit import photos, search
from mulligan.edit.descend import rate
from mulligan.edit.files import read_w
from mulligan.edit.invert import invert
from mulligan.edit.looks import Looks, critic, looks
from mulligan.edit.search import psnr
from mulligan.experiment import Described, Experiment
from mulligan.metrics.lpips import lpips
from mulligan.parts.stabilize import Stabilize
from mulligan.zoo import find
from mulligan.zoo.image.progressive import Growth
from mulligan.zoo.image.stylegan2 import Networks

from .test_lpips import HEADS, needs_heads, random_state

QUICK: dict[str, Any] = {"steps": 12, "refine": 8, "starts": 16, "frames": 4}
TINY: dict[str, Any] = {"net": Networks(latent=64, style=64, base=512, most=32), "stabilize": Stabilize(r1=1)}


def fresh(path: Path, name: str, shape: tuple[int, ...] = (3, 32, 32), classes: int = 0, **given: Any) -> Experiment:
    """A run of a recipe at its initialisation, with its discriminator."""
    torch.manual_seed(0)
    recipe, data = find(name), Described(shape, tuple(map(str, range(classes))), 100)
    arguments = recipe.arguments(given)
    game = recipe.plan(data, arguments).game
    facts = {"name": "made", "shape": list(shape), "classes": list(data.classes), "count": 100}
    settings = {"recipe": recipe.spec, "sha256": "", "paper": "", "arguments": flatten(arguments), "data": facts}
    run = Run(path)
    run.create(settings)
    run.write_sampler(game.get_submodule("sampler"), settings)
    run.write_critic(game.get_submodule("critic.D"), settings)
    return Experiment(path, "cpu")


@pytest.fixture(scope="module")
def styled(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return fresh(tmp_path_factory.mktemp("styled") / "run", "stylegan2", **TINY)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """A DCGAN of two classes of blots, bright on dark and dark on bright, for a few rounds."""
    folder = tmp_path_factory.mktemp("trained")
    draw = np.random.default_rng(0)
    here, there = np.mgrid[:32, :32]
    y = np.arange(200) % 2
    spots = [np.exp(-((here - a) ** 2 + (there - b) ** 2) / 40) for a, b in draw.uniform(8, 24, (200, 2))]
    x = np.stack([np.where(label, spot, 1 - spot) for label, spot in zip(y, spots)])
    np.savez(folder / "blots.npz", x=(255 * x).astype(np.uint8), y=y)
    return mulligan.train(
        "cgan", folder / "blots.npz", out=folder / "run", width=8, latent=16, batch=32, images=3_200, device="cpu",
        ema=0, lr=1e-3, doctor=False,
    )  # fmt: skip


def photo(path: Path, x: Tensor) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(((x.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).squeeze().numpy()).save(path)
    return path


def test_a_sample_of_styles_is_found_again(styled: Experiment):
    x = styled.sample(1, seed=7)
    found = invert(styled, x, by=looks(styled, "pixels"), frames=0, starts=64, tries=2)
    assert found.start.item() < 15, "one of the starts was the answer: nothing was found"
    assert found.psnr.item() > 30
    assert found.space == "w+"
    assert found.w.shape == styled.w(styled.latents(1)).shape
    assert torch.allclose(psnr(styled.picture(found.w), x), found.psnr, atol=0.01), "w makes this picture"


def test_a_sample_of_latents_is_found_again_with_its_label(trained: Experiment):
    x = trained.decode(trained.latents(2, 123), torch.tensor([1, 0]))
    found = invert(trained, x)
    assert found.y is not None
    assert found.y.tolist() == [1, 0]
    assert (found.start < 30).all()
    assert (found.psnr > 33).all()
    assert torch.allclose(trained.picture(found.w, found.y), found.picture, atol=1e-5)


def test_a_sample_of_a_growing_network_is_found_again(tmp_path: Path):
    run = fresh(tmp_path / "run", "progressive", latent=32, growth=Growth(most=16, base=256, until=0.0))
    found = invert(run, run.sample(1, seed=3), frames=0, refine=60)
    assert found.start.item() < 20
    assert found.psnr.item() > 40


def test_one_style_for_each_layer_comes_nearer(styled: Experiment):
    x = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)).mul(2).sub(1)
    x = torch.nn.functional.interpolate(x, (32, 32), mode="bilinear")
    near = {s: invert(styled, x, space=s, steps=60, refine=20, by=Looks(), frames=0) for s in ("w", "w+")}
    assert near["w+"].psnr > near["w"].psnr + 0.5
    w = near["w"].w
    assert torch.equal(w, w[:, :1].expand_as(w)), "w is one style for all layers"


def test_a_seed_makes_it_the_same_again_and_company_makes_no_difference(trained: Experiment):
    x = trained.sample(3, seed=5)
    together, again = (invert(trained, x, **QUICK) for _ in range(2))
    first = {**QUICK, "refine": 0}  # L-BFGS enlarges what is rounded otherwise in a batch of another size
    company, alone = invert(trained, x, **first), invert(trained, x[1:2], **first)
    other = invert(trained, x, **QUICK, seed=1)
    assert torch.equal(together.w, again.w)
    assert torch.allclose(company.w[1:2], alone.w, atol=1e-4)
    assert not torch.allclose(together.w, other.w, atol=1e-3)
    assert together.frames.shape == (5, 3, 1, 32, 32)


def test_the_label_that_is_named_is_kept(trained: Experiment):
    found = invert(trained, trained.decode(trained.latents(1, 1), torch.tensor([0])), label="1", **QUICK)
    assert found.y is not None
    assert found.y.tolist() == [1]
    with pytest.raises(UserError, match="no label '7'"):
        invert(trained, trained.sample(1), label="7", **QUICK)


def test_latents_stay_where_they_are_drawn(trained: Experiment, monkeypatch: pytest.MonkeyPatch):
    """Noise can't be made; without the prior, latents run away for it."""
    noise = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(2)) * 2 - 1
    found = invert(trained, noise, steps=60, refine=40, frames=0)
    assert (found.w.square().mean(1) < 3).all()
    monkeypatch.setattr(search, "PRIOR", 0.0)
    assert (invert(trained, noise, steps=60, refine=40, frames=0).w.square().mean(1) > 5).all()


def test_pictures_are_compared_by_the_newest_discriminator(trained: Experiment):
    D = critic(trained)
    assert D is not None
    state, _ = trained.checkpoints.load()
    assert state is not None
    assert torch.equal(D.body.downs[0].weight, state["game"]["critic.D.body.downs.0.weight"])  # type: ignore[union-attr]
    by = looks(trained)
    assert "discriminator" in by.name
    x = trained.sample(4)
    apart = [(by.of(x)[0] - by.of(other)[0]).square().sum() for other in (x, x + 0.05, x.flip(0))]
    assert apart[0] == 0
    assert apart[0] < apart[1] < apart[2]
    assert apart[2] > (x[0] - x[3]).square().mean() + 0.01, "more than the pixels counts"


@pytest.mark.parametrize("name", ["stylegan2", "progressive"])
def test_pictures_do_not_see_each_other_through_the_discriminator(name: str, tmp_path: Path, styled: Experiment):
    more = {"latent": 16, "growth": Growth(most=8, base=64, until=0.0)}
    run = styled if name == "stylegan2" else fresh(tmp_path / "run", name, **more)
    by, x = looks(run, "critic"), run.sample(4)
    assert by.of(x).shape[1] > x[0].numel()
    assert torch.allclose(by.of(x)[:1], by.of(x[:1]), atol=1e-5)


def test_a_packed_discriminator_compares_too(tmp_path: Path):
    run = fresh(tmp_path / "run", "dcgan", width=4, latent=8, stabilize=Stabilize(packing=2))
    by, x = looks(run, "critic"), run.sample(3)
    assert torch.allclose(by.of(x)[:1], by.of(x[:1]), atol=1e-5)


def test_without_a_discriminator_pixels_are_compared(tmp_path: Path):
    run = fresh(tmp_path / "run", "dcgan", width=4, latent=8)
    run.critic_file.unlink()
    assert looks(run).name.startswith("pixels alone")
    with pytest.raises(UserError, match="no discriminator to compare by"):
        looks(run, "critic")
    with pytest.raises(UserError, match="--heads"):
        looks(run, "lpips")


@needs_heads
def test_lpips_compares_where_its_files_are_named(trained: Experiment, tmp_path: Path):
    torch.save(random_state("squeeze"), tmp_path / "trunk.pth")
    files: dict[str, Any] = {"trunk": tmp_path / "trunk.pth", "heads": HEADS / "v0.1_squeeze.pth"}
    by = looks(trained, net="squeeze", **files)
    assert by.name.startswith("pixels and distance_squeeze@")
    x = trained.sample(2)
    far = (by.of(x[:1]) - by.of(x[1:])).square().sum() - (x[0] - x[1]).square().mean()
    expected = lpips("squeeze", **files, device=trained.device)(x[:1], x[1:])
    assert far.item() == pytest.approx(0.1 * expected.item(), rel=1e-3)
    found = invert(trained, x, by=by, **QUICK)
    apart = [(by.of(x) - by.of(other)).square().sum(1) for other in (found.picture, x.flip(0))]
    assert (apart[0] < apart[1] / 2).all()


def test_the_rate_rises_and_falls():
    assert rate(0.025) == pytest.approx(0.5)
    assert rate(0.5) == 1
    assert rate(0.875) == pytest.approx(0.5)
    assert rate(1) == pytest.approx(0)


def test_psnr_is_that_of_a_peak_of_2():
    x = torch.zeros(1, 3, 4, 4)
    assert psnr(x + 0.2, x).item() == pytest.approx(20, abs=1e-4)
    assert psnr(x, x).item() == pytest.approx(120)


def test_the_command_writes_what_it_found(trained: Experiment, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    names = [str(photo(tmp_path / name / "me.png", x)) for name, x in zip("ab", trained.sample(2, seed=9))]
    out = tmp_path / "out"
    small = ["--steps", "6", "--refine", "3", "--device", "cpu"]
    main(["invert", str(trained.path), *names, "--out", str(out), *small])
    said = capsys.readouterr().out
    assert "compares by pixels and the features" in said
    assert said.count("PSNR") == 2
    assert said.splitlines()[-1] == str(out)
    assert {p.name for p in out.iterdir()} == {
        "w.safetensors", "picture.png", "result-me-1.png", "result-me-2.png", "way.gif",
    }  # fmt: skip
    assert Image.open(out / "result-me-1.png").size == (32, 32)
    assert getattr(Image.open(out / "way.gif"), "n_frames", 1) > 2
    w, y = read_w(out / "w.safetensors", trained)
    shown = np.asarray(Image.open(out / "result-me-2.png"), np.float32) / 127.5 - 1
    assert np.abs(trained.picture(w, y)[1, 0].numpy() - shown).max() < 0.01
    main(["invert", str(trained.path), names[0], "--video", "no", *small])
    kept = trained.path / "inverted-me"
    assert {p.name for p in kept.iterdir()} == {"w.safetensors", "picture.png", "result.png"}


def test_photos_are_cropped_resized_and_laid_on_white(trained: Experiment, tmp_path: Path):
    wide = np.zeros((64, 128, 4), np.uint8)
    wide[:, 32:96, 3] = 255  # black and solid in the middle, transparent beside it
    Image.fromarray(wide).save(tmp_path / "wide.png")
    Image.fromarray(np.zeros((40, 20, 4), np.uint8)).save(tmp_path / "nothing.png")
    x = photos.read_photos(trained, [tmp_path / "wide.png", tmp_path / "nothing.png"])
    assert x.shape == (2, 1, 32, 32)
    assert (x[0, :, :, 6:-6] == -1).all()
    assert (x[1] == 1).all()


def test_a_wrong_file_is_named_and_nothing_is_written(
    trained: Experiment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    good, bad = photo(tmp_path / "good.png", trained.sample(1)[0]), tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    before = sorted(tmp_path.iterdir())
    for wrong, why in ((bad, "not a picture"), (tmp_path / "none.png", "No such file"), (tmp_path, "is a folder")):
        with pytest.raises(SystemExit) as left:
            main(["invert", str(trained.path), str(good), str(wrong), "--out", str(tmp_path / "out")])
        assert left.value.code == 2
        assert str(wrong) in (said := capsys.readouterr().err)
        assert why in said
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("stop", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_half_a_result_is_never_left(
    stop: BaseException, trained: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    good, kept = photo(tmp_path / "good.png", trained.sample(1)[0]), tmp_path / "kept"
    small = ["--steps", "2", "--refine", "0"]
    main(["invert", str(trained.path), str(good), "--out", str(kept), *small])
    before = {path.name: path.read_bytes() for path in kept.iterdir()}

    def refuse(*_: Any) -> None:
        raise stop

    monkeypatch.setattr(photos, "save_video", refuse)
    for out in (tmp_path / "new", kept):
        with pytest.raises(SystemExit) as left:
            main(["invert", str(trained.path), str(good), "--out", str(out), "--seed", "1", *small])
        assert left.value.code == (130 if isinstance(stop, KeyboardInterrupt) else 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["good.png", "kept"]
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == before


def test_wrong_wishes_are_refused(trained: Experiment, styled: Experiment, tmp_path: Path):
    x = trained.sample(1)
    for run, wish, why in (
        (trained, {"space": "w"}, "no styles: take z"), (styled, {"space": "z"}, "take w or w"),
        (trained, {"steps": 0}, "--steps 0"), (trained, {"refine": -1}, "--refine -1"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=why):
            invert(run, run.sample(1), **{**QUICK, **wish})
    with pytest.raises(UserError, match="pictures of shape"):
        invert(styled, x, **QUICK)
    with pytest.raises(UserError, match=r"floats in \[-1, 1\]"):
        invert(trained, x * 255, **QUICK)
    taken = tmp_path / "taken"
    taken.write_text("")
    with pytest.raises(UserError, match="is a file"):
        photos.place(trained, [tmp_path / "a.png"], taken, "no")


def test_weights_that_make_no_numbers_are_refused(tmp_path: Path):
    run = fresh(tmp_path / "run", "dcgan", width=4, latent=8)
    x = run.sample(1)
    next(run.sampler.parameters()).fill_(float("nan"))
    with pytest.raises(UserError, match="not finite"):
        invert(run, x, by=replace(Looks()), **QUICK)
