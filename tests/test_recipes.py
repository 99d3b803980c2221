"""Every recipe on the shelf: builds, trains three rounds, resumes, samples, at every shape it can make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mulligan
from mulligan.auto import resolve
from mulligan.core.errors import UserError
from mulligan.core.recipe import flatten, nest
from mulligan.experiment import Described
from mulligan.zoo import SHELF, find, shelf

from . import helpers

NAMES = list(SHELF)
SHAPES = [(1, 8, 8), (3, 28, 28), (4, 32, 32), (1, 64, 64), (3, 16, 24)]
LABELLED = {"cgan", "acgan", "projection"}
STYLED: dict[str, dict[str, Any]] = {"stylegan": {}, "stylegan2": {}, "stylegan3": {"depth": 4}}
BUILT_IN = {*STYLED, "progressive", "fastgan", "biggan", "sagan"}  # no room for a spectral norm
PICTURES = {*STYLED, "progressive", "fastgan", "biggan", "sagan"}
UNSMOOTHED = {"wgan", "wgan_gp", "sngan", "projection", "r3gan", "progressive", "fastgan", "biggan", "sagan"}
RESIDUAL = {"sngan", "projection"}  # D is half as wide and has no slope below zero: narrower ones die at once


def small(name: str, **more: Any) -> dict[str, Any]:
    """Arguments that make a recipe quick."""
    from mulligan.zoo.image.gan import MLP

    if name in STYLED:
        return {
            "net": {"latent": 6, "style": 6, "most": 4, "base": 64, **STYLED[name]},
            "batch": 4,
            "images": 12,
            **more,
        }
    if name == "fastgan":
        return {"net": {"latent": 6, "width": 4, "most": 8}, "batch": 4, "images": 12, **more}
    size: dict[str, Any] = {"mlp": MLP(widths=(16, 16))} if name == "gan" else {"width": 16 if name in RESIDUAL else 4}
    size = {"growth": {"most": 8, "base": 64}} if name == "progressive" else size
    if name == "biggan":
        return {"net": {"latent": 6, "shared": 6, "width": 4}, "batch": 4, "images": 24, **more}
    turns = find(name).defaults().get("critic_turns", 1)
    return {**size, "batch": 4, "images": 12 * turns, "latent": 6, **more}


def pictures(path: Path, shape: tuple[int, ...], count: int = 24) -> Path:
    """An .npz of random pictures with labels."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
    np.savez(path, x=x.transpose(0, 2, 3, 1), y=np.arange(count) % 3)
    return path


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "x".join(map(str, s)))
@pytest.mark.parametrize("name", NAMES)
def test_trains_resumes_and_samples(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    data = pictures(tmp_path / "x.npz", shape)
    if name == "stylegan3" and shape[1] != shape[2]:
        with pytest.raises(UserError, match="square"):
            mulligan.train(name, data, out=tmp_path / "run", **small(name))
        return
    arguments = small(name, schedule="constant") if "schedule" in find(name).defaults() else small(name)
    run = mulligan.train(name, data, out=tmp_path / "run", **arguments)
    first = run.sample(5, seed=1)
    assert first.shape == (5, *shape)
    assert first.dtype == torch.float32
    assert bool(first.isfinite().all())
    assert run.rows()[-1]["round"] == 3
    arguments["images"] *= 2
    run = mulligan.train(name, data, out=tmp_path / "run", **arguments)
    assert run.rows()[-1]["round"] == 6
    assert not torch.equal(run.sample(5, seed=1), first)
    assert torch.equal(run.sample(5, seed=1), mulligan.load(run.path).sample(5, seed=1))


@pytest.mark.parametrize("name", sorted(PICTURES & set(NAMES)))
def test_points_are_refused_where_there_are_networks_for_pictures_only(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="makes pictures"):
        mulligan.train(name, "ring", out=tmp_path / "run", **small(name))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in PICTURES])
def test_points_take_an_mlp(name: str, tmp_path: Path) -> None:
    run = mulligan.train(name, "ring", out=tmp_path / "run", **small(name))
    assert run.sample(7).shape == (7, 2)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "gan"])
def test_refuses_sizes_it_cannot_make(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="28"):
        mulligan.train(name, pictures(tmp_path / "x.npz", (3, 29, 29)), out=tmp_path / "run", **small(name))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", sorted(LABELLED))
def test_labels_are_needed(name: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((8, 8, 8, 1), np.uint8))
    with pytest.raises(UserError, match="labels"):
        mulligan.train(name, tmp_path / "x.npy", out=tmp_path / "run", **small(name))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", [*sorted(LABELLED), "infogan", "biggan", "sagan"])
def test_label_changes_the_picture(name: str, tmp_path: Path) -> None:
    run = mulligan.train(name, pictures(tmp_path / "x.npz", (1, 8, 8)), out=tmp_path / "run", **small(name))
    assert not torch.equal(run.sample(3, label=0), run.sample(3, label=1))
    with pytest.raises(UserError, match="no label"):
        run.sample(3, label=99)


