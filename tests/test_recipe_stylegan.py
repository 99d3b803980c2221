"""StyleGAN: what grows, what is mixed, what is pulled, and what stays the same when it is looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import mulligan
from mulligan import UserError
from mulligan.core.clock import Clock
from mulligan.experiment import Described
from mulligan.nets.progressive import FINE, LEAK
from mulligan.parts import objectives
from mulligan.zoo import find

from .test_recipes import pictures, small


def game(seed: int = 0, **more: Any) -> Any:
    torch.manual_seed(seed)
    recipe = find("stylegan")
    return recipe.plan(Described((3, 16, 16), (), 10), recipe.arguments({**small("stylegan"), **more})).game


def noisy(G: Any) -> Any:
    """Noise starts at strength 0, where it can't be seen."""
    for name, strength in G.named_parameters():
        if name.endswith(".noise"):
            torch.nn.init.ones_(strength)
    return G


def played(made: Any, progress: float, n: int = 4) -> list[Any]:
    """The turns of one round at a share of the budget."""
    clock = Clock(budget=1000)
    clock.images = int(1000 * progress)
    return list(made.train().play(iter([{"x": torch.rand(n, 3, 16, 16) * 2 - 1}]), clock))


def test_it_is_as_large_as_the_paper_says() -> None:
    recipe = find("stylegan")
    with torch.device("meta"):
        G = recipe.plan(Described((3, 1024, 1024), (), 1), recipe.defaults()).game.sampler.G
    assert f"{sum(p.numel() for p in G.parameters()) / 1e6:.1f}M" == "26.2M"  # section 2
    assert len(G.net.mapping.layers) == 8
    assert G.net.synthesis.count == 18


def test_training_pictures_have_the_size_of_now_and_others_the_full_one() -> None:
    made = game(growth={"until": 0.5})
    sampler, seen = made.sampler, []
    made.critic.D.register_forward_pre_hook(lambda D, given: seen.append(tuple(given[0].shape[2:])))
    for progress, side, styles in ((0.0, 4, 2), (0.2, 8, 4), (0.5, 16, 6), (0.9, 16, 6)):
        seen.clear()
        assert [turn.player for turn in played(made, progress)] == ["D", "G"]
        assert set(seen) == {(side, side)}
        assert sampler(2).shape == (2, 3, side, side)
        assert sampler.styles(2).shape == (2, styles, 6)
        w = sampler.eval().w(sampler.latents(2))
        assert w.shape == (2, 6, 6)
        assert sampler.picture(w).shape == (2, 3, 16, 16)


def test_a_size_fades_in() -> None:
    G = game().sampler.eval().G
    ws = G.mapping(torch.randn(2, 6))
    G.stage.fill_(int(0.25 * FINE))
    with torch.no_grad():
        small_one, faded = (G.net.synthesis(ws, step, 1.0, "none") for step in (0, 1))
        mixed = G.net.synthesis(ws, *G.now, "none")
    before = torch.nn.functional.interpolate(small_one, scale_factor=2)
    assert G.now == (1, 0.25)
    assert torch.allclose(mixed, before.lerp(faded, 0.25), atol=1e-5)


def test_noise_is_fresh_in_training_and_always_the_same_afterwards() -> None:
    G = noisy(game().sampler.G)
    ws = G.eval().mapping(torch.randn(2, 6))
    with torch.no_grad():
        assert torch.equal(G.shown(ws), G.shown(ws))
        assert not torch.equal(G.made(ws), G.made(ws))
        twice = G.shown(ws[:1].expand(2, -1, -1))
        assert torch.allclose(twice[0], twice[1], atol=1e-5)
        before = G.shown(ws)
        G.noise_const5.add_(torch.randn_like(G.noise_const5))
        assert not torch.allclose(G.shown(ws), before)


def test_the_noise_comes_back_with_the_weights() -> None:
    one, other = (noisy(game(seed).sampler.eval()) for seed in (0, 1))
    z = torch.randn(2, 6)
    with torch.no_grad():
        assert not torch.allclose(one.decode(z), other.decode(z))
        other.load_state_dict(one.state_dict())
        assert torch.equal(one.decode(z), other.decode(z))


@pytest.mark.parametrize("mixing", [0.0, 1.0])
def test_two_latents_share_a_picture_as_often_as_mixing_says(mixing: float) -> None:
    sampler = game(mixing=mixing).sampler.train()
    for _ in range(4):
        w = sampler.styles(3)
        assert torch.equal(w[:, 0], w[:, -1]) == (not mixing)


