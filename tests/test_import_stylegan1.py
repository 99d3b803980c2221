"""Files in the layouts of style-based-gan-pytorch and pytorch_GAN_zoo come in as runs that make their pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import mulligan
from mulligan import UserError
from mulligan.weights import stylegan1
from mulligan.weights.bring import bring, recognise
from mulligan.weights.reading import read
from tests.parity.compare import compare
from tests.parity.fixture import Fixture, fixture

from .official_pickles import BaseConfig, saved

State = dict[str, Tensor]


def written(path: Path, value: Any) -> Path:
    path.write_bytes(saved(value, zipped=True))
    return path


def same(f: Fixture, key: str, value: Tensor) -> bool:
    return compare(f"out/{key}", value, f.arrays[f"out/{key}"], f.rtol).passed


def full(state: State, **beside: State) -> dict[str, Any]:
    """What their training saves; the optimizers' entries must be passed over."""
    optimizer = {"state": {0: {"step": 3, "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.001, "params": [0]}]}
    wrong = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    return {"generator": wrong, "g_running": state, "g_optimizer": optimizer, **beside}


@torch.no_grad()
def pictures(G: Any, f: Fixture, ws: Tensor) -> Tensor:
    """With the noise of the fixture, which has one for both layers of a size."""
    noise = [f[f"in/noise{i}"] for i in range(G.ups + 1) for _ in range(2)]
    return G.net.synthesis(ws, *G.now, noise)


@pytest.mark.parametrize("whole", [True, False], ids=["everything", "g_running alone"])
def test_a_stylegan_makes_the_pictures_that_its_own_code_made(whole: bool, tmp_path: Path) -> None:
    f = fixture("stylegan1_generator_rosinality")
    state = f.under("state/")
    run = bring(written(tmp_path / "x.model", full(state) if whole else state), tmp_path / "run")
    G = mulligan.load(run.path).sampler.G
    ws = G.mapping(f["in/z"])
    assert ws.shape == (3, 8, 20)
    assert same(f, "style", ws[:, 0])
    assert same(f, "img_step3_alpha-1", pictures(G, f, ws))
    mixed = torch.cat([G.mapping(f["in/z2"])[:, :4], ws[:, 4:]], 1)
    assert same(f, "img_mixing", pictures(G, f, mixed))
    G.w_avg.copy_(f["in/mean_style"][0])
    assert same(f, "img_truncated", pictures(G, f, G.mapping(f["in/z"], psi=0.7)))


def test_an_imported_stylegan_shows_one_picture_for_a_latent_and_is_pulled_to_its_mean(tmp_path: Path) -> None:
    f = fixture("stylegan1_generator_rosinality")
    run = bring(written(tmp_path / "x.model", f.under("state/")), tmp_path / "run")
    again = bring(tmp_path / "x.model", tmp_path / "again")
    x = run.sample(3, seed=1)
    assert x.shape == (3, 3, 32, 32)
    assert torch.equal(x, again.sample(3, seed=1))
    w = run.w(run.latents(2000, seed=5))[:, 0]
    assert torch.allclose(run.sampler.G.w_avg, w.mean(0), atol=0.1 * float(w.std()))
    one, other = run.truncate(0).sample(2, seed=1)
    assert torch.allclose(one, other, atol=1e-5)


def test_a_stylegan_that_has_not_grown_so_far_comes_in_at_the_size_it_has(tmp_path: Path) -> None:
    f = fixture("stylegan1_generator_rosinality")
    state = f.under("state/")
    for name in ("progression.3.noise1.weight_orig", "progression.3.noise2.weight_orig", "to_rgb.3.conv.bias"):
        state[f"generator.{name}"].zero_()
    run = bring(written(tmp_path / "x.model", state), tmp_path / "run")
    assert run.sample(2).shape == (2, 3, 16, 16)
    whole = stylegan1.generator(f.config)
    whole.load_state_dict({ours: state[key] for key in state if (ours := stylegan1.generator_key(key))})
    noise = [f[f"in/noise{i}"] for i in range(3) for _ in range(2)]
    with torch.no_grad():
        expected = whole(f["in/z"], 2, noise=noise)
        assert torch.allclose(run.sampler.G.net(f["in/z"], noise=noise), expected, atol=1e-5)


def beside(f: Fixture, activated: bool = True) -> State:
    """The state of a generator, in their names, as wide as the discriminator of a fixture; its blocks aren't fused."""
    torch.manual_seed(0)
    widths: list[int] = f.config["widths"]
    made: State = {"style.1.linear.weight_orig": torch.randn(6, 6), "style.1.linear.bias": torch.randn(6)}
    for i, width in enumerate(widths):
        block, before = f"generator.progression.{i}", widths[max(i - 1, 0)]
        if i:
            made[f"{block}.conv1.1.conv.weight_orig"] = torch.randn(width, before, 3, 3)
            made[f"{block}.conv1.1.conv.bias"] = torch.randn(width)
            made[f"{block}.conv1.2.weight"] = f["state/progression.0.conv2.0.weight"][:1].expand(width, -1, -1, -1)
        else:
            made[f"{block}.conv1.input"] = torch.randn(1, width, 4, 4)
        made[f"{block}.conv2.conv.weight_orig"] = torch.randn(width, width, 3, 3)
        made[f"{block}.conv2.conv.bias"] = torch.randn(width)
        for layer in (1, 2):
            made[f"{block}.noise{layer}.weight_orig"] = torch.randn(1, width, 1, 1)
            made[f"{block}.adain{layer}.style.linear.weight_orig"] = torch.randn(2 * width, 6)
            made[f"{block}.adain{layer}.style.linear.bias"] = torch.randn(2 * width)
        made[f"generator.to_rgb.{i}.conv.weight_orig"] = torch.randn(3, width, 1, 1)
        made[f"generator.to_rgb.{i}.conv.bias"] = torch.randn(3)
    return made


@torch.no_grad()
def logits(run: mulligan.Experiment, x: Tensor) -> Tensor:
    """What the discriminator that came with a run says."""
    D = run.plan.game.get_submodule("critic.D")
    D.load_state_dict(load_file(run.critic_file))
    return D(x)[:, None]


def test_its_discriminator_comes_with_it(tmp_path: Path) -> None:
    f = fixture("stylegan1_discriminator_rosinality")
    file = written(tmp_path / "x.model", full(beside(f), discriminator=f.under("state/")))
    run = bring(file, tmp_path / "run")
    assert run.sample(1).shape == (1, 3, 32, 32)
    assert same(f, "logits_step3_alpha-1", logits(run, f["in/x"]))


def test_a_discriminator_of_another_kind_or_width_is_told_from_ours(tmp_path: Path) -> None:
    f = fixture("stylegan1_discriminator_rosinality")
    G = fixture("stylegan1_generator_rosinality").under("state/")
    D = f.under("state/")
    assert recognise(read(written(tmp_path / "wide.model", full(G, discriminator=D)))).critic == {}
    plain = {name.replace(".0.conv.", ".conv.") if "from_rgb" in name else name: D[name] for name in D}
    found = recognise(read(written(tmp_path / "plain.model", full(beside(f), discriminator=plain))))
    assert found.arguments["net.activated"] is False
    run = bring(tmp_path / "plain.model", tmp_path / "run")
    assert not same(f, "logits_step3_alpha-1", logits(run, f["in/x"]))


def test_files_that_ours_cannot_be_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    f = fixture("stylegan1_generator_rosinality")
    state = f.under("state/")

    def refused(changed: State, why: str) -> None:
        with pytest.raises(UserError, match=why):
            bring(written(tmp_path / "x.model", changed), tmp_path / "run")
        assert not (tmp_path / "run").exists()

    filters = [name for name in state if stylegan1.FILTER.fullmatch(name)]
    older = {name.replace("conv1.1.conv", "conv1.conv"): state[name] for name in state if name not in filters}
    refused(older, "don't grow by the filter 1 2 1")
    refused({**state, filters[0]: torch.ones(16, 1, 3, 3) / 9}, "don't grow by the filter 1 2 1")
    refused({name: state[name] for name in state if "style.1." not in name}, r"layers\.0\.weight is missing")
    refused({name: state[name] for name in state if "noise1" not in name}, "noise1.weight_orig is missing")
    refused({**state, "style.1.linear.weight_orig": torch.ones(20, 7)}, "no whole StyleGAN")
    refused({**state, "style.1.linear.weight_orig": torch.ones(())}, "no whole StyleGAN")


def zoo(G: State, D: State | None = None, **config: Any) -> dict[str, Any]:
    """What torch.hub serves: the networks behind a configuration, an object of a class of theirs."""
    told = BaseConfig()
    usual = {"lossCriterion": "WGANGP", "alpha": 0, "leakyReluLeak": 0.2, "perChannelNormalization": True}
    told.__dict__ |= {**usual, "equalizedlR": True, "categoryVectorDim": 0, "attribKeysOrder": None, **config}
    wrong = {name: torch.zeros_like(tensor) for name, tensor in G.items()}
    return {"config": told, "netG": wrong, "avgG": G, **({"netD": D} if D else {})}


@pytest.mark.parametrize(("alpha", "key"), [(0, "img_alpha0"), (0.35, "img_alpha0.35")])
def test_a_progressive_network_makes_the_pictures_that_its_own_code_made(
    alpha: float, key: str, tmp_path: Path
) -> None:
    f = fixture("pgan_generator_ganzoo")
    bring(written(tmp_path / "x.pth", zoo(f.under("state/"), alpha=alpha)), tmp_path / "run")
    run = mulligan.load(tmp_path / "run")
    assert same(f, key, run.decode(f["in/z"]))
    assert run.latents(2).shape == (2, 14)


def test_a_progressive_network_without_its_configuration_comes_in_too(tmp_path: Path) -> None:
    f = fixture("pgan_generator_ganzoo")
    run = bring(written(tmp_path / "x.pth", f.under("state/")), tmp_path / "run")
    assert same(f, "img_alpha0", run.decode(f["in/z"]))


def test_the_discriminator_of_a_progressive_network_comes_with_it(tmp_path: Path) -> None:
    f = fixture("pgan_discriminator_ganzoo")
    torch.manual_seed(0)
    wide = fixture("pgan_generator_ganzoo").under("state/")
    assert recognise(read(written(tmp_path / "wide.pth", zoo(wide, f.under("state/"))))).critic == {}
    shapes = {"scaleLayers.0.0": (10, 12, 3, 3), "scaleLayers.0.1": (10, 10, 3, 3), "scaleLayers.1.0": (8, 10, 3, 3)}
    G = {**wide, **{f"{name}.module.weight": torch.randn(shape) for name, shape in shapes.items()}}
    G |= {f"{name}.module.bias": torch.randn(shape[0]) for name, shape in shapes.items()}
    G["toRGBLayers.1.module.weight"] = torch.randn(3, 10, 1, 1)
    file = written(tmp_path / "x.pth", zoo(G, f.under("state/")))
    assert same(f, "logits_alpha0", logits(bring(file, tmp_path / "run"), f["in/x"]))


def test_progressive_networks_that_ours_cannot_be_are_refused(tmp_path: Path) -> None:
    state = fixture("pgan_generator_ganzoo").under("state/")

    def refused(why: str, changed: State = state, **config: Any) -> None:
        with pytest.raises(UserError, match=why):
            bring(written(tmp_path / "x.pth", zoo(changed, **config)), tmp_path / "run")
        assert not (tmp_path / "run").exists()

    refused("lossCriterion 'DCGAN', ours can't", lossCriterion="DCGAN")
    refused("categoryVectorDim 4, ours can't", categoryVectorDim=4)
    refused("leakyReluLeak 0.1, ours can't", leakyReluLeak=0.1)
    refused("leakyReluLeak .*, ours can't", leakyReluLeak=torch.ones(2))
    refused("alpha 3.0", alpha=3)
    refused("0 sizes", {name: state[name] for name in state if "toRGB" not in name})
    refused("weight is missing", {name: state[name] for name in state if name != "toRGBLayers.1.module.weight"})