EXTRAS = [
    {"label_smoothing": 0.1}, {"instance_noise": 0.1}, {"minibatch": "discrimination"}, {"minibatch": "stddev"},
    {"packing": 2}, {"feature_matching": 1.0}, {"historical_averaging": 0.1},
    {"r1": 1.0}, {"r2": 1.0}, {"r1": 1.0, "r2": 2.0},
    {"gp": 10.0}, {"dragan": 10.0}, {"lecam": 0.1}, {"r1": 1.0, "lazy": 2}, {"spectral_norm": True},
    {"clip_weights": 0.01}, {"diffaugment": "color,translation,cutout"},
]  # fmt: skip


@pytest.mark.parametrize("extra", EXTRAS, ids=lambda e: ",".join(f"{k}={v}" for k, v in e.items()))
@pytest.mark.parametrize("name", NAMES)
def test_every_remedy_in_every_recipe(name: str, extra: dict[str, Any], tmp_path: Path) -> None:
    """Each changes what is learned, or is refused because the objective has no such thing."""
    recipe = find(name)
    data = mulligan.open_source("digits")

    def weights(stabilize: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        torch.manual_seed(0)
        arguments = recipe.arguments({**small(name), "stabilize": stabilize})
        plan = recipe.plan(data, arguments)
        return play(plan, data)

    if "label_smoothing" in extra and name in UNSMOOTHED:
        with pytest.raises(UserError, match="label smoothing"):
            weights(extra)
        return
    if name in BUILT_IN and extra.keys() & {"minibatch", "spectral_norm"}:
        with pytest.raises(UserError, match="leave it out"):
            weights(extra)
        return
    plain, changed = weights({}), weights(extra)
    assert all(bool(w.isfinite().all()) for w in changed)
    assert any(a.shape != b.shape or not torch.equal(a, b) for a, b in zip(plain, changed, strict=True))


SIGNED = [name for name in NAMES if name not in {"wgan", "wgan_gp", "r3gan", "progressive"}]


@pytest.mark.parametrize("name", SIGNED)
def test_ada_moves_in_every_recipe_whose_logits_have_a_zero(name: str, tmp_path: Path) -> None:
    arguments = small(name, images=40 * find(name).defaults().get("critic_turns", 1), stabilize={"ada": 0.6, "r1": 0.0})
    run = mulligan.train(name, pictures(tmp_path / "x.npz", (1, 8, 8)), out=tmp_path / "run", **arguments)
    state = helpers.newest(run.path)["game"]
    assert 0 <= float(state["critic.ada.pipe.p"]) <= 1
    assert float(state["critic.ada.counted"][1]) > 0
    assert int(state["critic.ada.since"]) == run.rows()[-1]["images"] // 5 * 4


def test_ada_is_refused_for_points(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"stabilize\.ada works on images only"):
        mulligan.train("dcgan", "ring", out=tmp_path / "run", **small("dcgan", stabilize={"ada": 0.6}))


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(SIGNED)))
def test_ada_is_refused_where_the_sign_of_a_logit_says_nothing(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"stabilize\.ada needs logits with a zero"):
        mulligan.train(
            name, pictures(tmp_path / "x.npz", (1, 8, 8)), out=tmp_path / "run", **small(name, stabilize={"ada": 0.6})
        )
    assert not (tmp_path / "run").exists()


def play(plan: mulligan.Plan, data: Any, rounds: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights of G and D after a few rounds without a trainer."""
    from mulligan.core.clock import Clock
    from mulligan.core.engine import Engine
    from mulligan.core.stream import Stream

    engine, stream, clock = Engine("cpu"), Stream(data, plan.batch), Clock(budget=plan.images * 4)
    engine.adopt(plan.game.train(), plan.optims)
    for clock.round in range(rounds):
        engine.seed_round(clock.round, 0)
        for turn in plan.game.play(stream, clock):
            engine.step(turn.player, engine.backward(turn))
        clock.images = stream.position
    return tuple(torch.cat([p.detach().reshape(-1) for p in plan.game.owned(player)]) for player in ("G", "D"))  # type: ignore[return-value]


def test_signatures_are_small_and_documented() -> None:
    for recipe in shelf():
        assert len(recipe.parameters()) <= 12
        assert recipe.paper
        assert recipe.summary.endswith(".")
        assert recipe.arguments(nest(flatten(recipe.defaults()))) == recipe.defaults()


def test_a_recipe_needs_only_the_shape_of_the_data() -> None:
    for name in NAMES:
        data = Described((1, 8, 8), ("a", "b"), 10)
        plan = find(name).plan(data, resolve(find(name), find(name).arguments(small(name)), data)[0])
        assert plan.game.sampler(3).shape == (3, 1, 8, 8)
