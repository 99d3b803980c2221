"""BigGAN and SAGAN: how they start, where z and labels enter, sizes, turns, and what truncation and packing do."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mulligan
from mulligan import Plan, UserError
from mulligan.core.clock import Clock
from mulligan.core.game import Batch
from mulligan.experiment import Described
from mulligan.nets.biggan import Discriminator, Generator
from mulligan.nets.biggan_deep import Discriminator as DeepDiscriminator
from mulligan.nets.biggan_sizes import multiples, multiples_d, plane
from mulligan.parts.attention import SelfAttention
from mulligan.parts.conditional_norm import AffineNorm, ConditionalNorm
from mulligan.parts.spectral import Normalized
from mulligan.weights.biggan import DOWN, DOWNS, UP
from mulligan.zoo import find
from mulligan.zoo.image.biggan import FIRST, alike

from .test_recipes import pictures, small

CLASSES = ("a", "b", "c")
# channels between the layers of biggan-deep-SIZE-config.json, in multiples of channel_width
PUBLISHED = {
    128: (16, 16, 16, 16, 8, 8, 4, 4, 2, 2, 1), 256: (16, 16, 16, 16, 8, 8, 8, 8, 4, 4, 2, 2, 1),
    512: (16, 16, 16, 16, 8, 8, 8, 8, 4, 4, 2, 2, 1, 1, 1),
}  # fmt: skip
SMALL = {"latent": 9, "shared": 5, "width": 4}


def plan(
    name: str = "biggan", shape: tuple[int, ...] = (3, 16, 16), classes: tuple[str, ...] = CLASSES, **arguments: Any
) -> Plan:
    made, net = find(name), arguments.pop("net", {})
    given = {"net": {**SMALL, **net}} if name == "biggan" else {"latent": 6, "width": 4}
    torch.manual_seed(0)
    return made.plan(Described(shape, classes, 10), made.arguments({**given, **arguments}))


def networks(*args: Any, **arguments: Any) -> tuple[Any, Any]:
    game = plan(*args, **arguments).game
    return game.get_submodule("sampler.G"), game.get_submodule("critic.D")


def batches(shape: tuple[int, ...] = (3, 16, 16), count: int = 4) -> Iterator[Batch]:
    while True:
        yield {"x": torch.rand(count, *shape) * 2 - 1, "y": torch.arange(count) % 3}


class TestStart:
    @pytest.mark.parametrize("kind", ["biggan", "deep"])
    def test_every_weight_of_both_networks_has_orthogonal_rows_or_columns(self, kind: str):
        for net in networks(net={"kind": kind}):
            for name, weight in net.named_parameters():
                if weight.dim() > 1:
                    matrix = weight.detach().flatten(1)
                    matrix = matrix if len(matrix) <= matrix.shape[1] else matrix.t()
                    assert torch.allclose(matrix @ matrix.t(), torch.eye(len(matrix)), atol=1e-5), name

    def test_large_networks_may_start_normal(self):
        G, _ = networks(net={"init": "normal", "width": 16})
        assert G.blocks[0][0].conv1.weight.detach().std() == pytest.approx(0.02, rel=0.05)

    def test_every_layer_of_d_has_a_spectral_norm_and_those_of_g_unless_they_are_told_not_to(self):
        G, D = networks()
        bare, judge = networks(net={"singular": 0})
        layers = (nn.Conv2d, nn.Linear)
        assert all(
            isinstance(layer, Normalized)
            for net in (G, D, judge)
            for layer in net.modules()
            if isinstance(layer, layers)
        )
        assert not any(isinstance(layer, Normalized) for layer in bare.modules())
        assert isinstance(D.embed, Normalized)

    def test_sagan_starts_with_a_gain_of_one_for_every_class(self):
        G, _ = networks("sagan")
        norms = [layer for layer in G.modules() if isinstance(layer, ConditionalNorm)]
        assert norms
        assert not any(part.weight.any() for norm in norms for part in (norm.gain, norm.bias))  # type: ignore[union-attr]


class TestLatents:
    def test_z_is_cut_into_equal_parts_and_what_is_left_over_is_left_out(self):
        game = plan(net={"latent": 11}).game
        G, sampler = game.get_submodule("sampler.G"), game.sampler
        assert (G.latent, G.chunk, sampler.latents(2).shape) == (9, 3, (2, 9))  # type: ignore[operator]
        assert G.linear.in_features == 3  # type: ignore[union-attr]
        assert networks(net={"latent": 1})[0].latent == 3

    def test_each_part_changes_its_block_and_what_comes_behind(self):
        G = networks()[0].eval()
        z, y = torch.randn(2, 9), torch.zeros(2, dtype=torch.long)

        def states(z: Tensor) -> list[Tensor]:
            seen = []
            hooks = [
                block.register_forward_hook(lambda *call: seen.append(call[2])) for block in (b[0] for b in G.blocks)
            ]
            with torch.no_grad():
                seen.append(G(z, y))
            for hook in hooks:
                hook.remove()
            return seen

        before = states(z)
        for part, unchanged in enumerate([0, 0, 1]):
            other = z.clone()
            other[:, 3 * part : 3 * part + 3] += 1
            same = [torch.equal(a, b) for a, b in zip(before, states(other), strict=True)]
            assert same == [i < unchanged for i in range(3)]

    @pytest.mark.parametrize("kind", ["biggan", "deep"])
    def test_without_labels_in_the_data_neither_network_has_any(self, kind: str):
        game = plan(classes=(), net={"kind": kind}).game
        assert game.sampler.classes == 0
        assert game.sampler(2).shape == (2, 3, 16, 16)
        assert game.get_submodule("critic.D").embed is None
        told = plan(net={"kind": kind, "labels": "none"}).game
        assert told.sampler.classes == 0
        assert all(turn.loss.isfinite() for turn in told.play(batches(), Clock(budget=10)))

    @pytest.mark.parametrize("net", [{"labels": "one-hot"}, {"labels": "embedding", "hier": False}, {"kind": "deep"}])
    def test_each_way_to_see_a_label_changes_the_picture(self, net: dict[str, Any]):
        G = networks(net=net)[0].eval()
        z = torch.randn(1, G.latent).expand(2, -1)
        x = G(z, torch.tensor([0, 1]))
        assert (x[0] - x[1]).abs().max() > 1e-3

    def test_parts_of_z_cannot_be_joined_to_an_embedding_in_each_norm(self):
        with pytest.raises(UserError, match="hier=False"):
            plan(net={"labels": "embedding"})


class TestSizes:
    @pytest.mark.parametrize("size", [32, 64, 128, 256, 512])
    def test_the_rule_has_the_widths_of_biggan_pytorch(self, size: int):
        ups = plane((3, size, size)).ups
        assert multiples(ups) == UP[size]
        if size in DOWN:
            assert multiples_d(ups) == (DOWN[size], DOWNS[size])

    def test_attention_comes_at_half_of_the_picture_and_at_64_pixels_at_most(self):
        assert [plane((3, size, size)).attended(()) for size in (8, 16, 56, 128, 224, 512)] == [
            set(), {8}, {28}, {64}, {56}, {64},
        ]  # fmt: skip

    def test_attention_stands_where_it_is_wanted_in_both_networks(self):
        def places(net: nn.Module) -> list[str]:
            return [name for name, layer in net.named_modules() if isinstance(layer, SelfAttention)]

        assert [places(net) for net in networks(shape=(3, 32, 32))] == [["blocks.1.1"], ["blocks.0.1"]]
        assert [places(net) for net in networks(shape=(3, 32, 32), net={"attention": (8, 32)})] == [
            ["blocks.0.1", "blocks.2.1"], ["blocks.1.1"],
        ]  # fmt: skip
        assert [places(net) for net in networks(shape=(3, 32, 32), net={"attention": (0,)})] == [[], []]
        assert [places(net) for net in networks(shape=(3, 32, 32), net={"kind": "deep"})] == [
            ["blocks.3.1"],
            ["blocks.0.2"],
        ]
        assert [places(net) for net in networks("sagan", (3, 64, 96))] == [["blocks.1.1"], ["blocks.1.1"]]
        with pytest.raises(UserError, match="attention at 20 pixels: these networks pass through 8, 16, 32"):
            plan(shape=(3, 32, 32), net={"attention": (20,)})

    @pytest.mark.parametrize("size", PUBLISHED)
    def test_the_deep_networks_have_the_published_layers_and_attention_before_the_ninth(self, size: int):
        with torch.device("meta"):
            layers = networks(shape=(3, size, size), net={"kind": "hub"})[0].layers
        assert isinstance(layers.pop(8), SelfAttention)
        steps = [(bool(step.up), step.conv1.in_channels // 4, step.outputs // 4) for step in layers]
        assert steps == [(i % 2 == 1, a, b) for i, (a, b) in enumerate(pairwise(PUBLISHED[size]))]

    def test_g_may_begin_with_another_base(self):
        assert networks(shape=(3, 32, 64), net={"base": 8})[0].start == (16, 8, 16)
        assert networks(shape=(1, 32, 48))[0].start == (16, 4, 6)
        for base, shape in ((5, (3, 32, 32)), (64, (3, 32, 32)), (8, (3, 32, 34))):
            with pytest.raises(UserError, match="pixels"):
                plan(shape=shape, net={"base": base})

    @pytest.mark.parametrize("name", ["biggan", "sagan"])
    def test_pictures_too_small_for_a_block_are_refused(self, name: str):
        with pytest.raises(UserError, match=r"4x4 pixels: .* 8 pixels are the least"):
            plan(name, (3, 4, 4))

    @pytest.mark.parametrize("kind", ["biggan", "deep", "hub"])
    def test_every_kind_plays_a_round_on_rectangles_of_any_channels(self, kind: str):
        shape = (4, 8, 12)
        made = plan(shape=shape, net={"kind": kind})
        turns = list(made.game.play(batches(shape), Clock(budget=100)))
        for turn in turns:
            assert turn.loss.isfinite()
        assert made.game.sampler.eval()(2).shape == (2, *shape)

    def test_what_does_not_fit_is_said(self):
        for net, why in [
            ({"widths": (8, 8)}, "net.widths has 2 numbers, but these networks take 3"),
            ({"width": 0}, "net.width is 0"), ({"kind": "deep", "width": 3}, "net.width has 3 channels, but .* need 4"),
            ({"kind": "hub", "hub": {"doubles": (0, 1)}}, "name the channels too"),
            ({"kind": "hub", "hub": {"doubles": (0, 1)}, "widths": (8, 8, 8)}, "1 blocks double, but 2 are to"),
            ({"kind": "deep", "widths": (4, 8, 8)}, "none may grow"),
        ]:  # fmt: skip
            with pytest.raises(UserError, match=why):
                plan(net=net)
        with pytest.raises(UserError, match=r"net\.kind hub needs labels"):
            plan(classes=(), net={"kind": "hub"})
        with pytest.raises(UserError, match="ortho is -1"):
            plan(ortho=-1.0)


class TestRound:
    def test_d_has_two_turns_on_new_pictures_before_g_has_one(self):
        drawn = 0

        def counted() -> Iterator[Batch]:
            nonlocal drawn
            for batch in batches():
                drawn += 1
                yield batch

        turns = [turn.player for turn in plan().game.play(counted(), Clock(budget=100))]
        assert (turns, drawn) == (["D", "D", "G"], 2)
        assert [t.player for t in plan("sagan").game.play(batches(), Clock(budget=100))] == ["D", "G"]

    def test_rates_and_betas_are_those_of_the_papers(self):
        big, attentive = plan().optims, plan("sagan").optims
        assert (big["G"].lr, big["D"].lr, big["D"].betas) == (2e-4, 2e-4, (0.0, 0.999))
        assert (attentive["G"].lr, attentive["D"].lr, attentive["G"].betas) == (1e-4, 4e-4, (0.0, 0.9))

    def test_the_hinge_loss_is_charged_for_filters_that_look_alike(self):
        def last(ortho: float) -> float:
            made = plan(ortho=ortho)
            made.game.sampler.G.linear.weight.data += 0.1
            torch.manual_seed(1)
            return list(made.game.play(batches(), Clock(budget=100)))[-1].loss.item()

        made = plan()
        made.game.sampler.G.linear.weight.data += 0.1
        assert last(0.5) - last(0.0) == pytest.approx(0.5 * alike(made.game.sampler.G).item(), rel=1e-3)

    def test_alike_is_the_sum_of_products_of_different_filters(self):
        G = Generator(4, 2, (3, 2), labels="shared", shared=2, hier=True, base=1).double()
        value = 0.0
        for name, weight in G.named_parameters():
            if weight.dim() > 1 and not name.startswith("shared"):
                rows = weight.detach().flatten(1)
                value += sum(float(a @ b) ** 2 for i, a in enumerate(rows) for j, b in enumerate(rows) if i != j)
        assert alike(G).item() == pytest.approx(value)
        weight = G.blocks[0][0].conv1.weight  # type: ignore[index]

        def charged(W: Tensor) -> Tensor:
            return torch.func.functional_call(_Alike(G), {"G.blocks.0.0.conv1.weight": W})

        assert torch.autograd.gradcheck(charged, (weight.detach().requires_grad_(),))

    def test_orthogonal_filters_cost_nothing(self):
        few = nn.Sequential(nn.Linear(8, 3, bias=False))
        nn.init.orthogonal_(few[0].weight)
        assert alike(few).item() < 1e-10

    def test_a_pack_is_judged_with_the_mean_of_its_labels(self):
        for D in networks(stabilize={"packing": 2})[1], networks(net={"kind": "deep"}, stabilize={"packing": 2})[1]:
            assert isinstance(D.eval(), Discriminator | DeepDiscriminator)
            x, y = torch.randn(4, 3, 16, 16), torch.tensor([0, 2, 1, 1])
            h = D.features(x)
            assert h.shape == (2, D.width)
            rows = D.embed(y)
            expected = D.linear(h).squeeze(1) + ((rows[::2] + rows[1::2]) / 2 * h).sum(1)
            assert torch.allclose(D(x, y), expected, atol=1e-5)


class _Alike(nn.Module):
    def __init__(self, G: nn.Module) -> None:
        super().__init__()
        self.G = G

    def forward(self) -> Tensor:
        return alike(self.G)


class TestEvaluation:
    @pytest.mark.parametrize("name", ["biggan", "sagan"])
    def test_statistics_follow_the_batches_and_make_pictures_independent_of_their_neighbours(self, name: str):
        G = networks(name)[0]
        z, y = torch.randn(8, G.latent), torch.arange(8) % 3
        norm = next(layer for layer in G.modules() if isinstance(layer, AffineNorm))
        for _ in range(60):
            G.train()(z, y)
        settled = norm.get_buffer("stored_var").clone()
        assert not torch.equal(settled, torch.ones_like(settled))
        G.eval()
        with torch.no_grad():
            whole, alone = G(z, y), G(z[:1], y[:1])
            assert torch.allclose(whole[:1], alone, atol=1e-5)
            together = G.train()(z, y)
        assert (whole - together).square().mean() < 0.01 * together.var()

    def test_evaluating_changes_no_statistics_and_no_singular_vectors(self):
        G = networks()[0].eval()
        before = {name: buffer.clone() for name, buffer in G.named_buffers()}
        G(torch.randn(3, G.latent), torch.zeros(3, dtype=torch.long))
        assert all(torch.equal(before[name], buffer) for name, buffer in G.named_buffers())

    def test_psi_chooses_the_statistics_of_the_published_networks(self):
        sampler = plan(net={"kind": "hub"}).game.sampler.eval()
        for norm in (layer for layer in sampler.modules() if hasattr(layer, "running_means")):
            norm.running_means.normal_()  # type: ignore[union-attr, operator]
        z, y = torch.randn(2, 9), torch.tensor([0, 1])
        sampler.psi = 0.5
        assert torch.equal(sampler.decode(z, y), sampler.G(z, y, 0.5))
        assert not torch.equal(sampler.decode(z, y), sampler.G(z, y, 1.0))
        for psi, told in ((0.0, FIRST), (1.5, 1.0)):
            sampler.psi = psi
            assert torch.equal(sampler.decode(z, y), sampler.G(z, y, told))

    @pytest.mark.parametrize("kind", ["deep", "hub"])
    def test_a_run_of_the_other_kinds_is_built_again_from_its_arguments(self, kind: str, tmp_path: Path):
        data = pictures(tmp_path / "x.npz", (1, 8, 8))
        arguments = small("biggan", images=8)
        arguments["net"] = {**arguments["net"], "kind": kind}
        run = mulligan.train("biggan", data, out=tmp_path / "run", **arguments)
        assert torch.equal(run.sample(3, seed=1), mulligan.load(run.path).sample(3, seed=1))


@pytest.mark.parametrize("name", ["biggan", "sagan"])
def test_numbers_in_place_of_classes_are_refused(name: str):
    data = Described((3, 16, 16), (), 10, ("age",), ((0.0, 1.0),), ((0.5,),))
    with pytest.raises(UserError, match="takes classes, and the data gives 1 number"):
        find(name).plan(data, find(name).arguments({}))