def test_the_mean_of_w_follows_training_alone_and_psi_pulls_to_it() -> None:
    sampler = game(mixing=0.0).sampler.train()
    G = sampler.G
    w = sampler.styles(5)[:, 0]
    assert torch.allclose(G.w_avg, 0.005 * w.mean(0), atol=1e-7)
    kept = G.w_avg.clone()
    z = sampler.eval().latents(3)
    full, half = G.mapping(z), G.mapping(z, psi=0.5)
    assert torch.equal(G.w_avg, kept)
    assert torch.allclose(half, (full + kept) / 2, atol=1e-6)
    part = G.mapping(z, psi=0.5, cutoff=2)
    assert torch.equal(part[:, 2:], full[:, 2:])
    assert torch.equal(part[:, :2], half[:, :2])
    sampler.psi = 0.0
    one, other = sampler.decode(z[:2])
    assert torch.allclose(one, other, atol=1e-6)


def test_the_mapping_learns_a_hundred_times_slower() -> None:
    moved = []
    for rate in (0.01, 1.0):
        sampler = game(net={**small("stylegan")["net"], "rate": rate}).sampler.requires_grad_(False)
        layer = sampler.G.net.mapping.layers[0]
        x = torch.eye(6)
        start = torch.nn.functional.linear(x, layer.weight * layer.scale)
        assert 0.3 < float(start.std()) / (2 / 6) ** 0.5 < 1.7, "He's start, whatever the rate"
        layer.leak = None
        before = layer(x)
        for p in layer.parameters():
            p += 1e-2  # Adam's steps are as large as the rate, whatever the gradient
        moved.append(layer(x) - before)
    assert torch.allclose(moved[0], 0.01 * moved[1], rtol=1e-3, atol=1e-7)


def test_the_loss_is_non_saturating_with_r1() -> None:
    made = game(growth={"until": 0.0}, stabilize={"r1": 0.0})
    charged = game(growth={"until": 0.0})
    assert charged.stabilize.r1 == 10
    assert charged.objective is objectives.OBJECTIVES["nonsaturating"]
    torch.manual_seed(3)
    turn, _ = played(made, 0.9)
    real, fake = turn.stats["real"], turn.stats["fake"]
    expected = torch.nn.functional.softplus(-real).mean() + torch.nn.functional.softplus(fake).mean()
    assert torch.allclose(turn.loss, expected)
    torch.manual_seed(3)
    more, _ = played(charged, 0.9)
    assert bool(more.loss > turn.loss)


def test_the_papers_loss_for_celeba_hq_trains(tmp_path: Path) -> None:
    other = small("stylegan", stabilize={"loss": "wasserstein", "gp": 10.0})
    run = mulligan.train("stylegan", pictures(tmp_path / "x.npz", (3, 8, 8)), out=tmp_path / "run", **other)
    assert bool(run.sample(2).isfinite().all())


def test_networks_are_built_as_asked() -> None:
    net = {"latent": 5, "style": 7, "layers": 3, "maps": (6, 5, 4), "group": 0, "activated": False, "fused": 2}
    made = game(net=net)
    G, D = made.sampler.G, made.critic.D.net
    assert [layer.weight.shape for layer in G.net.mapping.layers] == [(7, 5), (7, 7), (7, 7)]
    assert [block["layer1"].source.weight.shape[:2] for block in list(G.net.synthesis.blocks)[1:]] == [(5, 6), (5, 4)]
    assert [block["layer1"].source.fused for block in list(G.net.synthesis.blocks)[1:]] == [False, True]
    assert D.deviation.group is None
    assert D.see[0].leak is None
    assert game().critic.D.net.see[0].leak == LEAK
    assert made.sampler(2).shape == (2, 3, 16, 16)


@pytest.mark.parametrize("maps", [(4, 4), (4, 4, 0)])
@pytest.mark.parametrize(("name", "field"), [("stylegan", "net"), ("progressive", "growth")])
def test_maps_that_fit_no_size_are_refused(name: str, field: str, maps: tuple[int, ...]) -> None:
    recipe = find(name)
    with pytest.raises(UserError, match="16x16 pixels take 3 numbers"):
        recipe.plan(Described((3, 16, 16), (), 10), recipe.arguments({**small(name), field: {"maps": maps}}))


def test_styles_of_a_run_can_be_edited(tmp_path: Path) -> None:
    data = pictures(tmp_path / "x.npz", (3, 16, 24))
    run = mulligan.train("stylegan", data, out=tmp_path / "run", **small("stylegan"))
    z = run.latents(3, seed=1)
    w = run.w(z)
    assert run.sampler.styled
    assert torch.equal(run.picture(w), run.decode(z))
    mixed = torch.cat([run.w(run.latents(3, seed=2))[:, :2], w[:, 2:]], 1)
    assert not torch.equal(run.picture(mixed), run.decode(z))
