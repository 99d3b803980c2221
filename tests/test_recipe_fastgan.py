"""FastGAN: excitation, what D's decoders paint, its loss, and pictures that stay the same (Liu et al. 2021)."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mulligan import open_source
from mulligan.core.clock import Clock
from mulligan.core.engine import Engine
from mulligan.core.errors import UserError
from mulligan.core.recipe import Plan
from mulligan.core.stream import Stream
from mulligan.experiment import Described
from mulligan.nets.fastgan import Discriminator, Generator, corner, quarter
from mulligan.parts.excitation import Excitation, Noise
from mulligan.parts.samplers import Sampler
from mulligan.zoo import find
from mulligan.zoo.image.fastgan import FastGAN, unlike

EMOJI = Path(__file__).resolve().parents[2] / "shared" / "data" / "noto_emoji72" / "noto_emoji72.zip"
SIZES = {(4, 4): 0, (5, 6): 0, (8, 8): 0, (16, 16): 1, (28, 28): 1, (32, 32): 3, (32, 48): 3, (64, 64): 3}
"""And how many decoders they have: 28 pixels are 7 doubled twice, as 16 are 4."""
by_size = pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))


def planned(shape: tuple[int, ...] = (4, 32, 32), **arguments: Any) -> Plan:
    """The recipe with tiny networks."""
    torch.manual_seed(0)
    recipe, net = find("fastgan"), {"latent": 6, "width": 2, "most": 8}
    return recipe.plan(Described(shape, (), 40), recipe.arguments({"net": net, "batch": 4, **arguments}))


def first_turns(plan: Plan, x: Tensor) -> tuple[Any, Any]:
    """The turns of D and G of one round, without a step between them, always with the same draws."""
    torch.manual_seed(1)
    turns = plan.game.train().play(iter([{"x": x}]), Clock(budget=100))
    return next(turns), next(turns)


def judge_of(plan: Plan) -> Discriminator:
    return cast(Discriminator, cast(FastGAN, plan.game).critic.D)


def pictures(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(7)) * 2 - 1


# ---- the parts


def test_excitation_is_equation_1_with_convolutions() -> None:
    torch.manual_seed(0)
    layer = Excitation(3, 5).eval().double()
    low, high = torch.randn(2, 3, 8, 12).double(), torch.randn(2, 5, 32, 48).double()
    squeeze, excite = layer.squeeze.normalized(), layer.excite.normalized()
    y = F.conv2d(F.adaptive_avg_pool2d(low, 4), squeeze.view(5, 3, 4, 4), layer.squeeze.bias)
    assert y.shape == (2, 5, 1, 1)
    y = F.conv2d(F.leaky_relu(y, 0.1), excite.view(5, 5, 1, 1), layer.excite.bias).sigmoid()
    torch.testing.assert_close(layer(low, high), y * high)
    assert bool(((layer.gate(low) > 0) & (layer.gate(low) < 1)).all())


def test_slopes_are_right_in_float64() -> None:
    torch.manual_seed(0)

    def of(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, requires_grad=True)

    noise = Noise(3, 4).eval().double()
    nn.init.constant_(noise.weight, 0.5)
    cases: list[tuple[Callable[..., Any], tuple[Tensor, ...]]] = [
        (Excitation(2, 3).eval().double(), (of(2, 2, 5, 6), of(2, 3, 4, 4))),
        (noise, (of(2, 2, 3, 4),)),
        (unlike, (of(2, 2, 3, 4), of(2, 2, 3, 4))),
    ]
    for function, inputs in cases:
        assert torch.autograd.gradcheck(function, inputs)
        assert torch.autograd.gradgradcheck(function, inputs)


def test_noise_is_fresh_in_training_and_the_same_in_eval() -> None:
    noise, x = Noise(4, 6), torch.zeros(3, 2, 4, 6)
    assert torch.equal(noise(x), x), "it starts without any"
    nn.init.ones_(noise.weight)
    drawn = noise(x)
    assert torch.equal(drawn[:, 0], drawn[:, 1])
    assert not torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn, noise(x))
    noise.eval()
    assert torch.equal(noise(x), noise(x))
    assert torch.equal(noise(x)[0], noise(x)[2])


def test_unlike_counts_pixels_and_edges() -> None:
    x = torch.zeros(1, 1, 4, 4)
    step = x.clone()
    step[..., 2:] = 1
    assert float(unlike(x + 0.5, x)) == 0.5, "a shade has no edge"
    assert float(unlike(step, x)) == pytest.approx(0.5 + 1 / 3)  # one of three steps along each row


# ---- the networks


@by_size
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_size(size: tuple[int, int], channels: int) -> None:
    torch.manual_seed(0)
    shape = (channels, *size)
    G, D = Generator(3, shape, width=2, most=4), Discriminator(shape, width=2, most=4)
    x = G(torch.randn(3, 3))
    assert x.shape == (3, *shape)
    assert x.is_contiguous()
    assert bool((x.abs() <= 1).all())
    patches, maps = D.judged(x)
    torch.testing.assert_close(D(x), D.judged(x)[0].mean(1), atol=1e-2, rtol=0)  # one power iteration further
    assert D.features(x).shape == (3, D.width)
    assert len(list(D.painted(maps, x))) == SIZES[size]
    loss = patches.mean() + sum(unlike(*pair) for pair in D.painted(maps, x))
    loss.backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in [*G.parameters(), *D.parameters()])


def test_patches_of_the_paper() -> None:
    assert Discriminator((3, 64, 64), width=2).judged(pictures(2, 3, 64, 64))[0].shape == (2, 5 * 5)
    assert Discriminator((3, 32, 48), width=2).judged(pictures(2, 3, 32, 48))[0].shape == (2, 5 * 9)


@pytest.mark.parametrize(("side", "reach", "pairs"), [(8, 1, 1), (32, 3, 1), (64, 4, 1), (128, 4, 2), (256, 4, 3)])
def test_excitations_span_four_doublings_where_there_are_as_many(side: int, reach: int, pairs: int) -> None:
    G = Generator(3, (3, side, side), width=1, most=2)
    assert (G.reach, len(G.excitations)) == (reach, pairs)


def test_excitation_reaches_the_picture() -> None:
    torch.manual_seed(0)
    G = Generator(3, (3, 32, 32), width=4, most=8).eval()
    z = torch.randn(2, 3)
    before = G(z)
    nn.init.constant_(cast(Excitation, G.excitations[0]).excite.bias, 20.0)  # every gate open
    assert not torch.allclose(before, G(z), atol=1e-3)


def test_a_latent_makes_one_picture() -> None:
    sampler = cast(Sampler, planned().game.sampler)
    for layer in sampler.modules():
        if isinstance(layer, Noise):
            nn.init.ones_(layer.weight)
    z = torch.randn(4, 6)
    sampler.train()
    assert not torch.equal(sampler.decode(z), sampler.decode(z))
    sampler.eval()
    torch.testing.assert_close(sampler.decode(z)[1], sampler.decode(z[1:2])[0])
    assert torch.equal(sampler.decode(z), sampler.decode(z))


def test_averaging_the_vectors_of_a_spectral_norm_does_no_harm() -> None:
    """The moving average shortens vectors that turn; an estimate from short ones would blow the weights up."""
    sampler = cast(Sampler, planned().game.sampler.eval())
    z = torch.randn(4, 6)
    before = sampler.decode(z)
    for name, buffer in sampler.named_buffers():
        if name.endswith("u0"):
            buffer.mul_(0.3)
    torch.testing.assert_close(sampler.decode(z), before)


# ---- what D paints


@pytest.mark.parametrize(("size", "ups"), [((32, 32), 1), ((64, 96), 2), ((56, 56), 1)])
def test_the_crop_of_the_map_is_the_crop_of_the_picture(size: tuple[int, int], ups: int) -> None:
    x = pictures(2, 3, *size)
    low = F.avg_pool2d(x, 2**ups)
    torch.manual_seed(0)
    corners = {corner(low) for _ in range(60)}
    assert len(corners) > 30
    assert all(0 <= top <= low.shape[2] // 2 and 0 <= left <= low.shape[3] // 2 for top, left in corners)
    for at in corners:
        part, cut = quarter(x, *at, ups), quarter(low, *at)
        assert part.shape[2:] == (size[0] // 2, size[1] // 2)
        torch.testing.assert_close(F.avg_pool2d(part, 2**ups), cut)


@pytest.mark.parametrize(("side", "sides"), [(32, [32, 32, 16]), (64, [64, 64, 32]), (128, [32, 32, 32])])
def test_targets_are_what_was_seen(side: int, sides: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    if side == 128:  # as 512 pixels with the paper's four doublings
        monkeypatch.setattr("mulligan.nets.fastgan.DEEPEST", 2)
    D, x = Discriminator((3, side, side), width=1, most=2).eval(), pictures(1, 3, side, side)
    pairs = list(D.painted(D.maps(x), x))
    assert [target.shape[2] for _, target in pairs] == sides
    assert all(made.shape == target.shape for made, target in pairs)
    for _, whole in pairs[:2]:
        torch.testing.assert_close(whole, F.avg_pool2d(x, side // sides[0]))
    small = F.avg_pool2d(x, max(side // 2 // sides[2], 1))
    assert any(torch.allclose(pairs[2][1], small[..., i : i + sides[2], j : j + sides[2]], atol=1e-6)
               for i in range(small.shape[2] - sides[2] + 1) for j in range(small.shape[3] - sides[2] + 1))  # fmt: skip


def test_the_part_is_painted_from_its_own_quarter_of_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    """A map that holds the picture itself, and a decoder that only doubles it: both sides agree at every corner."""
    D, x = Discriminator((3, 32, 32), width=4), F.interpolate(pictures(2, 3, 16, 16), scale_factor=2.0)
    D.part = cast(Any, nn.Upsample(scale_factor=2))
    for layer in (D.small, D.large):
        monkeypatch.setattr(layer, "forward", lambda low: low.new_zeros(len(low), 3, 32, 32))
    for _ in range(20):
        torch.testing.assert_close(*list(D.painted([F.avg_pool2d(x, 2), x], x))[2])


def test_packs_are_painted_whole() -> None:
    D, x = Discriminator((3, 32, 32), width=2, packing=2), pictures(4, 3, 32, 32)
    patches, maps = D.judged(x)
    assert len(patches) == 2
    assert torch.equal(next(D.painted(maps, x))[1], x.reshape(2, 6, 32, 32))


@pytest.mark.parametrize("stabilize", [{"diffaugment": "color,translation"}, {"instance_noise": 0.5}])
def test_ds_target_is_the_augmented_picture_that_it_saw(stabilize: dict[str, Any], monkeypatch) -> None:
    plan, x = planned(stabilize=stabilize), pictures(4, 4, 32, 32)
    D, critic = judge_of(plan), cast(FastGAN, plan.game).critic
    looked: list[Tensor] = []
    judged: list[Tensor] = []
    targets: list[Tensor] = []
    look, judge, painted = critic.look, D.judged, D.painted
    monkeypatch.setattr(critic, "look", lambda x: looked.append(look(x)) or looked[-1])
    monkeypatch.setattr(D, "judged", lambda x: judged.append(x) or judge(x))
    monkeypatch.setattr(D, "painted", lambda maps, x: targets.append(x) or painted(maps, x))
    first_turns(plan, x)
    assert len(targets) == 1
    assert targets[0] is judged[0] is looked[0]
    assert not torch.equal(targets[0], x)


def test_ds_loss_contains_what_it_painted_and_gs_does_not() -> None:
    x = pictures(4, 4, 32, 32)
    (plain, _), (weighed, of_g) = (first_turns(planned(reconstruction=w), x) for w in (0.0, 3.0))
    assert len(weighed.stats["painted"]) == 3
    assert bool((weighed.stats["painted"] > 0).all())
    torch.testing.assert_close(weighed.loss - plain.loss, 3 * weighed.stats["painted"].sum())
    plan = planned()
    D = judge_of(plan)
    turn, of_g = first_turns(plan, x)
    slopes = torch.autograd.grad(
        turn.stats["painted"].sum(), list(D.parameters()), retain_graph=True, allow_unused=True
    )
    reached = {name.split(".")[0] for (name, _), slope in zip(D.named_parameters(), slopes) if slope is not None}
    assert reached == {"stem", "downs", "small", "large", "part"}
    owned = plan.game.owned("G")
    assert all(s is None for s in torch.autograd.grad(turn.loss, owned, retain_graph=True, allow_unused=True))
    assert any(bool(s.abs().sum() > 0) for s in torch.autograd.grad(of_g.loss, owned))


@pytest.mark.skipif(not EMOJI.exists(), reason="../shared/data/noto_emoji72 is not here")
def test_painting_real_pictures_is_learned(tmp_path: Path) -> None:
    with zipfile.ZipFile(EMOJI) as every, zipfile.ZipFile(tmp_path / "some.zip", "w") as some:
        for name in [name for name in every.namelist() if name.endswith(".png")][::25]:
            some.writestr(name.rpartition("/")[2], every.read(name))
    data = open_source(tmp_path / "some.zip", size=(32, 32), channels=4, cache=tmp_path, progress=False)
    plan = planned(lr=4e-3, net={"latent": 6, "width": 8, "most": 16})
    engine, stream, clock, D = Engine("cpu"), Stream(data, plan.batch), Clock(budget=10_000), judge_of(plan)
    engine.adopt(plan.game.train(), plan.optims)
    x = next(Stream(data, 32))["x"]

    def missed() -> float:
        torch.manual_seed(0)  # the same corner
        with torch.no_grad():
            return sum(float(unlike(*pair)) for pair in D.painted(D.maps(x), x))

    before = missed()
    for clock.round in range(25):
        engine.seed_round(clock.round, 0)
        for turn in plan.game.play(stream, clock):
            engine.step(turn.player, engine.backward(turn))
        clock.images = stream.position
    assert missed() < 0.8 * before


# ---- remedies


def test_a_penalty_leaves_batch_norm_out_of_d() -> None:
    x = pictures(4, 4, 32, 32)
    for stabilize, alone in (({"r1": 1.0}, True), ({}, False)):
        D = judge_of(planned(stabilize=stabilize))
        D.eval() if alone else D.train()
        assert torch.allclose(D(x)[:2], D(x[:2]), atol=1e-5) == alone
        norms = [layer for part in (D.downs, D.norm) for layer in part.modules() if isinstance(layer, nn.BatchNorm2d)]
        assert bool(norms) != alone


@pytest.mark.parametrize("loss", ["nonsaturating", "least_squares", "hinge", "wasserstein"])
def test_other_losses_are_played(loss: str) -> None:
    turn, of_g = first_turns(planned(stabilize={"loss": loss}), pictures(4, 4, 32, 32))
    assert bool(turn.loss.isfinite() & of_g.loss.isfinite())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"stabilize": {"loss": "relativistic"}}, "needs the real logits"),
        ({"stabilize": {"spectral_norm": True}}, "has one already: leave it out"),
        ({"stabilize": {"minibatch": "stddev"}}, "judges patches"),
        ({"reconstruction": -1.0}, "reconstruction is -1.0"),
        ({"net": {"reach": 0}}, "net.reach is 0"),
        ({"shape": (2,)}, "makes pictures"),
        ({"shape": (3, 33, 33)}, "32x32"),
    ],
)
def test_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        planned(**arguments)
