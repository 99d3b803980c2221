"""What one does with a trained generator: seeds, files of w, walks, mixing, directions, arithmetic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

import mulligan
from mulligan import UserError
from mulligan.cli import main
from mulligan.edit import between
from mulligan.edit.arithmetic import terms_of, total
from mulligan.edit.directions import factorized, find_directions, moved, readers
from mulligan.edit.mixing import mix, mixed, words_of
from mulligan.edit.styles import labels_of, load_w, names_of, parse_layers, parse_seeds, save_w, stops
from mulligan.experiment import Experiment

NET = {"latent": 6, "style": 5, "most": 4, "base": 64}
TINY: dict[str, dict[str, Any]] = {
    "stylegan2": {"net": NET, "batch": 4},
    "stylegan3": {"net": {**NET, "depth": 4}, "batch": 4},
    "stylegan": {"net": NET, "batch": 4},
    "dcgan": {"width": 4, "latent": 6, "batch": 4},
    "cgan": {"width": 4, "latent": 6, "batch": 4},
    "progressive": {"growth": {"most": 8, "base": 64}, "latent": 6, "batch": 4},
    "biggan": {"net": {"latent": 6, "shared": 6, "width": 4}, "batch": 4},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def runs(folder: Path) -> Any:
    """Runs by recipe, made when they are asked for: a couple of rounds on digits."""
    made: dict[str, Experiment] = {}

    def run(name: str) -> Experiment:
        if name not in made:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("mulligan.job.previewer", lambda *_: None)
                data, out = "digits", folder / name
                mulligan.train(name, data, images=8, doctor=False, device="cpu", out=out, **TINY[name])
            made[name] = mulligan.load(out, "cpu")
        return made[name].truncate(1)

    return run


@pytest.fixture
def styled(runs: Any) -> Experiment:
    return runs("stylegan2")


@pytest.fixture
def plain(runs: Any) -> Experiment:
    return runs("dcgan")


def test_seeds_as_they_are_written():
    assert parse_seeds("1, 5,10-12,7-7") == [1, 5, 10, 11, 12, 7]


@pytest.mark.parametrize("text", ["", "a", "-1", "1-", "3-2", "1,,2", "1.5", "9" * 5000, "0-100000", str(2**64)])
def test_seeds_that_are_none(text: str):
    with pytest.raises(UserError, match="seeds "):
        parse_seeds(text)


def test_layers_by_name_are_the_papers_at_1024_pixels():
    named = [parse_layers(word, 18) for word in ("coarse", "middle", "fine")]
    assert named == [list(range(4)), list(range(4, 8)), list(range(8, 18))]
    for count in range(5, 27):  # of any generator they are all its layers, each once
        each = [parse_layers(word, count) for word in ("coarse", "middle", "fine")]
        assert [layer for layers in each for layer in layers] == list(range(count))
    assert parse_layers("0-2,5,2", 6) == [0, 1, 2, 5]
    assert words_of("0-2,5", 6) == "0-2,5: layers 0-2,5 of 0-5"
    for text in ("6", "3-2", "x", "", "-1"):
        with pytest.raises(UserError, match="--layers "):
            parse_layers(text, 6)


def test_a_seed_is_the_same_alone_and_among_others(styled: Experiment, runs: Any):
    for run in (styled, runs("cgan")):
        w, y = stops(run, "4,7-9")
        alone, label = stops(run, [8])
        assert torch.equal(w[2:3], alone)
        assert y is None or torch.equal(y[2:3], label)  # type: ignore[arg-type]
    assert torch.equal(stops(styled, [8])[0], styled.w(styled.latents(1, 8), torch.tensor([8])))


def test_labels_of_seeds(runs: Any):
    run = runs("cgan")
    assert labels_of(run, [3, 12, 20]).tolist() == [3, 2, 0]
    assert labels_of(run, [3, 12, 20], "4").tolist() == [4, 4, 4]
    assert labels_of(run, [3, 12, 20], "4,5").tolist() == [4, 5, 4]
    with pytest.raises(UserError, match="no label '77'"):
        labels_of(run, [1], "4,77")


def test_a_file_of_w_stands_for_seeds(styled: Experiment, runs: Any, tmp_path: Path, capsys: Any):
    for run in (styled, runs("cgan")):
        w, y = stops(run, "3,5")
        path = save_w(tmp_path / "two.safetensors", w, run, y)
        assert torch.equal(load_w(path, run), w)
        again, told = stops(run, f"{path},7")
        assert torch.equal(again[:2], w)
        assert y is None or torch.equal(told[:2], y)  # type: ignore[index]
        assert names_of(f"{path},7", 3) == ["two", "two", "7"]
    assert capsys.readouterr().err == ""


def test_a_wrong_file_of_w_is_told(styled: Experiment, plain: Experiment, tmp_path: Path):
    path = tmp_path / "w.safetensors"
    save_w(path, plain.latents(2), plain)
    with pytest.raises(UserError, match=r"shape 2×6, .* styles .* of shape n×4×5; it is of another run \(dcgan"):
        load_w(path, styled)
    with pytest.raises(UserError, match="shape 1×3×5"):
        save_w(path, torch.zeros(1, 3, 5), styled)
    with pytest.raises(UserError, match=r"saved as \.safetensors"):
        save_w(tmp_path / "w.pt", plain.latents(1), plain)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="holds no tensor w"):
        load_w(path, plain)
    save_file({"w": torch.full((1, 6), torch.nan)}, path)
    with pytest.raises(UserError, match="NaN or infinite"):
        load_w(path, plain)
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match="can't be read as safetensors"):
        load_w(path, plain)
    with pytest.raises(UserError, match="isn't there"):
        load_w(tmp_path / "none.safetensors", plain)


def test_mixing_all_layers_gives_the_columns_and_their_own_the_rows(styled: Experiment):
    rows, columns = stops(styled, "0,1"), stops(styled, "2-4")
    top, left = styled.picture(columns[0]), styled.picture(rows[0])
    all_of_them = mix(styled, rows, columns, "all")
    assert all_of_them.shape == (2, 3, 1, 8, 8)
    assert torch.equal(all_of_them[0], top)
    assert torch.equal(all_of_them[1], top)
    assert torch.equal(mix(styled, rows, rows, "fine")[range(2), range(2)], left)
    assert torch.equal(mixed(rows[0], columns[0], [])[:, 0], rows[0])
    w = mixed(rows[0], columns[0], [1, 2])
    assert torch.equal(w[1, 2, [0, 3]], rows[0][1, [0, 3]])
    assert torch.equal(w[1, 2, [1, 2]], columns[0][2, [1, 2]])


def test_mixing_needs_styles(plain: Experiment):
    with pytest.raises(UserError, match="dcgan run, whose generator has no styles: mixing needs"):
        mix(plain, stops(plain, "0"), stops(plain, "1"), "all")


def test_directions_are_the_eigenvectors():
    A = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    vectors, values = factorized(A, 4)
    theirs, rotation = np.linalg.eigh(A.double().numpy().T @ A.double().numpy())
    assert np.allclose(values, theirs[::-1][:4])
    assert np.allclose((vectors.numpy() @ rotation[:, ::-1])[:, :4].__abs__(), np.eye(4), atol=1e-8)
    assert torch.allclose(vectors @ vectors.T, torch.eye(4, dtype=torch.double), atol=1e-10)
    assert bool((vectors.gather(1, vectors.abs().argmax(1, keepdim=True)) > 0).all())


def affine(module: nn.Module) -> torch.Tensor:
    """The scaled weights of a layer that reads styles."""
    factor = module.gain if hasattr(module, "gain") else module.scale
    return module.weight * factor  # type: ignore[operator]


@pytest.mark.parametrize("name", ["stylegan2", "stylegan3", "stylegan"])
def test_every_layer_that_reads_w_is_found(name: str, runs: Any):
    run = runs(name)
    there = {key: m for key, m in run.sampler.named_modules() if key.rpartition(".")[2] in ("affine", "style")}
    found = readers(run)
    assert len(found) == len(there) > 3
    assert {layer for layer, _ in found} == set(range(stops(run, [0])[0].shape[1]))
    expected = sorted(float(affine(m).double().square().sum()) for m in there.values())
    assert np.allclose(sorted(float(A.square().sum()) for _, A in found), expected, rtol=1e-4)
    stack = torch.cat([A for layer, A in found if layer in (1, 2)])
    assert torch.allclose(find_directions(run, 3, "1-2").vectors.double(), factorized(stack, 3)[0], atol=1e-6)


@pytest.mark.parametrize("name", ["dcgan", "cgan"])
def test_without_styles_the_first_layer_is_read(name: str, runs: Any):
    run = runs(name)
    ((_, A),) = readers(run)
    first = next(m for m in run.sampler.modules() if isinstance(m, nn.Linear))
    assert torch.allclose(A, first.weight[:, :6].double(), atol=1e-5)
    with pytest.raises(UserError, match="--layers coarse needs a run of stylegan"):
        find_directions(run, 2, "coarse")
    with pytest.raises(UserError, match="--count 7: from 1 to 6"):
        find_directions(run, 7)


def test_a_first_layer_with_a_leaky_relu_is_read_before_it(runs: Any):
    run = runs("progressive")
    ((_, A),) = readers(run)
    first = next(m for m in run.sampler.modules() if isinstance(m, nn.Linear))
    weight = first.weight.double()
    assert torch.allclose(A / A.norm(), weight / weight.norm(), atol=1e-3)


def test_parts_of_z_that_several_layers_read_count_together(runs: Any):
    found = readers(runs("biggan"))
    assert len(found) > 2
    read = torch.stack([A.abs().amax(0) > 0 for _, A in found])
    assert read.any(0).all(), "every entry of z is read"
    assert not read.all(1).any(), "no layer reads all of them"
    assert find_directions(runs("biggan"), 6).vectors.shape == (6, 6)


def test_moving_along_a_direction(styled: Experiment):
    found = find_directions(styled, 2, "0-1")
    w = stops(styled, "0,1")[0]
    far = moved(w, found, 1, [-2.0, 0.0, 2.0])
    assert torch.equal(far[:, 1], w)
    step = 2 * found.deviations[1] * found.vectors[1]
    assert torch.allclose(far[:, 2, :2] - w[:, :2], step.expand(2, 2, -1), atol=1e-5)
    assert torch.equal(far[:, 2, 2:], w[:, 2:])


def test_arithmetic_takes_means(styled: Experiment):
    w = stops(styled, "0-4")[0]
    terms = terms_of(styled, "0", "1,2", "3-4")
    assert torch.allclose(total(terms)[0], w[0] + w[1:3].mean(0) - w[3:].mean(0), atol=1e-6)
    assert torch.allclose(total(terms_of(styled, "0", "1", "1")), w[:1], atol=1e-6)
    with pytest.raises(UserError, match="give --plus or --minus"):
        terms_of(styled, "0", None, None)


def test_easing_begins_and_ends_where_it_should():
    t = torch.linspace(0, 1, 101)
    smooth = between.eased(t, "smooth")
    assert torch.allclose(smooth[[0, 50, 100]], torch.tensor([0.0, 0.5, 1.0]), atol=1e-6)
    assert bool((smooth.diff() > 0).all())
    assert float(smooth[1]) < 0.001
    assert torch.equal(between.eased(t, "linear"), t)


@pytest.mark.parametrize("space", ["w", "z"])
def test_a_walk_passes_through_its_stops(space: Any, styled: Experiment):
    w = stops(styled, "1,2,3", "4")[0]
    walk = between.named_walk(styled, "1,2,3", "4", space=space)
    frames = torch.stack(list(between.frames(styled, walk, 4)))
    assert frames.shape == (12, 1, 1, 8, 8)
    assert torch.allclose(frames[::4, 0], styled.picture(w), atol=1e-5)
    half = torch.stack(list(between.frames(styled, walk, 2, "linear")))[1]
    if space == "w":
        assert torch.allclose(half, styled.picture(w[:2].mean(0, keepdim=True)), atol=1e-5)
    ends = list(between.frames(styled, between.named_walk(styled, "1,2,3", "4", space=space, closed=False), 4))
    assert len(ends) == 9
    assert torch.allclose(ends[-1], styled.picture(w[2:]), atol=1e-5)


def test_a_random_walk_without_styles_is_the_experiments_own(plain: Experiment):
    walk = between.random_walk(plain, through=3, walks=2, seed=5)
    assert torch.equal(torch.stack(list(between.frames(plain, walk, 4, "linear"))), plain.interpolate(4, 3, 5, None, 2))


def test_walks_that_cannot_be(styled: Experiment, plain: Experiment, runs: Any):
    with pytest.raises(UserError, match="--in w needs a run of stylegan"):
        between.random_walk(plain, space="w")
    with pytest.raises(UserError, match="needs two stops"):
        between.named_walk(plain, "3")
    with pytest.raises(UserError, match="a file holds w, not z"):
        between.named_walk(styled, "3,x.safetensors", space="z")
    with pytest.raises(UserError, match="a walk in z keeps one label"):
        between.named_walk(runs("cgan"), "3,4", label="1,2")


def test_truncated_to_nothing_all_seeds_are_one_picture(styled: Experiment):
    x = styled.truncate(0).picture(*stops(styled, "0-5"))
    assert torch.equal(x, x[:1].expand_as(x))
    x = styled.truncate(1).picture(*stops(styled, "0-5"))
    assert not torch.equal(x[0], x[1])


def test_the_commands_make_their_pictures(
    styled: Experiment, plain: Experiment, tmp_path: Path, monkeypatch: Any, capsys: Any
):
    monkeypatch.chdir(tmp_path)
    run, other = str(styled.path), str(plain.path)
    main(["arithmetic", run, "--base", "0", "--plus", "1,2", "--minus", "3", "-o", "sum.png"])
    main(["mix", run, "--rows", "0,sum.safetensors", "--columns", "4,5,6", "--psi", "0.7", "-o", "mix.png"])
    main(["directions", run, "--count", "2", "--layers", "0-1", "--seeds", "0", "-o", "strip.png"])
    main(["directions", other, "--count", "2", "-o", "plain.png"])
    main(["sample", run, "--seeds", "sum.safetensors,1-3", "--psi", "0.5", "-o", "few.png"])
    main(["sample", other, "--seeds", "1-3", "-o", "few"])
    main(["interpolate", run, "--seeds", "1,sum.safetensors", "--steps", "3", "-o", "walk.webp"])
    printed = capsys.readouterr().out.split()
    assert all(name in printed for name in ("sum.safetensors", "sum.png", "mix.png", "strip.png", "few", "walk.webp"))
    with Image.open("mix.png") as sheet:
        assert sheet.width > 4 * 48
        assert sheet.height > 3 * 48
    strip = load_file("strip.safetensors")
    assert strip["directions"].shape == (2, 5)
    assert strip["eigenvalues"].shape == strip["deviations"].shape == (2,)
    assert sorted(path.name for path in Path("few").iterdir()) == ["000000.png", "000001.png", "000002.png"]
    with Image.open("walk.webp") as walk:
        assert getattr(walk, "n_frames", 1) == 6


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("mix PLAIN", "has no styles"),
        ("mix STYLED --layers 9", "the generator has 4 layers, 0-3"),
        ("mix STYLED -o mix.gif", "name a .png"),
        ("directions STYLED --strength 0", "--strength 0: a number above 0"),
        ("directions STYLED --seeds face.safetensors", "face.safetensors isn't there"),
        ("arithmetic PLAIN --base 1", "give --plus or --minus"),
        ("interpolate STYLED --seeds 1,x", "'x' is none"),
        ("sample STYLED --psi 2", "psi is 2"),
        ("sample STYLED --seeds 1 --count 3", "take one of them"),
    ],
)
def test_wrong_wishes_write_nothing(
    words: str, message: str, styled: Experiment, plain: Experiment, tmp_path: Path, monkeypatch: Any, capsys: Any
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main([{"PLAIN": str(plain.path), "STYLED": str(styled.path)}.get(word, word) for word in words.split()])
    assert left.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
